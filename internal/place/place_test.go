package place

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/engine"
	"github.com/raft-ballast/ballast/internal/vfs"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// put makes a folder with a file that holds a text.
func put(t *testing.T, dir, text string) {
	t.Helper()
	must(t, os.MkdirAll(dir, 0o700))
	must(t, os.WriteFile(filepath.Join(dir, "file"), []byte(text), 0o600))
}

func text(t *testing.T, dir string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "file"))
	must(t, err)
	return string(b)
}

// names are all that is in a folder.
func names(t *testing.T, dir string) (names []string) {
	t.Helper()
	names, err := vfs.OS.List(dir)
	must(t, err)
	return names
}

func TestCommit(t *testing.T) {
	dir := t.TempDir()
	dst := filepath.Join(dir, "store")
	site, err := Begin(dst)
	must(t, err)
	if !IsSite(filepath.Dir(site.Path)) || IsSite(dst) {
		t.Errorf("%s and %s are not told apart", site.Path, dst)
	}
	if _, err := Begin(dst); !errors.Is(err, vfs.ErrLocked) {
		t.Errorf("a second one at once: %v", err)
	}
	put(t, site.Path, "new")
	must(t, site.Commit())
	must(t, site.Abandon())
	if got := text(t, dst); got != "new" || len(names(t, dir)) != 1 {
		t.Errorf("%q, %v", got, names(t, dir))
	}
	if _, err := Begin(dst); !errors.Is(err, fs.ErrExist) {
		t.Errorf("over one that is there: %v", err)
	}
}

// What is made at the destination meanwhile is not replaced, and nothing is left of what was built.
func TestCommitLate(t *testing.T) {
	dir := t.TempDir()
	dst := filepath.Join(dir, "store")
	site, err := Begin(dst)
	must(t, err)
	put(t, site.Path, "new")
	put(t, dst, "somebody's")
	if err := site.Commit(); !errors.Is(err, fs.ErrExist) {
		t.Errorf("%v", err)
	}
	must(t, site.Abandon())
	if got := text(t, dst); got != "somebody's" || len(names(t, dir)) != 1 {
		t.Errorf("%q, %v", got, names(t, dir))
	}
}

// What a process that died has left is gone when the next one begins.
func TestLeftover(t *testing.T) {
	dst := filepath.Join(t.TempDir(), "store")
	site, err := Begin(dst)
	must(t, err)
	put(t, site.Path, "half")
	must(t, site.lock.Close()) // as the kernel does
	site, err = Begin(dst)
	must(t, err)
	if _, err := os.Lstat(site.Path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what is at %s: %v", site.Path, err)
	}
	must(t, site.Abandon())
}

// ways are those that a swap may go: with a check or none, and where names can be exchanged or not.
func ways(t *testing.T, f func(t *testing.T, checked bool)) {
	t.Helper()
	defer func() { exchangeNames = exchange }()
	for _, can := range []bool{true, false} {
		if !can {
			exchangeNames = func(string, string) (bool, error) { return false, nil }
		}
		for _, checked := range []bool{true, false} {
			t.Run(fmt.Sprintf("exchange %v, checked %v", can, checked), func(t *testing.T) { f(t, checked) })
		}
	}
}

// swapping is a store, and a new one that is to take its place.
func swapping(t *testing.T) (dir, dst, kept string, site *Site) {
	t.Helper()
	dir = t.TempDir()
	dst, kept = filepath.Join(dir, "store"), filepath.Join(dir, "kept")
	put(t, dst, "old")
	site, err := Beside(dst)
	must(t, err)
	put(t, site.Path, "new")
	return dir, dst, kept, site
}

func TestSwap(t *testing.T) {
	ways(t, func(t *testing.T, checked bool) {
		dir, dst, kept, site := swapping(t)
		var check func() error
		if checked {
			check = func() error { return nil }
		}
		must(t, site.Swap(kept, check))
		if text(t, dst) != "new" || text(t, kept) != "old" || len(names(t, dir)) != 2 {
			t.Errorf("%q, %q, %v", text(t, dst), text(t, kept), names(t, dir))
		}
		site, err := Beside(dst)
		must(t, err)
		put(t, site.Path, "newest")
		if err := site.Swap(kept, check); !errors.Is(err, fs.ErrExist) || text(t, dst) != "new" || text(t, kept) != "old" {
			t.Errorf("a name that is taken: %v", err)
		}
		must(t, site.Abandon())
		if got := names(t, dir); len(got) != 2 {
			t.Errorf("%q are left", got)
		}
	})
}

// Names that cannot change places leave the old one where it is, and nothing else.
func TestSwapFails(t *testing.T) {
	broken := errors.New("broken")
	exchangeNames = func(string, string) (bool, error) { return false, broken }
	defer func() { exchangeNames = exchange }()
	dir, dst, kept, site := swapping(t)
	if err := site.Swap(filepath.Join(dst, "kept"), nil); err == nil || text(t, dst) != "old" {
		t.Errorf("into the store itself: %v", err)
	}
	if err := site.Swap(kept, nil); !errors.Is(err, broken) || text(t, dst) != "old" {
		t.Errorf("%v", err)
	}
	must(t, site.Abandon())
	if got := names(t, dir); len(got) != 1 {
		t.Errorf("%q are left", got)
	}
}

