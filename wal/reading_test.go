package wal

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/engine"
	"github.com/raft-ballast/ballast/internal/oracle"
	"github.com/raft-ballast/ballast/internal/vfs"
)

// knownEntry returns an entry that depends on nothing but its index, so that any reader knows what it should be. Most are
// small, some are larger than a block of the cache.
func knownEntry(index uint64) *raft.Log {
	rng := oracle.Random(index)
	size := rng.IntN(2000)
	if index%61 == 0 {
		size = rng.IntN(2 * cacheBlockBytes)
	}
	l := oracle.EntryOf(index, make([]byte, size))
	for i := 0; i < size; i += 97 {
		l.Data[i] = byte(rng.Uint32())
	}
	if index%5 == 0 {
		l.Extensions = []byte{byte(index)}
	}
	return l
}

// knownEntries returns n of them.
func knownEntries(first uint64, n int) []*raft.Log {
	logs := make([]*raft.Log, n)
	for i := range logs {
		logs[i] = knownEntry(first + uint64(i))
	}
	return logs
}

// readKnown reads an entry and compares it.
func readKnown(s *Store, index uint64) error {
	var l raft.Log
	if err := s.GetLog(index, &l); err != nil {
		return err
	}
	return oracle.DiffEntry(knownEntry(index), &l)
}

// Records that begin at each place before the end of a block, so that each part of their header is in the one or the other,
// with data that ends before, at and behind the end of the next block.
func TestEntriesAcrossBlocks(t *testing.T) {
	mem := vfs.NewMem()
	opts := memOptions(mem)
	opts.SegmentBytes = 64 << 20
	opts.CacheBytes = 1 << 30 // also when nothing is ever pushed out
	s, err := Open(dataDir, opts)
	must(t, err)
	m, rng := oracle.NewModel(), oracle.Random(1)
	store := func(size int64) (offset int64) {
		t.Helper()
		l := oracle.EntryOf(m.Last()+1, oracle.Bytes(rng, int(size)))
		must(t, s.StoreLog(l))
		m.Put([]*raft.Log{l}, 0)
		r := s.g.find(l.Index)
		return r.offset(l.Index - r.first)
	}
	const header = frameHeaderBytes + recordHeaderBytes
	for _, size := range []int64{0, 10, 4096, cacheBlockBytes - 100, cacheBlockBytes, 3*cacheBlockBytes + 5} {
		for before := int64(0); before <= recordHeaderBytes+16; before += 8 {
			// One that fills the block, so far that the record behind it begins where it should.
			end := frameStart(s.j.tail.end)
			want := roundUp(end+header+1000, cacheBlockBytes) - before
			filler := want - frameHeaderBytes - end - header
			// The frame of the second one begins where it cannot be in one sector.
			if got := store(filler); got != end+frameHeaderBytes {
				t.Fatalf("the filler is at %d, should be at %d", got, end+frameHeaderBytes)
			}
			if got := store(size); got != want && sectorBytes-(want-frameHeaderBytes)%sectorBytes >= frameHeaderBytes {
				t.Fatalf("the record is at %d, should be at %d", got, want)
			}
		}
	}
	store(1)
	must(t, check(m, s))
	must(t, s.Close())
	for _, cacheBytes := range []int64{1, 1 << 30} {
		opts.CacheBytes = cacheBytes
		if s, err = Open(dataDir, opts); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			must(t, check(m, s))
			for _, i := range rng.Perm(len(m.Logs)) {
				var l raft.Log
				must(t, s.GetLog(uint64(i+1), &l))
				must(t, oracle.DiffEntry(m.Logs[uint64(i+1)], &l))
			}
		}
		must(t, s.Close())
	}
}

