package wal

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/oracle"
	"github.com/raft-ballast/ballast/internal/vfs"
)

// image is a small log of two segments whose files are damaged in turn, with what it was while it was written.
type image struct {
	mem   *vfs.Mem
	model *model

	// states[i] is what the log was after frame i of the tail, which ends at ends[i] and begins at starts[i].
	states       []*model
	starts, ends []int64

	closed bool
}

const (
	sealedPath = dataDir + "/0000000000000001.wal"
	tailPath   = dataDir + "/0000000000000002.wal"

	// Segments as small as these open fast enough to be damaged at every bit.
	sealedBytes = 20 << 10
	tailBytes   = 64 << 10
)

// newImage makes the log, and closes it or not.
func newImage(t *testing.T, closed bool) *image {
	mem := vfs.NewMem()
	l := newTestLog(t, mem, 1)
	im := &image{mem: mem, closed: closed}
	shrink(l, mem, sealedBytes)
	l.fill(2, 40)
	l.set("term", "1")
	l.fill(1, 400)
	for l.j.tail.number == 1 {
		l.fill(1, 2000)
	}
	shrink(l, mem, tailBytes)
	im.note(l)
	write := func(call func()) {
		call()
		im.note(l)
	}
	write(func() { l.set("vote", "somebody") })
	write(func() { l.fill(1, 600) }) // over a sector
	write(func() { l.remove(2, 3) })
	write(func() { l.fill(1, 100) })
	write(func() { l.remove(l.model.Last(), l.model.Last()) })
	write(func() {
		logs := oracle.Entries(l.rng, l.model.Last(), 2, 200) // replaces one
		must(t, l.StageCommitIndex(5))
		must(t, l.StoreLogs(logs))
		l.model.Put(logs, 5)
	})
	write(func() { l.fill(1, 700) })
	if closed {
		l.close()
	} else {
		l.abandon()
	}
	must(t, mem.Remove(segmentPath(dataDir, 3))) // prepared already, and large
	mem.WriteFile(dataDir+"/"+lockName, nil)     // which makes the folder durable
	im.model = l.model
	return im
}

func (im *image) note(l *testLog) {
	im.states = append(im.states, l.model.Clone())
	im.ends = append(im.ends, l.j.tail.end)
	im.starts = append(im.starts, l.j.writer.start)
}

// shrink makes the tail's file as small as a test wants it.
func shrink(l *testLog, mem *vfs.Mem, size int64) {
	seg := l.j.tail
	seg.size = size
	seg.zeroed.Store(min(seg.zeroed.Load(), size))
	data := mem.ReadFile(seg.path)[:size]
	putHeader(data, seg.header)
	mem.WriteFile(seg.path, data)
}

// outcome of opening and reading a damaged log.
type outcome int

const (
	allRight    outcome = iota // nothing is to be seen
	entryIsTold                // GetLog of some entries returns a CorruptionError
	openRefuses                // Open returns one
	isShorter                  // the log ends before what was damaged
	outcomes
)

// look opens a damaged copy of the log. Whatever is not as it was is an error: a wrong byte, an entry that is missing or
// was deleted, a stable value of another time. allowed are states that nobody can tell from a write that was cut off.
func (im *image) look(mem *vfs.Mem, allowed []*model) (outcome, error) {
	s, err := Open(dataDir, memOptions(mem))
	if err != nil {
		c, ok := errors.AsType[*ballast.CorruptionError](err)
		if !ok || c.Path == "" || c.Err == nil {
			return 0, fmt.Errorf("Open returns %w", err)
		}
		return openRefuses, nil
	}
	defer s.Close()
	told, err := compare(s, im.model)
	if err == nil && told > 0 {
		return entryIsTold, nil
	}
	if err == nil {
		return allRight, nil
	}
	for _, m := range allowed {
		if _, e := compare(s, m); e == nil {
			return isShorter, nil
		}
	}
	return 0, err
}

