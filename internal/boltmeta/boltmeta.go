// Package boltmeta reads bbolt files: the two pages that a file begins with, and the others before
// bbolt reads them, which on damaged ones ends the process.
//
// Transactions write to the first two pages in turns: each says what the file held as of one
// transaction, and the newer counts. bbolt passes over one that is not valid in silence.
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
//	48  u64  page with the list of free pages, all ones for none
//	56  u64  how many pages there are
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
	MaxPageBytes = 16 << 20

	// NoFreelist is where the list of free pages is that is not in the file. bbolt finds it by
	// reading all pages.
	NoFreelist = 1<<64 - 1
)

// Meta is what a valid page says.
type Meta struct {
	PageBytes   uint64
	Root        uint64 // page of the root bucket
	Freelist    uint64 // page with the list of free pages, or NoFreelist
	Pages       uint64 // how many there are
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
	return Meta{
		PageBytes: uint64(order.Uint32(b[24:])), Root: order.Uint64(b[32:]), Freelist: order.Uint64(b[48:]),
		Pages: order.Uint64(b[56:]), Transaction: order.Uint64(b[64:]),
	}, nil
}

// Newest returns the page that counts: the newer of the two, or the one that is valid. Without one
// the error is what is wrong with the first.
func Newest(f io.ReaderAt) (Meta, error) {
	first, err := parseAt(f, 0)
	size := first.PageBytes
	for n := uint64(MinPageBytes); err != nil && size == 0 && n <= MaxPageBytes; n *= 2 {
		m, _ := parseAt(f, int64(n))
		size = m.PageBytes
	}
	if size == 0 {
		return first, err
	}
	second, e := parseAt(f, int64(size))
	if e == nil && (err != nil || second.Transaction > first.Transaction) {
		first, err = second, nil
	}
	first.PageBytes = size
	return first, err
}

// errMeta is what is wrong with a page that is valid.
var errMeta = errors.New("it is valid, and says what cannot be: " +
	"a size of pages that bbolt has not, or a page that is not there")

// In returns the pages of that transaction in its file, or a PageError.
func (m Meta) In(f io.ReaderAt) (*Pages, error) {
	size := m.PageBytes
	if size < MinPageBytes || size > MaxPageBytes || size&(size-1) != 0 || m.Pages > 1<<62/size ||
		m.Root < firstPage || m.Root >= m.Pages || m.Freelist != NoFreelist && m.Freelist >= m.Pages {
		return nil, &PageError{Page: m.Transaction % 2, Err: errMeta}
	}
	return &Pages{PageBytes: size, Count: m.Pages, File: f}, nil
}

// parseAt returns an empty one, and an error, where there is no valid page.
func parseAt(f io.ReaderAt, offset int64) (Meta, error) {
	var b [End]byte
	n, err := f.ReadAt(b[:], offset)
	if err != nil && err != io.EOF {
		return Meta{}, err
	}
	return Parse(b[:n])
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
