package wal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/vfs"
)

// place sees to it that a frame of size bytes with so many entries fits behind the last one, into space that is
// allocated and zero. When the tail has no room for it the next segment becomes the one that is written, and place
// returns the old one. An error has changed nothing.
func (w *writer) place(size int64, entries int) (rotated *segment, err error) {
	k := &w.j.keeper
	end := frameStart(w.seg.end) + size
	if w.fits(end, entries) {
		if err = k.ready(w.seg, end, entries > 0); err == nil {
			return nil, nil
		}
	}
	if err := w.j.inPlace(); err != nil {
		return nil, err
	}
	w.j.reclaimer.mover.collect(&w.moved)
	next, e := w.takeNext(size, entries)
	if errors.Is(e, ballast.ErrNoSpace) && len(w.moved.runs) > 0 { // a vote may fit in what is there
		w.j.reclaimer.mover.giveBack(&w.moved)
		next, e = w.takeNext(size, entries)
	}
	if e != nil {
		if err == nil {
			err = e
		}
		// What the end of the tail keeps for its index serves votes and deletions first.
		if entries == 0 && end+blockBytes <= w.seg.size && k.ready(w.seg, end, false) == nil {
			return nil, nil
		}
		return nil, err
	}
	rotated = w.seg
	rotated.successor = next.identity
	w.take(next)
	w.alone = framesOffset+size+indexRoom(int64(entries)) > w.j.keeper.segmentBytes()
	return rotated, nil
}

// takeNext returns the next segment, ready for a frame of size bytes behind a checkpoint.
func (w *writer) takeNext(size int64, entries int) (*segment, error) {
	checkpoint := w.checkpointBytes()
	return w.j.keeper.takeNext(framesOffset+size+checkpoint, indexRoom(int64(entries))+checkpoint, entries > 0)
}

// take makes an open segment the one that is written.
func (w *writer) take(seg *segment) {
	w.j.handles.keep(seg, seg.rw)
	w.seg = seg
	w.j.reclaimer.mover.urgent.Store(false)
	w.marked, w.alone, w.end = marker{}, false, nil
}

// fits reports whether a frame that ends at end leaves room in the tail for its index. Entries do not join a frame that
// needed a larger segment, or they would keep all of that when the large ones are deleted.
func (w *writer) fits(end int64, entries int) bool {
	if w.alone && entries > 0 || w.j.reclaimer.mover.urgent.Load() {
		return false
	}
	return end+indexRoom(w.seg.stored+int64(entries))+w.checkpointRoom <= w.seg.size
}

// indexRoom is what the index of so many entries takes, with some for runs and for a frame that begins at a block.
func indexRoom(entries int64) int64 { return 4*entries + 2*blockBytes }

// checkpointBytes returns at most how many bytes the records of a checkpoint take, and notes it as the room that the tail
// keeps for the one at closing.
func (w *writer) checkpointBytes() int64 {
	j := w.j
	j.mu.RLock()
	defer j.mu.RUnlock()
	n := int64(1+len(j.segments)+1)*(recordHeaderBytes+segmentRefBytes) + w.moved.bytes()
	for _, g := range j.groups {
		n += recordHeaderBytes + liveRunBytes*int64(len(g.runs)+1)
		for key, value := range g.stable.all() {
			n += padded(recordHeaderBytes + int64(len(key)) + int64(len(value)))
		}
	}
	w.checkpointRoom = n
	j.keeper.checkpointIs(n)
	return n
}

// checkpoint adds to the frame everything that is true before it: older segments are needed for entries only. before
// is the segment that the log comes from, nil for none.
func (w *writer) checkpoint(before *segment) {
	j := w.j
	j.mu.RLock()
	defer j.mu.RUnlock()
	if before != nil {
		w.record(&record{kind: recordLink, a: before.number, b: before.sequence, c: uint64(before.end),
			second: binary.LittleEndian.AppendUint64(nil, before.identity), raw: 8})
	}
	for _, seg := range j.segments {
		if seg.live == 0 || seg == w.seg {
			continue
		}
		second := binary.LittleEndian.AppendUint64(nil, seg.identity)
		second = binary.LittleEndian.AppendUint64(second, uint64(seg.stored))
		second = binary.LittleEndian.AppendUint64(second, uint64(seg.size))
		w.record(&record{kind: recordSegment, a: seg.number, b: seg.sequence, c: uint64(seg.end), second: second, raw: segmentRefBytes})
	}
	for _, id := range sortedKeys(j.groups) {
		w.groupCheckpoint(j.groups[id])
	}
}