// compare returns how a store differs from the model, and of how many entries it says that they are damaged.
func compare(s *Store, m *model) (told int, err error) {
	if err := checkLive(s.j); err != nil {
		return 0, err
	}
	got := oracle.NewModel()
	for _, index := range m.Indexes() {
		l := new(raft.Log)
		err := s.GetLog(index, l)
		if c, ok := errors.AsType[*ballast.CorruptionError](err); ok {
			if c.Index != index || c.Path == "" || l.Index != 0 {
				return told, fmt.Errorf("entry %d is said to be damaged by %#v", index, c)
			}
			told++
			l = m.Logs[index]
		} else if err != nil {
			return told, fmt.Errorf("GetLog(%d): %w", index, err)
		}
		got.Logs[index] = l
	}
	first, _ := s.FirstIndex()
	last, _ := s.LastIndex()
	if first != m.First() || last != m.Last() {
		return told, fmt.Errorf("the bounds are %d and %d, should be %s", first, last, m)
	}
	for index := first; index <= last+1; index++ {
		if m.Logs[index] == nil {
			if err := s.GetLog(index, new(raft.Log)); err != raft.ErrLogNotFound {
				return told, fmt.Errorf("GetLog(%d), which was deleted: %w", index, err)
			}
		}
	}
	got.Commit, _ = s.GetCommitIndex()
	keys, _ := s.StableKeys()
	for _, key := range keys {
		got.Stable[string(key)], _ = s.Get(key)
	}
	return told, m.Diff(got)
}

// kind says what a byte of a segment is for.
type kind byte

const (
	isUnused  kind = iota // padding, and payloads of what was deleted
	isHeader              // of the segment, a marker, a frame or a record
	isPayload             // of something live
)

// kinds returns the kind of each byte of a segment, up to the last one that is not zero.
func (im *image) kinds(t *testing.T, path string) []kind {
	number, _ := segmentNumber(path[len(dataDir)+1:])
	seg, f, m, err := openSegment(im.mem, dataDir, number, false)
	must(t, err)
	defer f.Close()
	kinds := make([]kind, seg.size)
	mark := func(k kind, from, n int64) {
		for i := range n {
			kinds[from+i] = k
		}
	}
	mark(isHeader, 0, headerBytes)
	mark(isHeader, markerOffset, markerBytes)
	r := &reader{seg: seg, f: f}
	v, h, frame, err := judgeFirst(r)
	must(t, err)
	off := int64(framesOffset)
	for v == isFrame || m.state == markerSealed && off < m.indexOffset {
		if v != isFrame { // the index is the last frame of a sealed segment, at a block of its own
			off = m.indexOffset
		} else {
			mark(isHeader, off, frameHeaderBytes)
			must(t, walk(bytes.Clone(frame), h, seg.seed, off, func(q *record, at int64, _ bool) error {
				mark(isHeader, at, recordHeaderBytes)
				if l := im.model.Logs[q.a]; q.kind != recordEntry || l != nil && bytes.Equal(l.Data, q.second) {
					mark(isPayload, at+recordHeaderBytes, int64(len(q.first)+len(q.second)))
				}
				return nil
			}))
			off = frameStart(off + h.length)
		}
		v, h, frame, err = judge(r, off, h.sequence+1)
		must(t, err)
	}
	return kinds[:len(bytes.TrimRight(im.mem.ReadFile(path), "\x00"))]
}

