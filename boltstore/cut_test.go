package boltstore

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"go.etcd.io/bbolt"

	"github.com/raft-ballast/ballast"
)

// raft-boltdb, which knows no commit index, has cut the log below it. It does not come back with new entries.
func TestCommitIndexOfALogThatAnotherProgramHasCut(t *testing.T) {
	path := filepath.Join(t.TempDir(), "raft.db")
	s, err := Open(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.StageCommitIndex(10), s.StoreLogs(numbered(1, 10, 1)), s.Close()); err != nil {
		t.Fatal(err)
	}
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) (err error) {
		for index := uint64(6); index <= 10; index++ {
			err = errors.Join(err, tx.Bucket(logsBucket).Delete(key(index)))
		}
		return err
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	for _, when := range []string{"after the cut", "after new entries"} {
		if s, err = Open(path, nil); err != nil {
			t.Fatal(err)
		}
		if commit, err := s.GetCommitIndex(); commit != 5 || err != nil {
			t.Fatalf("%s the commit index is %d, %v; want 5", when, commit, err)
		}
		if err := errors.Join(s.StageCommitIndex(5), s.StoreLogs(numbered(6, 10, 2)), s.Close()); err != nil {
			t.Fatal(err)
		}
	}
}

func numbered(first, last, term uint64) (logs []*raft.Log) {
	for index := first; index <= last; index++ {
		logs = append(logs, &raft.Log{Index: index, Term: term})
	}
	return logs
}

// Somebody cuts the file under an open store. bbolt panics with its locks held, and no later call may wait for them.
func TestFileThatVanishesUnderAnOpenStore(t *testing.T) {
	for name, call := range map[string]func(s *Store) error{
		"Set":    func(s *Store) error { return s.Set([]byte("k"), []byte("v")) },
		"GetLog": func(s *Store) error { return s.GetLog(3, &raft.Log{}) },
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "raft.db")
			s, err := Open(path, nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(s.StoreLogs(numbered(1, 10, 1)), os.Truncate(path, 0)); err != nil {
				t.Fatal(err)
			}
			returns := func(what string, f func() error) error {
				done := make(chan error, 1)
				go func() { done <- f() }()
				select {
				case err := <-done:
					return err
				case <-time.After(20 * time.Second):
					t.Fatalf("%s does not return", what)
					return nil
				}
			}
			for range 3 {
				if err := returns(name, func() error { return call(s) }); !errors.Is(err, ballast.ErrCorrupt) {
					t.Fatalf("%s returned %v; want a CorruptionError", name, err)
				}
			}
			_ = returns("StoreLog", func() error { return s.StoreLog(&raft.Log{Index: 11}) })
			_ = returns("Close", s.Close)
			if _, err := Open(path, &Options{LockTimeout: -1}); errors.Is(err, ballast.ErrLocked) {
				t.Fatalf("the lock is still held: %v", err)
			}
		})
	}
}
