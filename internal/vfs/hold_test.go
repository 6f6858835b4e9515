package vfs

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
)

func held(t *testing.T, fsys FS, dir string) (FS, string) {
	t.Helper()
	d := hold(t, fsys, dir)
	return d, d.Path
}

func hold(t *testing.T, fsys FS, dir string) *Dir {
	t.Helper()
	d, err := fsys.Hold(dir)
	check(t, err)
	t.Cleanup(func() { check(t, d.Close()) })
	return d
}

// testHold: another folder gets the name of one that is held. Every call reaches the one that is
// held, and the other stays as it is.
func testHold(t *testing.T, fsys FS, dir string) {
	if !Handles {
		t.Skip("the platform has no handles of folders")
	}
	name, now := filepath.Join(dir, "log"), filepath.Join(dir, "log.old")
	if _, err := fsys.Hold(name); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a folder that is missing: %v", err)
	}
	check(t, fsys.MkdirAll(name))
	check(t, create(t, fsys, filepath.Join(name, "first")).Close())
	d := hold(t, fsys, name)
	again := hold(t, d, d.Path)
	check(t, d.Check())
	check(t, fsys.Rename(name, now))
	displaced(t, d.Check(), name)
	check(t, fsys.MkdirAll(name))
	displaced(t, again.Check(), name)
	check(t, create(t, fsys, filepath.Join(name, "other")).Close())
	lock, err := fsys.Lock(filepath.Join(name, "LOCK"))
	check(t, err)

	check(t, useHeld(t, d))
	check(t, useHeld(t, again))
	check(t, lock.Close())
	if got := list(t, fsys, name); !slices.Equal(got, []string{"LOCK", "other"}) {
		t.Errorf("in the other folder there is %q", got)
	}
	if got := list(t, fsys, now); !slices.Equal(got, []string{"LOCK", "kept"}) {
		t.Errorf("in the folder that is held there is %q", got)
	}
	check(t, fsys.Rename(name, filepath.Join(dir, "other")))
	check(t, fsys.Rename(now, name))
	check(t, d.Check())
}

// useHeld makes every call, and leaves LOCK and kept.
func useHeld(t *testing.T, d *Dir) error {
	at := func(name string) string { return filepath.Join(d.Path, name) }
	lock, err := d.Lock(at("LOCK"))
	check(t, err)
	f := create(t, d, at("made"))
	write(t, f, 0, pattern(BlockBytes, 1))
	check(t, f.Close())
	check(t, d.Rename(at("made"), at("kept")))
	f, err = d.Open(at("kept"))
	check(t, err)
	write(t, f, BlockBytes, pattern(BlockBytes, 2))
	check(t, f.Close())
	f, err = d.OpenRead(at("kept"))
	check(t, err)
	want := slices.Concat(pattern(BlockBytes, 1), pattern(BlockBytes, 2))
	if got := readAll(t, f); !slices.Equal(got, want) {
		t.Errorf("it reads %d bytes of another file", len(got))
	}
	check(t, f.Close())
	if n, err := d.DiskUsage(at("kept")); err != nil || n != 2*BlockBytes {
		t.Errorf("the file takes %d bytes (%v)", n, err)
	}
	other := at("other")
	for _, call := range []error{
		second(d.Open(other)), second(d.OpenRead(other)), d.Remove(other),
	} {
		if !errors.Is(call, fs.ErrNotExist) {
			t.Errorf("a file that is in the other folder only: %v", call)
		}
	}
	check(t, d.SyncDir(d.Path))
	if slices.Contains(list(t, d, d.Path), "first") {
		check(t, d.Remove(at("first")))
	}
	return lock.Close()
}

func second(_ File, err error) error { return err }

func displaced(t *testing.T, err error, path string) {
	t.Helper()
	e, ok := errors.AsType[*DisplacedError](err)
	if !ok || filepath.Base(e.Path) != filepath.Base(path) {
		t.Errorf("Check returns %v", err)
	}
}

// What there is of the real file system beside a rename: a chdir, a link that is switched, and a
// folder that is removed.
func TestHoldByOtherNames(t *testing.T) {
	if !Handles {
		t.Skip("the platform has no handles of folders")
	}
	dir, err := filepath.EvalSymlinks(t.TempDir())
	check(t, err)
	for _, sub := range []string{"r1", "r2", "elsewhere"} {
		check(t, os.Mkdir(filepath.Join(dir, sub), 0o700))
	}
	link := filepath.Join(dir, "current")
	check(t, os.Symlink("r1", link))
	t.Chdir(dir)
	byLink, relative := hold(t, OS, "current"), hold(t, OS, "r2")
	check(t, os.Remove(link))
	check(t, os.Symlink("r2", link))
	t.Chdir("elsewhere")
	for d, want := range map[*Dir]string{byLink: "r1", relative: "r2"} {
		if want = filepath.Join(dir, want); d.Path != want {
			t.Errorf("%s is held, not %s", d.Path, want)
		}
		check(t, d.Check())
		check(t, create(t, d, filepath.Join(d.Path, "f")).Close())
		if got := list(t, OS, d.Path); !slices.Equal(got, []string{"f"}) {
			t.Errorf("in %s there is %q", d.Path, got)
		}
	}
	now := filepath.Join(dir, "r3")
	check(t, os.Rename(relative.Path, now))
	e, ok := errors.AsType[*DisplacedError](relative.Check())
	if !ok || runtime.GOOS == "linux" && e.Now != now {
		t.Errorf("Check returns %+v", e)
	}
	check(t, os.RemoveAll(byLink.Path))
	if e, ok := errors.AsType[*DisplacedError](byLink.Check()); !ok || e.Now != "" {
		t.Errorf("Check of a removed folder returns %+v", e)
	}
	if f, err := byLink.Create(filepath.Join(byLink.Path, "g")); err == nil {
		t.Error("a file was made in a folder that was removed")
		check(t, f.Close())
	}
	if _, err := os.Lstat(byLink.Path); err == nil {
		t.Error("a call has made the folder again")
	}
}

// Alias leads to the folder by whatever name it has.
func TestAlias(t *testing.T) {
	dir := t.TempDir()
	check(t, os.Mkdir(filepath.Join(dir, "log"), 0o700))
	d := hold(t, OS, filepath.Join(dir, "log"))
	if alias := d.Alias(); alias != "" {
		check(t, os.Rename(d.Path, filepath.Join(dir, "old")))
		check(t, os.WriteFile(filepath.Join(alias, "f"), nil, 0o600))
		if got := list(t, OS, filepath.Join(dir, "old")); !slices.Equal(got, []string{"f"}) {
			t.Errorf("there is %q", got)
		}
	} else if runtime.GOOS == "linux" {
		t.Error("there is none")
	}
	if alias := hold(t, NewMem(), ".").Alias(); alias != "" {
		t.Errorf("Mem has %q", alias)
	}
}

// CheckName is asked before each write of an engine.
func TestCheckNameAllocatesLittle(t *testing.T) {
	if !Handles {
		t.Skip("the platform has no handles of folders")
	}
	f, err := os.Open(t.TempDir())
	check(t, err)
	defer f.Close()
	path := f.Name()
	n := testing.AllocsPerRun(100, func() { _ = CheckName(path, f) })
	if n > 2 { // the path, for the kernel, and an empty one
		t.Errorf("%v allocations", n)
	}
}