// TestFlips flips bits of a small log in turn, in the order of the file: header, marker, frames. Of what opening reads it is
// every bit, of the rest and of payloads, whose bits are all the same to a checksum, one of each byte. The log is told to be
// damaged, or it is as it was; never is one byte another one, and never is it shorter, not even by the last call.
func TestFlips(t *testing.T) {
	for _, path := range []string{sealedPath, tailPath} {
		for _, closed := range []bool{false, true} {
			if path == sealedPath && closed {
				continue // it is the same
			}
			t.Run(fmt.Sprintf("closed %v, %s", closed, path[len(dataDir)+1:]), func(t *testing.T) {
				t.Parallel()
				im := newImage(t, closed)
				var count [outcomes]int
				silent := 0
				for off, kind := range im.kinds(t, path) {
					if off/8%thin != 0 { // all bits of some bytes, every bit at some
						continue
					}
					if kind == isUnused && off < framesOffset && off%64 != 0 {
						continue
					}
					read := off < framesOffset || path == tailPath && (!closed || int64(off) >= im.ends[len(im.ends)-1])
					for bit := range 8 {
						if off%8 != bit && (kind != isHeader || !read) {
							continue
						}
						mem := im.mem.Clone()
						mem.Flip(path, int64(off), 1<<bit)
						got, err := im.look(mem, nil)
						if err != nil {
							t.Fatalf("bit %d of byte %d: %v", bit, off, err)
						}
						count[got]++
						if got == allRight && kind != isUnused && off >= framesOffset {
							silent++
						}
					}
				}
				t.Logf("%d flips: Open refuses %d, GetLog tells of %d, %d are without effect", count[openRefuses]+
					count[entryIsTold]+count[allRight], count[openRefuses], count[entryIsTold], count[allRight])
				if !closed && path == tailPath && silent > 0 {
					t.Errorf("%d flips in frames that have to be read were not noticed", silent)
				}
			})
		}
	}
}

// sector returns where a sector of a damaged file begins.
func sector(i int) int64 { return int64(i) * sectorBytes }

// indistinguishable returns the states that remain when sectors of the tail of a log that was not closed are as they were
// before anything was written there: frames that were never acknowledged look like that. A sector tells of nothing that is behind
// it unless a frame begins there.
func (im *image) indistinguishable(zeroed ...int) (allowed []*model) {
	if im.closed {
		return nil
	}
	lost := func(off int64) bool { return slices.Contains(zeroed, int(off/sectorBytes)) }
	for i := len(im.starts) - 1; i > 0; i-- {
		touched := false
		for off := im.starts[i]; off < im.ends[i]; off = roundDown(off, sectorBytes) + sectorBytes {
			touched = touched || lost(off)
		}
		if touched {
			allowed = append(allowed, im.states[i-1])
		}
		if !lost(im.starts[i]) {
			break // its header says that everything before it was written
		}
	}
	return allowed
}

// TestLostSectors has each sector of a log become zeros, and pairs of sectors change places.
func TestLostSectors(t *testing.T) {
	for _, closed := range []bool{false, true} {
		im := newImage(t, closed)
		for _, path := range []string{sealedPath, tailPath} {
			data := im.mem.ReadFile(path)
			sectors := (len(bytes.TrimRight(data, "\x00")) + sectorBytes) / sectorBytes
			for a := range sectors {
				for b := a; b < sectors; b++ {
					if a%8 != 0 && b < framesOffset/sectorBytes || b != a && (a+b)%3 != 0 {
						continue // there are only zeros, or it is one pair too many
					}
					damaged := bytes.Clone(data)
					what := fmt.Sprintf("sectors %d and %d have changed places", a, b)
					if a == b {
						what = fmt.Sprintf("sector %d is lost", a)
						clear(damaged[sector(a):sector(a+1)])
					} else {
						copy(damaged[sector(a):sector(a+1)], data[sector(b):])
						copy(damaged[sector(b):sector(b+1)], data[sector(a):])
					}
					mem := im.mem.Clone()
					mem.WriteFile(path, damaged)
					var zeroed []int
					for _, i := range []int{a, b} {
						if path == tailPath && isZero(damaged[sector(i):sector(i+1)]) {
							zeroed = append(zeroed, i)
						}
					}
					allowed := im.indistinguishable(zeroed...)
					if got, err := im.look(mem, allowed); err != nil {
						t.Fatalf("closed %v, %s, %s: %v", closed, path, what, err)
					} else if got == allRight && a == b && a == 0 {
						t.Errorf("closed %v, %s: the header is lost, and nobody tells", closed, path)
					}
				}
			}
		}
	}
}

