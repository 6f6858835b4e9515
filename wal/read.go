package wal

import (
	"errors"
	"fmt"
	"sync"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast"
)

// get reads an entry. Almost always its block is in memory: then one lock is taken, which no write holds while it waits
// for the disk.
func (j *journal) get(g *group, index uint64, out *raft.Log) error {
	j.mu.RLock()
	if j.closed {
		j.mu.RUnlock()
		return ballast.ErrClosed
	}
	r := g.find(index)
	if r == nil {
		j.mu.RUnlock()
		return raft.ErrLogNotFound
	}
	if r.loaded() {
		off := r.offset(index - r.first)
		if b := cached(r.seg, off, recordHeaderBytes); b != nil {
			rest := b.data[off&cacheBlockMask:]
			if n := recordLength(rest); n != 0 && n <= int64(len(rest)) {
				if !b.used.Load() {
					b.used.Store(true)
				}
				err := decode(r.seg, off, rest[:n], g.id, index, out)
				j.mu.RUnlock()
				if err != nil { // the slow way finds out why
					return j.getSlowly(g, index, out)
				}
				j.meter.Hit()
				return nil
			}
		}
	}
	j.mu.RUnlock()
	return j.getSlowly(g, index, out)
}

// cached returns the block that holds n bytes at an offset, nil when it is not in memory or they lie in two. The
// caller holds journal.mu.
func cached(seg *segment, off int64, n int64) *cacheBlock {
	no := off >> cacheBlockShift
	if no >= int64(len(seg.blocks)) || off&cacheBlockMask+n > cacheBlockBytes {
		return nil
	}
	if b := seg.blocks[no]; b != nil && off&cacheBlockMask >= int64(b.from) {
		return b
	}
	return nil
}

// decode verifies a record and fills out with its entry.
func decode(seg *segment, off int64, b []byte, group, index uint64, out *raft.Log) error {
	r, err := entryRecord(seg, off, b, group, index)
	if err != nil {
		return err
	}
	return entryError(seg, off, index, fill(out, &r))
}

// entryRecord verifies the record of an entry. Its parts refer to b.
func entryRecord(seg *segment, off int64, b []byte, group, index uint64) (r record, err error) {
	r, err = parseRecord(b, seg.seed, off)
	if err == nil && (r.kind != recordEntry || r.group != group || r.a != index) {
		err = fmt.Errorf("there is record %d of group %d and index %d in its place", r.kind, r.group, r.a)
	}
	return r, entryError(seg, off, index, err)
}

// entryError says which entry it is that cannot be read.
func entryError(seg *segment, off int64, index uint64, err error) error {
	if errors.Is(err, ballast.ErrUnknownVersion) {
		return fmt.Errorf("wal: entry %d in %s at offset %d: %w", index, seg.path, off, err)
	}
	if err != nil {
		return &ballast.CorruptionError{Path: seg.path, Offset: off, Index: index, Err: err}
	}
	return nil
}

// location is where the record of an entry is.
type location struct {
	seg  *segment
	off  int64
	end  int64 // of what is written in seg: behind it the next frame may be in the making
	hint int64 // the record's length, or a little more; 0 where it is not known

	reading uint64 // of the log that it is from
}

// getSlowly reads an entry that lies on the disk, or in more than one block.
func (j *journal) getSlowly(g *group, index uint64, out *raft.Log) (err error) {
	if err := j.gate.Enter(); err != nil {
		return err
	}
	defer j.gate.Leave()
	defer func() { j.meter.Missed(err) }()
	for d := new(doubt); ; {
		at, err := j.locate(g, index)
		if err == nil {
			err = j.fetch(at, g.id, index, out)
		}
		if errors.Is(err, errGone) {
			continue // it was deleted, or stored again, just now
		}
		c, ok := errors.AsType[*ballast.CorruptionError](err)
		if !ok {
			return err
		}
		// The owner of the log may have deleted the entry since, and used its place for something
		// else.
		damaged, err := d.damaged(j, &at, err)
		if damaged {
			return &ballast.CorruptionError{Path: c.Path, Offset: c.Offset, Index: index, Err: c.Err}
		}
		if err != nil {
			return fmt.Errorf("wal: entry %d: %w", index, err)
		}
	}
}