// A small cache over many segments after reopening: in order, backwards, at random, and several readers in order.
func TestReadWithASmallCache(t *testing.T) {
	for _, c := range []struct {
		name string
		opts Options
	}{
		{"1 MiB", Options{SegmentBytes: 1, CacheBytes: 1}},
		{"one open file", Options{SegmentBytes: 1, CacheBytes: 1, MaxOpenFiles: 1}},
		{"s2", Options{SegmentBytes: 1, CacheBytes: 1, Compression: S2}},
	} {
		t.Run(c.name, func(t *testing.T) {
			const n = 4000
			dir := t.TempDir()
			s, err := Open(dir, &c.opts)
			must(t, err)
			for first := uint64(1); first <= n; first += 50 {
				must(t, s.StoreLogs(knownEntries(first, 50)))
			}
			must(t, s.Close())
			if s, err = Open(dir, &c.opts); err != nil {
				t.Fatal(err)
			}
			for index := uint64(1); index <= n; index++ {
				must(t, readKnown(s, index))
			}
			for index := uint64(n); index > 0; index-- {
				must(t, readKnown(s, index))
			}
			rng := oracle.Random(2)
			for range n {
				must(t, readKnown(s, 1+rng.Uint64N(n)))
			}
			var wg sync.WaitGroup
			for reader := range uint64(12) { // more than there are streams
				wg.Go(func() {
					for index := 1 + reader*300; index <= min(n, reader*300+400); index++ {
						if err := readKnown(s, index); err != nil {
							t.Errorf("entry %d: %v", index, err)
							return
						}
					}
				})
			}
			wg.Wait()
			t.Logf("%d segments", s.Stats().Segments)
			must(t, s.Close())
		})
	}
}

// What was read is the caller's: nothing that happens to the log changes it, and the caller may change it.
func TestWhatWasReadStaysAsItIs(t *testing.T) {
	mem := vfs.NewMem()
	for _, compression := range []Compression{None, S2, Zstd} {
		opts := memOptions(mem)
		opts.Compression = compression
		s, err := Open(dataDir, opts)
		must(t, err)
		must(t, s.StoreLogs(knownEntries(1, 1000)))
		kept := make([]raft.Log, 1001)
		for i := range kept[1:] {
			must(t, s.GetLog(uint64(i+1), &kept[i+1]))
		}
		rng := oracle.Random(3)
		for i := range uint64(60) {
			must(t, s.StoreLogs(oracle.Entries(rng, 1+i*10, 100, 1000)))
			must(t, s.DeleteRange(1+i*10, 5+i*10))
		}
		for i := range kept[1:] {
			if err := oracle.DiffEntry(knownEntry(uint64(i+1)), &kept[i+1]); err != nil {
				t.Fatalf("compression %d: %v", compression, err)
			}
		}
		// The caller writes to what it got, and to what it gave.
		logs := knownEntries(1, 100)
		must(t, s.StoreLogs(logs))
		for _, l := range logs {
			clear(l.Data)
			clear(l.Extensions)
		}
		for index := uint64(1); index <= 100; index++ {
			var l raft.Log
			must(t, s.GetLog(index, &l))
			clear(l.Data)
			clear(l.Extensions)
			must(t, readKnown(s, index))
		}
		must(t, s.Close())
	}
}

// A GetLog that finds nothing leaves the given Log as it is, and one that finds something writes nothing into what the Log
// held.
func TestGetLogAndWhatTheLogHeld(t *testing.T) {
	s := openMem(t, vfs.NewMem())
	must(t, s.StoreLogs(knownEntries(1, 10)))
	data, extensions := []byte("mine, and longer than what is read"), []byte("mine")
	l := raft.Log{Index: 77, Data: data, Extensions: extensions}
	for _, missing := range []uint64{0, 11} {
		if err := s.GetLog(missing, &l); err != raft.ErrLogNotFound || l.Index != 77 || string(l.Extensions) != "mine" {
			t.Errorf("GetLog(%d): %v, %+v", missing, err, l)
		}
	}
	must(t, s.GetLog(5, &l))
	must(t, oracle.DiffEntry(knownEntry(5), &l))
	if string(data) != "mine, and longer than what is read" || string(extensions) != "mine" {
		t.Errorf("GetLog wrote into %q and %q", data, extensions)
	}
}

