package cli

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"os"

	"github.com/raft-ballast/ballast"
)

// A bbolt file begins with two pages, to which transactions write in turns. One that is not valid bbolt passes over in silence, and
// goes on with the other: when it was the newer one, what was acknowledged last is gone.
//
//	16  u32  magic          in the order of bytes of the machine that wrote it
//	20  u32  version
//	24  u32  size of a page
//	64  u64  transaction
//	72  u64  FNV-1a of the 56 bytes from 16 on
const (
	boltMagic       = 0xED0CDAED // wire format
	boltMagicOffset = 16
	boltPageOffset  = 24
	boltSumOffset   = 72
	boltMetaEnd     = 80
	minBoltPage     = 1 << 10
	maxBoltPage     = 64 << 10
)

// isBolt reports whether a file is one of bbolt's. One of the two pages may be damaged.
func isBolt(path string) (bool, error) {
	f, err := os.Open(path)
	if err != nil {
		return false, fmt.Errorf("looking for a store: %w", err)
	}
	defer f.Close()
	if readBoltMeta(f, 0).order() != nil {
		return true, nil
	}
	for size := int64(minBoltPage); size <= maxBoltPage; size *= 2 {
		if readBoltMeta(f, size).order() != nil {
			return true, nil
		}
	}
	return false, nil
}

// boltMeta is what a page begins with; shorter where the file ends.
type boltMeta []byte

func readBoltMeta(f *os.File, page int64) boltMeta {
	b := make([]byte, boltMetaEnd)
	n, _ := f.ReadAt(b, page) // what cannot be read is not valid
	return b[:n]
}

// order returns the order of bytes in which the page has the magic, nil for none.
func (m boltMeta) order() binary.ByteOrder {
	if len(m) < boltMagicOffset+4 {
		return nil
	}
	for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
		if order.Uint32(m[boltMagicOffset:]) == boltMagic {
			return order
		}
	}
	return nil
}

// pageSize returns the size of the file's pages, 0 for a page that is not valid.
func (m boltMeta) pageSize() int64 {
	order := m.order()
	if order == nil || len(m) < boltMetaEnd {
		return 0
	}
	sum := fnv.New64a()
	sum.Write(m[boltMagicOffset:boltSumOffset])
	if order.Uint64(m[boltSumOffset:]) != sum.Sum64() {
		return 0
	}
	return int64(order.Uint32(m[boltPageOffset:]))
}

var errBoltMeta = errors.New("this page says which transaction is the last, and is not valid; bbolt goes on with the other one, and what was acknowledged last may be missing")

// checkBoltMeta returns a *ballast.CorruptionError when one of the two pages is not valid. bbolt has seen to it that the other one is.
func checkBoltMeta(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("reading %s: %w", path, err)
	}
	defer f.Close()
	size := readBoltMeta(f, 0).pageSize()
	if size == 0 {
		return &ballast.CorruptionError{Path: path, Offset: 0, Err: errBoltMeta}
	}
	if readBoltMeta(f, size).pageSize() != size {
		return &ballast.CorruptionError{Path: path, Offset: size, Err: errBoltMeta}
	}
	return nil
}
