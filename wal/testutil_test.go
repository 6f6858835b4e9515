package wal

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/vfs"
)

// dataDir is where logs are in a file system in memory.
const dataDir = "/raft"

// memOptions are options for a log on fsys that does everything in the goroutine that writes, with the smallest segments
// and the smallest cache.
func memOptions(fsys vfs.FS) *Options {
	return &Options{SegmentBytes: minSegmentBytes, CacheBytes: minCacheBytes, fs: fsys, inline: true}
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

// random returns where a test takes its choices from.
func random(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0)) }

// entryOf returns an entry whose fields are made from its index and from data.
func entryOf(index uint64, data []byte) *raft.Log {
	return &raft.Log{Index: index, Term: 1 + index/100, Type: raft.LogType(index % 4), Data: data,
		AppendedAt: time.Unix(1_700_000_000+int64(index), int64(index)).UTC()}
}

// entriesFrom returns n entries from first on, each with random Data of size bytes. A third of them have Extensions.
func entriesFrom(rng *rand.Rand, first uint64, n, size int) []*raft.Log {
	logs := make([]*raft.Log, n)
	for i := range logs {
		logs[i] = entryOf(first+uint64(i), randomBytes(rng, size))
		if rng.IntN(3) == 0 {
			logs[i].Extensions = randomBytes(rng, rng.IntN(20))
		}
	}
	return logs
}

// randomBytes returns n bytes: noise, text that compresses, or zeros.
func randomBytes(rng *rand.Rand, n int) []byte {
	b := make([]byte, n)
	switch rng.IntN(8) {
	case 0: // zeros
	case 1, 2, 3:
		for i := range b {
			b[i] = "ballast "[i%8]
		}
		for range n / 16 {
			b[rng.IntN(n)] = byte(rng.Uint32())
		}
	default:
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
	}
	return b
}

// model is what a store should hold. Entries and values in it are never changed, so copies share them.
type model struct {
	logs   map[uint64]*raft.Log
	stable map[string][]byte
	commit uint64
}

func newModel() *model {
	return &model{logs: make(map[uint64]*raft.Log), stable: make(map[string][]byte)}
}

func (m *model) clone() *model {
	return &model{logs: maps.Clone(m.logs), stable: maps.Clone(m.stable), commit: m.commit}
}

// indexes returns those of all entries, ascending.
func (m *model) indexes() []uint64 { return slices.Sorted(maps.Keys(m.logs)) }

// first returns the lowest index, 0 for none.
func (m *model) first() uint64 {
	first := uint64(0)
	for index := range m.logs {
		if first == 0 || index < first {
			first = index
		}
	}
	return first
}

// last returns the highest index, 0 for none.
func (m *model) last() uint64 {
	last := uint64(0)
	for index := range m.logs {
		last = max(last, index)
	}
	return last
}

// store puts entries, with a commit index when staged is above 0.
func (m *model) store(logs []*raft.Log, staged uint64) {
	for _, l := range logs {
		m.logs[l.Index] = l
	}
	if staged > 0 {
		m.commit = min(staged, m.last())
	}
}

// remove deletes the entries from low to high.
func (m *model) remove(low, high uint64) {
	maps.DeleteFunc(m.logs, func(index uint64, _ *raft.Log) bool { return low <= index && index <= high })
	m.commit = min(m.commit, m.last())
}

// readAll returns what a store holds. It fails with the first error, and where the calls contradict one another.
func readAll(s *Store) (*model, error) {
	if err := checkLive(s.j); err != nil {
		return nil, err
	}
	m := newModel()
	first, err1 := s.FirstIndex()
	last, err2 := s.LastIndex()
	commit, err3 := s.GetCommitIndex()
	keys, err4 := s.StableKeys()
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return nil, err
	}
	m.commit = commit
	for _, key := range keys {
		value, err := s.Get(key)
		if err != nil {
			return nil, fmt.Errorf("Get(%q): %w", key, err)
		}
		m.stable[string(key)] = value
	}
	for next := uint64(1); next != 0; next++ {
		index, err := s.NextIndex(next)
		if err != nil {
			return nil, err
		}
		if index != next { // nothing in between
			for _, missing := range []uint64{next, index - 1} {
				if err := s.GetLog(missing, new(raft.Log)); err != raft.ErrLogNotFound {
					return nil, fmt.Errorf("GetLog(%d), which is not there: %w", missing, err)
				}
			}
		}
		if index == 0 {
			break
		}
		l := new(raft.Log)
		if err := s.GetLog(index, l); err != nil {
			return nil, fmt.Errorf("GetLog(%d): %w", index, err)
		}
		m.logs[index] = l
		next = index
	}
	if first != m.first() || last != m.last() {
		return nil, fmt.Errorf("the bounds are said to be %d and %d, they are %d and %d", first, last, m.first(), m.last())
	}
	if commit > last {
		return nil, fmt.Errorf("the commit index is %d, the last index is %d", commit, last)
	}
	return m, nil
}

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

