package wal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/vfs"
)

// This file is the codec of what docs/FORMAT.md describes, and does no I/O. All integers are little-endian.
//
// A segment is a file of a fixed size:
//
//	   0  segment header, the rest of the block is zero
//	4096  marker, the rest of the block is zero
//	8192  frames, one behind the other; zeros behind the last one
const (
	blockBytes  = vfs.BlockBytes
	sectorBytes = vfs.SectorBytes

	markerOffset = blockBytes
	framesOffset = 2 * blockBytes

	formatVersion = 1

	// maxSequence is the last number that a frame can have, and maxSegment the last one of a segment, so that none follows which is
	// lower. Nobody writes that many, at a frame each nanosecond or a segment each microsecond: they keep a forged number from being counted on from.
	maxSequence = 1 << 62
	maxSegment  = 1 << 48

	// Higher numbers of segments are those of moved entries, which lie beside the log.
	maxMovedSegment = 1 << 49
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Checksums of a segment begin with its identity and end with the place of what they cover, so that neither what
// another segment left behind nor a copy of a frame inside an entry is ever valid.

// seedOf returns where the checksums of a segment with this identity begin.
func seedOf(identity uint64) uint32 {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], identity)
	return crc32.Update(0, castagnoli, b[:])
}

// place returns what a checksum at an offset is combined with by exclusive or. Offsets are multiples of 8, and no
// two of one segment have the same place.
func place(offset int64) uint32 { return uint32(offset>>3) * 0x9E3779B1 }

// Segment header:
//
//	 0  8  magic "BALLASTW"
//	 8  4  CRC-32C of bytes 12 to 64
//	12  4  format version
//	16  8  number of the segment
//	24  8  identity, random
//	32  8  size of the file in bytes
//	40 24  zero
const headerBytes = 64

const headerMagic = "BALLASTW"

type header struct {
	number   uint64
	identity uint64
	size     int64
}

func putHeader(b []byte, h header) {
	clear(b[:headerBytes])
	copy(b, headerMagic)
	binary.LittleEndian.PutUint32(b[12:], formatVersion)
	binary.LittleEndian.PutUint64(b[16:], h.number)
	binary.LittleEndian.PutUint64(b[24:], h.identity)
	binary.LittleEndian.PutUint64(b[32:], uint64(h.size))
	binary.LittleEndian.PutUint32(b[8:], crc32.Checksum(b[12:headerBytes], castagnoli))
}

// parseHeader returns an error that matches ballast.ErrUnknownVersion for a whole header of another version.
func parseHeader(b []byte) (h header, err error) {
	if len(b) < headerBytes || string(b[:8]) != headerMagic {
		return h, errors.New("this is not the header of a segment")
	}
	if binary.LittleEndian.Uint32(b[8:]) != crc32.Checksum(b[12:headerBytes], castagnoli) {
		return h, errors.New("the checksum of the segment's header does not match")
	}
	if v := binary.LittleEndian.Uint32(b[12:]); v != formatVersion {
		return h, fmt.Errorf("%w: version %d, this release knows %d; use a newer one", ballast.ErrUnknownVersion, v, formatVersion)
	}
	if !isZero(b[40:headerBytes]) {
		return h, fmt.Errorf("%w: the header of a segment has fields that are not known; use a newer release", ballast.ErrUnknownVersion)
	}
	h.number = binary.LittleEndian.Uint64(b[16:])
	h.identity = binary.LittleEndian.Uint64(b[24:])
	h.size = int64(binary.LittleEndian.Uint64(b[32:]))
	if h.number == 0 || h.number > maxMovedSegment {
		return h, fmt.Errorf("the segment's header says number %d", h.number)
	}
	if h.size < framesOffset+blockBytes || h.size%blockBytes != 0 || h.size > maxSegmentBytes {
		return h, fmt.Errorf("the segment's header says a size of %d bytes", h.size)
	}
	return h, nil
}