// liveLog is a log that is written, compacted and read at once. Every entry is a known one.
type liveLog struct {
	t *testing.T
	s *Store

	// What is certain to be there is from deleted+1 to stored; what may be there is from kept to begun.
	stored, begun   atomic.Uint64
	deleted, doomed atomic.Uint64 // deletions that are durable, and that are begun
	done            atomic.Bool
}

// write appends n entries in batches of any size, and now and then a value.
func (l *liveLog) write(rng *rand.Rand, n uint64) {
	defer l.done.Store(true)
	for last := l.stored.Load(); last < n && !l.t.Failed(); last = l.stored.Load() {
		logs := knownEntries(last+1, 1+rng.IntN(1<<rng.IntN(7)))
		l.begun.Add(uint64(len(logs)))
		err := l.s.StoreLogs(logs)
		if rng.IntN(5) == 0 {
			err = errors.Join(err, l.s.SetUint64([]byte("CurrentTerm"), last))
		}
		if err != nil {
			l.t.Errorf("writing behind entry %d: %v", last, err)
			return
		}
		l.stored.Add(uint64(len(logs)))
	}
}

// compact keeps the last entries.
func (l *liveLog) compact(rng *rand.Rand, keep uint64) {
	for !l.done.Load() && !l.t.Failed() {
		last := l.stored.Load()
		if last < l.deleted.Load()+2*keep {
			runtime.Gosched()
			continue
		}
		to := last - keep - rng.Uint64N(keep/2)
		l.doomed.Store(to)
		if err := l.s.DeleteRange(0, to); err != nil {
			l.t.Errorf("DeleteRange up to %d: %v", to, err)
			return
		}
		l.deleted.Store(to)
	}
}

// read reads an entry from a store, which has to have it when it was stored before and its deletion has not begun
// afterwards.
func (l *liveLog) read(s *Store, index uint64) {
	runtime.Gosched() // the writer gets its turn also on few cores
	certain := index <= l.stored.Load()
	gone := index <= l.deleted.Load()
	err := readKnown(s, index)
	switch {
	case err == raft.ErrLogNotFound && (!certain || index <= l.doomed.Load()):
	case err == nil && gone:
		l.t.Errorf("entry %d was deleted, and is read", index)
	case err != nil:
		l.t.Errorf("entry %d (stored up to %d, deleted up to %d): %v", index, l.stored.Load(), l.deleted.Load(), err)
	}
}

// readInOrder reads from the first entry to the last, again and again; atRandom anywhere between them; the newest the last
// one only, which is read while what follows is written.
func (l *liveLog) readInOrder() {
	for index := uint64(1); !l.done.Load() && !l.t.Failed(); index++ {
		if index > l.begun.Load() {
			index = l.deleted.Load() + 1
		}
		l.read(l.s, index)
	}
}

func (l *liveLog) readAtRandom(rng *rand.Rand) {
	for !l.done.Load() && !l.t.Failed() {
		first := l.deleted.Load()
		l.read(l.s, first+rng.Uint64N(l.begun.Load()-first+2))
	}
}

func (l *liveLog) readNewest() {
	for !l.done.Load() && !l.t.Failed() {
		last, err := l.s.LastIndex()
		if err != nil {
			l.t.Error(err)
			return
		}
		l.read(l.s, last)
	}
}

