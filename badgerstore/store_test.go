package badgerstore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"
	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/engine"
	"github.com/raft-ballast/ballast/internal/fixture"
	"github.com/raft-ballast/ballast/internal/logcodec"
)

// copyFixture copies a directory of testdata, for opening it changes it.
func copyFixture(t *testing.T, name string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), name)
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("testdata", name))); err != nil {
		t.Fatal(err)
	}
	return dir
}

func mustOpen(t *testing.T, dir string, opts *Options) *Store {
	t.Helper()
	s, err := Open(dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func mustClose(t *testing.T, s *Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func mustStore(t *testing.T, s *Store, logs []*raft.Log) {
	t.Helper()
	if err := s.StoreLogs(logs); err != nil {
		t.Fatal(err)
	}
}

// failOpen returns the error of an Open that has to fail.
func failOpen(t *testing.T, dir string, opts *Options) error {
	t.Helper()
	s, err := Open(dir, opts)
	if err == nil {
		s.Close()
		t.Fatalf("%s was opened", dir)
	}
	return err
}

// TestFixtures opens what raft-badger has written with each kind of compression, as it is, and again after
// badger v4 has written its own tables.
func TestFixtures(t *testing.T) {
	for _, name := range []string{"raft-badger-default", "raft-badger-snappy", "raft-badger-zstd"} {
		t.Run(name, func(t *testing.T) {
			dir := copyFixture(t, name)
			for _, opts := range []*Options{{ReadOnly: true}, nil, {Compression: None}, {Compression: ZSTD}, {ReadOnly: true}} {
				s := mustOpen(t, dir, opts)
				fixture.Check(t, s)
				mustClose(t, s)
			}
		})
	}
}

// TestRaftBadgerReads looks at what Ballast has written as raft-badger does: with badger's own options
// and its keys.
func TestRaftBadgerReads(t *testing.T) {
	s := mustOpen(t, t.TempDir(), nil)
	want := entries(7, 9, "entry", 3000)
	mustStore(t, s, want)
	if err := errors.Join(s.Set([]byte("LastVoteCand"), []byte("peer")), s.SetUint64([]byte("CurrentTerm"), 5)); err != nil {
		t.Fatal(err)
	}
	mustClose(t, s)

	db, err := badger.Open(badger.DefaultOptions(s.dir).WithLogger(nil))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	read := func(key string) (value []byte) {
		err := db.View(func(txn *badger.Txn) error {
			item, err := txn.Get([]byte(key))
			if err == nil {
				value, err = item.ValueCopy(nil)
			}
			return err
		})
		if err != nil {
			t.Errorf("%q: %v", key, err)
		}
		return value
	}
	for _, w := range want {
		key := binary.BigEndian.AppendUint64([]byte("logs-"), w.Index)
		if got := read(string(key)); !bytes.Equal(got, logcodec.Append(nil, w, logcodec.ClassicTime)) {
			t.Errorf("entry %d is %.60q", w.Index, got)
		}
	}
	if got := read("meta-LastVoteCand"); string(got) != "peer" {
		t.Errorf("LastVoteCand is %q", got)
	}
	if got := read("meta-meta-CurrentTerm"); !bytes.Equal(got, []byte{7: 5}) {
		t.Errorf("CurrentTerm is %q", got)
	}
}

// TestStableKeySpace has the keys that raft-badger's prefixes run together, each with a value of its
// own and in both forms one after the other.
func TestStableKeySpace(t *testing.T) {
	s := mustOpen(t, t.TempDir(), nil)
	keys := []string{"", "meta-", "meta-meta-", "meta-meta-meta-", "x", "meta-x", "meta-meta-x", "meta-meta-meta-x", "meta", "ballast-stable-meta-x", "\xff"}
	verify := func(want func(i int) []byte) {
		t.Helper()
		for i, key := range keys {
			if got, err := s.Get([]byte(key)); err != nil || got == nil || !bytes.Equal(got, want(i)) {
				t.Errorf("Get(%q) is %q, %v; want %q", key, got, err, want(i))
			}
		}
		listed, err := s.StableKeys()
		if err != nil || len(listed) != len(keys) {
			t.Errorf("StableKeys is %q, %v; want each of %q once", listed, err, keys)
		}
	}
	text := func(i int) []byte { return []byte(strings.Repeat("v", i)) } // one of them empty
	number := func(i int) []byte { return binary.BigEndian.AppendUint64(nil, uint64(i)) }
	for i, key := range keys {
		if err := s.Set([]byte(key), text(i)); err != nil {
			t.Fatal(err)
		}
	}
	verify(text)
	for i, key := range keys {
		if err := s.SetUint64([]byte(key), uint64(i)); err != nil {
			t.Fatal(err)
		}
	}
	verify(number)
	mustClose(t, s)
	s = mustOpen(t, s.dir, nil)
	verify(number)
	for i, key := range keys {
		if err := s.Set([]byte(key), text(i)); err != nil {
			t.Fatal(err)
		}
	}
	mustClose(t, s)
	s = mustOpen(t, s.dir, nil)
	verify(text)
}

// TestStableLimits has keys and values that badger does not take.
func TestStableLimits(t *testing.T) {
	s := mustOpen(t, t.TempDir(), &Options{MaxEntryBytes: 1 << 20})
	if err := s.Set(make([]byte, 70_000), nil); err == nil {
		t.Error("a key of 70000 bytes was taken")
	}
	if err := s.Set([]byte("k"), make([]byte, 1<<20+1)); err == nil {
		t.Error("a value above the limit was taken")
	}
	long := bytes.Repeat([]byte("k"), maxStableKey)
	if err := s.Set(long, make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Get(long); err != nil || len(got) != 1<<20 {
		t.Errorf("the longest key: %d bytes, %v", len(got), err)
	}
}

// TestNewerStableValue has what raft-badger may leave: both forms of a key.
func TestNewerStableValue(t *testing.T) {
	s := mustOpen(t, t.TempDir(), nil)
	key := []byte("k")
	for _, place := range [][]byte{uint64Key(key), bytesKey(key), uint64Key(key)} {
		want := append([]byte("from "), place...)
		err := s.commit(func(txn *badger.Txn, _ uint64) error { return txn.Set(place, want) })
		if err != nil {
			t.Fatal(err)
		}
		v := *s.view.Load()
		v.version = s.version
		s.publish(&v)
		if got, err := s.Get(key); err != nil || !bytes.Equal(got, want) {
			t.Errorf("Get is %q, %v; want the newer one, %q", got, err, want)
		}
	}
	if keys, err := s.StableKeys(); err != nil || len(keys) != 1 {
		t.Errorf("StableKeys is %q, %v", keys, err)
	}
}

// TestDeletedStaysDeleted puts an old version of a deleted entry back, as badger's garbage collection does.
func TestDeletedStaysDeleted(t *testing.T) {
	all := append(entries(1, 4, "entry", 50), entries(6, 14, "entry", 50)...)
	all = append(all, entries(16, 20, "entry", 50)...)
	s := mustOpen(t, t.TempDir(), nil)
	mustStore(t, s, all)
	if err := errors.Join(s.DeleteRange(0, 7), s.DeleteRange(13, 99)); err != nil {
		t.Fatal(err)
	}
	want := all[6:11]
	check(t, s, want)
	for _, index := range []uint64{5, 15} { // there is no tombstone of these
		txn := s.db.NewTransactionAt(s.version, true)
		value := logcodec.Append(nil, &raft.Log{Index: index}, logcodec.ClassicTime)
		if err := errors.Join(txn.Set(logKey(index), value), txn.CommitAt(1, nil)); err != nil {
			t.Fatal(err)
		}
	}
	check(t, s, want)
	mustClose(t, s)
	s = mustOpen(t, s.dir, nil)
	check(t, s, want)
	more := entries(16, 17, "later", 50)
	mustStore(t, s, more)
	check(t, s, want, more)
	if err := s.GetLog(15, new(raft.Log)); err != raft.ErrLogNotFound {
		t.Errorf("entry 15: %v", err)
	}
}

// TestManyEntriesDeleted deletes more entries than a transaction of badger takes.
func TestManyEntriesDeleted(t *testing.T) {
	s := mustOpen(t, t.TempDir(), nil)
	const n = 60_000
	for first := uint64(1); first <= n; first += 10_000 {
		var logs []*raft.Log
		for index := first; index < first+10_000; index++ {
			logs = append(logs, &raft.Log{Index: index})
		}
		mustStore(t, s, logs)
	}
	if err := s.DeleteRange(0, n-1); err != nil {
		t.Fatal(err)
	}
	if first, err := s.FirstIndex(); err != nil || first != n {
		t.Errorf("FirstIndex is %d, %v", first, err)
	}
	if err := s.DeleteRange(0, math.MaxUint64); err != nil {
		t.Fatal(err)
	}
	if last, err := s.LastIndex(); err != nil || last != 0 {
		t.Errorf("LastIndex is %d, %v", last, err)
	}
	if keys := countLogKeys(s); keys != 0 {
		t.Errorf("%d keys are left", keys)
	}
}

// TestFullDisk has less free space than the reserve: what an operator sees long before the disk is full.
func TestFullDisk(t *testing.T) {
	free, err := engine.FreeBytes(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	s := mustOpen(t, t.TempDir(), &Options{GCInterval: -1})
	mustStore(t, s, entries(1, 10, "entry", 100))
	s.opts.ReserveBytes = 2 * free
	if err := s.StoreLogs(entries(11, 11, "entry", 100)); !errors.Is(err, ballast.ErrNoSpace) {
		t.Errorf("StoreLogs: %v; want ErrNoSpace", err)
	}
	if err := s.SetUint64([]byte("CurrentTerm"), 3); err != nil {
		t.Errorf("a vote on a disk that is nearly full: %v", err)
	}
	if err := s.DeleteRange(1, 5); err != nil {
		t.Errorf("a deletion on a disk that is nearly full: %v", err)
	}
	s.opts.ReserveBytes = 8 * free
	if err := s.SetUint64([]byte("CurrentTerm"), 4); !errors.Is(err, ballast.ErrNoSpace) {
		t.Errorf("SetUint64: %v; want ErrNoSpace", err)
	}
	if err := s.DeleteRange(6, 7); !errors.Is(err, ballast.ErrNoSpace) {
		t.Errorf("DeleteRange: %v; want ErrNoSpace", err)
	}
	s.opts.ReserveBytes = 0
	mustStore(t, s, entries(11, 12, "entry", 100))
	check(t, s, entries(6, 12, "entry", 100))
	if err := failOpen(t, t.TempDir(), &Options{ReserveBytes: 16 * free}); !errors.Is(err, ballast.ErrNoSpace) {
		t.Errorf("Open: %v; want ErrNoSpace", err)
	}
}

// TestValueLogSyncFails has the one failure of a write that badger keeps to itself and its log.
func TestValueLogSyncFails(t *testing.T) {
	s := mustOpen(t, t.TempDir(), nil)
	want := entries(1, 3, "entry", 100)
	mustStore(t, s, want)
	cause := errors.New("input/output error")
	s.log.Errorf(formatSyncFailed, cause)
	if err := s.StoreLogs(entries(4, 4, "entry", 100)); !errors.Is(err, cause) {
		t.Errorf("StoreLogs after it: %v", err)
	}
	if err := s.SetUint64([]byte("k"), 1); !errors.Is(err, cause) {
		t.Errorf("SetUint64 after it: %v", err)
	}
	check(t, s, want)
	mustClose(t, s)
	check(t, mustOpen(t, s.dir, nil), want)
}

// TestTablesCannotBeWritten has badger fail in the background. Writes return that instead of waiting
// in badger, and go on when badger has got over it.
func TestTablesCannotBeWritten(t *testing.T) {
	s := mustOpen(t, t.TempDir(), nil)
	cause := errors.New("input/output error")
	s.log.Errorf(formatFlushFailed, cause)
	if err := s.StoreLogs(entries(1, 1, "entry", 100)); !errors.Is(err, cause) {
		t.Errorf("StoreLogs: %v", err)
	}
	s.log.lastFailure.Store(&flushFailure{time.Now().Add(-time.Hour), cause})
	mustStore(t, s, entries(1, 1, "entry", 100))
}

// TestFailedWriteIsNotSeen lets the sync fail in the middle of a write: nothing of it may be seen, not
// even where it replaces.
func TestFailedWriteIsNotSeen(t *testing.T) {
	s := mustOpen(t, t.TempDir(), nil)
	want := entries(1, 5, "old", 100)
	mustStore(t, s, want)
	cause := errors.New("input/output error")
	err := s.commit(func(txn *badger.Txn, _ uint64) error {
		s.log.Errorf(formatSyncFailed, cause)
		for _, l := range entries(3, 8, "new", 100) {
			if err := txn.Set(logKey(l.Index), logcodec.Append(nil, l, logcodec.ClassicTime)); err != nil {
				return err
			}
		}
		return nil
	})
	if !errors.Is(err, cause) {
		t.Errorf("the write returned %v", err)
	}
	check(t, s, want)
}

// TestReadOnly is a tool's store, and raft's own, which writes its term even where it only reads.
func TestReadOnly(t *testing.T) {
	s := mustOpen(t, t.TempDir(), nil)
	want := entries(1, 5, "entry", 100)
	mustStore(t, s, want)
	if err := s.SetUint64([]byte("CurrentTerm"), 3); err != nil {
		t.Fatal(err)
	}
	if err := failOpen(t, s.dir, &Options{ReadOnly: true}); !errors.Is(err, ballast.ErrLocked) {
		t.Errorf("beside a writer: %v; want ErrLocked", err)
	}
	mustClose(t, s)
	before := listing(t, s.dir)
	r := mustOpen(t, s.dir, &Options{ReadOnly: true})
	check(t, r, want)
	check(t, mustOpen(t, s.dir, &Options{ReadOnly: true}), want)
	for name, err := range map[string]error{
		"StoreLog":    r.StoreLog(want[0]),
		"StoreLogs":   r.StoreLogs(want),
		"DeleteRange": r.DeleteRange(1, 2),
	} {
		if !errors.Is(err, ballast.ErrReadOnly) {
			t.Errorf("%s: %v; want ErrReadOnly", name, err)
		}
	}
	if err := errors.Join(r.SetUint64([]byte("CurrentTerm"), 4), r.Set([]byte("new"), nil)); err != nil {
		t.Errorf("a stable write into memory: %v", err)
	}
	if v, err := r.GetUint64([]byte("CurrentTerm")); err != nil || v != 4 {
		t.Errorf("CurrentTerm is %d, %v; want the one in memory", v, err)
	}
	if keys, err := r.StableKeys(); err != nil || len(keys) != 2 {
		t.Errorf("StableKeys is %q, %v", keys, err)
	}
	mustClose(t, r)
	if after := listing(t, s.dir); after != before {
		t.Errorf("a read-only store changed the directory:\n%s\n%s", before, after)
	}
	if err := failOpen(t, filepath.Join(t.TempDir(), "none"), &Options{ReadOnly: true}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("of nothing: %v", err)
	}
}

// TestRaftsBatches has the largest batch that raft makes by default, of entries of each size around
// the one from which on they go to the value log: each is one transaction.
func TestRaftsBatches(t *testing.T) {
	s := mustOpen(t, t.TempDir(), nil)
	s.step = func(step string) { t.Errorf("%s", step) }
	var want [][]*raft.Log
	first := uint64(1)
	for _, size := range []int{0, defaultThreshold - 200, defaultThreshold - 90, defaultThreshold, 1 << 20} {
		batch := entries(first, first+64, "entry", size)
		for _, l := range batch {
			l.Data = l.Data[:size]
		}
		mustStore(t, s, batch)
		want = append(want, batch)
		first += 65
	}
	check(t, s, want...)
}

// TestReadsGoOnInAWrite calls every method that reads in the middle of a write.
func TestReadsGoOnInAWrite(t *testing.T) {
	s := mustOpen(t, t.TempDir(), smallFiles())
	want := entries(1, 5, "entry", 100)
	mustStore(t, s, want)
	if err := s.Set([]byte("k"), []byte("v")); err != nil {
		t.Fatal(err)
	}
	steps := 0
	s.step = func(string) {
		steps++
		check(t, s, want)
		if v, err := s.Get([]byte("k")); err != nil || string(v) != "v" {
			t.Errorf("Get is %q, %v", v, err)
		}
		if keys, err := s.StableKeys(); err != nil || len(keys) != 1 {
			t.Errorf("StableKeys is %q, %v", keys, err)
		}
	}
	mustStore(t, s, entries(3, 30, "new", 40<<10))
	if steps == 0 {
		t.Error("the batch was written in one step; a larger one is needed here")
	}
}
