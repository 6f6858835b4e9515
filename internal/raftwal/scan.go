package raftwal

import (
	"cmp"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"slices"
)

// frame is where an entry lies in its segment.
type frame struct {
	offset uint32 // of the frame's header; 0 where the entry is damaged
	size   uint32 // of the payload, in bytes
	sum    uint32 // CRC-32C of header and payload, as they were when their batch was checked
}

// damage is a range of entries that cannot be read.
type damage struct {
	first, last uint64
	offset      int64 // of the batch in which it begins
	err         error
}

// contents is what a scan has found in a segment.
type contents struct {
	frames  []frame  // frames[i] is entry base+i
	entries uint64   // that there are; those behind frames are damaged
	damaged []damage // ascending
	dropped *damage  // what was left out at the end of the log's last segment; nil for nothing
}

// find returns the frame of an entry, or its damage.
func (c *contents) find(base, index uint64) (frame, *damage) {
	if i := index - base; i < uint64(len(c.frames)) && c.frames[i].offset != 0 {
		return c.frames[i], nil
	}
	i, _ := slices.BinarySearchFunc(c.damaged, index, func(d damage, index uint64) int { return cmp.Compare(d.last, index) })
	if i < len(c.damaged) && c.damaged[i].first <= index {
		return frame{}, &c.damaged[i]
	}
	return frame{}, &damage{first: index, last: index, offset: -1, err: errNotThere}
}

var (
	errNotThere  = errors.New("wal-meta.db says that it is in this segment, and it is not")
	errChecksum  = errors.New("the checksum of its batch does not match")
	errOrder     = errors.New("the indexes in its batch are not those that follow")
	errForeign   = errors.New("the checksum of its batch is right, and it is not an entry in raft-wal's own codec; copy the log with the program that has the codec")
	errCut       = errors.New("the file ends within its batch")
	errZeros     = errors.New("zeros where a frame should begin")
	errUnwritten = errors.New("there are bytes behind the last batch")
)

// batch is what one append wrote, or what is left of it. Its frames are in scanner.frames until the next one is read.
type batch struct {
	start, end int64  // end is behind the commit frame, or where reading stopped
	first      uint64 // index of its first entry, when there is one
	entries    uint64
	indexed    bool   // there is an index frame in it
	total      uint64 // entries of the segment, as the index says
	disorder   bool   // the indexes of its entries do not ascend by one
	complete   bool   // there is a commit frame at its end
	err        error  // nil when everything about it is right
}

// run is batches in a row that are not right.
type run struct {
	batches     int
	entries     uint64 // of all of them, as far as their frames can be followed
	first, last batch
}

func (r *run) add(b *batch) {
	if r.batches == 0 {
		r.first = *b
	}
	r.last = *b
	r.batches++
	r.entries += b.entries
}

// scanner finds the batches of a segment.
//
// A batch that is not right may be the log's end, which a crash has cut off, or damage. It is damage when anything follows that raft-wal
// writes only after a successful sync. So the scanner looks for a right batch behind it. Until one is found, or the end, the bad ones
// wait in lost.
type scanner struct {
	in   io.ReaderAt
	size int64 // of the file, at most maxSegmentBytes
	info *segmentInfo

	window   []byte // bytes of the file, from windowAt on
	windowAt int64
	buf      []byte // what window is a part of

	frames   []frame // of the batch that was read last
	lost     run
	searched bool  // nothing right was found behind, so it is not looked for again
	debris   int64 // end of the last word that is not zero, as far as it was searched
	sealed   bool  // the index was read: nothing follows

	out contents
}

// windowBytes is how much is read at once.
const windowBytes = 256 << 10

// scan reads a segment and checks it. The error is one of reading, never of what was read.
func scan(in io.ReaderAt, size int64, info *segmentInfo) (*contents, error) {
	s := &scanner{in: in, size: min(size, maxSegmentBytes), info: info}
	s.buf = make([]byte, min(windowBytes, max(s.size, frameHeaderBytes)))
	for pos := int64(headerBytes); ; {
		next, err := s.step(pos)
		if err != nil {
			return nil, err
		}
		if next < 0 {
			s.out.frames = slices.Clone(s.out.frames) // without the room that appending has left
			return &s.out, nil
		}
		pos = next
	}
}

