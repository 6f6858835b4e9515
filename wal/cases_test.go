package wal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/oracle"
	"github.com/raft-ballast/ballast/internal/vfs"
)

// An entry above the limit is refused with all of its batch, and nothing of it is seen, now or later.
func TestEntryAboveTheLimit(t *testing.T) {
	mem := vfs.NewMem()
	opts := memOptions(mem)
	opts.MaxEntryBytes = 1000
	s, err := Open(dataDir, opts)
	must(t, err)
	m := oracle.NewModel()
	sized := func(index uint64, data, extensions int) *raft.Log {
		l := oracle.EntryOf(index, make([]byte, data))
		l.Extensions = make([]byte, extensions)
		return l
	}
	fits := []*raft.Log{sized(1, 1000, 0), sized(2, 0, 1000), sized(3, 500, 500)}
	must(t, s.StoreLogs(fits))
	m.Put(fits, 0)
	frames := s.Stats().Frames
	for _, large := range []*raft.Log{sized(5, 1001, 0), sized(5, 0, 1001), sized(5, 501, 500)} {
		must(t, s.StageCommitIndex(3))
		err := s.StoreLogs([]*raft.Log{sized(3, 1, 1), sized(4, 1, 1), large, sized(6, 1, 1)})
		e, ok := errors.AsType[*ballast.EntryTooLargeError](err)
		if !ok || *e != (ballast.EntryTooLargeError{Index: 5, Bytes: 1001, Limit: 1000}) {
			t.Errorf("StoreLogs: %v", err)
		}
		if err := s.StoreLog(large); !errors.Is(err, ballast.ErrEntryTooLarge) {
			t.Errorf("StoreLog: %v", err)
		}
	}
	for _, n := range []int{997, 2000} {
		if err := s.Set([]byte("four"), make([]byte, n)); !errors.Is(err, ballast.ErrEntryTooLarge) {
			t.Errorf("Set of %d bytes: %v", 4+n, err)
		}
	}
	if now := s.Stats().Frames; now != frames {
		t.Errorf("what was refused took %d frames", now-frames)
	}
	must(t, check(m, s))
	m.Stable["four"] = make([]byte, 996)
	must(t, s.Set([]byte("four"), m.Stable["four"]))
	must(t, s.Close())
	checkReopened(t, m, mem)
}

// largeEntry returns an entry of n bytes of noise.
func largeEntry(rng *rand.Rand, index uint64, n int) *raft.Log {
	l := oracle.EntryOf(index, make([]byte, n))
	for i := 0; i+8 <= n; i += 8 {
		binary.LittleEndian.PutUint64(l.Data[i:], rng.Uint64())
	}
	return l
}

// Batches and entries that are larger than a segment get one of their own, the log goes on behind them, and
// their space comes back.
func TestLargeBatchAndLargeEntry(t *testing.T) {
	for _, c := range []struct {
		name string
		opts Options
		dir  string
	}{
		{"segments of 1 MiB on disk", Options{SegmentBytes: 1, CacheBytes: 1}, t.TempDir()},
		{"segments of 64 MiB in memory", Options{fs: vfs.NewMem()}, dataDir},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.opts.inline = true
			rng, m := oracle.Random(11), oracle.NewModel()
			var s *Store
			open := func() {
				t.Helper()
				var err error
				s, err = Open(c.dir, &c.opts)
				must(t, err)
			}
			store := func(logs ...*raft.Log) {
				t.Helper()
				must(t, s.StoreLogs(logs))
				m.Put(logs, 0)
			}
			open()
			store(oracle.EntryOf(1, []byte("small")))
			var batch []*raft.Log
			for i := range uint64(65) {
				batch = append(batch, largeEntry(rng, 2+i, 1<<20))
			}
			store(batch...)
			store(oracle.EntryOf(67, []byte("small")))
			store(largeEntry(rng, 68, 64<<20))
			store(oracle.EntryOf(69, []byte("small")))
			must(t, check(m, s))
			must(t, s.Close())
			open()
			must(t, check(m, s))
			if err := s.StoreLog(oracle.EntryOf(70, make([]byte, 64<<20+1))); !errors.Is(err, ballast.ErrEntryTooLarge) {
				t.Errorf("an entry of 64 MiB and a byte: %v", err)
			}
			full := s.Stats()
			for i, tail := uint64(70), s.j.tail.number; s.j.tail.number == tail; i++ { // until the large segment is full
				store(largeEntry(rng, i, 30<<10))
			}
			last := m.Last()
			must(t, s.DeleteRange(1, last-1))
			m.Delete(1, last-1)
			if st := s.Stats(); st.DiskBytes > 2*s.j.opts.SegmentBytes {
				t.Errorf("%d bytes are live, %d are on the disk", st.LiveBytes, st.DiskBytes)
			}
			t.Logf("on disk: %d KiB with the large entries, %d KiB without", full.DiskBytes>>10, s.Stats().DiskBytes>>10)
			must(t, s.Close())
			open()
			must(t, check(m, s))
			must(t, s.Close())
		})
	}
}

