package boltstore_test

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"go.etcd.io/bbolt"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/boltstore"
)

// A store that was cut to nothing is never opened as a new one: the peer would have forgotten its
// vote.
func TestEmptyFileIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "raft.db")
	must(t, os.WriteFile(path, nil, 0o600))
	for range 2 {
		if _, err := boltstore.Open(path, nil); !errors.Is(err, ballast.ErrCorrupt) || !strings.Contains(err.Error(), "if nothing was ever stored, remove it") {
			t.Fatalf("Open returned %v", err)
		}
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	must(t, err)
	if info, err := os.Stat(path); err != nil || info.Size() != 0 || len(entries) != 1 {
		t.Fatalf("it has changed: %v, %v", entries, err)
	}
}

// What is left of a store in which nothing is, or one bucket alone, is none that was just made.
func TestEmptiedFileIsRefused(t *testing.T) {
	for name, change := range map[string]func(tx *bbolt.Tx) error{
		"without entries": func(tx *bbolt.Tx) error { return tx.DeleteBucket([]byte("logs")) },
		"without votes":   func(tx *bbolt.Tx) error { return tx.DeleteBucket([]byte("conf")) },
		"without anything": func(tx *bbolt.Tx) error {
			return errors.Join(tx.DeleteBucket([]byte("logs")), tx.DeleteBucket([]byte("conf")))
		},
	} {
		path := filepath.Join(t.TempDir(), "raft.db")
		write(t, path, 3)
		db, err := bbolt.Open(path, 0o600, nil)
		must(t, err)
		must(t, errors.Join(db.Update(change), db.Close()))
		before, err := os.ReadFile(path)
		must(t, err)
		for _, readOnly := range []bool{true, false} {
			if _, err := boltstore.Open(path, &boltstore.Options{ReadOnly: readOnly}); !errors.Is(err, ballast.ErrCorrupt) {
				t.Errorf("%s, ReadOnly %v: Open returned %v", name, readOnly, err)
			}
		}
		if after, err := os.ReadFile(path); err != nil || string(after) != string(before) {
			t.Errorf("%s: the file has changed, %v", name, err)
		}
	}
}

func TestNewFileIsPrivate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "raft.db")
	open(t, path, nil)
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("mode is %v, %v; want 0600", info.Mode(), err)
	}
}

func TestReadOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "raft.db")
	write(t, path, 100)
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	s := open(t, path, &boltstore.Options{ReadOnly: true})
	other := open(t, path, &boltstore.Options{ReadOnly: true}) // readers share the file
	if _, err := boltstore.Open(path, nil); !errors.Is(err, ballast.ErrLocked) {
		t.Fatalf("a writer beside readers got %v; want ErrLocked", err)
	}
	for name, err := range map[string]error{
		"StoreLog":    s.StoreLog(&raft.Log{Index: 101}),
		"StoreLogs":   s.StoreLogs([]*raft.Log{{Index: 101}}),
		"DeleteRange": s.DeleteRange(1, 5),
	} {
		if !errors.Is(err, ballast.ErrReadOnly) {
			t.Errorf("%s returned %v; want ErrReadOnly", name, err)
		}
	}
	// raft writes the term even in GetConfiguration.
	if err := errors.Join(s.SetUint64([]byte("CurrentTerm"), 9), s.Set([]byte("new"), nil)); err != nil {
		t.Fatal(err)
	}
	if term, err := s.GetUint64([]byte("CurrentTerm")); err != nil || term != 9 {
		t.Errorf("CurrentTerm is %d, %v; want 9 from memory", term, err)
	}
	if v, err := s.Get([]byte("new")); err != nil || v == nil {
		t.Errorf("an empty value in memory is %v, %v", v, err)
	}
	keys, err := s.StableKeys()
	if got := string(bytes.Join(keys, []byte(","))); err != nil || got != "CurrentTerm,new" {
		t.Errorf("StableKeys are %s, %v", got, err)
	}
	if term, err := other.GetUint64([]byte("CurrentTerm")); err != nil || term != 2 {
		t.Errorf("CurrentTerm of another reader is %d, %v; want 2 from the file", term, err)
	}
	readAll(s, 100)
	closeStore(t, s)
	closeStore(t, other)
	if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
		t.Error("a read-only store changed the file")
	}
}

func TestReadOnlyOfAFileWithoutBuckets(t *testing.T) {
	path := filepath.Join(t.TempDir(), "raft.db")
	db, err := bbolt.Open(path, 0o600, nil)
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	s := open(t, path, &boltstore.Options{ReadOnly: true})
	if last, err := s.LastIndex(); last != 0 || err != nil {
		t.Fatalf("LastIndex is %d, %v", last, err)
	}
	if next, err := s.NextIndex(1); next != 0 || err != nil {
		t.Fatalf("NextIndex is %d, %v", next, err)
	}
	if _, err := s.Get([]byte("k")); err != ballast.ErrKeyNotFound {
		t.Fatalf("Get: %v", err)
	}
	if keys, err := s.StableKeys(); len(keys) != 0 || err != nil {
		t.Fatalf("StableKeys are %q, %v", keys, err)
	}
}

