package main

import (
	"os"
	"path/filepath"
	"unsafe"
)

// block is what a direct write is made of, and aligned to.
const block = 4096

// blocks rounds up to whole blocks.
func blocks(n int) int { return (n + block - 1) / block * block }

// startLimit starts the rival that no store can beat: it makes so many bytes durable, in whole blocks, one write behind the
// other, through a file whose extents were all written before, and from its start again at the end. Nothing is encoded,
// copied or remembered.
func startLimit(dir string, bytes, fileBytes int) (rival, error) {
	buf := aligned(blocks(bytes))
	copy(buf, noise(0, len(buf)))
	path := filepath.Join(dir, limit)
	writes := fileBytes / len(buf)
	if err := writeZeros(path, int64(writes*len(buf))); err != nil {
		return rival{}, err
	}
	file, err := openDurable(path)
	if err != nil {
		return rival{}, err
	}
	next := 0
	return rival{
		name: limit,
		call: func() error {
			defer func() { next = (next + 1) % writes }()
			return writeDurable(file, buf, int64(next*len(buf)))
		},
		close: file.Close,
	}, nil
}

// aligned returns bytes at an address that a direct write takes.
func aligned(n int) []byte {
	buf := make([]byte, n+block)
	skip := -int(uintptr(unsafe.Pointer(unsafe.SliceData(buf)))) & (block - 1)
	return buf[skip : skip+n : skip+n]
}

// writeZeros makes a file of zeros and brings it to the disk, so that none of its extents is unwritten.
func writeZeros(path string, size int64) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	if err := reserve(file, size); err != nil {
		return err
	}
	zeros := make([]byte, 1<<20)
	for at := int64(0); at < size; at += int64(len(zeros)) {
		if _, err := file.WriteAt(zeros[:min(size-at, int64(len(zeros)))], at); err != nil {
			return err
		}
	}
	return file.Sync()
}