// slackBytes is what headers and indexes of a few segments take.
const slackBytes = 128 << 10

// Stable values larger than a segment are part of each checkpoint; the log goes on all the same.
func TestStableValuesLargerThanASegment(t *testing.T) {
	l := newTestLog(t, vfs.NewMem(), 12)
	for i := range 5 {
		l.set(fmt.Sprint("key ", i), string(oracle.Bytes(l.rng, 700<<10)))
		l.fill(3, 1000)
	}
	for range 10 {
		l.fill(4, 60<<10)
		l.close()
		l.open()
		l.check()
	}
	for i := range 5 {
		l.set(fmt.Sprint("key ", i), "")
	}
	l.rotate()
	l.rotate()
	l.abandon()
	l.open()
	l.check()
}

// What is deleted is gone at once, after a clean opening, and after one that reads all of the tail.
func TestDeletedEntriesAreGone(t *testing.T) {
	l := newTestLog(t, vfs.NewMem(), 13)
	check := func() {
		t.Helper()
		l.check()
		l.close()
		l.open()
		l.check()
		l.fill(1, 10)
		l.abandon()
		l.open()
		l.check()
	}
	// All within the tail.
	l.fill(100, 50)
	for _, r := range [][2]uint64{
		{1, 10},          // a prefix
		{95, 100},        // a suffix
		{50, 55},         // the middle
		{20, 20},         // one entry
		{0, 15},          // also what is not there
		{90, 1000},       // and behind the end
		{45, 60},         // around a hole
		{7, 7}, {30, 29}, // nothing
		{0, 0}, {101, math.MaxUint64},
	} {
		l.remove(r[0], r[1])
		check()
	}
	// Over several segments.
	for range 4 {
		l.rotate()
	}
	first, last := l.model.First(), l.model.Last()
	quarter := (last - first) / 4
	for _, r := range [][2]uint64{{last - 3, last}, {first, first + quarter}, {first + 2*quarter, first + 3*quarter}} {
		l.remove(r[0], r[1])
		check()
	}
	l.remove(0, math.MaxUint64)
	check()
}

// Raft cuts a suffix off for each conflict. Ten thousand of them take no more space than one.
func TestManySuffixDeletions(t *testing.T) {
	const n = 10_000
	t.Run("each behind an append", func(t *testing.T) {
		mem := vfs.NewMem()
		l := newTestLog(t, mem, 14)
		l.fill(10, 100)
		most := int64(0)
		for range n {
			must(t, l.StoreLog(oracle.EntryOf(11, make([]byte, 200))))
			must(t, l.DeleteRange(11, 11))
			most = max(most, mem.Usage())
		}
		l.check()
		bounded(t, l, most)
	})
	t.Run("one after the other", func(t *testing.T) {
		mem := vfs.NewMem()
		l := newTestLog(t, mem, 15)
		for range n / 100 {
			l.fill(100, 20)
		}
		most := int64(0)
		for last := l.model.Last(); last > 5; last-- {
			must(t, l.DeleteRange(last, last))
			most = max(most, mem.Usage())
		}
		l.model.Delete(6, math.MaxUint64)
		l.check()
		bounded(t, l, most)
	})
}

// bounded reports a log with almost nothing live in it that took more than two segments, and opens it again.
func bounded(t *testing.T, l *testLog, most int64) {
	t.Helper()
	if limit := int64(2*minSegmentBytes + 1<<20 + slackBytes); most > limit { // what the first entries are in, too
		t.Errorf("%d bytes were on the disk, should be at most %d", most, limit)
	}
	st := l.Stats()
	t.Logf("at most %d KiB on the disk, %d frames, tail %d, %d segments recycled", most>>10, st.Frames, l.j.tail.number, st.Recycled)
	l.close()
	l.open()
	l.check()
}