// Readers in order, at random and of the newest entry, while one appends and another one compacts.
func TestReadersBesideAWriter(t *testing.T) {
	for _, c := range []struct {
		name string
		dir  string
		opts Options
		n    uint64
	}{
		{"in memory", dataDir, Options{fs: vfs.NewMem()}, 6_000},
		{"on disk", t.TempDir(), Options{}, 1_500},
		{"on disk with one open file and s2", t.TempDir(), Options{MaxOpenFiles: 1, Compression: S2}, 1_500},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.opts.SegmentBytes, c.opts.CacheBytes = minSegmentBytes, minCacheBytes
			s, err := Open(c.dir, &c.opts)
			must(t, err)
			l := &liveLog{t: t, s: s}
			var wg sync.WaitGroup
			wg.Go(func() { l.write(oracle.Random(1), c.n) })
			wg.Go(func() { l.compact(oracle.Random(2), 300) })
			wg.Go(l.readInOrder)
			wg.Go(l.readNewest)
			for i := range uint64(2) {
				wg.Go(func() { l.readAtRandom(oracle.Random(3 + i)) })
			}
			wg.Wait()
			st := s.Stats()
			t.Logf("%d to %d, tail %d, %d segments used again", st.FirstIndex, st.LastIndex, s.j.tail.number, st.Recycled)
			must(t, s.Close())
			if s, err = Open(c.dir, &c.opts); err != nil {
				t.Fatal(err)
			}
			for index := l.deleted.Load() + 1; index <= l.stored.Load(); index++ {
				must(t, readKnown(s, index))
			}
			must(t, s.Close())
		})
	}
}

// observe opens a live log for reading, and expects it as it was at some moment of the opening.
func (l *liveLog) observe(dir string, opts *Options) error {
	stored, deleted := l.stored.Load(), l.deleted.Load()
	s, err := OpenReadOnly(dir, opts)
	if err != nil {
		return fmt.Errorf("OpenReadOnly: %w", err)
	}
	begun, doomed := l.begun.Load(), l.doomed.Load()
	first, err1 := s.FirstIndex()
	last, err2 := s.LastIndex()
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	if last < stored || last > begun || last > 0 && (first <= deleted || first > doomed+1) {
		return fmt.Errorf("there are entries %d to %d; %d to %d were there before, %d to %d may be there after",
			first, last, deleted+1, stored, doomed+1, begun)
	}
	for index := first; index <= last && index > 0; index++ {
		runtime.Gosched() // the writer gets its turn also on few cores
		switch err := readKnown(s, index); {
		case err == raft.ErrLogNotFound && index <= l.doomed.Load(): // deleted meanwhile
		case err != nil:
			return fmt.Errorf("entry %d of %d to %d: %w", index, first, last, err)
		}
	}
	return s.Close()
}

// A log that is written, rotated and compacted is opened for reading again and again.
func TestReadOnlyOfALiveLog(t *testing.T) {
	for _, c := range []struct {
		name         string
		dir          string
		fs           vfs.FS
		segmentBytes int64
		n            uint64
	}{
		{"in memory", dataDir, vfs.NewMem(), 1, 6_000},
		{"on disk", t.TempDir(), nil, 1, 2_000},
		{"on disk with larger segments", t.TempDir(), nil, 8 << 20, 4_000},
	} {
		t.Run(c.name, func(t *testing.T) {
			opts := &Options{SegmentBytes: c.segmentBytes, CacheBytes: 1, fs: c.fs}
			s, err := Open(c.dir, opts)
			must(t, err)
			l := &liveLog{t: t, s: s}
			var wg sync.WaitGroup
			wg.Go(func() { l.write(oracle.Random(4), c.n) })
			wg.Go(func() { l.compact(oracle.Random(5), 300) })
			var opened atomic.Int64
			for range 2 {
				wg.Go(func() {
					for !l.done.Load() && !t.Failed() {
						if err := l.observe(c.dir, opts); err != nil {
							t.Error(err)
						}
						opened.Add(1)
					}
				})
			}
			wg.Wait()
			st := s.Stats()
			t.Logf("opened %d times; %d to %d, tail %d, %d segments used again",
				opened.Load(), st.FirstIndex, st.LastIndex, s.j.tail.number, st.Recycled)
			must(t, s.Close())
			must(t, l.observe(c.dir, opts))
		})
	}
}

