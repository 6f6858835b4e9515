package badgerstore

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/dgraph-io/badger/v4"
	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/loopfs"
)

// killedCopy is what a kill leaves of a directory: the files without the lock.
func killedCopy(t *testing.T, dir, to string) {
	t.Helper()
	err := os.CopyFS(to, os.DirFS(dir))
	if e := os.Remove(filepath.Join(to, "LOCK")); !errors.Is(e, os.ErrNotExist) {
		err = errors.Join(err, e)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestManyDeletionsInTheLog opens a directory with badger's own memtables of 64 MiB that was killed after many deletions. In a memtable each
// takes nearly twice what it takes in the write-ahead log, and badger ends the process when they do not fit.
func TestManyDeletionsInTheLog(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "written")
	db, err := badger.OpenManaged(badger.DefaultOptions(dir).WithLogger(nil).WithValueLogFileSize(8 << 20))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	const deletions = 500_000
	version := uint64(0)
	for index := uint64(1); index <= deletions; {
		version++
		txn := db.NewTransactionAt(version, true)
		for err = txn.Set(bytesKey([]byte("key")), []byte("value")); err == nil && index <= deletions; index++ {
			err = txn.Delete(logKey(index))
		}
		if errors.Is(err, badger.ErrTxnTooBig) {
			index--
			err = nil
		}
		if err = errors.Join(err, txn.CommitAt(version, nil)); err != nil {
			t.Fatal(err)
		}
	}
	killed := filepath.Join(t.TempDir(), "killed")
	killedCopy(t, dir, killed)
	s, err := Open(killed, nil)
	if err != nil {
		t.Fatal(err)
	}
	if value, err := s.Get([]byte("key")); err != nil || string(value) != "value" {
		t.Errorf("%q, %v", value, err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// TestLargeLogOnAFullDisk opens a directory that was killed with more in its write-ahead log than a memtable takes, where there is no space
// for the tables to put it in. Badger would die of that in a goroutine of its own.
func TestLargeLogOnAFullDisk(t *testing.T) {
	t.Parallel()
	disk := loopfs.ForTest(t, loopfs.Ext4, 256<<20)
	dir := filepath.Join(t.TempDir(), "written")
	s, err := Open(dir, &Options{ReserveBytes: -1, GCInterval: -1, MaxEntryBytes: 1 << 20, Badger: func(o *badger.Options) {
		o.MemTableSize, o.ValueLogFileSize = 32<<20, 8<<20
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	const count = 1000
	noise := rand.NewChaCha8([32]byte{1})
	for index := uint64(1); index <= count; index++ {
		data := make([]byte, 20_000)
		_, _ = noise.Read(data) // never fails
		if err := s.StoreLog(&raft.Log{Index: index, Term: 1, Data: data}); err != nil {
			t.Fatal(err)
		}
	}
	killed := filepath.Join(disk, "killed")
	killedCopy(t, dir, killed)
	leaveFree(t, disk, 20<<20)
	if s, err := Open(killed, nil); !errors.Is(err, ballast.ErrNoSpace) {
		if err == nil {
			_ = s.Close() // the test has failed
		}
		t.Fatalf("Open returns %v", err)
	}
	leaveFree(t, disk, 150<<20)
	s, err = Open(killed, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if last, err := s.LastIndex(); err != nil || last != count {
		t.Errorf("the last index is %d, %v", last, err)
	}
}
