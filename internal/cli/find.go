package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/boltmeta"
	common "github.com/raft-ballast/ballast/internal/engine"
	"github.com/raft-ballast/ballast/internal/export"
	"github.com/raft-ballast/ballast/internal/move"
	sites "github.com/raft-ballast/ballast/internal/place"
	"github.com/raft-ballast/ballast/internal/vfs"
)

// What the files of the stores are called. A segment of ours has its number for a name, one of raft-wal's has its first index
// before that.
var (
	walSegment     = regexp.MustCompile(`^[0-9a-f]{16}\.wal$`)
	raftwalSegment = regexp.MustCompile(`^[0-9]{20}-[0-9a-f]{16}\.wal$`)
)

const raftwalMeta = "wal-meta.db"

// quarantineMark is in the name of what `ballast repair` has put aside: the store's name, this, and the time.
const quarantineMark = ".quarantine-"

// boltLeft is the end of what a crash leaves of boltstore.Compact, and of the making of a new file.
var boltLeft = regexp.MustCompile(`.\.(compact(-old)?|creating)$`)

// findDepth is how many folders below a data directory a store may lie: Consul's is raft/wal.
const findDepth = 2

// recognise finds the store at a path: the path itself, or the only one in a data directory.
func recognise(path string) (place, error) {
	info, err := os.Stat(path)
	if err != nil {
		return place{}, fmt.Errorf("there is no store: %w; check the path", err)
	}
	name, err := kindAt(path, info)
	if err != nil {
		return place{}, err
	}
	if name == "raftwal" && !info.IsDir() {
		path = filepath.Dir(path)
	}
	if name != "" {
		return placeOf(name, path), nil
	}
	if !info.IsDir() {
		if !info.Mode().IsRegular() { // opening a pipe waits for who writes to it
			return place{}, fmt.Errorf("%s is no file and no folder; give a bbolt file or the folder of a store", path)
		}
		if move.IsGrave(path) {
			return place{}, fmt.Errorf("%s is what a migration has left where a store was, and says where that is now", path)
		}
		if isExport(path) {
			return place{}, fmt.Errorf("%s is what `ballast export` has written; `ballast import %s STORE` makes a store of it", path, path)
		}
		return place{}, fmt.Errorf("%s is no store that is known here; give a bbolt file or the folder of a store", path)
	}
	found, unread := search(path, findDepth)
	found = notForeign(found)
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		var names []string
		for _, p := range found {
			names = append(names, p.String())
		}
		return place{}, usagef("%s holds %d stores; give one of %s", path, len(found), strings.Join(names, ", "))
	case unread != nil:
		return place{}, fmt.Errorf("%s holds no store that can be seen: %w", path, unread)
	}
	if err := leftIn(path); err != nil {
		return place{}, err
	}
	return place{}, fmt.Errorf("%s holds no store that is known here, nor do the folders in it; give %s", path, storePrefixes())
}

// isExport reports whether a file is one of `ballast export`.
func isExport(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close() // it was only looked at
	return export.Begins(f)
}

// leftIn says what a migration or a repair has left in a folder; nil for nothing.
func leftIn(dir string) error {
	entries, _ := os.ReadDir(dir) // it was listed a moment ago
	for _, e := range entries {
		if store, waits := sites.Waits(e.Name()); waits {
			return sites.Unplaced(filepath.Join(dir, store))
		}
		if move.Left(e.Name()) {
			return fmt.Errorf("%s holds no store that is in use, but %s, which a migration has left; finish the migration, or give %s", dir, shown(e.Name()), storePrefixes())
		}
	}
	return nil
}

// placeOf takes the name of an engine that there is.
func placeOf(name, path string) place {
	return place{engines[slices.IndexFunc(engines, func(e engine) bool { return e.name == name })], path}
}

// kindAt returns the engine whose store is at a path, "" for none that is known.
func kindAt(path string, info fs.FileInfo) (string, error) {
	if info.IsDir() {
		return kindOfDir(path)
	}
	switch base := filepath.Base(path); {
	case !info.Mode().IsRegular():
		return "", nil
	case base == raftwalMeta && !move.IsGrave(path):
		return "raftwal", nil
	case walSegment.MatchString(base):
		return "", usagef("%s is one segment of a wal; give its folder, wal:%s", path, filepath.Dir(path))
	case raftwalSegment.MatchString(base):
		return "", usagef("%s is one segment of raft-wal; give its folder, raftwal:%s", path, filepath.Dir(path))
	}
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("looking for a store: %w", err)
	}
	defer f.Close()
	if !boltmeta.HasMagic(f) {
		return "", nil
	}
	return "bolt", nil
}

func kindOfDir(path string) (string, error) {
	entries, err := os.ReadDir(path)
	if err != nil {
		return "", fmt.Errorf("looking for a store: %w", err)
	}
	has := func(is func(name string) bool) bool {
		return slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return !e.IsDir() && is(e.Name()) })
	}
	named := func(name string) func(string) bool {
		return func(n string) bool { return n == name && !move.IsGrave(filepath.Join(path, n)) }
	}
	switch {
	case has(named(raftwalMeta)), has(raftwalSegment.MatchString):
		return "raftwal", nil
	case has(walSegment.MatchString): // whose LOCK need not be readable
		return "wal", nil
	}
	wasLog, err := common.WasLog(vfs.OS, path)
	switch {
	case err != nil:
		return "", fmt.Errorf("looking for a store: %w", err)
	case wasLog:
		return "wal", nil
	case has(named("MANIFEST")) && (has(named("KEYREGISTRY")) || has(func(n string) bool { return strings.HasSuffix(n, ".vlog") })):
		return "badger", nil
	case has(func(n string) bool { return common.BadgerFile(n) && !strings.HasSuffix(n, ".sst") }):
		return "badger", nil // part of one, of which badgerstore says what is missing
	}
	return "", nil
}

// passedOver reports whether a name is that of half a store, or of one that was put aside: no peer runs on it.
func passedOver(name string) bool {
	_, waits := sites.Waits(name)
	return waits || sites.IsSite(name) || move.Left(name) || strings.Contains(name, quarantineMark) || boltLeft.MatchString(name)
}

// search returns the stores below a folder, and why something there could not be looked at.
func search(dir string, depth int) (found []place, unread error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if passedOver(e.Name()) {
			continue
		}
		path := filepath.Join(dir, e.Name())
		info, err := os.Stat(path) // a data directory may have links to other disks
		if err != nil {
			unread = errors.Join(unread, err)
			continue
		}
		name, err := kindAt(path, info)
		switch {
		case err != nil:
			unread = errors.Join(unread, err)
		case name != "":
			found = append(found, placeOf(name, path))
		case info.IsDir() && depth > 1:
			below, err := search(path, depth-1)
			found, unread = append(found, below...), errors.Join(unread, err)
		}
	}
	return found, unread
}

// notForeign takes away bbolt files of somebody else, when there are several stores: Vault keeps its data in one beside raft's.
func notForeign(found []place) []place {
	if len(found) < 2 {
		return found
	}
	return slices.DeleteFunc(found, func(p place) bool {
		if p.engine.name != "bolt" {
			return false
		}
		store, err := p.engine.read(p.path)
		if err == nil {
			_ = store.Close() // it was only looked at
		}
		return errors.Is(err, ballast.ErrForeign)
	})
}