// Entries that were deleted after a read-only opening, and whose segments hold others now, are not found; that is no
// damage. What is still there is read.
func TestReadOnlyWhileSegmentsAreUsedAgain(t *testing.T) {
	for name, opts := range map[string]*Options{
		"in memory": memOptions(vfs.NewMem()), "on disk": memOptions(vfs.OS),
	} {
		t.Run(name, func(t *testing.T) {
			dir := dataDir
			if opts.fs == vfs.OS {
				dir = t.TempDir()
			}
			s, err := Open(dir, opts)
			must(t, err)
			write := func(first, last uint64) {
				t.Helper()
				for ; first <= last; first += 50 {
					must(t, s.StoreLogs(knownEntries(first, 50)))
				}
			}
			write(1, 2000)
			var readers []*Store
			for range 3 {
				r, err := OpenReadOnly(dir, opts)
				must(t, err)
				readers = append(readers, r)
			}
			must(t, readKnown(readers[1], 1)) // this one has the first segment open
			for i := range uint64(30) {
				write(2001+i*150, 2150+i*150)
				must(t, s.DeleteRange(1, 50+i*50))
			}
			if s.Stats().Recycled == 0 {
				t.Fatal("no segment was used again")
			}
			for i, r := range readers {
				if i == 2 { // meets damage at the end first
					must(t, readKnown(r, 1999))
				}
				found := 0
				for index := uint64(1); index <= 2000; index++ {
					switch err := readKnown(r, index); {
					case err == raft.ErrLogNotFound && index <= 1500:
					case err != nil:
						t.Fatalf("reader %d, entry %d: %v", i, index, err)
					default:
						found++
					}
				}
				t.Logf("reader %d found %d entries", i, found)
				must(t, r.Close())
			}
			must(t, s.Close())
		})
	}
}

// A segment is full and has no index yet when a read-only store is opened. Then some of its entries are deleted, and its index
// is written, without them. They are not found; that is no damage.
func TestReadOnlyWhileASegmentIsFinished(t *testing.T) {
	mem := vfs.NewMem()
	l := newTestLog(t, mem, 4)
	l.fill(10, 1000)
	mem.SetHook(func(c *vfs.Call) error {
		if c.Op == vfs.OpCreate {
			return syscall.ENOSPC // the background stops at the next segment
		}
		return nil
	})
	full := l.j.tail
	l.rotate()
	if full.rw == nil {
		t.Fatal("the index is written already")
	}
	before := l.model.Clone()
	r, err := OpenReadOnly(dataDir, memOptions(mem))
	must(t, err)
	l.remove(3, 7)
	mem.SetHook(nil)
	l.fill(1, 10)
	if full.rw != nil {
		t.Fatal("the index is not written")
	}
	for _, index := range before.Indexes() {
		var got raft.Log
		switch err := r.GetLog(index, &got); {
		case err == raft.ErrLogNotFound && l.model.Logs[index] == nil:
		case err != nil:
			t.Errorf("entry %d: %v", index, err)
		default:
			must(t, oracle.DiffEntry(before.Logs[index], &got))
		}
	}
	must(t, r.Close())
	l.check()
}