// What is found out when the old one has its other name ends a swap, and it gets its own name back. Until then nobody finds the new one: what somebody wrote to that
// would be removed with it.
func TestSwapRefused(t *testing.T) {
	refused := errors.New("refused")
	dir, dst, kept, site := swapping(t)
	err := site.Swap(kept, func() error {
		if got := text(t, kept); got != "old" || there(dst) {
			t.Errorf("%q is kept, and there are %v", got, names(t, dir))
		}
		if err := engine.CheckPlaced(dst); !errors.Is(err, ballast.ErrUnfinished) {
			t.Errorf("an engine may begin meanwhile: %v", err)
		}
		if err := GiveBack(dst); !errors.Is(err, vfs.ErrLocked) {
			t.Errorf("somebody else takes it back: %v", err)
		}
		return refused
	})
	must(t, site.Abandon())
	if _, moved := errors.AsType[*MovedError](err); !errors.Is(err, refused) || moved || text(t, dst) != "old" || len(names(t, dir)) != 1 {
		t.Errorf("%v; there is %q, %v", err, text(t, dst), names(t, dir))
	}
}

// Somebody makes a store where for a moment there is none. It is not replaced, and the error says where what is, as does the next one who comes.
func TestSwapLate(t *testing.T) {
	_, dst, kept, site := swapping(t)
	err := site.Swap(kept, func() error {
		put(t, dst, "somebody's")
		return nil
	})
	must(t, site.Abandon())
	moved, ok := errors.AsType[*MovedError](err)
	if !ok || !errors.Is(err, fs.ErrExist) || text(t, dst) != "somebody's" || text(t, moved.Old) != "old" || text(t, moved.New) != "new" {
		t.Errorf("%v", err)
	}
	if _, err := Beside(dst); !errors.Is(err, ballast.ErrUnfinished) || !strings.Contains(err.Error(), kept) {
		t.Errorf("the next one: %v", err)
	}
	must(t, os.RemoveAll(moved.New))
	site, err = Beside(dst)
	must(t, err)
	must(t, site.Abandon())
}

// Rename replaces nothing, whether the file system sees to that or not.
func TestRename(t *testing.T) {
	dir := t.TempDir()
	file, folder, empty := filepath.Join(dir, "file"), filepath.Join(dir, "folder"), filepath.Join(dir, "empty")
	must(t, os.WriteFile(file, nil, 0o600))
	put(t, folder, "")
	must(t, os.Mkdir(empty, 0o700))
	defer func() { renameFree = renameNew }()
	for _, can := range []bool{true, false} {
		if !can {
			renameFree = func(string, string) (bool, error) { return false, nil }
		}
		for _, names := range [][2]string{{file, folder}, {folder, file}, {folder, empty}} {
			if err := Rename(names[0], names[1]); !errors.Is(err, fs.ErrExist) {
				t.Errorf("%v, %s to %s: %v", can, names[0], names[1], err)
			}
		}
		must(t, Rename(folder, folder+"2"))
		must(t, Rename(folder+"2", folder))
		if err := Rename(folder+"2", folder+"3"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%v, of nothing: %v", can, err)
		}
	}
}

func TestLike(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("windows has no modes of this kind")
	}
	dir := t.TempDir()
	model, made := filepath.Join(dir, "model"), filepath.Join(dir, "made")
	put(t, model, "")
	put(t, made, "")
	must(t, os.Chmod(model, 0o750))
	must(t, os.Chmod(filepath.Join(model, "file"), 0o640))
	if os.Getuid() == 0 {
		must(t, os.Chown(model, 12, 34))
		must(t, os.Chown(filepath.Join(model, "file"), 12, 34))
	}
	must(t, (&Site{Path: made}).Like(model))
	check := func(path string, mode fs.FileMode) {
		t.Helper()
		info, err := os.Stat(path)
		must(t, err)
		if info.Mode().Perm() != mode {
			t.Errorf("%s has mode %v, want %v", path, info.Mode().Perm(), mode)
		}
		checkOwner(t, info)
	}
	check(made, 0o750)
	check(filepath.Join(made, "file"), 0o640)
	put(t, filepath.Join(made, "deeper"), "")
	must(t, (&Site{Path: made}).Like(filepath.Join(model, "file")))
	check(filepath.Join(made, "deeper"), 0o750)
	check(filepath.Join(made, "deeper", "file"), 0o640)
}

// TestMarkOfALogThatWasBuilt: the first opening of a log that was built elsewhere makes its name
// durable, and knows it by a LOCK without the mark.
func TestMarkOfALogThatWasBuilt(t *testing.T) {
	build := func(s *Site, err error) *Site {
		t.Helper()
		if err == nil {
			err = errors.Join(os.MkdirAll(s.Path, 0o700), os.WriteFile(filepath.Join(s.Path, engine.LockName), []byte{0}, 0o600))
		}
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	dst := filepath.Join(t.TempDir(), "wal")
	marked := func(after string) {
		t.Helper()
		if was, err := engine.WasLog(vfs.OS, dst); was || err != nil {
			t.Errorf("after %s: the LOCK has the mark: %v, %v", after, was, err)
		}
	}
	if err := build(Begin(dst)).Commit(); err != nil {
		t.Fatal(err)
	}
	marked("Commit")
	if err := build(Beside(dst)).Swap(dst+".old", nil); err != nil {
		t.Fatal(err)
	}
	marked("Swap")
}

// The error of a place where nothing can be built names it, and says what to give.
func TestBeginWhereNothingCanBeMade(t *testing.T) {
	dst := filepath.Join(t.TempDir(), "gone", "store")
	if _, err := Begin(dst); err == nil || !strings.Contains(err.Error(), dst+" cannot be made") ||
		!errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "give a path in a folder") {
		t.Errorf("Begin: %v", err)
	}
}
