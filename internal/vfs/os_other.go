//go:build !linux

package vfs

import (
	"os"
	"sync"
)

type osFile struct {
	file *os.File

	// syncing is held from a write to the end of its sync: the system tells of a page that it could not write once, and
	// that has to be who wrote it.
	syncing sync.Mutex
}

// prepare has nothing to do: there is one descriptor.
func (f *osFile) prepare(handle, bool) error { return nil }

func (f *osFile) WriteBlocks(bufs [][]byte, off int64) error {
	if err := checkBlocks(f.file.Name(), bufs, off); err != nil {
		return err
	}
	f.syncing.Lock()
	defer f.syncing.Unlock()
	for _, b := range bufs {
		if _, err := f.file.WriteAt(b, off); err != nil {
			return err
		}
		off += int64(len(b))
	}
	return f.file.Sync()
}

// Allocate only sets the size: a want of space then shows in WriteBlocks.
func (f *osFile) Allocate(off, n int64) error {
	if err := checkRange(f.file.Name(), off, n); err != nil {
		return err
	}
	return f.grow(off + n)
}

// Prefetch leaves reading ahead to the platform.
func (f *osFile) Prefetch(int64, int64) {}

// adviseHuge leaves it to the platform.
func adviseHuge([]byte) {}

// HugePages leaves it to the platform.
func HugePages([]byte) (again bool) { return false }

// Sync reaches the disk itself on every platform: os.File.Sync is F_FULLFSYNC on darwin.
func (f *osFile) Sync() error {
	f.syncing.Lock()
	defer f.syncing.Unlock()
	return f.file.Sync()
}

func (f *osFile) Close() error { return f.file.Close() }
