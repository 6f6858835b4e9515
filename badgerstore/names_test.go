package badgerstore

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"
	"github.com/hashicorp/raft"
)

// TestNamesAreSynced has badger make new files in the middle of writes. Their names are synced before the write is acknowledged: the
// store notes the state of the folder only when a sync of it has returned.
func TestNamesAreSynced(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	s, err := Open(dir, &Options{ReserveBytes: -1, GCInterval: -1, Badger: func(o *badger.Options) {
		o.MemTableSize, o.ValueThreshold = 256<<10, 16<<10
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	files := func() int {
		names, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		return len(names)
	}
	for index, begun := uint64(1), files(); index < 100 || files() == begun; index++ {
		if err := s.StoreLog(&raft.Log{Index: index, Term: 1, Data: bytes.Repeat([]byte{1}, 12_000)}); err != nil {
			t.Fatal(err)
		}
	}
	// A folder that has just changed is synced with each write, until its time of modification tells every later change.
	for index := uint64(1); ; index++ {
		if err := s.StoreLog(&raft.Log{Index: index, Term: 2}); err != nil {
			t.Fatal(err)
		}
		st, err := os.Stat(dir)
		if err != nil {
			t.Fatal(err)
		}
		if s.dirMark.synced.Equal(st.ModTime()) {
			return
		}
		if index == 10_000 {
			t.Fatal("the folder is never synced")
		}
		time.Sleep(time.Millisecond)
	}
}
