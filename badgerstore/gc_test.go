package badgerstore

import (
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast"
)

// valueLogBytes is what the value log takes on the disk, without the holes of its newest file.
func valueLogBytes(t *testing.T, dir string) (total int64) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*"+vlogSuffix))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range files {
		st, err := os.Stat(path)
		if err != nil {
			continue // removed just now
		}
		total += st.Size()
	}
	return total
}

// fillAndDelete stores 20 MiB of entries that lie in the value log and deletes all but the last two.
func fillAndDelete(t *testing.T, s *Store) (left []*raft.Log) {
	t.Helper()
	for first := uint64(1); first <= 100; first += 4 {
		mustStore(t, s, entries(first, first+3, "entry", 200<<10))
	}
	if err := s.DeleteRange(0, 98); err != nil {
		t.Fatal(err)
	}
	return entries(99, 100, "entry", 200<<10)
}

// TestSpaceReturnsAfterReopen deletes most of a value log: closing and opening gives its space back.
func TestSpaceReturnsAfterReopen(t *testing.T) {
	s := mustOpen(t, t.TempDir(), smallFiles())
	left := fillAndDelete(t, s)
	mustClose(t, s)
	before := valueLogBytes(t, s.dir)
	for range 2 { // badger knows what is garbage when it has compacted, which it has on closing
		s = mustOpen(t, s.dir, smallFiles())
		mustClose(t, s)
	}
	after := valueLogBytes(t, s.dir)
	if before < 18<<20 || after > 4<<20 {
		t.Errorf("the value log had %d bytes and has %d after reopening; want at least 18 MiB and at most 4 MiB", before, after)
	}
	check(t, mustOpen(t, s.dir, smallFiles()), left)
}

// TestSpaceReturnsInBackground deletes most of a value log and leaves the store open and idle. Nothing
// but the collection in the background can make it smaller.
func TestSpaceReturnsInBackground(t *testing.T) {
	opts := smallFiles()
	opts.GCInterval = 20 * time.Millisecond
	s := mustOpen(t, t.TempDir(), opts)
	left := fillAndDelete(t, s)
	deadline := time.Now().Add(time.Minute)
	for valueLogBytes(t, s.dir) > 8<<20 {
		if time.Now().After(deadline) {
			t.Fatalf("the value log still has %d bytes", valueLogBytes(t, s.dir))
		}
		time.Sleep(10 * time.Millisecond)
	}
	check(t, s, left)
	mustClose(t, s)
	check(t, mustOpen(t, s.dir, opts), left)
}

// TestReadsBesideCollection reads entries all the time while the files in which they lie are moved and
// removed.
func TestReadsBesideCollection(t *testing.T) {
	t.Parallel()
	opts := smallFiles()
	opts.GCInterval = time.Millisecond
	opts.GCDiscardRatio = 0.1
	s := mustOpen(t, t.TempDir(), opts)
	var removals atomic.Int64
	mustStore(t, s, entries(1000, 1009, "kept", 100<<10))
	stop, done := make(chan struct{}), make(chan error)
	go func() {
		for index := uint64(1000); ; index = 1000 + (index+1)%10 {
			select {
			case <-stop:
				done <- nil
				return
			default:
			}
			var log raft.Log
			if err := s.GetLog(index, &log); err != nil || log.Index != index {
				done <- errors.Join(err, errors.New("a read failed beside the collection"))
				return
			}
		}
	}()
	first := uint64(1)
	seen := make(map[string]bool)
	for deadline := time.Now().Add(30 * time.Second); removals.Load() < 5 && time.Now().Before(deadline); first += 8 {
		if err := s.StoreLogs(append(entries(first%900+1, first%900+4, "passing", 100<<10), entry(1000+first%10, "kept", 100<<10))); err != nil {
			t.Fatal(err)
		}
		if err := s.DeleteRange(0, 999); err != nil {
			t.Fatal(err)
		}
		now, _ := filepath.Glob(filepath.Join(s.dir, "*"+vlogSuffix))
		current := make(map[string]bool)
		for _, path := range now {
			current[path] = true
		}
		for path := range seen {
			if !current[path] {
				removals.Add(1)
			}
		}
		seen = current
	}
	close(stop)
	if err := <-done; err != nil {
		t.Error(err)
	}
	if removals.Load() < 5 {
		t.Errorf("%d value log files were removed; want 5", removals.Load())
	}
	check(t, s, entries(1000, 1009, "kept", 100<<10))
}

// TestCollectionStopsAfterFailure has a sync that failed: the collection must not remove the file from
// which it has moved what lives, since badger does not know that the new place is not durable.
func TestCollectionStopsAfterFailure(t *testing.T) {
	s := mustOpen(t, t.TempDir(), smallFiles())
	left := fillAndDelete(t, s)
	mustClose(t, s)
	s = mustOpen(t, s.dir, smallFiles())
	files, err := filepath.Glob(filepath.Join(s.dir, "*"+vlogSuffix))
	if err != nil {
		t.Fatal(err)
	}
	asked := 0
	s.log.beforeRemoval = func() error {
		asked++
		s.log.Errorf(formatSyncFailed, errors.New("input/output error"))
		return s.beforeRemoval()
	}
	s.collect()
	if asked != 1 {
		t.Errorf("the collection asked %d times whether it may remove a file; want once", asked)
	}
	for _, path := range files {
		if _, err := os.Stat(path); err != nil {
			t.Errorf("a file was removed: %v", err)
		}
	}
	check(t, s, left)
	mustClose(t, s)
	check(t, mustOpen(t, s.dir, smallFiles()), left)
}

// TestPushOutKeepsData fills memtables up several times over.
func TestPushOutKeepsData(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, t.TempDir(), smallFiles())
	want := entries(1, 20, "entry", 30<<10)
	for _, l := range want {
		if err := s.StoreLog(l); err != nil {
			t.Fatal(err)
		}
		s.garbage = pushOutGarbage * s.bopt.MemTableSize
		s.pushOut()
	}
	check(t, s, want)
	if tables := s.db.Tables(); len(tables) == 0 {
		t.Error("badger has written no table")
	}
}

// TestTroublesOfCollecting: without space for it nothing is collected, which is told, and tried
// again.
func TestTroublesOfCollecting(t *testing.T) {
	s, err := Open(t.TempDir(), &Options{GCInterval: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	reserve := s.opts.ReserveBytes
	s.opts.ReserveBytes = 1 << 60
	s.collect()
	n, trouble := s.Troubles()
	if n != 1 || trouble.Step != stepCollect || !errors.Is(trouble.Err, ballast.ErrNoSpace) {
		t.Errorf("%d troubles, %+v", n, trouble)
	}
	if st := s.figures(); st.Troubles != 1 {
		t.Errorf("the metrics have %d", st.Troubles)
	}
	s.garbage = pushOutGarbage * s.bopt.MemTableSize
	s.pushOut()
	if s.garbage < pushOutGarbage*s.bopt.MemTableSize {
		t.Error("garbage that could not be pushed out is forgotten")
	}
	s.opts.ReserveBytes = reserve
	s.collect()
	s.pushOut()
	if n, trouble := s.Troubles(); n != 0 || s.garbage != 0 {
		t.Errorf("%d troubles afterwards, %+v; %d bytes of garbage", n, trouble, s.garbage)
	}
}