// A read-only store takes no lock, writes no byte and makes no file; stable values go to memory.
func TestReadOnlyWritesNothing(t *testing.T) {
	dir := t.TempDir()
	opts := &Options{SegmentBytes: 1, inline: true}
	s, err := Open(dir, opts)
	must(t, err)
	for first := uint64(1); first <= 2000; first += 50 {
		must(t, s.StoreLogs(knownEntries(first, 50)))
	}
	must(t, s.Set([]byte("a"), []byte("1")))
	must(t, s.Set([]byte("b"), []byte("2")))
	use := func() {
		t.Helper()
		before := namesIn(t, dir)
		r, err := OpenReadOnly(dir, opts)
		must(t, err)
		second, err := OpenReadOnly(dir, opts)
		must(t, err)
		for index := uint64(1); index <= 2000; index++ {
			must(t, readKnown(r, index))
		}
		must(t, r.StageCommitIndex(5))
		for name, err := range map[string]error{
			"StoreLog":    r.StoreLog(knownEntry(2001)),
			"StoreLogs":   r.StoreLogs(knownEntries(1, 2)),
			"DeleteRange": r.DeleteRange(1, 2),
		} {
			if err != ballast.ErrReadOnly {
				t.Errorf("%s: %v", name, err)
			}
		}
		must(t, r.Set([]byte("b"), []byte("3")))
		must(t, r.SetUint64([]byte("c"), 4))
		for key, want := range map[string]string{"a": "1", "b": "3", "c": "\x00\x00\x00\x00\x00\x00\x00\x04"} {
			if value, err := r.Get([]byte(key)); err != nil || string(value) != want {
				t.Errorf("%s is %q, %v", key, value, err)
			}
		}
		if keys, err := r.StableKeys(); err != nil || fmt.Sprintf("%s", keys) != "[a b c]" {
			t.Errorf("the keys are %s, %v", keys, err)
		}
		if value, err := second.Get([]byte("b")); err != nil || string(value) != "2" {
			t.Errorf("what one store took into memory another one sees: %q, %v", value, err)
		}
		must(t, errors.Join(r.Close(), r.Close(), second.Close()))
		if err := r.GetLog(1, new(raft.Log)); err != ballast.ErrClosed {
			t.Errorf("GetLog after Close: %v", err)
		}
		if names := diffNames(before, namesIn(t, dir)); names != nil {
			t.Errorf("reading has changed %v", names)
		}
	}
	use() // while the log is open
	must(t, s.Close())
	use() // and when it is closed
	r, err := OpenReadOnly(dir, opts)
	must(t, err)
	s, err = Open(dir, opts) // a reader locks nobody out
	must(t, err)
	must(t, errors.Join(s.StoreLog(knownEntry(2001)), s.Close(), r.Close()))
}

// Without a log there is nothing to read, and nothing is made.
func TestReadOnlyWithoutALog(t *testing.T) {
	dir := t.TempDir()
	missing := filepath.Join(dir, "missing")
	for _, dir := range []string{dir, missing} {
		if s, err := OpenReadOnly(dir, nil); s != nil || !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", dir, err)
		}
	}
	if names, err := vfs.OS.List(dir); err != nil || len(names) != 0 {
		t.Errorf("there is %v, %v", names, err)
	}
	lock, err := vfs.OS.Lock(filepath.Join(dir, engine.LockName))
	must(t, err)
	if s, err := OpenReadOnly(dir, nil); s != nil || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a folder with a lock only: %v", err)
	}
	must(t, lock.Close())
	s, err := Open(dir, nil)
	must(t, err)
	must(t, s.Close())
	s, err = OpenReadOnly(dir, nil)
	must(t, err)
	if last, err := s.LastIndex(); last != 0 || err != nil {
		t.Errorf("an empty log ends with %d, %v", last, err)
	}
	must(t, s.Close())
}

