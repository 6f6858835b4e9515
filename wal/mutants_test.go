package wal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"testing"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/oracle"
	"github.com/raft-ballast/ballast/internal/vfs"
)

// TestSharedFrameFails: calls that wait become one frame, and that cannot be written. Each of them is told, not only the
// one that writes for all, and nothing that they asked for is visible.
func TestSharedFrameFails(t *testing.T) {
	const calls = 9
	w := newSlowWrites()
	s := w.open(t, 1<<20)
	w.hold = func() {
		untilWaiting(s, calls)
		w.mem.SetHook(func(c *vfs.Call) error { // from the next write on
			if c.Op == vfs.OpWrite && c.Path == w.path {
				return syscall.EIO
			}
			return nil
		})
	}
	errs := make([]error, calls)
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := s.StoreLog(oracle.EntryOf(100, nil)); err != nil {
			t.Error(err)
		}
	})
	for leading := false; !leading; runtime.Gosched() {
		s.j.queue.mu.Lock()
		leading = s.j.queue.leading
		s.j.queue.mu.Unlock()
	}
	for i := range calls {
		wg.Go(func() {
			switch i % 3 {
			case 0:
				errs[i] = s.StoreLog(oracle.EntryOf(uint64(200+i), nil))
			case 1:
				errs[i] = s.Set(fmt.Append(nil, i), nil)
			case 2:
				errs[i] = s.DeleteRange(1, 1)
			}
		})
	}
	wg.Wait()
	for i, err := range errs {
		if !errors.Is(err, syscall.EIO) {
			t.Errorf("call %d returns %v, and its frame was not written", i, err)
		}
	}
	got, err := oracle.Read(s)
	must(t, err)
	if indexes := got.Indexes(); !slices.Equal(indexes, []uint64{1, 100}) || len(got.Stable) != 0 {
		t.Errorf("none of it was written, and there is %s with %d values", got, len(got.Stable))
	}
	_ = s.Close() // a log that failed
}

// TestGroupsAreApart: two raft groups in one log have entries of the same indexes and values of the same keys. What one does
// leaves the other as it is, whatever the log is opened from: its frames, a checkpoint, or the indexes of older segments.
func TestGroupsAreApart(t *testing.T) {
	l := newTestLog(t, vfs.NewMem(), 1)
	other := l.inGroup(7)
	check := func() {
		t.Helper()
		l.check()
		other.check()
	}
	reopen := func(leave func()) {
		t.Helper()
		leave()
		l.open()
		other.Store = l.inGroup(7).Store
		check()
	}
	fill := func() {
		t.Helper()
		for i := range uint64(3) {
			first := l.model.Last()
			l.put(first+1, oracle.EntryOf(first+1, []byte("of group 0")))
			other.put(first+2, oracle.EntryOf(first+1, []byte("of group 7")), oracle.EntryOf(first+2, nil))
			l.put(first, oracle.EntryOf(first+2, nil))
			l.set("CurrentTerm", fmt.Sprint(first))
			other.set("CurrentTerm", fmt.Sprint(i))
		}
		other.remove(other.model.Last(), other.model.Last())
		l.remove(l.model.First(), l.model.First())
		check()
	}
	fill()
	reopen(l.abandon)
	fill()
	reopen(l.close)
	fill()
	l.rotate()
	reopen(l.abandon)
	fill()
	l.rotate()
	reopen(l.close)
	other.remove(0, other.model.Last())
	reopen(l.abandon)
}