// After everything was deleted a log starts anywhere.
func TestStartsAnywhereWhenEmpty(t *testing.T) {
	l := newTestLog(t, vfs.NewMem(), 16)
	for _, start := range []uint64{1, 1000, 500, math.MaxUint64 - 50, 1, 2, 1 << 40, 1} {
		logs := oracle.Entries(l.rng, start, 50, 30<<10) // more than a segment
		must(t, l.StoreLogs(logs))
		l.model.Put(logs, 0)
		l.check()
		l.close()
		l.open()
		l.check()
		l.remove(l.model.First(), l.model.Last())
		l.check()
		l.abandon()
		l.open()
		l.check()
	}
}

// Gaps, overwrites in the middle and entries below the first one, each followed by an opening.
func TestGapsAndOverwrites(t *testing.T) {
	l := newTestLog(t, vfs.NewMem(), 17)
	put := func(first uint64, n, size int) {
		t.Helper()
		logs := oracle.Entries(l.rng, first, n, size)
		must(t, l.StoreLogs(logs))
		l.model.Put(logs, 0)
		l.check()
	}
	put(100, 100, 4<<10)
	put(10_000, 100, 4<<10) // a gap, as after a snapshot
	put(120, 10, 100)       // the middle of what is there
	put(190, 20, 100)       // the end of a range, and behind it
	put(90, 20, 100)        // below the first, and over it
	put(9_999, 1, 100)
	l.close()
	l.open()
	l.check()
	l.rotate()
	put(105, 50, 10<<10) // in another segment than what they replace
	put(1, 300, 100)     // all of the first range
	l.rotate()
	l.abandon()
	l.open()
	l.check()
	put(300, 9_800, 10) // the gap
	l.remove(5, 9_000)
	l.check()
	l.close()
	l.open()
	l.check()

	// Within a batch the last one of an index wins, in whatever order they come.
	logs := slices.Concat(oracle.Entries(l.rng, 50_000, 10, 50), oracle.Entries(l.rng, 50_005, 10, 60),
		oracle.Entries(l.rng, 49_990, 20, 70), oracle.Entries(l.rng, 50_000, 1, 80), oracle.Entries(l.rng, 50_000, 1, 90))
	must(t, l.StoreLogs(logs))
	l.model.Put(logs, 0)
	l.check()
	l.abandon()
	l.open()
	l.check()
}

// indexModel is what an index should say.
type indexModel struct {
	at     map[uint64]indexPlace
	stored map[*segment]int64
}

type indexPlace struct {
	seg *segment
	placed
}

func (m *indexModel) check(g *group, segs []*segment) error {
	live, units := make(map[*segment]int64), make(map[*segment]int64)
	took := make(map[*segment]int64)
	for _, at := range m.at {
		took[at.seg] += int64(at.size) << 3
	}
	last := uint64(0)
	for i, r := range g.runs {
		if r.first <= last || r.last < r.first {
			return fmt.Errorf("run %d is %d to %d, behind %d", i, r.first, r.last, last)
		}
		last = r.last
		if r.offs != nil && len(r.offs) != int(r.count()) {
			return fmt.Errorf("run %d has %d offsets for %d entries", i, len(r.offs), r.count())
		}
		live[r.seg] += r.count()
		units[r.seg] += int64(r.units)
	}
	for i, seg := range segs {
		if seg.bytes != units[seg]<<3 {
			return fmt.Errorf("segment %d: %d bytes live, its runs have %d", i, seg.bytes, units[seg]<<3)
		}
		if wrong := max(seg.bytes-took[seg], took[seg]-seg.bytes); wrong > seg.doubt {
			return fmt.Errorf("segment %d: %d bytes are live, it says %d, with %d in doubt",
				i, took[seg], seg.bytes, seg.doubt)
		}
		if seg.live != live[seg] || seg.stored != m.stored[seg] {
			return fmt.Errorf("segment %d: %d live of %d, should be %d of %d", i, seg.live, seg.stored, live[seg], m.stored[seg])
		}
	}
	return nil
}

// find compares what the index says of each index up to last.
func (m *indexModel) find(g *group, last uint64) error {
	for index := range last + 1 {
		r, want := g.find(index), m.at[index]
		switch {
		case r == nil && want.seg == nil:
		case r == nil || r.seg != want.seg:
			return fmt.Errorf("entry %d is said to be in %+v, should be in %p", index, r, want.seg)
		case r.offset(index-r.first) != int64(want.off)<<3:
			return fmt.Errorf("entry %d is said to be at %d, should be at %d", index, r.offset(index-r.first), int64(want.off)<<3)
		}
	}
	return nil
}

