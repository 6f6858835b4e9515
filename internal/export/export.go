// Package export is the codec of one file that holds all of a store: docs/EXPORT-FORMAT.md describes every byte.
//
// A file is written and read from front to back, a block at a time. Memory is bounded by the largest block: a MiB, or one entry that is
// larger.
package export

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/klauspost/compress/zstd"

	"github.com/raft-ballast/ballast"
)

// Version is the version of the format that this release writes and reads.
const Version = 1

// File header. The first 16 bytes are the same in every version.
//
//	 0  8  magic "BALLASTX"
//	 8  4  CRC-32C of bytes 12 to 16
//	12  4  version
const (
	magic       = "BALLASTX"
	headerBytes = 16
)

// Block:
//
//	 0  4  CRC-32C of bytes 4 to 32
//	 4  1  kind
//	 5  1  compression
//	 6  2  zero
//	 8  8  number, from 0
//	16  4  length of the content as stored
//	20  4  length of the content before compression
//	24  4  CRC-32C of the content as stored
//	28  4  zero
//	32     content
const blockHeaderBytes = 32

// Kinds of blocks. On the disk, never to be renumbered.
const (
	blockStore   = 1 // first index, last index, commit index, engine
	blockEntries = 2
	blockStable  = 3
	blockEnd     = 4 // entries, stable values, SHA-256 of everything before this block
)

// Compressions. On the disk, never to be renumbered.
const (
	plain      = 0
	compressed = 1 // one frame of Zstandard
)

const (
	storeBytes  = 24 // of blockStore, without the engine
	entryBytes  = 40 // of an entry, without its parts
	stableBytes = 8  // of a stable value, without its parts
	endBytes    = 48

	fullBytes = 1 << 20           // of content, after which a block is written
	maxBytes  = 1<<30 + fullBytes // of content: an entry of the largest size that an engine takes

	// Content of more than believedBytes is at most so many times as long as what is stored, so that a few bytes never ask for a
	// GiB of memory.
	believedBytes = 1 << 20
	believedRatio = 1024
)

// Flags of an entry. On the disk, never to be renumbered.
const (
	flagData       = 1 << 0 // Data is not nil
	flagExtensions = 1 << 1 // Extensions is not nil
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Store is what is said of a store before its content.
type Store struct {
	FirstIndex, LastIndex uint64 // 0 for a log without entries
	CommitIndex           uint64
	Engine                string // for people
}

func fileHeader() []byte {
	b := make([]byte, headerBytes)
	copy(b, magic)
	binary.LittleEndian.PutUint32(b[12:], Version)
	binary.LittleEndian.PutUint32(b[8:], crc32.Checksum(b[12:], castagnoli))
	return b
}

type blockHeader struct {
	kind, compression byte
	number            uint64
	stored, raw       uint32
	sum               uint32
}

func (h *blockHeader) encode() []byte {
	b := make([]byte, blockHeaderBytes)
	b[4], b[5] = h.kind, h.compression
	binary.LittleEndian.PutUint64(b[8:], h.number)
	binary.LittleEndian.PutUint32(b[16:], h.stored)
	binary.LittleEndian.PutUint32(b[20:], h.raw)
	binary.LittleEndian.PutUint32(b[24:], h.sum)
	binary.LittleEndian.PutUint32(b, crc32.Checksum(b[4:], castagnoli))
	return b
}

// decodeBlockHeader returns an error that matches ballast.ErrUnknownVersion for what a later version may write.
func decodeBlockHeader(b []byte, number uint64) (h blockHeader, err error) {
	if binary.LittleEndian.Uint32(b) != crc32.Checksum(b[4:blockHeaderBytes], castagnoli) {
		return h, fmt.Errorf("the header of block %d does not match its checksum", number)
	}
	h = blockHeader{
		kind: b[4], compression: b[5], number: binary.LittleEndian.Uint64(b[8:]),
		stored: binary.LittleEndian.Uint32(b[16:]), raw: binary.LittleEndian.Uint32(b[20:]), sum: binary.LittleEndian.Uint32(b[24:]),
	}
	switch {
	case h.number != number:
		return h, fmt.Errorf("block %d is in the place of block %d", h.number, number)
	case h.kind < blockStore || h.kind > blockEnd || h.compression > compressed || b[6]|b[7]|b[28]|b[29]|b[30]|b[31] != 0:
		return h, fmt.Errorf("%w: a block of kind %d; use a newer release", ballast.ErrUnknownVersion, h.kind)
	case h.stored > maxBytes || h.raw > maxBytes || h.compression == plain && h.raw != h.stored || !believed(h.raw, h.stored):
		return h, fmt.Errorf("block %d says %d bytes in %d", number, h.raw, h.stored)
	}
	return h, nil
}

func believed(raw, stored uint32) bool {
	return uint64(raw) <= believedBytes+believedRatio*uint64(stored)
}

// newDecoder makes one that makes no more of a block than its header says. Both fail only for options that are wrong.
func newDecoder() (*zstd.Decoder, error) {
	return zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecodeAllCapLimit(true))
}

func newEncoder() (*zstd.Encoder, error) {
	return zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
}