// TestLostEnd has all become zeros from a frame of the tail on. Who has closed the log knows how long it was; otherwise it
// looks as if it had ended there.
func TestLostEnd(t *testing.T) {
	for _, closed := range []bool{false, true} {
		im := newImage(t, closed)
		for i := 1; i < len(im.starts); i++ {
			data := im.mem.ReadFile(tailPath)
			clear(data[im.starts[i]:])
			mem := im.mem.Clone()
			mem.WriteFile(tailPath, data)
			got, err := im.look(mem, im.states[i-1:i])
			if want := map[bool]outcome{false: isShorter, true: openRefuses}[closed]; err != nil || got != want {
				t.Errorf("closed %v, frame %d and all behind it are lost: outcome %d, %v", closed, i, got, err)
			}
		}
	}
}

// TestShorterFiles cuts files off, and takes them away.
func TestShorterFiles(t *testing.T) {
	for _, closed := range []bool{false, true} {
		im := newImage(t, closed)
		for _, path := range []string{sealedPath, tailPath} {
			size := len(im.mem.ReadFile(path))
			for _, keep := range []int{0, 1, headerBytes, markerOffset, framesOffset, framesOffset + 100, size / 2, size - blockBytes, size - 1} {
				mem := im.mem.Clone()
				mem.WriteFile(path, im.mem.ReadFile(path)[:keep])
				im.expectTold(t, mem, fmt.Sprintf("closed %v, %s ends at %d", closed, path, keep))
			}
			mem := im.mem.Clone()
			must(t, mem.Remove(path))
			im.expectTold(t, mem, fmt.Sprintf("closed %v, %s is missing", closed, path))
			mem = im.mem.Clone()
			must(t, mem.Rename(path, segmentPath(dataDir, 7)))
			im.expectTold(t, mem, fmt.Sprintf("closed %v, %s was renamed", closed, path))
			mem = im.mem.Clone()
			mem.WriteFile(path, newImage(t, closed).mem.ReadFile(path))
			im.expectTold(t, mem, fmt.Sprintf("closed %v, %s is that of another log", closed, path))
		}
	}
}

func (im *image) expectTold(t *testing.T, mem *vfs.Mem, what string) {
	t.Helper()
	got, err := im.look(mem, nil)
	if err != nil {
		t.Errorf("%s: %v", what, err)
	}
	if got == allRight {
		t.Errorf("%s, and nobody tells", what)
	}
}

// TestMissingNextSegment: nothing is lost with a segment that was only prepared.
func TestMissingNextSegment(t *testing.T) {
	mem := vfs.NewMem()
	l := newTestLog(t, mem, 1)
	l.fill(5, 100)
	l.close()
	must(t, mem.Remove(segmentPath(dataDir, 2)))
	l.open()
	l.rotate()
	l.check()
}

// TestFlippedRecordHeader: one byte in the middle of the segment that is written. What a stopped process left is read to
// its end, and a record whose place in the log is unknown ends that; whoever closed the log needs none of it until it is read.
func TestFlippedRecordHeader(t *testing.T) {
	for _, field := range []int64{4, 8, 9, 10, 16, 24, 32, 40, 48, 52} {
		for _, closed := range []bool{false, true} {
			mem := vfs.NewMem()
			l := newTestLog(t, mem, 1)
			for range 20 {
				l.fill(5, 100)
			}
			const index = 52
			at := int64(l.g.find(index).offs[index-1]) << 3
			tail := l.j.tail.path
			if closed {
				l.close()
			} else {
				l.abandon()
			}
			mem.Flip(tail, at+field, 1)

			s, err := Open(dataDir, memOptions(mem))
			if !closed {
				if c := corruption(t, err); c.Path != tail || c.Offset < framesOffset || c.Offset > at {
					t.Errorf("field %d: %v; the damage is in the record at %d", field, err, at)
				}
				continue
			}
			must(t, err)
			for i := uint64(1); i <= 100; i++ {
				var got raft.Log
				err := s.GetLog(i, &got)
				if i == index {
					if c := corruption(t, err); c.Path != tail || c.Offset != at || c.Index != index {
						t.Errorf("field %d: %v; the record is at %d", field, err, at)
					}
				} else if err != nil || oracle.DiffEntry(l.model.Logs[i], &got) != nil {
					t.Errorf("field %d: entry %d: %v", field, i, err)
				}
			}
			must(t, s.Close())
		}
	}
}