// The index beside a map, through random puts and deletions, and segments that are finished.
func TestIndexBesideAMap(t *testing.T) {
	const most = 600
	for seed := range uint64(20) {
		rng, g := oracle.Random(seed), newGroup(0)
		m := &indexModel{at: make(map[uint64]indexPlace), stored: make(map[*segment]int64)}
		segs, off := []*segment{new(segment)}, uint32(0)
		for step := range 1500 {
			tail := segs[len(segs)-1]
			switch k := rng.IntN(20); {
			case k < 12: // mostly appends
				first := g.last() + 1
				if k < 4 {
					first = 1 + rng.Uint64N(most-100)
				}
				spots := make([]placed, 1+rng.IntN(20))
				if first > most-100 {
					g.remove(0, most)
					clear(m.at)
					first = 1
				}
				for i := range spots {
					// Others lie between; now and then they are too far apart to be packed.
					off += uint32(rng.IntN(2) * rng.IntN(1<<(4*rng.IntN(4))))
					spots[i] = placed{off, leastUnits + uint32(rng.IntN(1<<(4*rng.IntN(4))))}
					off += spots[i].size
					m.at[first+uint64(i)] = indexPlace{tail, spots[i]}
				}
				tail.end = int64(off) << 3
				m.stored[tail] += int64(len(spots))
				g.put(first, tail, spots)
			case k < 17:
				low := rng.Uint64N(most)
				high := low + rng.Uint64N(1<<rng.IntN(9))
				g.remove(low, high)
				for index := low; index <= high; index++ {
					delete(m.at, index)
				}
			default:
				for i := range g.runs {
					if g.runs[i].seg == tail {
						g.runs[i].pack()
					}
				}
				segs, off = append(segs, new(segment)), 0
			}
			if err := m.check(g, segs); err != nil {
				t.Fatalf("seed %d, step %d: %v", seed, step, err)
			}
			if step%20 == 0 {
				if err := m.find(g, most); err != nil {
					t.Fatalf("seed %d, step %d: %v", seed, step, err)
				}
			}
		}
	}
}

// diskUsage returns what the files in a folder take.
func diskUsage(t testing.TB, fsys vfs.FS, dir string) (total int64) {
	t.Helper()
	names, err := fsys.List(dir)
	must(t, err)
	for _, name := range names {
		n, err := fsys.DiskUsage(filepath.Join(dir, name))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		total += n
	}
	return total
}

func TestEmptyStoreIsSmall(t *testing.T) {
	dir := t.TempDir()
	for _, opts := range []*Options{nil, {SegmentBytes: 1}, {SegmentBytes: 1 << 30}} {
		s, err := Open(dir, opts)
		must(t, err)
		must(t, s.SetUint64([]byte("CurrentTerm"), 1))
		open, said := diskUsage(t, vfs.OS, dir), s.Stats().DiskBytes
		must(t, s.Close())
		closed := diskUsage(t, vfs.OS, dir)
		if open > 2<<20 || closed > 2<<20 {
			t.Errorf("an empty store takes %d bytes while it is open and %d closed", open, closed)
		}
		t.Logf("%d KiB open (Stats says %d KiB), %d KiB closed", open>>10, said>>10, closed>>10)
	}
}

