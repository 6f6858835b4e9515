package badgerstore

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast"
)

// descriptors is what a path begins with that only badger is to see.
const descriptors = "/proc/self/fd/"

func told(t *testing.T, err error, dir string) {
	t.Helper()
	if err == nil {
		t.Fatal("there is no error")
	}
	if strings.Contains(err.Error(), descriptors) || !strings.Contains(err.Error(), dir) {
		t.Errorf("the error should name %s: %v", dir, err)
	}
	damage, ok := errors.AsType[*ballast.CorruptionError](err)
	if ok && !strings.HasPrefix(damage.Path, dir) {
		t.Errorf("the damage is in %s", damage.Path)
	}
	if failed, ok := errors.AsType[*fs.PathError](err); ok && !strings.HasPrefix(failed.Path, dir) {
		t.Errorf("the call was of %s", failed.Path)
	}
	if locked, ok := errors.AsType[*ballast.LockedError](err); ok && locked.Path != dir {
		t.Errorf("locked is %s", locked.Path)
	}
}

// Badger has another path of its folder, and neither errors, nor what is logged, nor what is stored
// has it.
func TestOnlyBadgerSeesItsPath(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	dir = filepath.Join(dir, "raft")
	var logged bytes.Buffer
	opts := smallFiles()
	level := &slog.HandlerOptions{Level: slog.LevelDebug}
	opts.Logger = slog.New(slog.NewTextHandler(&logged, level))
	for first := uint64(1); first < 60; first += 20 {
		s, err := Open(dir, opts)
		if err != nil {
			t.Fatal(err)
		}
		if runtime.GOOS == "linux" && !strings.HasPrefix(s.by, descriptors) {
			t.Errorf("badger has the path %s", s.by)
		}
		_, err = Open(dir, opts)
		told(t, err, dir)
		if err := s.StoreLogs(entries(first, first+19, "a", 100<<10)); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := Compact(t.Context(), dir, opts); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(logged.String(), descriptors) {
		t.Errorf("logged is\n%s", &logged)
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		path := filepath.Join(dir, f.Name())
		data, err := os.ReadFile(path)
		if err != nil || bytes.Contains(data, []byte(descriptors)) {
			t.Errorf("%s has that path, or does not read: %v", f.Name(), err)
		}
		if ext := filepath.Ext(f.Name()); len(data) == 0 || ext == "" && f.Name() != manifestName {
			continue
		}
		noise := bytes.Repeat([]byte{0xff}, len(data))
		for _, damaged := range [][]byte{data[:len(data)/2], noise} {
			if err := os.WriteFile(path, damaged, 0o600); err != nil {
				t.Fatal(err)
			}
			s, err := Open(dir, &Options{ReadOnly: true, Badger: smallFiles().Badger})
			if err == nil {
				err = errors.Join(readAll(s), s.Close())
			}
			if err != nil {
				told(t, err, dir)
			}
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// readAll returns the error of each entry.
func readAll(s *Store) (err error) {
	for index := uint64(1); index < 60; index++ {
		err = errors.Join(err, s.GetLog(index, entry(index, "", 0)))
	}
	return err
}

func TestNamed(t *testing.T) {
	f := folder{dir: "/data/raft", by: descriptors + "7"}
	inner := &fs.PathError{Op: "open", Path: f.by + "/000001.sst", Err: fs.ErrNotExist}
	for _, err := range []error{
		inner, fmt.Errorf("badger: while reading %s: %w", f.by, inner),
		&ballast.CorruptionError{Path: f.by + "/MANIFEST", Err: inner},
		fmt.Errorf("open: %w", &ballast.CorruptionError{Path: f.by, Err: inner}),
	} {
		named := f.named(err)
		told(t, named, f.dir)
		corrupt := errors.Is(err, ballast.ErrCorrupt)
		if !errors.Is(named, fs.ErrNotExist) || errors.Is(named, ballast.ErrCorrupt) != corrupt {
			t.Errorf("%v is another error than %v", named, err)
		}
	}
	other := errors.New("no path")
	if f.named(other) != other || f.named(nil) != nil {
		t.Error("an error without a path has changed")
	}
}

// displaced renames the folder of a store, opens another store at the name, and returns that. The
// first one has noticed.
func displaced(t *testing.T, s *Store) *Store {
	t.Helper()
	if err := s.StoreLogs(entries(1, 20, "first", 100<<10)); err != nil {
		t.Fatal(err)
	}
	dir := s.dir
	if err := os.Rename(dir, dir+".old"); err != nil {
		t.Fatal(err)
	}
	other := mustOpen(t, dir, smallFiles())
	if err := other.StoreLogs(entries(1, 5, "second", 100<<10)); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		s.StoreLog(entry(21, "first", 10)), s.Set([]byte("k"), nil), s.DeleteRange(1, 2),
		s.DeleteKey([]byte("k")), s.writePad(make([]byte, 10)),
	} {
		d, ok := errors.AsType[*ballast.DisplacedError](err)
		if !ok || d.Path != dir || runtime.GOOS == "linux" && d.Now != dir+".old" {
			t.Errorf("a write returns %v", err)
		}
	}
	check(t, s, entries(1, 20, "first", 100<<10))
	return other
}

// A store whose folder has another name by now takes no more writes, and ends in that folder.
func TestDisplaced(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("badger finds its folder by a descriptor only on linux")
	}
	dir := filepath.Join(t.TempDir(), "raft")
	s := mustOpen(t, dir, smallFiles())
	other := displaced(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	check(t, other, entries(1, 5, "second", 100<<10))
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	check(t, mustOpen(t, dir, smallFiles()), entries(1, 5, "second", 100<<10))
	check(t, mustOpen(t, dir+".old", smallFiles()), entries(1, 20, "first", 100<<10))
}

// Where there is no such path a store that was displaced leaves badger as it is, because closing it
// makes tables.
func TestDisplacedWithoutAlias(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("windows does not rename a folder in which a file is open")
	}
	dir := filepath.Join(t.TempDir(), "raft")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	f, err := hold(dir)
	if err != nil {
		t.Fatal(err)
	}
	f.by = f.dir
	opts, err := smallFiles().withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	s, err := newStore(dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.openIn(f, nil); err != nil {
		t.Fatal(err)
	}
	other := displaced(t, s)
	before, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); !errors.Is(err, ballast.ErrDisplaced) {
		t.Errorf("Close returns %v", err)
	}
	if after, err := os.ReadDir(dir); err != nil || fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("in the other's folder there is %v, was %v: %v", after, before, err)
	}
	check(t, other, entries(1, 5, "second", 100<<10))
	s = mustOpen(t, dir+".old", smallFiles()) // what is in its write-ahead log is there
	check(t, s, entries(1, 20, "first", 100<<10))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// Close does not say that all is in the log of a folder that was removed.
func TestCloseOfWhatWasRemoved(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("windows removes no folder that is in use")
	}
	dir := filepath.Join(t.TempDir(), "raft")
	s, err := Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.StoreLog(&raft.Log{Index: 1, Term: 1}), os.RemoveAll(dir)); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); !errors.Is(err, ballast.ErrDisplaced) || strings.Contains(err.Error(), "is there when") {
		t.Errorf("Close: %v", err)
	}
}
