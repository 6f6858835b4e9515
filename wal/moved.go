package wal

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/raft-ballast/ballast/internal/vfs"
)

// This file is where live entries move to, so that the segments in which little else is live can be used again: into segments of their
// own, beside the log. What moves has outlived its neighbours and mostly goes on to, so there it lies among its like and need not move
// again; at the end of the log it would lie between entries that die. (Rosenblum and Ousterhout, "The design and implementation of a
// log-structured file system", 1992, tell what it costs when the two are mixed.)
//
// An entry that was moved is part of the log from the next rotation on: the checkpoint there refers to its new place. Until then it is
// where it was, so a crash loses nothing but the work.

// mover fills moved segments.
type mover struct {
	j *journal

	// Of whoever moves.
	last     uint64            // number of the newest moved segment
	seg      *segment          // that is filled, nil for none
	sequence uint64            // of its last frame
	end      int64             // behind that
	index    int64             // bytes that its index may take
	newest   map[*group]uint64 // the entry of each group that was moved into it last
	block    []byte            // what is written of the block that the next frame begins in

	urgent atomic.Bool // the next frame begins a segment

	mu    sync.Mutex
	next  adoption
	taken map[*segment]bool // all of it was moved, and the log does not know yet
	files []*segment        // that the log may not know yet, or not wholly
}

// movedEntry is an entry that moves.
type movedEntry struct {
	entryPlace
	rec record // verified; its parts are the move's own
}

// maxMovedRuns is how many runs may wait for a rotation, which takes about a millisecond for them.
const maxMovedRuns = 4096

// size returns what the record takes in a segment.
func (r *record) size() int64 {
	return padded(recordHeaderBytes + int64(len(r.first)) + int64(len(r.second)))
}

// waits reports whether a rotation has to come first.
func (m *mover) waits() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.next.runs) >= maxMovedRuns
}