// TestFailedZeros: a segment is used again, and the zeros that are to be written over what it held are not. Blocks like these
// may not be taken for zero: then a frame that the power cuts off would seem to be damaged.
func TestFailedZeros(t *testing.T) {
	mem := vfs.NewMem()
	l := newTestLog(t, mem, 1)
	l.rotate()
	l.rotate()
	failures := 0
	mem.SetHook(func(c *vfs.Call) error {
		if c.Op != vfs.OpWrite || filepath.Base(c.Path) != nextName || c.Off < framesOffset {
			return nil
		}
		failures++
		return syscall.EIO
	})
	l.remove(1, l.model.Last()-1)
	mem.SetHook(nil)
	if failures == 0 {
		t.Fatal("nothing was used again")
	}
	var cuts []*vfs.Mem
	for range 2 {
		l.rotate()
		for range 4 {
			before := l.model.Clone()
			cuts = cuts[:0]
			mem.SetHook(func(c *vfs.Call) error {
				if c.Path == l.j.tail.path {
					cuts = append(cuts, c.Cut())
				}
				return nil
			})
			l.fill(4, 20<<10)
			mem.SetHook(nil)
			for i, cut := range cuts {
				for seed := range uint64(4) {
					checkEither(t, cut.Crash(4*uint64(i)+seed), before, l.model)
				}
			}
		}
	}
}

// TestCutFirstFrame: the power is cut during the first frame of a segment, then at each step of the opening that makes the segment
// anew, which still has what there is of that frame in it, and then during the first frame again.
func TestCutFirstFrame(t *testing.T) {
	whole := vfs.NewMem()
	l := newTestLog(t, whole, 1)
	l.rotate()
	before, cut := l.cutFirstFrame()
	left := cut.Crash(0) // all of the frame but the sector of its header
	data := whole.ReadFile(l.j.tail.path)
	clear(data[framesOffset:][:sectorBytes])
	left.WriteFile(l.j.tail.path, data)
	for _, mem := range []*vfs.Mem{left, cut.Crash(1), cut.Crash(2)} {
		checkRecovery(t, mem.Clone(), before, l.model)
		again := &testLog{t: t, fs: mem, rng: oracle.Random(1), model: before.Clone()}
		again.open()
		again.check()
		last, second := again.cutFirstFrame()
		for seed := range uint64(4) {
			checkEither(t, second.Crash(seed), last, again.model)
		}
	}
}

// cutFirstFrame appends until the log goes on in the next segment, and cuts the power during that segment's first frame, in a
// copy. It returns what there was before.
func (l *testLog) cutFirstFrame() (before *model, cut *vfs.Mem) {
	l.t.Helper()
	mem := l.fs.(*vfs.Mem)
	next := segmentPath(dataDir, l.j.tail.number+1)
	mem.SetHook(func(c *vfs.Call) error {
		if c.Op == vfs.OpWrite && c.Path == next && c.Off == framesOffset {
			cut = c.Cut()
		}
		return nil
	})
	defer mem.SetHook(nil)
	l.fillUntil(func() bool {
		if cut == nil {
			before = l.model.Clone()
		}
		return cut != nil
	})
	return before, cut
}

// TestRemovedFileComesBack: a power cut gives a removed segment its name again. Nothing names it, and whoever opens the log removes it
// again.
func TestRemovedFileComesBack(t *testing.T) {
	for _, leave := range []func(*testLog){(*testLog).close, (*testLog).abandon} {
		mem := vfs.NewMem()
		l := newTestLog(t, mem, 1)
		path := l.j.tail.path
		l.rotate()
		data := mem.ReadFile(path)
		l.remove(1, l.model.Last()-1)
		l.rotate()
		if mem.ReadFile(path) != nil {
			t.Fatal("the segment was not removed")
		}
		leave(l)
		mem.WriteFile(path, data)
		l.open()
		l.check()
		if mem.ReadFile(path) != nil {
			t.Error("the segment came back to stay")
		}
	}
}