// Marker:
//
//	 0  4  CRC-32C of bytes 4 to 64, from the segment's seed
//	 4  1  state
//	 5  3  zero
//	 8  8  last sequence number, at least
//	16  8  offset behind the last frame, at least
//	24  8  offset of a frame with the index of the segment's entries, 0 for none
//	32  8  its length
//	40  8  offset up to which the segment holds zeros behind its last frame
//	48  8  identity of the next segment, when sealed; otherwise how many entries were ever put into this one, 0 where that is not told
//	56  8  offset of the last frame, when that is a checkpoint, 0 otherwise
//
// Sequence number and offset are lower bounds: a segment that ends before them has lost something. A marker of
// zeros says nothing.
const markerBytes = 64

// States of a marker. On the disk, never to be renumbered.
const (
	markerNone   = 0
	markerOpen   = 1 // frames may follow
	markerClosed = 2 // the log was closed here, no frame follows
	markerSealed = 3 // the log goes on in the next segment
)

type marker struct {
	state       byte
	sequence    uint64
	end         int64
	indexOffset int64
	indexLength int64
	zeroed      int64
	successor   uint64 // of a sealed one only
	stored      int64  // of any other
	checkpoint  int64
}

func putMarker(b []byte, m marker, seed uint32) {
	clear(b[:markerBytes])
	b[4] = m.state
	binary.LittleEndian.PutUint64(b[8:], m.sequence)
	binary.LittleEndian.PutUint64(b[16:], uint64(m.end))
	binary.LittleEndian.PutUint64(b[24:], uint64(m.indexOffset))
	binary.LittleEndian.PutUint64(b[32:], uint64(m.indexLength))
	binary.LittleEndian.PutUint64(b[40:], uint64(m.zeroed))
	if m.state == markerSealed {
		binary.LittleEndian.PutUint64(b[48:], m.successor)
	} else {
		binary.LittleEndian.PutUint64(b[48:], uint64(m.stored))
	}
	binary.LittleEndian.PutUint64(b[56:], uint64(m.checkpoint))
	binary.LittleEndian.PutUint32(b, crc32.Update(seed, castagnoli, b[4:markerBytes])^place(markerOffset))
}

// parseMarker returns a marker that says nothing for one that cannot be read: everything that a marker says is found
// without it too, only later.
func parseMarker(b []byte, seed uint32, size int64) (m marker) {
	if binary.LittleEndian.Uint32(b) != crc32.Update(seed, castagnoli, b[4:markerBytes])^place(markerOffset) {
		return marker{}
	}
	m.state = b[4]
	m.sequence = binary.LittleEndian.Uint64(b[8:])
	m.end = int64(binary.LittleEndian.Uint64(b[16:]))
	m.indexOffset = int64(binary.LittleEndian.Uint64(b[24:]))
	m.indexLength = int64(binary.LittleEndian.Uint64(b[32:]))
	m.zeroed = int64(binary.LittleEndian.Uint64(b[40:]))
	if m.state == markerSealed {
		m.successor = binary.LittleEndian.Uint64(b[48:])
	} else {
		m.stored = int64(binary.LittleEndian.Uint64(b[48:]))
	}
	m.checkpoint = int64(binary.LittleEndian.Uint64(b[56:]))
	if m.state == markerNone || m.state > markerSealed || !within(framesOffset, m.end, size) || !within(0, m.zeroed, size) ||
		(m.indexOffset != 0 || m.indexLength != 0) && !isFramePlace(m.indexOffset, m.indexLength, size) ||
		m.checkpoint != 0 && !isFramePlace(m.checkpoint, m.end-m.checkpoint, size) {
		return marker{}
	}
	return m
}

// isFramePlace reports whether a frame of so many bytes may lie at an offset.
func isFramePlace(offset, length, size int64) bool {
	return within(framesOffset, offset, size) && offset%8 == 0 && within(frameHeaderBytes, length, size-offset) && length%8 == 0
}

func within(low, v, high int64) bool { return low <= v && v <= high }

