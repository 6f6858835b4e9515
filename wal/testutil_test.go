package wal

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/oracle"
	"github.com/raft-ballast/ballast/internal/vfs"
)

// dataDir is where logs are in a file system in memory.
const dataDir = "/raft"

// memOptions are options for a log on fsys that does everything in the goroutine that writes, with the smallest segments
// and the smallest cache.
func memOptions(fsys vfs.FS) *Options {
	return &Options{SegmentBytes: minSegmentBytes, CacheBytes: minCacheBytes, fs: fsys, inline: true}
}

// holdThrough holds a folder of inner, whose calls go through outer, by name.
func holdThrough(outer, inner vfs.FS, dir string) (*vfs.Dir, error) {
	d, err := inner.Hold(dir)
	if err == nil {
		d.FS = outer
	}
	return d, err
}

// openMem opens the log on fsys with memOptions, and closes it when the test ends.
func openMem(t testing.TB, fsys vfs.FS) *Store {
	t.Helper()
	return openWith(t, memOptions(fsys))
}

// openWith is openMem with other options.
func openWith(t testing.TB, opts *Options) *Store {
	t.Helper()
	s, err := Open(dataDir, opts)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() { _ = s.Close() }) // a test that cares closes it itself
	return s
}

// must ends the test when there is an error.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// model is what a store should hold.
type model = oracle.Model

// checkedStore is a store that is asked whether it knows what its segments hold, each time it is read.
type checkedStore struct{ *Store }

// Check implements oracle.Checker.
func (s checkedStore) Check() error { return checkLive(s.j) }

// readAll returns what a store holds. It fails with the first error, and where the calls contradict one another.
func readAll(s *Store) (*model, error) { return oracle.Read(checkedStore{s}) }

// checkLive fails when a segment does not know how many of its entries are live: it would be kept for ever, or used again
// too early.
func checkLive(j *journal) error {
	j.mu.RLock()
	defer j.mu.RUnlock()
	live := make(map[*segment]int64)
	for _, g := range j.groups {
		for i := range g.runs {
			live[g.runs[i].seg] += g.runs[i].count()
		}
	}
	for _, seg := range j.segments {
		if live[seg] != seg.live {
			return fmt.Errorf("segment %d thinks that %d of its entries are live, there are %d", seg.number, seg.live, live[seg])
		}
		delete(live, seg)
	}
	if len(live) > 0 {
		return fmt.Errorf("entries in %d segments that are not part of the log", len(live))
	}
	return nil
}

// check returns how a store differs from the model.
func check(m *model, s *Store) error {
	got, err := readAll(s)
	if err != nil {
		return err
	}
	return m.Diff(got)
}

// checkReopened opens the log on fsys, compares it with the model, and closes it.
func checkReopened(t testing.TB, m *model, fsys vfs.FS) {
	t.Helper()
	s, err := Open(dataDir, memOptions(fsys))
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	if err := check(m, s); err != nil {
		t.Errorf("after opening: %v", err)
	}
	must(t, s.Close())
}

// corruption ends the test unless err is a CorruptionError with a path and a cause, and returns it.
func corruption(t testing.TB, err error) *ballast.CorruptionError {
	t.Helper()
	c, ok := errors.AsType[*ballast.CorruptionError](err)
	if !ok || c.Path == "" || c.Err == nil {
		t.Fatalf("the error should be a CorruptionError with a path and a cause: %v", err)
	}
	return c
}

// testLog is a store beside its model: what is done to the one is done to the other.
type testLog struct {
	*Store
	t     testing.TB
	fs    vfs.FS
	rng   *rand.Rand
	model *model

	// change makes other options of memOptions; nil leaves them.
	change func(*Options)

	shared bool // there are other groups in the log
}

func newTestLog(t testing.TB, fsys vfs.FS, seed uint64) *testLog {
	t.Helper()
	return newTestLogWith(t, fsys, seed, nil)
}

// newTestLogWith is newTestLog with other options, also at each later opening.
func newTestLogWith(t testing.TB, fsys vfs.FS, seed uint64, change func(*Options)) *testLog {
	t.Helper()
	l := &testLog{t: t, fs: fsys, rng: oracle.Random(seed), model: oracle.NewModel(), change: change}
	l.open()
	return l
}

// fill appends n entries of size bytes in one batch.
func (l *testLog) fill(n, size int) {
	l.t.Helper()
	logs := oracle.Entries(l.rng, l.model.Last()+1, n, size)
	must(l.t, l.StoreLogs(logs))
	l.model.Put(logs, 0)
}

// fillUntil appends until done, in batches of 16 entries of 4 KiB: a segment of 1 MiB takes about 14 of them.
func (l *testLog) fillUntil(done func() bool) {
	l.t.Helper()
	for range 10_000 {
		if done() {
			return
		}
		l.fill(16, 4<<10)
	}
	l.t.Fatal("what was waited for does not happen")
}

// rotate appends until the log goes on in another segment.
func (l *testLog) rotate() {
	l.t.Helper()
	tail := l.j.tail.number
	l.fillUntil(func() bool { return l.j.tail.number != tail })
}

func (l *testLog) remove(low, high uint64) {
	l.t.Helper()
	must(l.t, l.DeleteRange(low, high))
	l.model.Delete(low, high)
}

func (l *testLog) set(key, value string) {
	l.t.Helper()
	must(l.t, l.Set([]byte(key), []byte(value)))
	l.model.Stable[key] = []byte(value)
}

func (l *testLog) unset(key string) {
	l.t.Helper()
	must(l.t, l.DeleteKey([]byte(key)))
	delete(l.model.Stable, key)
}

// check compares the store with the model.
func (l *testLog) check() {
	l.t.Helper()
	if err := check(l.model, l.Store); err != nil {
		l.t.Fatal(err)
	}
}

// close closes the store.
func (l *testLog) close() {
	l.t.Helper()
	must(l.t, l.Close())
}

// abandon stops using the store as if the process were gone: nothing more is written, and its lock is free.
func (l *testLog) abandon() {
	l.t.Helper()
	l.j.gate.Close()
	l.j.closed = true
	l.j.handles.closeAll()
	must(l.t, errors.Join(l.j.lock.Close(), l.j.held.Close()))
}

// open opens the log again, on the file system where it was.
func (l *testLog) open() {
	l.t.Helper()
	opts := memOptions(l.fs)
	if l.change != nil {
		l.change(opts)
	}
	if !l.shared {
		l.Store = openWith(l.t, opts)
		return
	}
	gs, err := OpenGroups(dataDir, opts)
	must(l.t, err)
	s, err := gs.Store(0)
	must(l.t, err)
	s.groups = nil // it closes the log
	l.Store = s
	l.t.Cleanup(func() { _ = s.Close() })
}