// write makes entries of a segment durable in a moved one, with one frame. last is set when these were all.
func (m *mover) write(from *segment, list []movedEntry, last bool) error {
	records := make([]record, 1, 1+len(list))
	records[0] = record{kind: recordMoved, a: from.number, b: from.identity}
	size := frameHeaderBytes + records[0].size()
	for i := range list {
		size += list[i].rec.size()
		records = append(records, list[i].rec)
	}
	if len(list) > 0 { // not all was deleted, or cannot be read
		if err := m.room(size, list); err != nil {
			return err
		}
		bytes := m.indexed(list)
		if err := m.frame(records); err != nil {
			return err
		}
		m.index += bytes
		for i := range list {
			m.newest[list[i].group] = list[i].index
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.note(from, list)
	if last {
		m.next.from = append(m.next.from, from)
		m.taken[from] = true
	}
	return nil
}

// room sees to it that a frame of size bytes fits behind the last one of the segment that is filled, into allocated space.
func (m *mover) room(size int64, list []movedEntry) error {
	if m.seg != nil && frameStart(m.end)+size+m.index+m.indexed(list)+indexRoom(0) > m.seg.size {
		m.full()
	}
	if m.seg == nil {
		clear(m.newest)
		need := framesOffset + size + m.indexed(list) + indexRoom(0) + blockBytes
		if err := m.begin(max(m.j.keeper.segmentBytes(), roundUp(need, blockBytes))); err != nil {
			return err
		}
	}
	k := &m.j.keeper
	k.work.Lock()
	defer k.work.Unlock()
	for need := roundUp(frameStart(m.end)+size, blockBytes); m.seg.zeroed.Load() < need; {
		if err := k.allocate(m.seg, need-m.seg.zeroed.Load()); err != nil {
			return err
		}
	}
	return nil
}

// indexed returns how many bytes entries add to the index of the segment that is filled: an offset each, and a record for those that follow no other one.
func (m *mover) indexed(list []movedEntry) (bytes int64) {
	newest := make(map[*group]uint64) // in list, of so few groups that have an entry there
	for i := range list {
		e := &list[i]
		last, ok := newest[e.group]
		if !ok {
			last, ok = m.newest[e.group]
		}
		if !ok || last+1 != e.index {
			bytes += recordHeaderBytes + 8 // with padding
		}
		bytes += 4
		newest[e.group] = e.index
	}
	return bytes
}

// frame writes a frame of records behind the last one.
func (m *mover) frame(records []record) error {
	start := frameStart(m.end)
	frame := encodeFrame(records, m.sequence+1, m.seg.seed, start)
	from, end := roundDown(start, blockBytes), start+int64(len(frame))
	b := vfs.AlignedBytes(int(roundUp(end, blockBytes) - from))
	if from < m.end {
		copy(b, m.block)
	}
	copy(b[start-from:], frame)
	if err := m.seg.rw.WriteBlocks([][]byte{b}, from); err != nil {
		err = noSpace(fmt.Errorf("wal: moving entries into %s: %w", m.seg.path, err))
		m.full() // nobody knows what is behind the last frame now
		return err
	}
	m.j.keeper.syncs.Add(1)
	m.sequence, m.end = m.sequence+1, end
	m.block = slices.Clone(b[roundDown(end, blockBytes)-from : end-from])
	return nil
}

// note adds entries that are durable, in their order in the frame, to the runs that wait. The caller holds m.mu.
func (m *mover) note(from *segment, list []movedEntry) {
	if len(list) == 0 {
		return
	}
	off := m.end
	for i := range list {
		off -= list[i].rec.size()
	}
	open := make(map[*group]int) // the newest run of each group
	for i := range m.next.runs {
		open[m.next.runs[i].group] = i
	}
	for i := range list {
		e := &list[i]
		at, ok := open[e.group]
		if r := &m.next.runs; !ok || !(*r)[at].goesOn(from, m.seg, e.index) {
			at = len(*r)
			open[e.group] = at
			*r = append(*r, movedRun{group: e.group, from: from, to: m.seg, first: e.index})
		}
		run := &m.next.runs[at]
		run.spots = append(run.spots, e.rec.spot(off))
		run.end, run.sequence = m.end, m.sequence
		off += e.rec.size()
	}
}

// full ends the segment that is filled.
func (m *mover) full() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.next.full = append(m.next.full, m.seg)
	m.seg = nil
}

// begin makes an empty moved segment of size bytes.
func (m *mover) begin(size int64) error {
	k := &m.j.keeper
	number := max(m.last, maxSegment) + 1
	if number > maxMovedSegment {
		return errNumbers
	}
	if size > maxSegmentBytes {
		return fmt.Errorf("wal: moving entries needs a segment of %d bytes, the most is %d", size, int64(maxSegmentBytes))
	}
	k.work.Lock()
	defer k.work.Unlock()
	tmp := filepath.Join(m.j.dir, nextName)
	if err := m.j.remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return noSpace(fmt.Errorf("wal: removing what an earlier attempt left: %w", err))
	}
	seg := newSegment(m.j.dir, header{number: number, identity: newIdentity(), size: size})
	if err := m.create(seg, tmp); err != nil {
		_ = m.j.remove(tmp) // the next attempt begins with that too
		return err
	}
	if err := k.rename(tmp, seg.path); err != nil {
		return err
	}
	f, err := m.j.fs.Open(seg.path)
	if err != nil {
		return noSpace(fmt.Errorf("wal: opening a segment: %w", err))
	}
	seg.rw, seg.fresh, seg.filling = f, true, true
	seg.zeroed.Store(framesOffset)
	m.j.handles.keep(seg, f)
	m.seg, m.last = seg, seg.number
	m.sequence, m.end, m.index, m.block = 0, framesOffset, 0, nil
	m.mu.Lock()
	defer m.mu.Unlock()
	m.files = append(m.files, seg)
	return nil
}

func (m *mover) create(seg *segment, tmp string) (err error) {
	f, err := m.j.fs.Create(tmp)
	if err != nil {
		return noSpace(fmt.Errorf("wal: creating a segment: %w", err))
	}
	defer func() {
		if e := f.Close(); err == nil && e != nil { // no platform minds the renaming of a closed file
			err = noSpace(fmt.Errorf("wal: closing a segment: %w", e))
		}
	}()
	seg.rw = f
	if err := f.Truncate(seg.size); err != nil {
		return noSpace(fmt.Errorf("wal: sizing a segment: %w", err))
	}
	if err := f.Allocate(0, framesOffset); err != nil {
		return noSpace(fmt.Errorf("wal: allocating a segment: %w", err))
	}
	return m.j.keeper.head(seg)
}
