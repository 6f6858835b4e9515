package boltstore

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/hashicorp/raft"
	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/raft-ballast/ballast"
)

func TestIsNoSpace(t *testing.T) {
	write := func(err error) error { return &fs.PathError{Op: "write", Path: "raft.db", Err: err} }
	cases := []struct {
		name string
		err  error
		want bool
	}{
		{"a page's write", write(syscall.ENOSPC), true},
		{"a page's write above a quota", write(syscall.EDQUOT), true},
		{"a page's write above the process's limit", write(syscall.EFBIG), true},
		{"a page's write, input/output error", write(syscall.EIO), false},
		{"a sync that finds no space", syscall.ENOSPC, false},
		{"a sync with a path", &fs.PathError{Op: "sync", Path: "raft.db", Err: syscall.ENOSPC}, false},
		{"growing, of which bbolt keeps the text", fmt.Errorf("file resize error: %s", &fs.PathError{Op: "truncate", Path: "raft.db", Err: syscall.ENOSPC}), true},
		{"growing, another error", fmt.Errorf("file resize error: %s", syscall.EIO), false},
		{"syncing after growing", fmt.Errorf("file sync error: %s", syscall.ENOSPC), false},
		{"bbolt's own limit", fmt.Errorf("put: %w", bolterrors.ErrMaxSizeReached), true},
	}
	for _, c := range cases {
		if got := isNoSpace(c.err); got != c.want {
			t.Errorf("%s: %v is taken for no space: %v; want %v", c.name, c.err, got, c.want)
		}
	}
}

func openTest(t *testing.T) *Store {
	t.Helper()
	s, err := Open(filepath.Join(t.TempDir(), "raft.db"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.StoreLogs([]*raft.Log{{Index: 1, Data: []byte("one")}, {Index: 2}}), s.SetUint64([]byte("n"), 1)); err != nil {
		t.Fatal(err)
	}
	return s
}

// The file is taken away under bbolt, so that every write of a page fails.
func TestFailedWriteFailsTheStore(t *testing.T) {
	s := openTest(t)
	if err := s.file.Close(); err != nil {
		t.Fatal(err)
	}
	first := s.StoreLogs([]*raft.Log{{Index: 1, Data: []byte("other")}, {Index: 3}})
	if !errors.Is(first, fs.ErrClosed) {
		t.Fatalf("StoreLogs returned %v; want the error of the file", first)
	}
	for name, call := range map[string]func() error{
		"StoreLog":    func() error { return s.StoreLog(&raft.Log{Index: 3}) },
		"DeleteRange": func() error { return s.DeleteRange(1, 1) },
		"Set":         func() error { return s.Set([]byte("k"), nil) },
		"SetUint64":   func() error { return s.SetUint64([]byte("n"), 2) },
		"Sync":        s.Sync,
	} {
		if err := call(); !errors.Is(err, fs.ErrClosed) || !strings.Contains(err.Error(), "until it is opened again") {
			t.Errorf("%s after a failed write returned %v; want the first cause", name, err)
		}
	}
	// Reads go on, and nothing of the failed batch is visible.
	var l raft.Log
	if err := s.GetLog(1, &l); err != nil || string(l.Data) != "one" {
		t.Errorf("GetLog(1) is %q, %v; want what was there before", l.Data, err)
	}
	if last, err := s.LastIndex(); last != 2 || err != nil {
		t.Errorf("LastIndex is %d, %v", last, err)
	}
	if n, err := s.GetUint64([]byte("n")); n != 1 || err != nil {
		t.Errorf("GetUint64 is %d, %v", n, err)
	}
	_ = s.Close() // which finds the file closed; what was acknowledged is on the disk
	s, err := Open(s.path, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	if err := s.StoreLog(&raft.Log{Index: 3}); err != nil {
		t.Errorf("StoreLog after opening again: %v", err)
	}
}

// When bbolt shows a transaction whose sync failed, nothing is read from it.
func TestFailedSyncOfTheMetaPageBlindsReaders(t *testing.T) {
	s := openTest(t)
	defer func() { _ = s.Close() }()
	var id int
	if err := s.view(func(w *view) error { id = w.tx.ID(); return nil }); err != nil {
		t.Fatal(err)
	}
	cause := errors.New("the sync failed")

	s.checkVisible(id+1, cause)
	if err := s.GetLog(1, &raft.Log{}); err != nil {
		t.Fatalf("the failed transaction is not what bbolt shows, and GetLog returned %v", err)
	}
	s.checkVisible(id, cause)
	if err := s.GetLog(1, &raft.Log{}); !errors.Is(err, cause) {
		t.Fatalf("GetLog returned %v; want the failure", err)
	}
	if _, err := s.Get([]byte("n")); !errors.Is(err, cause) {
		t.Fatalf("Get returned %v; want the failure", err)
	}
}

// A panic in a write is damage, and does not keep the lock, nor bbolt's own.
func TestPanicInAWrite(t *testing.T) {
	s := openTest(t)
	s.writing.Lock()
	err := s.update(func(*bbolt.Tx) error { panic("page 7 has no type") })
	s.writing.Unlock()
	if !errors.Is(err, ballast.ErrCorrupt) || !strings.Contains(err.Error(), "page 7") {
		t.Fatalf("update returned %v; want a CorruptionError", err)
	}
	if err := errors.Join(s.StoreLog(&raft.Log{Index: 3}), s.Close()); err != nil {
		t.Fatalf("the store after a panic that was rolled back: %v", err)
	}
}