// heapBytes returns how much of the heap is in use.
func heapBytes() int64 {
	for range 3 { // what a pool holds survives two
		runtime.GC()
	}
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

// A million entries take at most 6 bytes of heap each, while they are written, when opened again, and after all of them
// were read.
func TestMemoryForEachEntry(t *testing.T) {
	const n, batch = 1_000_000, 5000
	dir := t.TempDir()
	opts := &Options{SegmentBytes: 16 << 20, CacheBytes: 1, inline: true}
	logs := make([]*raft.Log, batch)
	for i := range logs {
		logs[i] = oracle.EntryOf(0, []byte("tiny"))
	}
	before := heapBytes()
	check := func(when string) {
		t.Helper()
		used := heapBytes() - before
		t.Logf("%s: %.2f bytes for each entry, with a cache of 1 MiB", when, float64(used)/n)
		if used > 6*n {
			t.Errorf("%s: %d bytes for %d entries", when, used, n)
		}
	}
	s, err := Open(dir, opts)
	must(t, err)
	for first := uint64(1); first <= n; first += batch {
		for i, l := range logs {
			l.Index = first + uint64(i)
		}
		must(t, s.StoreLogs(logs))
	}
	check("written")
	must(t, s.Close())
	s, err = Open(dir, opts)
	must(t, err)
	check("opened")
	var l raft.Log
	for index := uint64(1); index <= n; index++ {
		if err := s.GetLog(index, &l); err != nil || l.Index != index {
			t.Fatalf("GetLog(%d): %v", index, err)
		}
	}
	check("read")
	must(t, s.Close())
	runtime.KeepAlive(s)
	runtime.KeepAlive(logs)
}

// The files that are open are bounded however many segments there are.
func TestOpenFilesAreBounded(t *testing.T) {
	if openFiles() < 0 {
		t.Skip("the open files of a process cannot be listed here")
	}
	for _, limit := range []int{1, 4, 16} {
		dir, rng := t.TempDir(), oracle.Random(20)
		before := openFiles()
		s, err := Open(dir, &Options{SegmentBytes: 1, CacheBytes: 1, MaxOpenFiles: limit, inline: true})
		must(t, err)
		for first := uint64(1); first <= 2000; first += 20 {
			must(t, s.StoreLogs(oracle.Entries(rng, first, 20, 10<<10)))
		}
		most := 0
		for range 2000 {
			must(t, s.GetLog(1+rng.Uint64N(2000), new(raft.Log)))
			most = max(most, openFiles()-before)
		}
		// The lock, and two descriptors for each of the tail and the next segment.
		if most > limit+6 {
			t.Errorf("%d files are open, MaxOpenFiles is %d", most, limit)
		}
		t.Logf("MaxOpenFiles %d, %d segments: at most %d files", limit, s.Stats().Segments, most)
		must(t, s.Close())
		if now := openFiles(); now != before {
			t.Errorf("%d files were open before, %d after Close", before, now)
		}
	}
}

// underRace reports whether the race detector runs, which lets pools forget at random.
func underRace() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}

// A store that runs steadily allocates nothing for a write, and only what the caller keeps for a read.
func TestAllocations(t *testing.T) {
	if underRace() {
		t.Skip("the race detector allocates")
	}
	t.Run("alone", func(t *testing.T) { checkAllocations(t, &Options{SegmentBytes: 8 << 20}) })
	t.Run("observed", func(t *testing.T) {
		checkAllocations(t, &Options{SegmentBytes: 8 << 20, Metrics: new(countingSink), OnStall: func(ballast.Stall) {}})
	})
}

func checkAllocations(t *testing.T, opts *Options) {
	s, err := Open(t.TempDir(), opts)
	must(t, err)
	next := uint64(1)
	for _, n := range []int{1, 64} {
		logs := oracle.Entries(oracle.Random(21), 1, n, 128)
		write := func() {
			for _, l := range logs {
				l.Index = next
				next++
			}
			if err := s.StoreLogs(logs); err != nil {
				t.Error(err)
			}
		}
		for range 100 {
			write()
		}
		if allocs := testing.AllocsPerRun(300, write); allocs != 0 {
			t.Errorf("StoreLogs of %d entries allocates %v times", n, allocs)
		}
	}
	key := []byte("key")
	t.Logf("SetUint64 allocates %v times", testing.AllocsPerRun(100, func() { must(t, s.SetUint64(key, next)) }))
	plain, extended := oracle.EntryOf(next, []byte("data")), oracle.EntryOf(next+1, []byte("data"))
	extended.Extensions = []byte("extensions")
	must(t, s.StoreLogs([]*raft.Log{plain, extended}))
	for index, want := range map[uint64]float64{next: 1, next + 1: 2} {
		var l raft.Log
		if allocs := testing.AllocsPerRun(1000, func() { must(t, s.GetLog(index, &l)) }); allocs != want {
			t.Errorf("GetLog allocates %v times, should be %v", allocs, want)
		}
	}
	must(t, s.Close())
}
