package place

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/engine"
	"github.com/raft-ballast/ballast/internal/loopfs"
)

// Whether a name can change is found out without changing anything.
func TestMovable(t *testing.T) {
	for name, c := range map[string]struct {
		setup func(t *testing.T, dir string) (path string)
		fixed bool
	}{
		"a file":   {func(t *testing.T, dir string) string { return aFile(t, filepath.Join(dir, "x"), "x") }, false},
		"a folder": {func(t *testing.T, dir string) string { return folder(t, filepath.Join(dir, "x")) }, false},
		"a mounted file": {func(t *testing.T, dir string) string {
			path := aFile(t, filepath.Join(dir, "x"), "")
			loopfs.BindForTest(t, aFile(t, filepath.Join(t.TempDir(), "x"), "x"), path)
			return path
		}, true},
		"a mounted folder": {func(t *testing.T, dir string) string {
			path := folder(t, filepath.Join(dir, "x"))
			loopfs.BindForTest(t, t.TempDir(), path)
			return path
		}, true},
		"a folder of a lower layer": {func(t *testing.T, dir string) string {
			return filepath.Join(loopfs.OverlayForTest(t, func(dir string) { folder(t, filepath.Join(dir, "x")) }), "x")
		}, true},
		"a file of a lower layer": {func(t *testing.T, dir string) string {
			return filepath.Join(loopfs.OverlayForTest(t, func(dir string) { aFile(t, filepath.Join(dir, "x"), "x") }), "x")
		}, false},
		"in a folder that is read-only": {func(t *testing.T, dir string) string {
			path := aFile(t, filepath.Join(dir, "x"), "x")
			loopfs.ReadOnlyForTest(t, dir)
			return path
		}, true},
		"of somebody else, in a folder with the sticky bit": {func(t *testing.T, dir string) string {
			path := aFile(t, filepath.Join(dir, "x"), "x")
			must(t, errors.Join(os.Chmod(dir, 0o777|os.ModeSticky), os.Chmod(filepath.Dir(dir), 0o711)))
			if os.Getuid() != 0 || syscall.Seteuid(65534) != nil {
				t.Skip("only root is somebody else")
			}
			t.Cleanup(func() { must(t, syscall.Seteuid(0)) })
			return path
		}, true},
		"of an interrupted repair": {func(t *testing.T, dir string) string {
			path := aFile(t, filepath.Join(dir, "x"), "x")
			aFile(t, filepath.Join(folder(t, filepath.Join(dir, ".x.ballast-new")), "x.kept"), "y")
			return path
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			path := c.setup(t, t.TempDir())
			dir := filepath.Dir(path)
			before := strings.Join(names(t, dir), " ")
			if err := Movable(path); errors.Is(err, ErrFixed) != c.fixed || err != nil && !c.fixed {
				t.Errorf("%v; want it to be fixed: %v", err, c.fixed)
			}
			if got := strings.Join(names(t, dir), " "); got != before {
				t.Errorf("there was %s, and is %s", before, got)
			}
			if name == "of an interrupted repair" && !kept(filepath.Join(dir, ".x.ballast-new", "x.kept")) {
				t.Error("what the repair needs is gone")
			}
		})
	}
}

// What is built in a folder that is there is shut until it is complete, and gone when it is given
// up.
func TestBeginFolder(t *testing.T) {
	dir := folder(t, filepath.Join(t.TempDir(), "volume"))
	loopfs.TmpfsForTest(t, dir)
	folder(t, filepath.Join(dir, engine.LostAndFound))
	for _, commit := range []bool{false, true} {
		site, err := BeginFolder(dir)
		must(t, err)
		if _, err := BeginFolder(dir); !errors.Is(err, ballast.ErrLocked) {
			t.Errorf("a second one: %v", err)
		}
		aFile(t, filepath.Join(site.Path, "a"), "x")
		aFile(t, filepath.Join(folder(t, filepath.Join(site.Path, "sub")), "b"), "x")
		want := "lost+found"
		if commit {
			want = "a lost+found sub"
			must(t, site.Commit())
		}
		must(t, site.Abandon())
		if got := strings.Join(names(t, dir), " "); got != want {
			t.Errorf("there is %s, want %s", got, want)
		}
	}
	if _, err := BeginFolder(dir); !errors.Is(err, os.ErrExist) {
		t.Errorf("where something is: %v", err)
	}
}

func folder(t *testing.T, path string) string {
	t.Helper()
	must(t, os.MkdirAll(path, 0o700))
	return path
}

func aFile(t *testing.T, path, text string) string {
	t.Helper()
	must(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func kept(path string) bool {
	data, err := os.ReadFile(path)
	return err == nil && string(data) == "y"
}
