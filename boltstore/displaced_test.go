package boltstore

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast"
)

// A file that is open and whose name is another one's, or nobody's, takes no more writes, is closed
// well, and opens under its new name.
func TestDisplaced(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("windows does not rename a file that is open")
	}
	for name, after := range map[string]func(path string) error{
		"renamed":  func(string) error { return nil },
		"replaced": func(path string) error { return os.WriteFile(path, nil, 0o600) },
		"a folder": func(path string) error { return os.Mkdir(path, 0o700) },
	} {
		t.Run(name, func(t *testing.T) {
			must := func(err error) {
				t.Helper()
				if err != nil {
					t.Fatal(err)
				}
			}
			dir, err := filepath.EvalSymlinks(t.TempDir())
			must(err)
			path := filepath.Join(dir, "raft.db")
			s, err := Open(path, nil)
			must(err)
			must(s.StoreLog(&raft.Log{Index: 1}))
			must(os.Rename(path, path+".old"))
			must(after(path))
			for _, err := range []error{
				s.StoreLog(&raft.Log{Index: 2}), s.Set([]byte("k"), nil), s.DeleteRange(1, 1),
				s.DeleteKey([]byte("k")), s.Sync(), s.compact(t.Context()),
			} {
				if d, ok := errors.AsType[*ballast.DisplacedError](err); !ok || d.Path != path {
					t.Errorf("a write returns %v", err)
				}
			}
			if s.figures().Failed != 1 {
				t.Error("the figures do not say that it failed")
			}
			must(s.GetLog(1, new(raft.Log)))
			must(s.Close())
			if left, err := os.ReadDir(dir); err != nil || len(left) > 2 {
				t.Errorf("there is %v, %v", left, err)
			}
			s, err = Open(path+".old", nil)
			must(err)
			if last, err := s.LastIndex(); last != 1 || err != nil {
				t.Errorf("the last entry is %d, %v", last, err)
			}
			must(s.Close())
		})
	}
}

// A path is resolved when the file is opened.
func TestPathOfAnOpenFile(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	if err := os.Symlink("a.db", "current"); err != nil {
		t.Skip(err) // windows asks for a right
	}
	s, err := Open("current", nil)
	if err != nil {
		t.Fatal(err)
	}
	err = errors.Join(os.Remove("current"), os.Symlink("b.db", "current"), os.Mkdir("sub", 0o700))
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir("sub")
	if err := s.StoreLog(&raft.Log{Index: 1}); err != nil || s.path != filepath.Join(dir, "a.db") {
		t.Errorf("a write to %s: %v", s.path, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