func TestLockTimeout(t *testing.T) {
	path := filepath.Join(t.TempDir(), "raft.db")
	s := open(t, path, nil)
	_, err := boltstore.Open(path, nil)
	locked, ok := errors.AsType[*ballast.LockedError](err)
	if !ok || locked.Path != path {
		t.Fatalf("a second opener got %v; want a LockedError that names %s", err, path)
	}
	waiting := make(chan error)
	go func() {
		second, err := boltstore.Open(path, &boltstore.Options{LockTimeout: time.Minute})
		if err == nil {
			err = second.Close()
		}
		waiting <- err
	}()
	closeStore(t, s)
	if err := <-waiting; err != nil {
		t.Fatalf("an opener with a timeout got %v after the lock was free", err)
	}
}

// A bbolt that may not grow is a disk that is full.
func TestNoSpaceFailsNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "raft.db")
	s := open(t, path, &boltstore.Options{Bolt: &bbolt.Options{MaxSize: 256 << 10}})
	index, err := uint64(0), error(nil)
	for ; err == nil; index++ {
		if index > 1000 {
			t.Fatal("the file grew above its limit")
		}
		err = s.StoreLog(&raft.Log{Index: index + 1, Data: make([]byte, 10_000)})
	}
	full := index - 1 // the last that was stored
	if !errors.Is(err, ballast.ErrNoSpace) {
		t.Fatalf("StoreLog on a full disk returned %v; want ErrNoSpace", err)
	}
	if last, err := s.LastIndex(); last != full || err != nil {
		t.Fatalf("LastIndex is %d, %v; want %d", last, err, full)
	}
	if err := s.GetLog(full+1, &raft.Log{}); err != raft.ErrLogNotFound {
		t.Fatalf("the entry that failed: %v", err)
	}
	if err := s.SetUint64([]byte("CurrentTerm"), 3); err != nil {
		t.Fatalf("a vote on a full disk: %v", err)
	}
	if err := s.DeleteRange(1, full-2); err != nil {
		t.Fatalf("a compaction on a full disk: %v", err)
	}
	if err := s.StoreLog(&raft.Log{Index: full + 1, Data: make([]byte, 10_000)}); err != nil {
		t.Fatalf("StoreLog after space came back: %v", err)
	}
	closeStore(t, s)
	s = open(t, path, nil)
	if first, err := s.FirstIndex(); first != full-1 || err != nil {
		t.Fatalf("FirstIndex is %d, %v; want %d", first, err, full-1)
	}
}

// A call that bbolt refuses before anything is written does not fail the store.
func TestRefusedCallFailsNothing(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "raft.db"), nil)
	if err := s.Set(nil, []byte("v")); err == nil {
		t.Fatal("bbolt takes no empty key, and no error came")
	}
	if err := s.Set(make([]byte, 40_000), []byte("v")); err == nil {
		t.Fatal("bbolt takes no key of 40,000 bytes, and no error came")
	}
	if err := s.Set([]byte("k"), []byte("v")); err != nil {
		t.Fatalf("the next call: %v", err)
	}
}

func TestEntryLimitCanBeRaisedAndLowered(t *testing.T) {
	path := filepath.Join(t.TempDir(), "raft.db")
	s := open(t, path, &boltstore.Options{MaxEntryBytes: 100})
	err := s.StoreLog(&raft.Log{Index: 1, Data: make([]byte, 101)})
	if tooLarge, ok := errors.AsType[*ballast.EntryTooLargeError](err); !ok || tooLarge.Limit != 100 || tooLarge.Bytes != 101 {
		t.Fatalf("StoreLog above the limit: %v", err)
	}
	closeStore(t, s)
	s = open(t, path, &boltstore.Options{MaxEntryBytes: 70 << 20})
	if err := s.StoreLog(&raft.Log{Index: 1, Data: make([]byte, 65<<20)}); err != nil {
		t.Fatal(err)
	}
	closeStore(t, s)
	// What is there is read whatever the limit is now.
	if err := open(t, path, &boltstore.Options{MaxEntryBytes: 100}).GetLog(1, &raft.Log{}); err != nil {
		t.Fatal(err)
	}
}