// TestPartOfARecord: the checksum of a record matches, and its parts do not fit in it.
func TestPartOfARecord(t *testing.T) {
	const seed, at = 7, framesOffset + frameHeaderBytes
	frame := encodeFrame([]record{{kind: recordSet, first: []byte("key"), second: []byte("value"), raw: 5}}, 1, seed, framesOffset)
	b := frame[frameHeaderBytes:][:recordLength(frame[frameHeaderBytes:])]
	for first := range uint32(len(b) + 8) {
		binary.LittleEndian.PutUint32(b[48:], first)
		sealRecord(b, seed, at)
		r, err := parseRecord(b, seed, at)
		if (err == nil) != (first == 3) || err == nil && string(r.first)+string(r.second) != "keyvalue" {
			t.Errorf("a first part of %d bytes: %q, %q, %v", first, r.first, r.second, err)
		}
	}
}

// TestFrameOutOfPlace: the checksum of a frame's header matches, and the frame cannot be that long, or is not the one that follows.
// That is damage, whoever made it.
func TestFrameOutOfPlace(t *testing.T) {
	mem := vfs.NewMem()
	l := newTestLog(t, mem, 1)
	l.fill(3, 100)
	l.fill(3, 100)
	seg, at := l.j.tail, l.j.writer.start
	l.abandon()
	whole := mem.ReadFile(seg.path)
	h, ok := parseFrameHeader(whole[at:], seg.seed, at, seg.size)
	if !ok {
		t.Fatal("there is no frame")
	}
	refused := func(h frameHeader) {
		t.Helper()
		data := bytes.Clone(whole)
		putFrameHeader(data[at:], h, seg.seed, at)
		mem.WriteFile(seg.path, data)
		s, err := Open(dataDir, memOptions(mem))
		if err == nil {
			err = s.Close()
		}
		if !errors.Is(err, ballast.ErrCorrupt) {
			t.Errorf("frame %d of %d bytes: %v", h.sequence, h.length, err)
		}
	}
	for _, length := range []int64{-8, 0, frameHeaderBytes - 8, h.length + 4, seg.size - at + 8, 1 << 40, math.MaxInt64 &^ 7, math.MinInt64} {
		other := h
		other.length = length
		refused(other)
	}
	for _, sequence := range []uint64{0, h.sequence - 1, h.sequence + 1, math.MaxUint64} {
		other := h
		other.sequence = sequence
		refused(other)
	}
}

// TestFolderSyncFailsOnce: the name of the next segment cannot be synced, and could be a moment later. That nobody tries: what a second
// sync says is not about the first one's names.
func TestFolderSyncFailsOnce(t *testing.T) {
	mem := vfs.NewMem()
	l := newTestLog(t, mem, 1)
	syncs := 0
	mem.SetHook(func(c *vfs.Call) error {
		if c.Op != vfs.OpSyncDir {
			return nil
		}
		if syncs++; syncs > 1 {
			return nil
		}
		return syscall.EIO
	})
	var err error
	for err == nil && l.j.tail.number < 4 {
		err = l.append(16, 4<<10)
	}
	if !errors.Is(err, syscall.EIO) || syncs != 1 {
		t.Errorf("the folder was synced %d times, and StoreLogs returns %v", syncs, err)
	}
	l.check()
	_ = l.Close() // a log that failed
	checkAfterCuts(t, l.model, mem)
}

// TestSegmentWithAReader: somebody reads from a segment while all that is live in it is deleted. Until the reader is done the file
// keeps what it holds and is neither used again nor removed.
func TestSegmentWithAReader(t *testing.T) {
	mem := vfs.NewMem()
	l := newTestLog(t, mem, 1)
	l.rotate()
	seg := l.j.segments[0]
	f, err := l.j.handles.pin(seg)
	must(t, err)
	before, now := make([]byte, seg.end), make([]byte, seg.end)
	must(t, readFull(seg, f, before, 0))
	l.remove(1, l.model.Last()-1)
	for range 2 {
		l.rotate()
		must(t, readFull(seg, f, now, 0))
		if !bytes.Equal(now, before) {
			t.Fatal("the segment was used again")
		}
	}
	l.j.handles.unpin(seg)
	l.rotate()
	if mem.ReadFile(seg.path) != nil {
		t.Error("the segment is still there when nobody reads from it any more")
	}
	l.check()
}
