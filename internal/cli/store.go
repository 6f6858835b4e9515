package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/raft-ballast/ballast"
	sites "github.com/raft-ballast/ballast/internal/place"
	"github.com/raft-ballast/ballast/internal/vfs"
	"github.com/raft-ballast/ballast/wal"
)

// place is where a store is and of which kind it is.
type place struct {
	engine engine
	path   string
}

// isFolder reports whether the engine keeps its store in a folder.
func (p place) isFolder() bool { return p.engine.name != "bolt" }

// begin makes the place to build the store.
func (p place) begin() (*sites.Site, error) {
	if p.isFolder() {
		return sites.BeginFolder(p.path)
	}
	return sites.Begin(p.path)
}

// String is what to type.
func (p place) String() string { return p.name() + p.groupText() }

// name is without the group.
func (p place) name() string { return p.exactName().String() }

// exact is String for a result.
func (p place) exact() outside { return p.exactName() + outside(p.groupText()) }

// exactName is name for a result.
func (p place) exactName() outside { return outside(p.engine.name + ":" + p.path) }

func (p place) groupText() string {
	if p.engine.group.given {
		return " --group " + p.engine.group.String()
	}
	return ""
}

// source is a store that is open for reading.
type source struct {
	place
	readStore
}

// openSource opens the store of a name on the command line for reading.
func openSource(name string) (*source, error) {
	p, err := findStore(name)
	if err != nil {
		return nil, err
	}
	return p.open()
}

func (p place) open() (*source, error) {
	store, err := p.engine.read(p.path)
	if err != nil {
		return nil, err
	}
	return &source{place: p, readStore: store}, nil
}

// damage returns what may be missing of a store that opens all the same, nil for nothing.
func (s *source) damage() *ballast.CorruptionError {
	r, ok := s.readStore.(ballast.DamageReporter)
	if !ok {
		return nil
	}
	damage, _ := errors.AsType[*ballast.CorruptionError](r.Damaged())
	return damage
}

// whole returns an error when a part of the store may be missing: for a command that shows what there is before it ends with that.
func (s *source) whole() error {
	if damage := s.damage(); damage != nil {
		return fmt.Errorf("%w; `ballast verify %s` tells what that means", damage, s)
	}
	return nil
}

// damageJSON is damage for scripts; nil for none.
func (s *source) damageJSON() *damageJSON {
	damage := s.damage()
	if damage == nil {
		return nil
	}
	out := newDamageJSON(damage)
	return &out
}

// checkWritable returns why a store cannot be changed. It is asked before: an engine would make a new one where there is none.
func (p place) checkWritable() error {
	if p.engine.open == nil {
		return fmt.Errorf("%s cannot be changed: %s; `ballast migrate` moves it to an engine that can", p, p.engine.unfit)
	}
	info, err := os.Stat(p.path)
	if err != nil {
		return fmt.Errorf("there is no store: %w; check the path", err)
	}
	kind, err := kindAt(p.path, info)
	switch {
	case err != nil || kind == p.engine.name:
		return err
	case kind != "":
		return p.wrongKind(kind, info)
	}
	if src, err := p.open(); err != nil { // which says whether it is damaged, or something else, and makes nothing
		return err
	} else if err := src.Close(); err != nil {
		return err
	}
	return fmt.Errorf("there is no store of the engine %s at %s; check the path", p.engine.name, p.path)
}

// wrongKind says that there is a store of another engine.
func (p place) wrongKind(kind string, info fs.FileInfo) error {
	at := p.path
	if kind == "raftwal" && !info.IsDir() {
		at = filepath.Dir(at)
	}
	return fmt.Errorf("%s is no store of the engine %s, but one of %s; give %s:%s", p.path, p.engine.name, kind, kind, at)
}