// After a crash the file has no free list, and it is found again.
func TestCrashedFileKeepsItsFreePages(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path, crashed := filepath.Join(dir, "raft.db"), filepath.Join(dir, "crashed.db")
	s := open(t, path, nil)
	big := make([]byte, 8<<20)
	if err := errors.Join(s.StoreLog(&raft.Log{Index: 1, Data: big}), s.StoreLog(&raft.Log{Index: 2}), s.DeleteRange(1, 1)); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(crashed, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	s = open(t, crashed, nil)
	for index := uint64(3); index < 20; index++ { // into the pages of entry 1, again and again
		if err := errors.Join(s.StoreLog(&raft.Log{Index: index, Data: big[:1<<20]}), s.DeleteRange(index-1, index-1)); err != nil {
			t.Fatal(err)
		}
	}
	closeStore(t, s)
	info, err := os.Stat(crashed)
	if err != nil || info.Size() > 2*int64(len(raw)) {
		t.Fatalf("the file has grown from %d to %d bytes, %v: its free pages were lost", len(raw), info.Size(), err)
	}
}

// A bbolt file does not shrink. A copy is as large as what is in it.
func TestCopyGivesSpaceBack(t *testing.T) {
	dir := t.TempDir()
	src := open(t, filepath.Join(dir, "large.db"), nil)
	dst := open(t, filepath.Join(dir, "small.db"), nil)
	if err := errors.Join(src.StoreLog(&raft.Log{Index: 1, Data: make([]byte, 32<<20)}), src.StoreLog(&raft.Log{Index: 2}),
		src.DeleteRange(1, 1), src.SetUint64([]byte("CurrentTerm"), 7)); err != nil {
		t.Fatal(err)
	}
	if _, err := ballast.Copy(t.Context(), dst, src, nil); err != nil {
		t.Fatal(err)
	}
	sizes := map[string]int64{}
	for _, name := range []string{"large.db", "small.db"} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		sizes[name] = info.Size()
	}
	if sizes["large.db"] < 32<<20 || sizes["small.db"] > 17<<20 {
		t.Fatalf("the files have %v bytes", sizes)
	}
	term, err := dst.GetUint64([]byte("CurrentTerm"))
	if err != nil || term != 7 {
		t.Fatalf("CurrentTerm of the copy is %d, %v", term, err)
	}
	if err := dst.GetLog(2, &raft.Log{}); err != nil {
		t.Fatal(err)
	}
}

// The pages of small entries are full, so that the file is about as large as what is in it.
func TestPagesArePacked(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "raft.db")
	write(t, path, 20_000)
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	err = db.View(func(tx *bbolt.Tx) error {
		stats := tx.Bucket([]byte("logs")).Stats()
		if used := float64(stats.LeafInuse) / float64(stats.LeafAlloc); used < 0.9 {
			return fmt.Errorf("leaf pages are used to %.0f %%; want 90 %% at least", used*100)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// More entries than one transaction deletes, in both directions, with the commit index.
func TestLongDeletes(t *testing.T) {
	t.Parallel()
	for name, r := range map[string][2]uint64{"prefix": {1, 39_000}, "suffix": {1_001, math.MaxUint64}, "all": {0, math.MaxUint64}} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "raft.db")
			s := open(t, path, &boltstore.Options{NoSync: true})
			var logs []*raft.Log
			for index := uint64(1); index <= 40_000; index++ {
				logs = append(logs, &raft.Log{Index: index, Term: 1})
			}
			if err := errors.Join(s.StageCommitIndex(39_990), s.StoreLogs(logs), s.DeleteRange(r[0], r[1]), s.Close()); err != nil {
				t.Fatal(err)
			}
			want := map[string][3]uint64{"prefix": {39_001, 40_000, 39_990}, "suffix": {1, 1_000, 1_000}, "all": {0, 0, 0}}[name]
			s = open(t, path, nil)
			first, err1 := s.FirstIndex()
			last, err2 := s.LastIndex()
			commit, err3 := s.GetCommitIndex()
			if got := [3]uint64{first, last, commit}; got != want || errors.Join(err1, err2, err3) != nil {
				t.Fatalf("first, last and commit index are %v; want %v", got, want)
			}
		})
	}
}

// The file is mapped anew many times while readers hold what they have read.
func TestReadersWhileTheFileGrows(t *testing.T) {
	t.Parallel()
	s := open(t, filepath.Join(t.TempDir(), "raft.db"), &boltstore.Options{NoSync: true,
		Bolt: &bbolt.Options{FreelistType: bbolt.FreelistMapType, NoFreelistSync: true}})
	data := bytes.Repeat([]byte("0123456789abcdef"), 4096)
	if err := s.StoreLog(&raft.Log{Index: 1, Data: data}); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for range 3 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				last, err := s.LastIndex()
				var l raft.Log
				if err == nil {
					err = s.GetLog(last, &l)
				}
				if err != nil || !slices.Equal(l.Data, data) {
					t.Errorf("GetLog(%d): %v, %d bytes", last, err, len(l.Data))
					return
				}
			}
		})
	}
	for index := uint64(2); index < 600; index++ {
		if err := s.StoreLog(&raft.Log{Index: index, Data: data}); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	wg.Wait()
}

func TestSyncWithNoSync(t *testing.T) {
	path := filepath.Join(t.TempDir(), "raft.db")
	s := open(t, path, &boltstore.Options{NoSync: true})
	if err := errors.Join(s.StoreLog(&raft.Log{Index: 1}), s.Sync(), s.Close()); err != nil {
		t.Fatal(err)
	}
	if err := s.Sync(); !errors.Is(err, ballast.ErrClosed) {
		t.Fatalf("Sync after Close: %v", err)
	}
}
