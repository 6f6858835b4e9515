// Package limit writes bytes durably in each way there is, and nothing else: nothing is encoded, copied or remembered. The fastest way
// is the limit of a disk. No store that makes as many bytes durable before it returns can be faster.
//
//	for _, way := range limit.Ways() {
//		f, err := way.Create(path, 4096, 64<<20)
//		...
//		f.Ready()
//		err = f.Write() // the time of this counts
//	}
//
// Files of it: limit.go, the ways and what is written; sync_linux.go and sync_other.go, the calls.
package limit

import (
	"errors"
	"math/rand/v2"
	"os"
	"unsafe"
)

// Where bytes go.
const (
	Growing      = "growing"      // the file becomes longer with each write
	Preallocated = "preallocated" // into space that was reserved and never written
	Written      = "written"      // over what was written before
)

// Way is one way to make bytes durable.
type Way struct {
	Extents string // where they go
	Sync    string // how they become durable, as the system names it
}

// Ways returns all that this system has.
func Ways() (list []Way) {
	for _, extents := range []string{Growing, Preallocated, Written} {
		for _, sync := range syncs {
			list = append(list, Way{extents, sync})
		}
	}
	return list
}

// block is what a direct write is made of, and aligned to.
const block = 4096

// File writes the same bytes again and again, one write behind the other. It is for one goroutine.
type File struct {
	way    Way
	file   *os.File
	buf    []byte
	at     int64
	length int64 // where it begins anew
}

// Create makes a file for writes of so many bytes, which has to be at least 1. The file takes about fileBytes, two writes at least. A direct
// write is rounded up to whole blocks. After an error nothing is left open; the file may be there.
func (w Way) Create(path string, bytes int, fileBytes int64) (*File, error) {
	if w.Sync == direct {
		bytes = (bytes + block - 1) / block * block
	}
	f := &File{way: w, buf: aligned(bytes)}
	_, _ = rand.NewChaCha8([32]byte{}).Read(f.buf) // never fails
	f.length = max(fileBytes/int64(bytes), 2) * int64(bytes)
	f.at = f.length
	if w.Extents == Written {
		if err := writeZeros(path, f.length); err != nil {
			return nil, err
		}
	}
	var err error
	if f.file, err = openDurable(path, w.Sync); err != nil {
		return nil, err
	}
	return f, nil
}

// Ready sees to it that the next Write has room. Where the file ends it begins anew, which takes its time.
func (f *File) Ready() {
	if f.at+int64(len(f.buf)) > f.length {
		f.at = 0
		f.renew()
	}
}

// Write writes once and returns when that is durable.
func (f *File) Write() error {
	err := writeDurable(f.file, f.buf, f.at, f.way.Sync)
	f.at += int64(len(f.buf))
	return err
}

// Close closes the file.
func (f *File) Close() error { return f.file.Close() }

// renew brings the file back to what it was before the first write. An error shows in the next write.
func (f *File) renew() {
	if f.way.Extents == Written {
		return
	}
	_ = f.file.Truncate(0)
	if f.way.Extents == Preallocated {
		_ = reserve(f.file, f.length)
	}
	_ = f.file.Sync()
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
	return errors.Join(fillZeros(file, size), file.Close())
}

func fillZeros(file *os.File, size int64) error {
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
