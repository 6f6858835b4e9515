package raftwal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/raft-ballast/ballast"
)

// A segment begins with a header. All integers are little-endian.
//
//	 0   0d 6b eb 58               magic
//	 4   00 00 00                  reserved
//	 7   00                        version
//	 8   u64                       index of its first entry
//	16   u64                       number of the segment
//	24   u64                       codec of its entries, 1
//
// Frames follow, each at a multiple of 8:
//
//	0   01, 02 or 03              kind: entry, index, commit
//	1   00 00 00                  reserved
//	4   u32                       entry and index: length of the payload; commit: CRC-32C
//	8   payload, then zeros up to a multiple of 8
//
// What one append wrote is a batch: entries, an index when the segment ends with it, and a commit. The commit's checksum covers
// every byte since the commit before it; the first one covers the segment's header too. The payload of an index is the
// offset of each entry's frame, u32, from the first entry on.
//
// Behind the last batch are zeros, the file's end, or what an interrupted append has left.
const (
	segmentMagic   = 0x58eb6b0d // wire format
	segmentVersion = 0          // wire format
	headerBytes    = 32

	entryFrame       = 1 // wire format
	indexFrame       = 2 // wire format
	commitFrame      = 3 // wire format
	frameHeaderBytes = 8

	minPayloadBytes = 20                                 // of an entry: five varints and a time
	minEntryBytes   = frameHeaderBytes + minPayloadBytes // that an entry takes in a file, at least

	// maxSegmentBytes is where an offset of 32 bits ends.
	maxSegmentBytes = 1 << 32

	binaryCodec = 1 // the codec of raft-wal; applications number their own from 65,536 on
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// segmentName is the name of a segment's file.
func segmentName(base, id uint64) string { return fmt.Sprintf("%020d-%016x.wal", base, id) }

// frameHeader is the first 8 bytes of a frame.
type frameHeader struct {
	kind  byte
	value uint32 // length of the payload, or checksum
}

func parseFrame(b []byte) frameHeader {
	return frameHeader{kind: b[0], value: binary.LittleEndian.Uint32(b[4:])}
}

// padded is how many bytes the payload takes with the zeros behind it.
func (h frameHeader) padded() int64 { return (int64(h.value) + 7) &^ 7 }

var (
	errMagic  = errors.New("it does not begin as a segment of raft-wal")
	errHeader = errors.New("its header is not the one that wal-meta.db tells of")
	errShort  = errors.New("it ends within its header")
)

// checkHeader compares a segment's header with what wal-meta.db says of it.
func checkHeader(b []byte, info *segmentInfo) error {
	le := binary.LittleEndian
	switch {
	case len(b) < headerBytes:
		return errShort
	case le.Uint32(b) != segmentMagic:
		return errMagic
	case b[7] != segmentVersion:
		return fmt.Errorf("version %d of raft-wal's segments: %w", b[7], ballast.ErrUnknownVersion)
	case !bytes.Equal(b[4:7], []byte{0, 0, 0}),
		le.Uint64(b[8:]) != info.BaseIndex, le.Uint64(b[16:]) != info.ID, le.Uint64(b[24:]) != info.Codec:
		return errHeader
	}
	return nil
}