// step reads the batch at pos, and returns where the next one begins; -1 when there is none.
func (s *scanner) step(pos int64) (int64, error) {
	b, err := s.read(pos, s.size)
	if err != nil {
		return 0, err
	}
	from := b.start
	if s.lost.batches > 0 {
		from = s.lost.first.start
	}
	if b.err == nil && !s.follows(&b, from) {
		b.err = errOrder
		if s.lost.batches == 0 || s.lost.last.err == errForeign {
			b.err = errForeign // nothing before it was damaged
		}
	}
	if b.err == nil {
		s.accept(&b)
		if s.ended() {
			return -1, nil
		}
		return b.end, nil
	}
	if !s.searched {
		after, err := s.search(&b)
		if err != nil {
			return 0, err
		}
		if after > 0 {
			s.lost.add(&b)
			return after, nil
		}
		s.searched = true
	}
	if !b.complete {
		s.finish(&b)
		return -1, nil
	}
	if b.entries > 0 || b.indexed { // else eight bytes that look like a commit frame
		s.lost.add(&b)
	}
	return b.end, nil
}

// next is the index that the entry behind those that were found has.
func (s *scanner) next() uint64 { return s.info.BaseIndex + s.out.entries }

// ended reports whether there is nothing more to find. What is behind the last entry of a sealed segment was truncated.
func (s *scanner) ended() bool {
	return s.sealed || s.info.sealed() && s.next() > s.info.MaxIndex
}

// read reads the batch at start, which must not go beyond limit. What is wrong with it is in its err.
func (s *scanner) read(start, limit int64) (batch, error) {
	b := batch{start: start, end: start}
	s.frames = s.frames[:0]
	sum, err := s.startSum(start)
	if err != nil {
		return b, err
	}
	for {
		head, err := s.peek(b.end, frameHeaderBytes)
		if err != nil {
			return b, err
		}
		if b.end+frameHeaderBytes > limit || len(head) < frameHeaderBytes {
			b.err = errCut
			return b, nil
		}
		head = head[:frameHeaderBytes]
		h := parseFrame(head)
		switch h.kind {
		case commitFrame:
			b.complete = true
			b.end += frameHeaderBytes
			switch {
			case h.value != sum:
				b.err = errChecksum
			case b.disorder:
				b.err = errForeign
			}
			return b, nil
		case entryFrame, indexFrame:
			if b.err = frameFits(h, b.end, limit); b.err != nil {
				return b, nil
			}
			if sum, err = s.readFrame(&b, h, head, sum); err != nil {
				return b, err
			}
		case 0:
			b.err = errZeros
			return b, nil
		default:
			b.err = fmt.Errorf("the frame at offset %d is of the unknown kind %d", b.end, h.kind)
			return b, nil
		}
	}
}

// startSum is the checksum of what a batch's commit frame covers before the batch.
func (s *scanner) startSum(start int64) (uint32, error) {
	if start != headerBytes {
		return 0, nil
	}
	header, err := s.peek(0, headerBytes)
	return crc32.Checksum(header[:min(len(header), headerBytes)], castagnoli), err
}

// frameFits returns why a frame that has to end before limit can be none.
func frameFits(h frameHeader, at, limit int64) error {
	if at+frameHeaderBytes+h.padded() > limit {
		return fmt.Errorf("the frame at offset %d has %d bytes, more than there are", at, h.value)
	}
	return nil
}

// readFrame adds an entry or an index to b, and to the checksum of the batch.
func (s *scanner) readFrame(b *batch, h frameHeader, head []byte, sum uint32) (uint32, error) {
	own := crc32.Checksum(head, castagnoli)
	sum = crc32.Update(sum, castagnoli, head)
	at, size := b.end+frameHeaderBytes, int64(h.value)
	if h.kind == entryFrame {
		if err := s.readIndex(b, at, h.value); err != nil {
			return 0, err
		}
	}
	if err := s.checksum(at, size, &own, &sum); err != nil {
		return 0, err
	}
	if err := s.checksum(at+size, h.padded()-size, &sum); err != nil {
		return 0, err
	}
	if h.kind == entryFrame && !b.disorder { // else nobody needs it
		s.frames = append(s.frames, frame{offset: uint32(b.end), size: h.value, sum: own})
	}
	if h.kind == indexFrame {
		b.indexed, b.total = true, uint64(h.value)/4
	}
	b.end = at + h.padded()
	return sum, nil
}