// Frame:
//
//	 0  4  magic "BWF1"
//	 4  4  CRC-32C of bytes 8 to 40, from the segment's seed, combined with the place of the frame
//	 8  8  length in bytes, with this header, a multiple of 8
//	16  8  sequence number
//	24  4  CRC-32C of the headers of all its records
//	28  4  how many of the slices that sectors cut the frame into hold only zeros
//	32  4  number of records
//	36  4  zero
//	40     records
//
// The header lies in one sector, so that it is written wholly or not at all.
const frameHeaderBytes = 40

const frameMagic = 0x31465742

type frameHeader struct {
	length   int64
	sequence uint64
	digest   uint32
	zeros    uint32
	records  uint32
}

// frameStart returns where a frame begins that follows end.
func frameStart(end int64) int64 {
	if rest := sectorBytes - end%sectorBytes; rest < frameHeaderBytes {
		return end + rest
	}
	return end
}

func putFrameHeader(b []byte, f frameHeader, seed uint32, offset int64) {
	binary.LittleEndian.PutUint32(b, frameMagic)
	binary.LittleEndian.PutUint64(b[8:], uint64(f.length))
	binary.LittleEndian.PutUint64(b[16:], f.sequence)
	binary.LittleEndian.PutUint32(b[24:], f.digest)
	binary.LittleEndian.PutUint32(b[28:], f.zeros)
	binary.LittleEndian.PutUint32(b[32:], f.records)
	binary.LittleEndian.PutUint32(b[36:], 0)
	binary.LittleEndian.PutUint32(b[4:], crc32.Update(seed, castagnoli, b[8:frameHeaderBytes])^place(offset))
}

// parseFrameHeader reports whether b begins with the header of a frame at offset that fits in a segment of size
// bytes.
func parseFrameHeader(b []byte, seed uint32, offset, size int64) (f frameHeader, ok bool) {
	if binary.LittleEndian.Uint32(b) != frameMagic ||
		binary.LittleEndian.Uint32(b[4:]) != crc32.Update(seed, castagnoli, b[8:frameHeaderBytes])^place(offset) {
		return f, false
	}
	f.length = int64(binary.LittleEndian.Uint64(b[8:]))
	f.sequence = binary.LittleEndian.Uint64(b[16:])
	f.digest = binary.LittleEndian.Uint32(b[24:])
	f.zeros = binary.LittleEndian.Uint32(b[28:])
	f.records = binary.LittleEndian.Uint32(b[32:])
	return f, within(frameHeaderBytes, f.length, size-offset) && f.length%8 == 0
}

// zeroSlices counts the slices of a frame, cut by the sectors, that hold only zeros. frame begins at offset in the
// segment.
func zeroSlices(frame []byte, offset int64) (n uint32) {
	for len(frame) > 0 {
		cut := min(int(sectorBytes-offset%sectorBytes), len(frame))
		if isZero(frame[:cut]) {
			n++
		}
		frame, offset = frame[cut:], offset+int64(cut)
	}
	return n
}

var zeroBlock [blockBytes]byte

func isZero(b []byte) bool {
	if len(b) >= 8 && binary.LittleEndian.Uint64(b) != 0 {
		return false // almost every slice that is not zero
	}
	for len(b) > 0 {
		n := min(len(b), len(zeroBlock))
		if string(b[:n]) != string(zeroBlock[:n]) {
			return false
		}
		b = b[n:]
	}
	return true
}

// Record, at a multiple of 8, padded with zeros to one:
//
//	 0  4  CRC-32C of bytes 4 to length, from the segment's seed, combined with the place of the record
//	 4  4  length in bytes, with this header, without padding
//	 8  1  kind
//	 9  1  flags
//	10  1  type of the entry
//	11  1  zero
//	12  4  nanoseconds of AppendedAt
//	16  8  raft group
//	24  8  a: index of the entry
//	32  8  b: term of the entry
//	40  8  c: Unix seconds of AppendedAt
//	48  4  length of the first part: Extensions, or a stable key
//	52  4  length of the second part before compression: Data, or a stable value
//	56     first part, second part
const recordHeaderBytes = 56