// locate returns where an entry is, and reads the index of its segment when it is not in memory.
func (j *journal) locate(g *group, index uint64) (at location, err error) {
	for {
		j.mu.RLock()
		r := g.find(index)
		if r == nil {
			j.mu.RUnlock()
			return at, raft.ErrLogNotFound
		}
		at.seg, at.reading = r.seg, j.readings.Load()
		if r.seg.condemned {
			bad := r.seg.bad
			j.mu.RUnlock()
			return at, bad
		}
		if r.loaded() {
			i := index - r.first
			at.off, at.end = r.offset(i), r.seg.end
			if index < r.last {
				at.hint = r.offset(i+1) - at.off
			}
			j.mu.RUnlock()
			return at, at.readable()
		}
		bad := r.seg.bad
		j.mu.RUnlock()
		if bad != nil {
			return at, bad
		}
		if err := j.loadIndex(at.seg); err != nil {
			return at, err
		}
	}
}

// readable returns why there is no record at a location.
func (at *location) readable() error {
	switch {
	case at.off == 0:
		return at.seg.corrupt(-1, "its frame is damaged, or one that may have replaced it")
	case !within(framesOffset, at.off, at.end-recordHeaderBytes):
		return at.seg.corrupt(at.off, "the segment's index has an offset outside of it")
	}
	return nil
}

var scratch = sync.Pool{New: func() any { return new([]byte) }}

const (
	maxScratchBytes = 1 << 20
	guessBytes      = 4 << 10 // of a record whose length is not known
)

// fetch reads the record of an entry and decodes it.
func (j *journal) fetch(at location, group, index uint64, out *raft.Log) error {
	return j.view(at, func(b []byte) error { return decode(at.seg, at.off, b, group, index, out) })
}

// view reads the record at a location into memory that is used again, and calls read with it.
func (j *journal) view(at location, read func(b []byte) error) error {
	buf := scratch.Get().(*[]byte)
	defer func() {
		if cap(*buf) <= maxScratchBytes {
			scratch.Put(buf)
		}
	}()
	guess := at.hint
	if guess < recordHeaderBytes || guess > maxScratchBytes {
		guess = guessBytes
	}
	b := grow(buf, min(guess, at.end-at.off))
	if err := j.gather(at.seg, at.off, b); err != nil {
		return err
	}
	n := recordLength(b)
	// What it says may be anything, and would be read for each entry that is damaged.
	if n == 0 || n > at.end-at.off || at.hint >= recordHeaderBytes && n > at.hint {
		return at.seg.corrupt(at.off, "its record says a length of %d bytes", n)
	}
	if have := int64(len(b)); n > have {
		b = grow(buf, n)
		if err := j.gather(at.seg, at.off+have, b[have:]); err != nil {
			return err
		}
	}
	return read(b[:n])
}

// grow returns n bytes that begin with what is in buf.
func grow(buf *[]byte, n int64) []byte {
	if int64(cap(*buf)) < n {
		b := make([]byte, n)
		copy(b, *buf)
		*buf = b
	}
	*buf = (*buf)[:n]
	return *buf
}

// gather reads len(p) bytes of a segment, from memory where they are there.
func (j *journal) gather(seg *segment, off int64, p []byte) error {
	for len(p) > 0 {
		n := min(int64(len(p)), j.pieceEnd(seg, off)-off)
		if err := j.piece(seg, off, p[:n]); err != nil {
			return err
		}
		p, off = p[n:], off+n
	}
	return nil
}