// After a truncation the space goes back to the file system, but for the segments that hold something live, the tail
// and the prepared one.
func TestSpaceComesBack(t *testing.T) {
	dir := t.TempDir()
	opts := &Options{SegmentBytes: 1, inline: true}
	s, err := Open(dir, opts)
	must(t, err)
	rng, next := oracle.Random(18), uint64(1)
	for ; next <= 8000; next += 16 {
		must(t, s.StoreLogs(oracle.Entries(rng, next, 16, 2<<10)))
	}
	check := func(what string) {
		t.Helper()
		st, usage := s.Stats(), diskUsage(t, vfs.OS, dir)
		if limit := int64(st.Segments+1)*s.j.opts.SegmentBytes + slackBytes; usage > limit {
			t.Errorf("%s: %d bytes on the disk, should be at most %d", what, usage, limit)
		}
		if st.DiskBytes > usage {
			t.Errorf("%s: Stats says %d bytes on the disk, there are %d", what, st.DiskBytes, usage)
		}
		t.Logf("%s: %d entries in %d segments, %d KiB live, %d KiB on the disk",
			what, st.Entries, st.Segments, st.LiveBytes>>10, usage>>10)
	}
	check("full")
	for _, last := range []uint64{900, 2000, 5000, 7000} {
		must(t, s.DeleteRange(0, last))
		check(fmt.Sprint("up to ", last))
	}
	must(t, s.DeleteRange(7500, 8000))
	check("without its end")
	must(t, s.Close())
	s, err = Open(dir, opts)
	must(t, err)
	check("opened again")
	must(t, s.DeleteRange(0, math.MaxUint64))
	check("nothing")
	if n := s.Stats().Segments; n != 1 {
		t.Errorf("a log without an entry has %d segments", n)
	}
	must(t, s.Close())
}

// A log that is written and compacted all the time uses its segments again and makes no new ones.
func TestSegmentsAreUsedAgain(t *testing.T) {
	mem := vfs.NewMem()
	l := newTestLog(t, mem, 19)
	for range 1500 {
		l.fill(8, 4<<10)
		if last := l.model.Last(); last > 1000 {
			l.remove(1, last-500)
		}
	}
	l.check()
	st := l.Stats()
	t.Logf("%d segments were written, %d used again, %d KiB on the disk", l.j.tail.number, st.Recycled, st.DiskBytes>>10)
	if int(st.Recycled) < int(l.j.tail.number)*3/4 {
		t.Errorf("%d of %d segments were used again", st.Recycled, l.j.tail.number)
	}
	if limit := st.LiveBytes + 3*l.j.opts.SegmentBytes; st.DiskBytes > limit {
		t.Errorf("%d bytes on the disk, should be at most %d", st.DiskBytes, limit)
	}
}

// slowWrites holds the first write of a frame up until as many calls wait behind it as are asked for, and notes the
// length of each frame's write.
type slowWrites struct {
	mem  *vfs.Mem
	mu   sync.Mutex
	path string // of the log's tail; the background writes elsewhere
	lens []int64
	hold func() // called during the next write, then forgotten
}

func newSlowWrites() *slowWrites {
	w := &slowWrites{mem: vfs.NewMem()}
	w.mem.SetHook(func(c *vfs.Call) error {
		w.mu.Lock()
		if c.Op != vfs.OpWrite || c.Path != w.path {
			w.mu.Unlock()
			return nil
		}
		hold := w.hold
		w.hold = nil
		w.lens = append(w.lens, c.Len)
		w.mu.Unlock()
		if hold != nil {
			hold()
		}
		return nil
	})
	return w
}

// untilWaiting returns when n calls wait for the one that writes.
func untilWaiting(s *Store, n int) {
	for {
		s.j.queue.mu.Lock()
		waiting := len(s.j.queue.waiting)
		s.j.queue.mu.Unlock()
		if waiting >= n {
			return
		}
		runtime.Gosched()
	}
}

// open opens a log whose tail has room for so many bytes and is zero up to its end.
func (w *slowWrites) open(t *testing.T, room int64) *Store {
	t.Helper()
	opts := memOptions(w.mem)
	opts.SegmentBytes = 3 * room
	s, err := Open(dataDir, opts)
	must(t, err)
	must(t, s.StoreLog(oracle.EntryOf(1, make([]byte, room*3/2))))
	if tail := s.j.tail; tail.zeroed.Load() != tail.size {
		t.Fatalf("the tail is zero up to %d of %d", tail.zeroed.Load(), tail.size)
	}
	w.path = s.j.tail.path
	return s
}