// readIndex looks at the index of an entry whose payload is at pos. One that does not follow is noted, and the batch is read on: where it
// ends is needed.
func (s *scanner) readIndex(b *batch, pos int64, size uint32) error {
	head, err := s.peek(pos, minPayloadBytes)
	if err != nil {
		return err
	}
	index, err := entryIndex(head)
	if b.entries == 0 {
		b.first = index
	}
	if err != nil || size < minPayloadBytes || index == 0 || index != b.first+b.entries {
		b.disorder = true
	}
	b.entries++
	return nil
}

// checksum continues each of sums with n bytes at pos.
func (s *scanner) checksum(pos, n int64, sums ...*uint32) error {
	for n > 0 {
		b, err := s.peek(pos, 1)
		if err != nil {
			return err
		}
		if len(b) == 0 {
			return fmt.Errorf("the file has become shorter than its %d bytes: %w", s.size, io.ErrUnexpectedEOF)
		}
		b = b[:min(int64(len(b)), n)]
		for _, sum := range sums {
			*sum = crc32.Update(*sum, castagnoli, b)
		}
		pos, n = pos+int64(len(b)), n-int64(len(b))
	}
	return nil
}

// peek returns the bytes at pos that are in the window: at least n, unless the file ends before. They are valid until the next call.
func (s *scanner) peek(pos, n int64) ([]byte, error) {
	n = max(0, min(n, s.size-pos))
	if n == 0 {
		return nil, nil
	}
	if pos < s.windowAt || pos+n > s.windowAt+int64(len(s.window)) {
		got, err := s.in.ReadAt(s.buf[:min(int64(len(s.buf)), s.size-pos)], pos)
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		s.window, s.windowAt = s.buf[:got], pos
	}
	return s.window[pos-s.windowAt:], nil
}

// follows reports whether a right batch can be the one that comes next. Behind damage, which begins at from, there may be a gap, but no
// larger one than the entries that fit in between.
func (s *scanner) follows(b *batch, from int64) bool {
	if b.entries == 0 {
		return true
	}
	next := s.next()
	if b.first < next || b.first-next > uint64(b.start-from)/minEntryBytes {
		return false
	}
	return b.first == next || !s.info.sealed() || b.first <= s.info.MaxIndex
}

// accept takes a right batch over, and makes damage of those before it.
func (s *scanner) accept(b *batch) {
	switch {
	case b.entries > 0:
		s.lose(b.first - s.next())
		s.out.frames = append(s.out.frames, make([]frame, s.out.entries-uint64(len(s.out.frames)))...)
		s.out.frames = append(s.out.frames, s.frames...)
		s.out.entries += b.entries
	case b.indexed:
		s.lose(s.missing(b))
	default:
		return // a commit frame alone is no evidence: eight bytes of an entry may look like it
	}
	s.sealed = b.indexed
}

// missing returns how many entries the lost batches held when b, which holds the segment's index and nothing else, follows them.
func (s *scanner) missing(b *batch) uint64 {
	if s.lost.batches == 0 {
		return 0
	}
	n := b.total - s.out.entries
	if n > uint64(b.start-s.lost.first.start)/minEntryBytes {
		return s.lost.entries // the index is not of this segment; there is nothing better to know
	}
	return n
}

// lose makes damage of the next n entries, which the lost batches held.
func (s *scanner) lose(n uint64) {
	if n = min(n, math.MaxUint64-s.next()); n > 0 {
		first, bad := s.next(), &s.lost.first
		s.out.damaged = append(s.out.damaged, damage{first: first, last: first + n - 1, offset: bad.start, err: bad.err})
		s.out.entries += n
	}
	s.lost = run{}
}

// finish ends the segment with a batch that has no end, and behind which nothing is right.
func (s *scanner) finish(b *batch) {
	if s.info.sealed() { // it was complete when it was sealed, so this is damage
		s.lost.add(b)
		bad := &s.lost.first
		s.out.damaged = append(s.out.damaged, damage{first: s.next(), last: s.info.MaxIndex, offset: bad.start, err: bad.err})
		return
	}
	torn, lost := b, s.lost.entries
	switch {
	case b.entries > 0:
		// raft-wal's rule: an entry behind a commit frame was written after a successful sync, so the batch of that commit frame was
		// acknowledged.
	case s.lost.last.err == errChecksum: // it may have been cut off
		last := s.lost.last
		torn, lost = &last, lost-last.entries
	case s.debris <= b.start:
		torn = nil
	case b.err == errZeros:
		b.err = errUnwritten
	}
	s.lose(lost)
	if torn != nil {
		s.out.dropped = &damage{first: s.next(), last: s.next(), offset: torn.start, err: torn.err}
	}
}
