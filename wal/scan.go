package wal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/vfs"
)

// reader reads a segment from front to back in pieces, which grow.
type reader struct {
	seg   *segment
	f     vfs.File
	buf   []byte
	at    int64 // offset of buf
	piece int64 // that was read last

	flawed bool // the frame that was judged last is one with a damaged part
}

const (
	firstPiece  = 4 << 10
	readerBytes = 1 << 20
)

// view returns n bytes at an offset, valid until the next call.
func (r *reader) view(off, n int64) ([]byte, error) {
	if off < r.at || off+n > r.at+int64(len(r.buf)) {
		r.piece = min(max(4*r.piece, firstPiece), readerBytes)
		size := min(max(n, r.piece), r.seg.size-off)
		if int64(cap(r.buf)) < size {
			r.buf = make([]byte, size)
		}
		r.at, r.buf = off, r.buf[:size]
		if err := readFull(r.seg, r.f, r.buf, off); err != nil {
			r.buf = r.buf[:0]
			return nil, err
		}
	}
	return r.buf[off-r.at:][:n], nil
}

// ahead returns what is in memory from an offset on, at least n bytes. What was read already is not
// read again.
func (r *reader) ahead(off, n int64) ([]byte, error) {
	if _, err := r.view(off, n); err != nil {
		return nil, err
	}
	return r.buf[off-r.at:], nil
}

// forget has the next view read the disk.
func (r *reader) forget() { r.buf, r.piece = r.buf[:0], 0 }

var (
	errStructure = errors.New("the frame's records are damaged")
	errPayload   = errors.New("a record of the frame is damaged")
)

// walk calls fn for each record of a frame, with its offset in the segment and whether its checksum matches. It returns errStructure,
// before any call, when the records' headers are not those that were written, and errPayload at the end when only other bytes are damaged.
func walk(frame []byte, h frameHeader, seed uint32, offset int64, fn func(r *record, off int64, whole bool) error) error {
	pos, digest := int64(frameHeaderBytes), uint32(0)
	for range h.records {
		if int64(len(frame))-pos < recordHeaderBytes {
			return errStructure
		}
		n := recordLength(frame[pos:])
		if n == 0 || padded(n) > int64(len(frame))-pos {
			return errStructure
		}
		digest = crc32.Update(digest, castagnoli, frame[pos:pos+recordHeaderBytes])
		pos += padded(n)
	}
	if pos != int64(len(frame)) || digest != h.digest {
		return errStructure
	}
	var damaged error
	for pos = frameHeaderBytes; pos < int64(len(frame)); {
		n := recordLength(frame[pos:])
		b := frame[pos : pos+n]
		r, err := parseRecord(b, seed, offset+pos)
		whole := !errors.Is(err, errChecksum)
		if !whole {
			r, err = splitRecord(b)
			damaged = errPayload
		}
		if errors.Is(err, ballast.ErrUnknownVersion) && whole {
			return err
		}
		if err != nil {
			return errStructure
		}
		if err := fn(&r, offset+pos, whole); err != nil {
			return err
		}
		pos += padded(n)
	}
	return damaged
}

// What is found where a frame may begin.
type verdict int

const (
	isFrame   verdict = iota // the frame, whole in its structure
	isEnd                    // nothing was written here
	isTorn                   // a write that did not end, and so was never acknowledged
	isDamaged                // something that was written and is not there as it was
)

// judge looks at the place where the frame of a sequence number would begin. For a frame it returns its header and bytes.
//
// A write that was cut off leaves at least one sector as it was, and that was zero. So a frame with more sectors of zeros than
// its header says was never finished, and one with no more of them was.
func judge(r *reader, off int64, sequence uint64) (v verdict, h frameHeader, frame []byte, err error) {
	seg := r.seg
	if off+frameHeaderBytes > seg.size {
		return isEnd, h, nil, nil
	}
	b, err := r.view(off, frameHeaderBytes)
	if err != nil {
		return isDamaged, h, nil, err
	}
	if isZero(b) {
		// Nothing, or a write that was cut off, leaves all of this sector as it was.
		if b, err = r.view(off, min(sectorBytes-off%sectorBytes, seg.size-off)); err != nil {
			return isDamaged, h, nil, err
		}
		if isZero(b) {
			return isEnd, h, nil, nil
		}
		return isDamaged, h, nil, nil
	}
	h, ok := parseFrameHeader(b, seg.seed, off, seg.size)
	if !ok || h.sequence != sequence || sequence > maxSequence {
		return isDamaged, h, nil, nil
	}
	frame, err = r.view(off, h.length)
	if err != nil {
		return isDamaged, h, nil, err
	}
	err = walk(frame, h, seg.seed, off, func(*record, int64, bool) error { return nil })
	r.flawed = err == errPayload
	switch {
	case err == nil:
		return isFrame, h, frame, nil
	case errors.Is(err, ballast.ErrUnknownVersion):
		return isDamaged, h, nil, fmt.Errorf("wal: %s at offset %d: %w", seg.path, off, err)
	case zeroSlices(frame, off) > h.zeros:
		// It was to be the last one, so what is behind it was zero.
		end := off + h.length
		if b, err := r.view(end, min(roundUp(end, blockBytes)+blockBytes, seg.size)-end); err != nil || !isZero(b) {
			return isDamaged, h, nil, err
		}
		return isTorn, h, nil, nil
	case err == errPayload:
		return isFrame, h, frame, nil
	}
	return isDamaged, h, frame, nil
}