// Kinds of records. On the disk, never to be renumbered.
const (
	recordEntry   = 1  // an entry
	recordSet     = 2  // a stable value: key, value
	recordDelete  = 3  // entries a to b are deleted, the commit index is at most the last index
	recordCommit  = 4  // the commit index is a, at most the last index
	recordLink    = 5  // the segment before: number a, last sequence number b, end c, identity
	recordSegment = 6  // a segment with live entries: number a, last sequence number b, end c, identity, entries stored in it, size
	recordRuns    = 7  // live entries of the group and its commit index a: (segment number, first, last) for each run
	recordIndex   = 8  // entries of the group in this segment from index a: their offsets in units of 8 bytes
	recordMoved   = 9  // the entries behind it were moved from segment a, of identity b
	recordUnset   = 10 // a stable value is deleted: key
	recordDrop    = 11 // all that the group has is deleted
)

const lastKind = recordDrop

// Flags of a record. On the disk, never to be renumbered.
const (
	flagData       = 1 << 0 // Data is not nil
	flagExtensions = 1 << 1 // Extensions is not nil
	flagS2         = 1 << 2 // the second part is compressed with s2
	flagZstd       = 1 << 3 // the second part is compressed with zstd
)

type record struct {
	kind    byte
	flags   byte
	logType byte
	nanos   uint32
	group   uint64
	a, b, c uint64
	first   []byte
	second  []byte // as stored
	raw     uint32 // length of the second part before compression
}

// putRecordHeader leaves the checksum to the caller.
func putRecordHeader(b []byte, r *record) {
	binary.LittleEndian.PutUint32(b[4:], uint32(recordHeaderBytes+len(r.first)+len(r.second)))
	b[8], b[9], b[10], b[11] = r.kind, r.flags, r.logType, 0
	binary.LittleEndian.PutUint32(b[12:], r.nanos)
	binary.LittleEndian.PutUint64(b[16:], r.group)
	binary.LittleEndian.PutUint64(b[24:], r.a)
	binary.LittleEndian.PutUint64(b[32:], r.b)
	binary.LittleEndian.PutUint64(b[40:], r.c)
	binary.LittleEndian.PutUint32(b[48:], uint32(len(r.first)))
	binary.LittleEndian.PutUint32(b[52:], r.raw)
}

// recordLength returns the length without padding that a record's header says; 0 for one that cannot be.
func recordLength(b []byte) int64 {
	n := binary.LittleEndian.Uint32(b[4:])
	if n < recordHeaderBytes {
		return 0
	}
	return int64(n)
}

func padded(n int64) int64 { return (n + 7) &^ 7 }

// sealRecord sets the checksum of a record that lies in one piece.
func sealRecord(b []byte, seed uint32, offset int64) {
	binary.LittleEndian.PutUint32(b, crc32.Update(seed, castagnoli, b[4:])^place(offset))
}

var errChecksum = errors.New("the checksum does not match")

// parseRecord reads the record that b, cut to its length, holds at offset. The parts refer to b.
func parseRecord(b []byte, seed uint32, offset int64) (r record, err error) {
	if binary.LittleEndian.Uint32(b) != crc32.Update(seed, castagnoli, b[4:])^place(offset) {
		return r, errChecksum
	}
	return splitRecord(b)
}

// splitRecord is parseRecord without the checksum.
func splitRecord(b []byte) (r record, err error) {
	r.kind, r.flags, r.logType = b[8], b[9], b[10]
	r.nanos = binary.LittleEndian.Uint32(b[12:])
	r.group = binary.LittleEndian.Uint64(b[16:])
	r.a = binary.LittleEndian.Uint64(b[24:])
	r.b = binary.LittleEndian.Uint64(b[32:])
	r.c = binary.LittleEndian.Uint64(b[40:])
	first := int64(binary.LittleEndian.Uint32(b[48:]))
	r.raw = binary.LittleEndian.Uint32(b[52:])
	rest := b[recordHeaderBytes:]
	if first > int64(len(rest)) {
		return r, fmt.Errorf("a part of %d bytes in a record of %d", first, len(b))
	}
	r.first, r.second = rest[:first:first], rest[first:]
	return r, r.check()
}

