package wal

import (
	"encoding/binary"
	"fmt"
	"slices"

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
	checkpoint := w.checkpointBytes()
	next, e := k.takeNext(framesOffset+size+checkpoint, indexRoom(int64(entries))+checkpoint, entries > 0)
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
	return rotated, nil
}

// take makes an open segment the one that is written.
func (w *writer) take(seg *segment) {
	w.j.handles.keep(seg, seg.rw)
	w.seg = seg
	w.indexed, w.indexOffset, w.indexLength = 0, 0, 0
}

// fits reports whether a frame that ends at end leaves room in the tail for its index.
func (w *writer) fits(end int64, entries int) bool {
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
	n := int64(1+len(j.segments)+1) * (recordHeaderBytes + 16)
	for _, g := range j.groups {
		n += recordHeaderBytes + liveRunBytes*int64(len(g.runs)+1)
		for key, value := range g.stable {
			n += padded(recordHeaderBytes + int64(len(key)) + int64(len(value)))
		}
	}
	w.checkpointRoom = n
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
		w.record(&record{kind: recordSegment, a: seg.number, b: seg.sequence, c: uint64(seg.end), second: second, raw: 16})
	}
	for _, id := range sortedKeys(j.groups) {
		w.groupCheckpoint(j.groups[id])
	}
}

func (w *writer) groupCheckpoint(g *group) {
	var runs []byte
	for _, r := range g.runs {
		runs = appendLiveRun(runs, liveRun{segment: r.seg.number, first: r.first, last: r.last})
	}
	w.record(&record{kind: recordRuns, group: g.id, a: g.commit, second: runs, raw: uint32(len(runs))})
	for _, key := range sortedKeys(g.stable) {
		value := g.stable[key]
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

// indexRecords returns the records of the live entries of a segment whose index is in memory. The caller holds j.mu.
func (j *journal) indexRecords(seg *segment) (records []record, bytes int64) {
	for _, id := range sortedKeys(j.groups) {
		for _, r := range j.groups[id].runs {
			if r.seg != seg {
				continue
			}
			offs := make([]byte, 0, 4*r.count())
			for i := range uint64(r.count()) {
				offs = binary.LittleEndian.AppendUint32(offs, uint32(r.offset(i)>>3))
			}
			records = append(records, record{kind: recordIndex, group: id, a: r.first, second: offs, raw: uint32(len(offs))})
			bytes += padded(recordHeaderBytes + int64(len(offs)))
		}
	}
	return records, bytes
}

// index ends the tail with a frame that holds a checkpoint and the index of its entries, so that the next opening
// reads nothing else of it. Where there is no room the next opening reads all of the tail.
func (w *writer) index() error {
	if w.indexed == w.seg.end {
		return nil
	}
	w.indexed, w.indexOffset, w.indexLength = 0, 0, 0
	size := frameHeaderBytes + w.checkpointBytes()
	w.j.mu.RLock()
	records, bytes := w.j.indexRecords(w.seg)
	w.j.mu.RUnlock()
	size += bytes
	end := frameStart(w.seg.end) + size
	if end+blockBytes > w.seg.size || w.j.keeper.ready(w.seg, end, false) != nil {
		return nil
	}
	w.begin(size)
	w.checkpoint(nil)
	for i := range records {
		w.record(&records[i])
	}
	if err := w.finish(); err != nil {
		return err
	}
	w.publish(nil)
	w.indexed, w.indexOffset, w.indexLength = w.pos, w.start, w.pos-w.start
	return nil
}

// mark writes a marker of the tail.
func (w *writer) mark(state byte) error {
	return writeMarker(w.seg.rw, w.seg, marker{state: state, sequence: w.sequence, end: w.seg.end,
		indexOffset: w.indexOffset, indexLength: w.indexLength, zeroed: w.seg.zeroed.Load()})
}

func writeMarker(f vfs.File, seg *segment, m marker) error {
	b := vfs.AlignedBytes(blockBytes)
	putMarker(b, m, seg.seed)
	if err := f.WriteBlocks([][]byte{b}, markerOffset); err != nil {
		return fmt.Errorf("wal: writing the marker of %s: %w", seg.path, err)
	}
	return nil
}
