package badgerstore

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/dgraph-io/badger/v4"

	"github.com/raft-ballast/ballast"
)

// partsOptions make small files, so that few entries make several.
func partsOptions() *Options {
	return &Options{NoSync: true, MaxEntryBytes: 64 << 10, ReserveBytes: -1, GCInterval: -1, Badger: func(o *badger.Options) {
		o.MemTableSize = 1 << 20
		o.ValueLogFileSize = 1<<20 + 64<<10
	}}
}

const partsLast = 2200

// makeParts makes a store with several tables and value logs, in a folder that was closed, or whose
// process was killed.
func makeParts(t *testing.T, killed bool) string {
	dir := t.TempDir()
	s := mustOpen(t, dir, partsOptions())
	mustStore(t, s, entries(1, 2000, "small", 500))
	mustStore(t, s, entries(2001, 2100, "long", 40<<10))
	mustClose(t, s)
	s = mustOpen(t, dir, partsOptions())
	if err := errors.Join(s.SetUint64([]byte("CurrentTerm"), 3), s.DeleteRange(1, 1000), s.StageCommitIndex(2000)); err != nil {
		t.Fatal(err)
	}
	mustStore(t, s, entries(2101, 2150, "long", 40<<10))
	mustStore(t, s, entries(2151, partsLast, "small", 500))
	if !killed {
		mustClose(t, s)
		return dir
	}
	return copyDir(t, dir)
}

func copyDir(t *testing.T, dir string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return to
}

// held returns what is in the files of a folder.
func held(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	names, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range names {
		content, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		out[e.Name()] = string(content)
	}
	return out
}

// wholeOrUntouched opens a damaged folder: it has to hold everything, or to be refused as damaged
// and left as it is.
func wholeOrUntouched(t *testing.T, what, dir string) (refused bool) {
	t.Helper()
	before := held(t, dir)
	for _, readOnly := range []bool{true, false} {
		opts := partsOptions()
		opts.ReadOnly = readOnly
		s, err := Open(dir, opts)
		if err == nil {
			if refused {
				t.Errorf("%s: it opens to be written, and not to be read", what)
			}
			t.Run(what, func(t *testing.T) {
				check(t, s, entries(1001, 2000, "small", 500), entries(2001, 2150, "long", 40<<10), entries(2151, partsLast, "small", 500))
			})
			if term, err := s.GetUint64([]byte("CurrentTerm")); term != 3 || err != nil {
				t.Errorf("%s: the term is %d, %v", what, term, err)
			}
			mustClose(t, s)
			continue
		}
		if readOnly && strings.Contains(err.Error(), "open it once for writing") {
			continue
		}
		refused = true
		if !errors.Is(err, ballast.ErrCorrupt) || !strings.Contains(err.Error(), "join the cluster again as a new server") {
			t.Errorf("%s, ReadOnly %v: %v", what, readOnly, err)
		}
		if now := held(t, dir); !maps.Equal(now, before) {
			t.Errorf("%s, ReadOnly %v: the folder was changed: there are %v", what, readOnly, slices.Sorted(maps.Keys(now)))
		}
	}
	return refused
}

// A part of a store is refused and left as it is: without one of its files, with one that is empty,
// with a manifest that was cut, with one kind of files alone.
func TestPartOfAStore(t *testing.T) {
	t.Parallel()
	for _, killed := range []bool{false, true} {
		whole := makeParts(t, killed)
		files := held(t, whole)
		try := func(what string, must bool, change func(dir string) error) {
			t.Helper()
			dir := copyDir(t, whole)
			if err := change(dir); err != nil {
				t.Fatal(err)
			}
			what = fmt.Sprintf("killed %v: %s", killed, what)
			if refused := wholeOrUntouched(t, what, dir); must && !refused {
				t.Errorf("%s: it was opened", what)
			}
		}
		for name := range files {
			ext := filepath.Ext(name)
			if ext == memSuffix { // see doc.go
				continue
			}
			try("without "+name, ext == tableSuffix || name == manifestName, func(dir string) error { return os.Remove(filepath.Join(dir, name)) })
			try("empty "+name, ext == tableSuffix || name == manifestName, func(dir string) error { return os.Truncate(filepath.Join(dir, name), 0) })
		}
		for _, size := range []int64{8, 12, 16, int64(len(files[manifestName])) - 1, int64(len(files[manifestName])) / 2} {
			if killed && size > 16 {
				continue // the last record of a manifest is what a crash cuts
			}
			try(fmt.Sprintf("a manifest of %d bytes", size), true, func(dir string) error { return os.Truncate(filepath.Join(dir, manifestName), size) })
		}
		only := func(what string, keep func(name string) bool) {
			try("only "+what, true, func(dir string) (err error) {
				for name := range files {
					if !keep(name) {
						err = errors.Join(err, os.Remove(filepath.Join(dir, name)))
					}
				}
				return err
			})
		}
		only("tables", func(name string) bool { return filepath.Ext(name) == tableSuffix })
		only("value logs", func(name string) bool { return filepath.Ext(name) == vlogSuffix })
		only("statistics", func(name string) bool { return name == discardName })
		only("the key registry", func(name string) bool { return name == registryName })
		only("manifest and tables", func(name string) bool { return filepath.Ext(name) == tableSuffix || name == manifestName })
		only("manifest and value logs", func(name string) bool { return filepath.Ext(name) == vlogSuffix || name == manifestName })
		if killed {
			only("write-ahead logs", func(name string) bool { return filepath.Ext(name) == memSuffix })
		}
	}
}