// pieceEnd returns how far the bytes at an offset can be read in one piece: to the end of the block, or to where the part
// of it begins that is in memory and must not be read from the disk.
func (j *journal) pieceEnd(seg *segment, off int64) int64 {
	start := roundDown(off, cacheBlockBytes)
	j.mu.RLock()
	defer j.mu.RUnlock()
	if b := seg.blocks[start>>cacheBlockShift]; b != nil && off-start < int64(b.from) {
		return start + int64(b.from)
	}
	return start + cacheBlockBytes
}

// piece reads bytes that lie in one block. The blocks of the end of the log, which are written again and again, are always in
// memory, so the disk is only asked for what does not change.
func (j *journal) piece(seg *segment, off int64, p []byte) error {
	if j.copyCached(seg, off, p) {
		return nil
	}
	if j.streams.follows(seg, off, int64(len(p))) && len(p) < cacheBlockBytes {
		return j.loadBlock(seg, off, p)
	}
	f, err := j.handles.pin(seg)
	if err != nil {
		return err
	}
	defer j.handles.unpin(seg)
	return readFull(seg, f, p, off)
}

func (j *journal) copyCached(seg *segment, off int64, p []byte) bool {
	j.mu.RLock()
	defer j.mu.RUnlock()
	b := cached(seg, off, int64(len(p)))
	if b == nil {
		return false
	}
	b.used.Store(true)
	copy(p, b.data[off&cacheBlockMask:])
	return true
}

// loadBlock reads the whole block around off into the cache, and p from it.
func (j *journal) loadBlock(seg *segment, off int64, p []byte) error {
	f, err := j.handles.pin(seg)
	if err != nil {
		return err
	}
	defer j.handles.unpin(seg)
	j.mu.Lock()
	b := j.cache.take()
	start := roundDown(off, cacheBlockBytes)
	known := seg.end
	j.mu.Unlock()
	if err := readFull(seg, f, b.data[:min(cacheBlockBytes, seg.size-start)], start); err != nil {
		j.mu.Lock()
		j.cache.give(b)
		j.mu.Unlock()
		return err
	}
	copy(p, b.data[off-start:])
	j.mu.Lock()
	// Where the log went on meanwhile in this block, what was read is older than what was written.
	if seg.end == known || start+cacheBlockBytes <= known || seg.blocks[start>>cacheBlockShift] != nil {
		j.cache.link(b, seg, start>>cacheBlockShift)
	} else {
		j.cache.give(b)
	}
	end := seg.end
	j.mu.Unlock()
	// Not the block that is written now: the page cache would have to drop it again.
	if next := start + cacheBlockBytes; next+cacheBlockBytes <= end {
		f.Prefetch(next, cacheBlockBytes)
	}
	return nil
}

// streams tells who reads in order: for them whole blocks are read ahead. Others would only push useful blocks out.
type streams struct {
	mu    sync.Mutex
	slots [8]stream
	clock uint64
}

type stream struct {
	seg  *segment
	next int64 // where it will read next
	used uint64
}

// nearBytes is what may lie between two entries that follow one another.
const nearBytes = 2 * sectorBytes

// follows reports whether n bytes at off are what some reader was expected to read, and expects what follows.
func (s *streams) follows(seg *segment, off, n int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clock++
	oldest := &s.slots[0]
	for i := range s.slots {
		slot := &s.slots[i]
		if slot.seg == seg && within(slot.next, off, slot.next+nearBytes) {
			slot.next, slot.used = roundDown(off, cacheBlockBytes)+cacheBlockBytes, s.clock
			return true
		}
		if slot.used < oldest.used {
			oldest = slot
		}
	}
	*oldest = stream{seg: seg, next: off + n, used: s.clock}
	return false
}

// forget lets go of a segment.
func (s *streams) forget(seg *segment) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.slots {
		if s.slots[i].seg == seg {
			s.slots[i] = stream{}
		}
	}
}
