package cli

import (
	"encoding/binary"
	"fmt"
	"os"
)

// A bbolt file begins with two pages that have its magic, at offset 16, in the order of bytes of the machine that wrote it.
const (
	boltMagic       = 0xED0CDAED // wire format
	boltMagicOffset = 16
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
	if hasBoltMagic(f, 0) {
		return true, nil
	}
	for size := int64(minBoltPage); size <= maxBoltPage; size *= 2 {
		if hasBoltMagic(f, size) {
			return true, nil
		}
	}
	return false, nil
}

func hasBoltMagic(f *os.File, page int64) bool {
	var magic [4]byte
	n, _ := f.ReadAt(magic[:], page+boltMagicOffset) // what cannot be read is not it
	return n == len(magic) && (binary.LittleEndian.Uint32(magic[:]) == boltMagic || binary.BigEndian.Uint32(magic[:]) == boltMagic)
}