// Calls that come while another one writes share the next frame, and each is durable when it returns.
func TestCallsShareFrames(t *testing.T) {
	const calls = 60
	w := newSlowWrites()
	s := w.open(t, 1<<20)
	before := s.Stats()
	w.hold = func() { untilWaiting(s, calls-1) }
	var wg sync.WaitGroup
	for i := range calls {
		index := uint64(100 + i)
		key := []byte(fmt.Sprint("key ", i))
		call := func() error { return s.StoreLog(oracle.EntryOf(index, key)) }
		durable := func(c *Store) error {
			var l raft.Log
			return errors.Join(c.GetLog(index, &l), oracle.DiffEntry(oracle.EntryOf(index, key), &l))
		}
		if i%3 == 1 {
			call = func() error { return s.Set(key, key) }
			durable = func(c *Store) error {
				value, err := c.Get(key)
				if err == nil && !bytes.Equal(value, key) {
					err = fmt.Errorf("the value of %s is %q", key, value)
				}
				return err
			}
		}
		wg.Go(func() {
			if err := call(); err != nil {
				t.Error(err)
				return
			}
			cut := w.mem.Crash(uint64(i))
			c, err := Open(dataDir, memOptions(cut))
			if err == nil {
				err = errors.Join(durable(c), c.Close())
			}
			if err != nil {
				t.Errorf("call %d was acknowledged, and after a power cut: %v", i, err)
			}
		})
	}
	wg.Wait()
	st := s.Stats()
	if frames := st.Frames - before.Frames; frames != 2 || st.Calls-before.Calls != calls || len(w.lens) != 2 {
		t.Errorf("%d calls took %d frames and %d writes, should be 2", st.Calls-before.Calls, frames, len(w.lens))
	}
	must(t, s.Close())
}

// What waits is written in frames of bounded size, so nobody waits for more than that.
func TestSharedFramesAreBounded(t *testing.T) {
	const calls, size = 20, 1 << 20
	w := newSlowWrites()
	s := w.open(t, 25<<20)
	before := s.Stats()
	w.hold = func() { untilWaiting(s, calls-1) }
	var wg sync.WaitGroup
	for i := range calls {
		wg.Go(func() {
			if err := s.StoreLog(oracle.EntryOf(uint64(100+i), make([]byte, size))); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	frames := s.Stats().Frames - before.Frames
	for _, n := range w.lens {
		if n > maxGroupBytes+2*size {
			t.Errorf("a write of %d bytes", n)
		}
	}
	if frames < 4 || frames > 7 {
		t.Errorf("%d calls of 1 MiB took %d frames", calls, frames)
	}
	t.Logf("%d calls of 1 MiB: frames of %d bytes", calls, w.lens)
	must(t, s.Close())
}

// With one caller each call is one write.
func TestOneCallerOneWrite(t *testing.T) {
	w := newSlowWrites()
	s := w.open(t, 4<<20)
	before := s.Stats()
	calls := 0
	do := func(err error) {
		t.Helper()
		must(t, err)
		if calls++; len(w.lens) != calls {
			t.Fatalf("%d calls took %d writes", calls, len(w.lens))
		}
	}
	for i := range uint64(100) {
		do(s.StoreLog(oracle.EntryOf(100+i, make([]byte, 100*i))))
		do(s.SetUint64([]byte("CurrentTerm"), i))
		must(t, s.StageCommitIndex(i)) // is written with the next entries
		do(s.DeleteRange(100+i, 100+i))
	}
	st := s.Stats()
	if st.Frames-before.Frames != uint64(calls) || st.Calls-before.Calls != uint64(calls) {
		t.Errorf("%d calls: before %+v, after %+v", calls, before, st)
	}
	must(t, s.Close())
}

// Many callers at once on a file system that takes its time: all of it is there afterwards, in fewer frames than
// calls.
func TestManyCallers(t *testing.T) {
	mem := vfs.NewMem()
	opts := memOptions(mem)
	opts.inline = false
	s, err := Open(dataDir, opts)
	must(t, err)
	var writes atomic.Int64
	mem.SetHook(func(c *vfs.Call) error {
		if c.Op == vfs.OpWrite {
			writes.Add(1)
			for range 20 {
				runtime.Gosched()
			}
		}
		return nil
	})
	m := oracle.NewModel()
	var wg sync.WaitGroup
	for g := range uint64(16) {
		logs := oracle.Entries(oracle.Random(g), 1+g*1000, 100, 300)
		m.Put(logs, 0)
		key := fmt.Sprint("key ", g)
		m.Stable[key] = fmt.Append(nil, 99)
		wg.Go(func() {
			for i, l := range logs {
				if err := errors.Join(s.StoreLog(l), s.Set([]byte(key), fmt.Append(nil, i))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	st := s.Stats()
	if st.Calls != 3200 || st.Frames >= st.Calls {
		t.Errorf("%d calls took %d frames", st.Calls, st.Frames)
	}
	t.Logf("%d calls took %d frames", st.Calls, st.Frames)
	must(t, check(m, s))
	must(t, s.Close())
	checkReopened(t, m, mem)
}