// check returns an error that matches ballast.ErrUnknownVersion for what a later version may write, and another one for what
// none does.
func (r *record) check() error {
	known := byte(0)
	if r.kind == recordEntry {
		known = flagData | flagExtensions | flagS2 | flagZstd
	}
	compressed := r.flags & (flagS2 | flagZstd)
	switch {
	case r.kind == 0 || r.kind > lastKind:
		return fmt.Errorf("%w: a record of kind %d; use a newer release", ballast.ErrUnknownVersion, r.kind)
	case r.flags&^known != 0 || compressed == flagS2|flagZstd:
		return fmt.Errorf("%w: a record of kind %d with flags %#x; use a newer release", ballast.ErrUnknownVersion, r.kind, r.flags)
	case compressed == 0 && int64(r.raw) != int64(len(r.second)):
		return fmt.Errorf("a part of %d bytes where there are %d", r.raw, len(r.second))
	case r.kind == recordEntry && (r.flags&flagData == 0 && len(r.second) > 0 || r.flags&flagExtensions == 0 && len(r.first) > 0):
		return fmt.Errorf("an entry with parts that its flags %#x deny", r.flags)
	}
	return nil
}

// segmentRefBytes is the second part of a recordSegment: identity, entries stored, size.
const segmentRefBytes = 24

// liveRun is one element of a recordRuns: 24 bytes.
type liveRun struct{ segment, first, last uint64 }

const liveRunBytes = 24

func appendLiveRun(b []byte, r liveRun) []byte {
	b = binary.LittleEndian.AppendUint64(b, r.segment)
	b = binary.LittleEndian.AppendUint64(b, r.first)
	return binary.LittleEndian.AppendUint64(b, r.last)
}

// parseLiveRuns refuses runs that are not in order.
func parseLiveRuns(b []byte) ([]liveRun, error) {
	if len(b)%liveRunBytes != 0 {
		return nil, fmt.Errorf("runs of %d bytes", len(b))
	}
	runs := make([]liveRun, 0, len(b)/liveRunBytes)
	last := uint64(0)
	for ; len(b) > 0; b = b[liveRunBytes:] {
		r := liveRun{binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:]), binary.LittleEndian.Uint64(b[16:])}
		if r.first <= last || r.last < r.first {
			return nil, fmt.Errorf("entries %d to %d are said to follow entry %d", r.first, r.last, last)
		}
		last = r.last
		runs = append(runs, r)
	}
	return runs, nil
}

// parseOffsets reads the offsets of a recordIndex, in units of 8 bytes.
func parseOffsets(r *record) ([]uint32, error) {
	n := len(r.second) / 4
	if len(r.second)%4 != 0 || n == 0 || r.a == 0 || r.a > math.MaxUint64-uint64(n-1) {
		return nil, fmt.Errorf("an index of %d bytes from entry %d", len(r.second), r.a)
	}
	offs := make([]uint32, n)
	for i := range offs {
		offs[i] = binary.LittleEndian.Uint32(r.second[4*i:])
	}
	return offs, nil
}

// encodeFrame returns a frame of records for a place that held zeros.
func encodeFrame(records []record, sequence uint64, seed uint32, offset int64) []byte {
	frame := make([]byte, frameHeaderBytes)
	digest := uint32(0)
	for i := range records {
		r := &records[i]
		start := int64(len(frame))
		frame = append(frame, make([]byte, recordHeaderBytes)...)
		putRecordHeader(frame[start:], r)
		frame = append(append(frame, r.first...), r.second...)
		sealRecord(frame[start:], seed, offset+start)
		digest = crc32.Update(digest, castagnoli, frame[start:start+recordHeaderBytes])
		frame = append(frame, zeroBlock[:-len(frame)&7]...)
	}
	h := frameHeader{length: int64(len(frame)), sequence: sequence, digest: digest, records: uint32(len(records))}
	putFrameHeader(frame, h, seed, offset)
	h.zeros = zeroSlices(frame, offset)
	putFrameHeader(frame, h, seed, offset)
	return frame
}
