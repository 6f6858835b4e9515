package wal

import (
	"encoding/binary"
	"hash/crc32"

	"github.com/raft-ballast/ballast/internal/vfs"
)

// This file finds out with what the checksums of a segment begin when its header, which says so, is damaged. A CRC can be run
// backwards: a frame's header and its checksum give the value that it began with, and each further checksum in the segment that
// matches with the same value confirms it.

// crcTops has the position in the table of a CRC-32C of each possible upper byte.
var crcTops = func() (tops [256]byte) {
	for i, entry := range castagnoli {
		tops[entry>>24] = byte(i)
	}
	return tops
}()

// crcBack returns the value with which crc32.Update makes sum of b.
func crcBack(sum uint32, b []byte) uint32 {
	state := ^sum
	for i := len(b) - 1; i >= 0; i-- {
		top := crcTops[state>>24]
		state = (state^castagnoli[top])<<8 | uint32(top^b[i])
	}
	return ^state
}

// identityOf returns an identity of which the checksums begin with seed; the one that the segment had is another.
func identityOf(seed uint32) uint64 {
	// With the last four bytes each value can be made of the one that the first four lead to.
	var b [8]byte
	binary.LittleEndian.PutUint32(b[4:], crcBack(seed, b[4:])^crc32.Update(0, castagnoli, b[:4]))
	return binary.LittleEndian.Uint64(b[:])
}

// findIdentity returns an identity with which the first frame of a segment of a size is whole, and at least one more checksum
// of it matches.
func findIdentity(f vfs.File, dir string, number uint64, size int64) (identity uint64, ok bool) {
	b := make([]byte, framesOffset+frameHeaderBytes)
	if size < int64(len(b)) || readFull(&segment{header: header{size: size}}, f, b, 0) != nil {
		return 0, false
	}
	head := b[framesOffset:]
	if binary.LittleEndian.Uint32(head) != frameMagic {
		return 0, false
	}
	seed := crcBack(binary.LittleEndian.Uint32(head[4:])^place(framesOffset), head[8:frameHeaderBytes])
	seg := newSegment(dir, header{number: number, identity: identityOf(seed), size: size})
	r := &reader{seg: seg, f: f}
	v, h, frame, err := judgeFirst(r)
	if err != nil || v != isFrame {
		return 0, false
	}
	// What was made of the first frame says nothing by itself.
	if parseMarker(b[markerOffset:], seg.seed, size).state != markerNone {
		return seg.identity, true
	}
	next := frameStart(framesOffset + h.length)
	if b, err := r.view(next, min(frameHeaderBytes, size-next)); err == nil && len(b) == frameHeaderBytes {
		if _, ok := parseFrameHeader(b, seg.seed, next, size); ok {
			return seg.identity, true
		}
	}
	frame, err = r.view(framesOffset, int64(len(frame)))
	return seg.identity, h.records > 0 && err == nil &&
		walk(frame, h, seg.seed, framesOffset, func(*record, int64, bool) error { return nil }) == nil
}
