// Package boltmeta reads the two pages that a bbolt file begins with, to which transactions write in turns: each says what the file held as of
// one transaction, and the newer counts. bbolt passes over one that is not valid in silence.
package boltmeta

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"

	"github.com/raft-ballast/ballast"
)

// What counts lies in one sector at the begin of the page, in the order of bytes of the machine that wrote it.
//
//	16  u32  magic
//	20  u32  version
//	24  u32  size of a page
//	32  u64  page of the root bucket
//	64  u64  transaction
//	72  u64  FNV-1a of the 56 bytes from 16 on
const (
	Magic   = 0xED0CDAED // wire format
	Version = 2          // wire format

	MagicOffset = 16
	SumOffset   = 72
	End         = 80 // of what counts

	// A file has pages of some power of two between these.
	MinPageBytes = 1 << 10
	MaxPageBytes = 64 << 10
)

// Meta is what a valid page says.
type Meta struct {
	PageBytes   uint64
	Root        uint64 // page of the root bucket
	Transaction uint64
}

// What a page is that is not valid.
var (
	ErrShort   = errors.New("the file ends in the page that says which transaction is the last")
	ErrNotBolt = errors.New("it does not begin as a bbolt file")
	ErrSum     = errors.New("its checksum does not match")
)

// Parse reads a page that this machine, or one with the same order of bytes, has written, of which b is the begin. The error is one of the above, or
// matches ballast.ErrUnknownVersion.
func Parse(b []byte) (m Meta, err error) {
	order, sum := binary.NativeEndian, fnv.New64a()
	if len(b) < End {
		return m, ErrShort
	}
	_, _ = sum.Write(b[MagicOffset:SumOffset])
	switch version := order.Uint32(b[20:]); {
	case order.Uint32(b[MagicOffset:]) != Magic:
		return m, ErrNotBolt
	case order.Uint64(b[SumOffset:]) != sum.Sum64():
		return m, ErrSum
	case version != Version:
		return m, fmt.Errorf("version %d of bbolt's format: %w", version, ballast.ErrUnknownVersion)
	}
	return Meta{PageBytes: uint64(order.Uint32(b[24:])), Root: order.Uint64(b[32:]), Transaction: order.Uint64(b[64:])}, nil
}

// HasMagic reports whether one of the two pages has bbolt's magic, in any order of bytes and with any size of pages. What cannot be read has not.
func HasMagic(f io.ReaderAt) bool {
	if hasMagic(f, 0) {
		return true
	}
	for size := int64(MinPageBytes); size <= MaxPageBytes; size *= 2 {
		if hasMagic(f, size) {
			return true
		}
	}
	return false
}

func hasMagic(f io.ReaderAt, page int64) bool {
	var magic [4]byte
	n, _ := f.ReadAt(magic[:], page+MagicOffset)
	return n == len(magic) && (binary.LittleEndian.Uint32(magic[:]) == Magic || binary.BigEndian.Uint32(magic[:]) == Magic)
}