// TestDamagedOverwrite: an entry was replaced in the same segment, and the frame that did it is damaged. Where the segment has
// no index yet its entries are found by reading it, and then the older one is there as well, whole and wrong.
func TestDamagedOverwrite(t *testing.T) {
	mem := vfs.NewMem()
	l := newTestLog(t, mem, 1)
	l.fill(20, 100)
	at := l.j.tail.end
	logs := oracle.Entries(l.rng, 10, 1, 100)
	must(t, l.StoreLogs(logs))
	l.model.Put(logs, 0)
	sealed := l.j.tail.path
	mem.SetHook(func(c *vfs.Call) error {
		if l.j.tail.number == 2 {
			return vfs.ErrCrashed // before the first segment has its index
		}
		return nil
	})
	for l.j.tail.number == 1 {
		must(t, l.append(16, 4<<10))
	}
	for _, field := range []int64{0, 4, 8, 16, 24, frameHeaderBytes + 4, frameHeaderBytes + 24, frameHeaderBytes + recordHeaderBytes} {
		damaged := mem.Crash(1)
		damaged.Flip(sealed, frameStart(at)+field, 1)
		for range 2 { // the second time there is an index
			s := openMem(t, damaged)
			told, err := compare(s, l.model)
			if err != nil || told == 0 {
				t.Errorf("field %d: %d entries are told to be damaged: %v", field, told, err)
			}
			must(t, s.Close())
		}
	}
}

// TestDamagedEnd: the frames that ended a log when it was closed only repeat what was there. When they are damaged nothing
// is lost, neither at the next opening nor by going on behind them.
func TestDamagedEnd(t *testing.T) {
	mem := vfs.NewMem()
	l := newTestLog(t, mem, 1)
	l.fill(20, 100)
	l.set("term", "1")
	from := frameStart(l.j.tail.end)
	l.close()
	to := l.j.tail.end
	if to == from {
		t.Fatal("the log was closed without a frame")
	}
	for at := from; at < to; at += 4 * thin {
		damaged := mem.Clone()
		damaged.Flip(segmentPath(dataDir, 1), at, 1)
		m := &testLog{t: t, fs: damaged, rng: oracle.Random(2), model: l.model.Clone()}
		for range 2 {
			m.open()
			m.check()
			m.fill(2, 100)
			m.close()
		}
		m.open()
		m.fill(2, 100)
		m.abandon()
		// Without being closed again the log has the damage in its middle, and it may say so.
		s, err := Open(dataDir, memOptions(damaged))
		if err != nil {
			corruption(t, err)
			continue
		}
		m.Store = s
		m.check()
		m.close()
	}
}

// TestRecycledDeletion: entries of the first segment are deleted by a record in the second one, in which nothing lives
// afterwards, so that it is used again. The deletion must not go with it.
func TestRecycledDeletion(t *testing.T) {
	mem := vfs.NewMem()
	l := newTestLog(t, mem, 1)
	l.rotate()
	from := l.model.Last() - 15 // where the second segment begins
	l.remove(10, 30)
	l.set("term", "1")
	l.rotate()
	recycled := l.j.keeper.recycled.Load()
	l.remove(from, l.model.Last()-4) // all that the second one holds, and most of the third one
	if l.j.keeper.recycled.Load() == recycled || mem.ReadFile(segmentPath(dataDir, 2)) != nil {
		t.Fatal("the second segment is still there")
	}
	l.check()
	checkAfterCuts(t, l.model, mem)
	l.rotate()
	checkAfterCuts(t, l.model, mem)
	l.close()
	checkReopened(t, l.model, mem)
}