// diff returns how what there is differs from what should be, nil when it does not.
func (m *model) diff(got *model) error {
	for _, index := range m.indexes() {
		l := got.logs[index]
		if l == nil {
			return fmt.Errorf("entry %d is missing; there are %s, should be %s", index, got, m)
		}
		if err := diffEntry(m.logs[index], l); err != nil {
			return err
		}
	}
	for _, index := range got.indexes() {
		if m.logs[index] == nil {
			return fmt.Errorf("entry %d should not be there; there are %s, should be %s", index, got, m)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(m.stable)) {
		if value, ok := got.stable[key]; !ok || !bytes.Equal(value, m.stable[key]) {
			return fmt.Errorf("the value of %q is %.40q, should be %.40q", key, value, m.stable[key])
		}
	}
	if len(got.stable) != len(m.stable) {
		return fmt.Errorf("there are %d keys, should be %d", len(got.stable), len(m.stable))
	}
	if m.commit != got.commit {
		return fmt.Errorf("the commit index is %d, should be %d", got.commit, m.commit)
	}
	return nil
}

// diffEntry returns how an entry differs from what was stored.
func diffEntry(want, got *raft.Log) error {
	same := func(a, b []byte) bool { return bytes.Equal(a, b) && (a == nil) == (b == nil) }
	if got.Index != want.Index || got.Term != want.Term || got.Type != want.Type || !same(got.Data, want.Data) ||
		!same(got.Extensions, want.Extensions) || !got.AppendedAt.Equal(want.AppendedAt) {
		return fmt.Errorf("entry %d is %s, should be %s", want.Index, entryString(got), entryString(want))
	}
	return nil
}

func entryString(l *raft.Log) string {
	return fmt.Sprintf("{index %d, term %d, type %d, %d bytes %.16x, extensions %.16x, at %v}",
		l.Index, l.Term, l.Type, len(l.Data), l.Data, l.Extensions, l.AppendedAt)
}

// String lists the ranges of indexes.
func (m *model) String() string {
	var b bytes.Buffer
	indexes := m.indexes()
	for i := 0; i < len(indexes); {
		j := i
		for j+1 < len(indexes) && indexes[j+1] == indexes[j]+1 {
			j++
		}
		fmt.Fprintf(&b, "%d-%d ", indexes[i], indexes[j])
		i = j + 1
	}
	return fmt.Sprintf("entries [%s] commit %d", bytes.TrimSpace(b.Bytes()), m.commit)
}

// check returns how a store differs from the model.
func (m *model) check(s *Store) error {
	got, err := readAll(s)
	if err != nil {
		return err
	}
	return m.diff(got)
}

// checkReopened opens the log on fsys, compares it with the model, and closes it.
func (m *model) checkReopened(t testing.TB, fsys vfs.FS) {
	t.Helper()
	s, err := Open(dataDir, memOptions(fsys))
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	if err := m.check(s); err != nil {
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
}

func newTestLog(t testing.TB, fsys vfs.FS, seed uint64) *testLog {
	t.Helper()
	return newTestLogWith(t, fsys, seed, nil)
}

// newTestLogWith is newTestLog with other options, also at each later opening.
func newTestLogWith(t testing.TB, fsys vfs.FS, seed uint64, change func(*Options)) *testLog {
	t.Helper()
	l := &testLog{t: t, fs: fsys, rng: random(seed), model: newModel(), change: change}
	l.open()
	return l
}

// fill appends n entries of size bytes in one batch.
func (l *testLog) fill(n, size int) {
	l.t.Helper()
	logs := entriesFrom(l.rng, l.model.last()+1, n, size)
	must(l.t, l.StoreLogs(logs))
	l.model.store(logs, 0)
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
	l.model.remove(low, high)
}

func (l *testLog) set(key, value string) {
	l.t.Helper()
	must(l.t, l.Set([]byte(key), []byte(value)))
	l.model.stable[key] = []byte(value)
}

// check compares the store with the model.
func (l *testLog) check() {
	l.t.Helper()
	if err := l.model.check(l.Store); err != nil {
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
	must(l.t, l.j.lock.Close())
}

// open opens the log again, on the file system where it was.
func (l *testLog) open() {
	l.t.Helper()
	opts := memOptions(l.fs)
	if l.change != nil {
		l.change(opts)
	}
	l.Store = openWith(l.t, opts)
}
