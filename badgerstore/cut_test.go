package badgerstore

import (
	"errors"
	"testing"

	"github.com/dgraph-io/badger/v4"
	"github.com/hashicorp/raft"
)

// numbered makes entries with n bytes of Data.
func numbered(first, last, term uint64, n int) (logs []*raft.Log) {
	for index := first; index <= last; index++ {
		logs = append(logs, &raft.Log{Index: index, Term: term, Data: make([]byte, n)})
	}
	return logs
}

// raft-badger, which knows no commit index, has cut the log below it. It does not come back with new entries.
func TestCommitIndexOfALogThatAnotherProgramHasCut(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.StageCommitIndex(10), s.StoreLogs(numbered(1, 10, 1, 5)), s.Close()); err != nil {
		t.Fatal(err)
	}
	db, err := badger.Open(badger.DefaultOptions(dir).WithLogger(nil))
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(txn *badger.Txn) (err error) {
		for index := uint64(6); index <= 10; index++ {
			err = errors.Join(err, txn.Delete(logKey(index)))
		}
		return err
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	for _, when := range []string{"after the cut", "after new entries"} {
		if s, err = Open(dir, nil); err != nil {
			t.Fatal(err)
		}
		if commit, err := s.GetCommitIndex(); commit != 5 || err != nil {
			t.Fatalf("%s the commit index is %d, %v; want 5", when, commit, err)
		}
		if err := errors.Join(s.StageCommitIndex(5), s.StoreLogs(numbered(6, 10, 2, 5)), s.Close()); err != nil {
			t.Fatal(err)
		}
	}
}

// A large batch is stored and cannot be applied. Nothing may be acknowledged until it is, or Open would put it over that.
func TestNothingIsWrittenBehindABatchThatIsNotApplied(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.StoreLogs(numbered(1, 3000, 1, 1000)); err != nil {
		t.Fatal(err)
	}
	s.step = func(name string) {
		if name == "redo: removal" {
			panic("a damaged block")
		}
	}
	func() {
		defer func() { _ = recover() }()
		_ = s.StoreLogs(numbered(1, 3000, 2, 1000))
		t.Error("the batch did not take the way that this test is about")
	}()
	s.step = nil
	if err := s.StoreLogs(numbered(1, 10, 3, 10)); err == nil {
		t.Error("a later write was acknowledged")
	}
	var l raft.Log
	if err := s.GetLog(20, &l); err != nil || l.Term != 1 {
		t.Errorf("entry 20 has term %d, %v; want 1, as before the batch that failed", l.Term, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err = Open(dir, nil); err != nil {
		t.Fatal(err)
	}
	for _, index := range []uint64{1, 5, 20, 3000} {
		if err := s.GetLog(index, &l); err != nil || l.Term != 2 {
			t.Errorf("after opening, entry %d has term %d, %v; want 2, the whole batch", index, l.Term, err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