func (w *writer) groupCheckpoint(g *group) {
	if !g.known() {
		return
	}
	var runs []byte
	for i := 0; i < len(g.runs); {
		r := liveRun{segment: g.runs[i].seg.number, first: g.runs[i].first, last: g.runs[i].last}
		for i++; i < len(g.runs) && g.runs[i].seg.number == r.segment && g.runs[i].first == r.last+1; i++ {
			r.last = g.runs[i].last
		}
		runs = appendLiveRun(runs, r)
	}
	w.record(&record{kind: recordRuns, group: g.id, a: g.commit, second: runs, raw: uint32(len(runs))})
	for key, value := range g.stable.all() {
		w.record(&record{kind: recordSet, group: g.id, first: []byte(key), second: value, raw: uint32(len(value))})
	}
}

func sortedKeys[K ~uint64 | ~string, V any](m map[K]V) []K {
	keys := make([]K, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// indexOf returns the records of the live entries of a segment, and how many bytes they take.
func (j *journal) indexOf(seg *segment) (records []record, bytes int64, err error) {
	if err := j.loadIndex(seg); err != nil {
		return nil, 0, err
	}
	for _, g := range j.groupsIn(seg) {
		j.mu.RLock() // for each anew, so that no append waits for all of them
		for _, r := range g.runs {
			if r.seg != seg {
				continue
			}
			offs := make([]byte, 0, 4*r.count())
			for i := range uint64(r.count()) {
				offs = binary.LittleEndian.AppendUint32(offs, uint32(r.offset(i)>>3))
			}
			records = append(records, record{kind: recordIndex, group: g.id, a: r.first, second: offs, raw: uint32(len(offs))})
			bytes += padded(recordHeaderBytes + int64(len(offs)))
		}
		j.mu.RUnlock()
	}
	return records, bytes, nil
}

// conclude ends the log with the index of the tail's entries and a checkpoint, so that the next opening reads
// nothing else, and the marker says so. Where there is no room the next opening reads all of the tail.
func (w *writer) conclude() error {
	if w.marked.state == markerClosed {
		return nil // nothing was written since it was opened
	}
	m := marker{state: markerClosed, indexOffset: w.marked.indexOffset, indexLength: w.marked.indexLength, checkpoint: w.marked.checkpoint}
	if w.marked.end != w.seg.end || m.checkpoint == 0 {
		m.indexOffset, m.indexLength, m.checkpoint = 0, 0, 0
		records, bytes, err := w.j.indexOf(w.seg)
		room := w.sequence <= maxSequence-2 // of numbers, for two frames
		if err == nil && room && w.hasRoom(frameHeaderBytes+bytes+frameHeaderBytes+w.checkpointBytes()) {
			if err := w.writeFrame(frameHeaderBytes+bytes, func() {
				for i := range records {
					w.record(&records[i])
				}
			}); err != nil {
				return err
			}
			m.indexOffset, m.indexLength = w.start, w.pos-w.start
		}
		if size := frameHeaderBytes + w.checkpointBytes(); room && w.hasRoom(size) {
			if err := w.writeFrame(size, func() { w.checkpoint(nil) }); err != nil {
				return err
			}
			m.checkpoint = w.start
		}
	}
	if err := w.j.settleNames(); err != nil {
		return err
	}
	return w.mark(m)
}

// hasRoom reports whether frames of so many bytes fit behind the last one.
func (w *writer) hasRoom(bytes int64) bool {
	end := frameStart(frameStart(w.seg.end)+bytes) + sectorBytes
	return end+blockBytes <= w.seg.size && w.j.keeper.ready(w.seg, end, false) == nil
}

// writeFrame writes a frame of at most size bytes that changes nothing.
func (w *writer) writeFrame(size int64, records func()) error {
	w.begin(size)
	records()
	if err := w.finish(); err != nil {
		return err
	}
	w.publish(nil)
	return nil
}

// mark writes the marker of the tail.
func (w *writer) mark(m marker) error {
	m.sequence, m.end, m.zeroed, m.stored = w.sequence, w.seg.end, w.seg.zeroed.Load(), w.seg.stored
	if err := writeMarker(w.seg.rw, w.seg, m); err != nil {
		return err
	}
	w.marked = m
	return nil
}

// reopen takes back that the log ends here, before it goes on.
func (w *writer) reopen() error {
	m := w.marked
	if m.state != markerClosed {
		return nil
	}
	m.state = markerOpen
	if err := w.mark(m); err != nil {
		return w.j.failed.Fail(err)
	}
	return nil
}

func writeMarker(f vfs.File, seg *segment, m marker) error {
	b := vfs.AlignedBytes(blockBytes)
	putMarker(b, m, seg.seed)
	if err := f.WriteBlocks([][]byte{b}, markerOffset); err != nil {
		return fmt.Errorf("wal: writing the marker of %s: %w", seg.path, err)
	}
	return nil
}
