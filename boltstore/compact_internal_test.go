package boltstore

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"go.etcd.io/bbolt"
)

// While nobody knows whether the new file has its name for good, the old one keeps it: a power cut may bring it back, and who has opened it and waits
// for its lock must not write to a file that has none.
func TestCompactUnsynced(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("windows cannot replace a file that is open")
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(t.TempDir(), "raft.db")
	s, err := Open(path, nil)
	must(err)
	must(s.SetUint64([]byte("CurrentTerm"), 5))
	must(s.Close())
	waiter, err := os.OpenFile(path, os.O_RDWR, 0)
	must(err)

	broken := errors.New("broken")
	works := syncDir
	syncDir = func(*os.Root) error { return broken }
	err = Compact(t.Context(), path)
	syncDir = works
	if entries, e := os.ReadDir(filepath.Dir(path)); !errors.Is(err, broken) || e != nil || len(entries) != 1 {
		t.Errorf("%v; there are %v, %v", err, entries, e)
	}

	s, err = Open(path, &Options{Bolt: &bbolt.Options{OpenFile: func(string, int, os.FileMode) (*os.File, error) { return waiter, nil }}})
	must(err)
	must(s.SetUint64([]byte("CurrentTerm"), 6))
	must(s.Close())
	s, err = Open(path, nil)
	must(err)
	if term, err := s.GetUint64([]byte("CurrentTerm")); term != 6 || err != nil {
		t.Errorf("the term is %d, %v; who waited has promised 6", term, err)
	}
	must(s.Close())
}