// search returns the offset of the first frame at from or behind it, 0 for none. Only the segment's own frames are
// found, never a copy and never what the file held before.
func search(r *reader, from int64) (int64, error) {
	seg := r.seg
	for from = padded(from); from+frameHeaderBytes <= seg.size; {
		b, err := r.ahead(from, frameHeaderBytes) // not a piece from each place on: a segment has many frames
		if err != nil {
			return 0, err
		}
		pos := 0
		for ; pos+frameHeaderBytes <= len(b); pos += 8 {
			if binary.LittleEndian.Uint32(b[pos:]) != frameMagic {
				continue
			}
			if _, ok := parseFrameHeader(b[pos:], seg.seed, from+int64(pos), seg.size); ok {
				return from + int64(pos), nil
			}
		}
		from += int64(pos)
	}
	return 0, nil
}

// indexedRun is what the index of a segment says about consecutive entries of a group.
type indexedRun struct {
	group uint64
	first uint64
	offs  []uint32
}

// readIndex reads the index that a marker points to. It returns nil where there is none that can be read.
func readIndex(r *reader, m marker) []indexedRun {
	if m.indexLength < frameHeaderBytes {
		return nil
	}
	frame, err := r.view(m.indexOffset, m.indexLength)
	if err != nil {
		return nil
	}
	h, ok := parseFrameHeader(frame, r.seg.seed, m.indexOffset, r.seg.size)
	if !ok || h.length != m.indexLength {
		return nil
	}
	runs := []indexedRun{}
	err = walk(frame, h, r.seg.seed, m.indexOffset, func(rec *record, _ int64, _ bool) error {
		if rec.kind != recordIndex {
			return nil
		}
		offs, err := parseOffsets(rec)
		runs = append(runs, indexedRun{group: rec.group, first: rec.a, offs: offs})
		return err
	})
	if err != nil {
		return nil
	}
	return runs
}

// scanIndex finds the entries of a segment by reading it, up to its end. A frame that is damaged may have replaced
// any entry before it, so it takes all of those with it: what is found behind it is certain. The frames that m says
// repeat others hold no entries.
func scanIndex(r *reader, end int64, m marker) ([]indexedRun, error) {
	groups, any := make(map[uint64]*group), new(segment)
	off := int64(framesOffset)
	for off < end {
		if _, behind := m.repeats(off); behind > off {
			if off = behind; off < end {
				off = frameStart(off)
			}
			continue
		}
		next, err := search(r, off)
		if err != nil {
			return nil, err
		}
		if next == 0 || next >= end {
			break
		}
		if next != off {
			clear(groups)
		}
		off = next
		b, err := r.view(off, frameHeaderBytes)
		if err != nil {
			return nil, err
		}
		h, _ := parseFrameHeader(b, r.seg.seed, off, r.seg.size)
		frame, err := r.view(off, h.length)
		if err != nil {
			return nil, err
		}
		err = walk(frame, h, r.seg.seed, off, func(rec *record, at int64, _ bool) error {
			if rec.kind == recordEntry && rec.a != 0 {
				if groups[rec.group] == nil {
					groups[rec.group] = newGroup(rec.group)
				}
				groups[rec.group].put(rec.a, any, []placed{rec.spot(at)})
			}
			return nil
		})
		if err != nil && err != errPayload {
			clear(groups)
		}
		if off += h.length; off < end {
			off = frameStart(off)
		}
	}
	if off != end {
		clear(groups)
	}
	return runsOf(groups), nil
}

func runsOf(groups map[uint64]*group) (runs []indexedRun) {
	for id, g := range groups {
		for _, run := range g.runs {
			runs = append(runs, indexedRun{group: id, first: run.first, offs: run.offs})
		}
	}
	return runs
}