// openForWriting opens a store that is there, and nothing that would lose by it.
func (p place) openForWriting() (*source, error) {
	if err := p.checkWritable(); err != nil {
		return nil, err
	}
	if p.engine.name == defaultEngine {
		store, err := groupOf(p.path, p.engine.group, func() (*wal.Groups, error) { return wal.OpenGroups(p.path, nil) })
		if err != nil {
			return nil, err
		}
		return &source{place: p, readStore: store}, nil
	}
	store, err := p.engine.open(p.path)
	if errors.Is(err, ballast.ErrCorrupt) {
		return nil, fmt.Errorf("%s was not changed: %w", p, err)
	}
	if err != nil {
		return nil, err
	}
	src := &source{place: p, readStore: store.(readStore)}
	if damage := src.damage(); damage != nil {
		return nil, errors.Join(fmt.Errorf("%s was not changed, because a write would hide what is missing: %w; `ballast repair %s` says what can be kept", p, damage, p), src.Close())
	}
	return src, nil
}

// findStore finds out what a name on the command line means.
func findStore(name string) (place, error) {
	if name == "" {
		return place{}, usagef("the name of the store is empty; give %s, or its path", storePrefixes())
	}
	prefix, path, cut := strings.Cut(name, ":")
	if cut {
		for _, e := range engines {
			switch {
			case e.name != prefix:
			case e.read == nil:
				return place{}, usagef("%s is no store that can be looked into: %s; give %s", name, e.unfit, storePrefixes())
			case path == "":
				return place{}, usagef("%s names no path; give %s", name, storePrefixes())
			default:
				return place{e, path}, checkWalDir(e, path)
			}
		}
	}
	found, err := recognise(name)
	if cut && errors.Is(err, fs.ErrNotExist) && isPrefix(prefix) {
		return place{}, usagef("%s: there is no engine %q, and no such path; give %s", name, prefix, storePrefixes())
	}
	return found, err
}

// checkWalDir says so where a wal is named that cannot be one: what wal itself says is that a listing failed.
func checkWalDir(e engine, path string) error {
	if e.name != defaultEngine {
		return nil // they say it well
	}
	switch info, err := os.Stat(path); {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("there is no store: %w; check the path", err)
	case err == nil && !info.IsDir():
		if kind, err := kindAt(path, info); err == nil && kind != "" {
			return place{e, path}.wrongKind(kind, info)
		}
		return fmt.Errorf("wal:%s is a file, and a wal is a folder; check the path", path)
	}
	return nil
}

// checkFolder returns why nothing can be made at a path: the folder for it is not there.
func checkFolder(what, path string) error {
	switch info, err := os.Stat(filepath.Dir(path)); {
	case err != nil:
		return fmt.Errorf("%s needs a folder to be in: %w; make it first", what, err)
	case !info.IsDir():
		return fmt.Errorf("%s is no folder; give another destination", filepath.Dir(path))
	}
	return nil
}

// isPrefix reports whether somebody may have meant the name of an engine, and neither a path nor a drive of windows.
func isPrefix(prefix string) bool {
	return len(prefix) > 1 && !strings.ContainsAny(prefix, `/\.`)
}

// storePrefixes lists how a store may be named, for people.
func storePrefixes() string {
	var names []string
	for _, e := range engines {
		if e.read != nil {
			names = append(names, e.name+":PATH")
		}
	}
	last := len(names) - 1
	return strings.Join(names[:last], ", ") + " or " + names[last]
}

// diskBytes returns how much of the disk a store takes: the file, or the files of its folder.
func (p place) diskBytes() (total int64, err error) {
	info, err := os.Stat(p.path)
	if err != nil {
		return 0, fmt.Errorf("looking at the store's size: %w", err)
	}
	if !info.IsDir() {
		return vfs.OS.DiskUsage(p.path)
	}
	entries, err := os.ReadDir(p.path)
	if err != nil {
		return 0, fmt.Errorf("looking at the store's size: %w", err)
	}
	for _, e := range entries {
		if !e.Type().IsRegular() {
			continue
		}
		n, err := vfs.OS.DiskUsage(filepath.Join(p.path, e.Name()))
		if errors.Is(err, fs.ErrNotExist) { // the log goes on meanwhile
			continue
		}
		if err != nil {
			return 0, fmt.Errorf("looking at the store's size: %w", err)
		}
		total += n
	}
	return total, nil
}
