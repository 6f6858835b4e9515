// Package vfs is the file system as the write-ahead log sees it: [OS] is the real one, [Mem] one in memory that
// can lose power, [Faults] one that fails when it is told to.
//
// A log needs little of a file system, and each call here says exactly what survives a power cut once it has
// returned nil. Everything else may be lost, in any order and, within a file, by sectors of 512 bytes.
//
// All methods may be called by any goroutine at any time. Calls on the same bytes of a file at once are the
// caller's to prevent, and so are calls beside one that changes the size, where they depend on the size.
package vfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"runtime"
	"syscall"
	"unsafe"
)

// BlockBytes is what offsets, lengths and memory addresses of [File.WriteBlocks] are multiples of: the logical
// block of every disk in use, and the page of every platform.
const BlockBytes = 4096

// SectorBytes is what a disk writes wholly or not at all.
const SectorBytes = 512

// FS is a file system. Paths are those of the platform. An error of a file that is not there matches
// fs.ErrNotExist.
type FS interface {
	// MkdirAll makes dir and what is missing above it, with names that are durable.
	MkdirAll(dir string) error

	// List returns the names in dir, in ascending order.
	List(dir string) ([]string, error)

	// Create makes an empty file, which must not be there yet (fs.ErrExist), and opens it for reading and
	// writing. Its name is durable after SyncDir.
	Create(path string) (File, error)

	// Open opens a file that is there for reading and writing.
	Open(path string) (File, error)

	// OpenRead opens a file that is there for reading. What would change it is an error.
	OpenRead(path string) (File, error)

	// Rename gives a file or a folder another name in the same folder. A file replaces a file of that name, a folder nothing (fs.ErrExist). After a power cut
	// before SyncDir it has the one name or the other, and a file that was replaced may be there again. On windows
	// neither Rename nor Remove takes a file that is open.
	Rename(from, to string) error

	// Remove removes a file, or a folder in which there is nothing. Before SyncDir it may come back.
	Remove(path string) error

	// SyncDir makes the names in dir durable.
	SyncDir(dir string) error

	// DiskUsage returns how many bytes of the disk a file takes: less than its size where it has holes.
	DiskUsage(path string) (int64, error)

	// Place returns the place that a path means: where a link leads to, if it is one, also while there is nothing.
	Place(path string) string

	// Hold opens the folder dir, which has to be there, so that later calls reach it whatever
	// becomes of its name. Whoever holds it closes the Dir.
	Hold(dir string) (*Dir, error)

	// Lock takes the lock file at path, which it creates, for as long as the process lives or until the lock is
	// closed. Another holder, of this process or of another, is an error at once that matches ErrLocked.
	Lock(path string) (io.Closer, error)
}

// File is an open file.
type File interface {
	// ReadAt is that of io.ReaderAt. What WriteBlocks wrote before is read.
	io.ReaderAt

	// WriteBlocks writes bufs one behind the other from offset off and returns when they are durable; not
	// so a size that grew, and with it what lies beyond the durable size, nor a name. The offset, each length and
	// each address is a multiple of BlockBytes, otherwise it is EINVAL. After an error any sectors of it may be there or may
	// come later.
	WriteBlocks(bufs [][]byte, off int64) error

	// Allocate sees to it that writing the n bytes from off, at least one, will not fail for want of space, where
	// the file system can do that, and makes the file at least that long. It writes nothing: what was never
	// written reads as zeros. After an error, of which IsNoSpace knows those for want of space, the content is what it
	// was, but the file may be longer and a part of the range may be allocated.
	Allocate(off, n int64) error

	// Prefetch says that n bytes from off will be read soon. It waits for nothing and never fails.
	Prefetch(off, n int64)

	// Truncate sets the size of the file in bytes. What is new reads as zeros and takes no space.
	Truncate(size int64) error

	// Sync makes the size durable, and all content. After an error nobody knows what is durable, and another
	// Sync that returns nil does not change that: the content has to be written again.
	Sync() error

	// Size returns the size of the file in bytes.
	Size() (int64, error)

	// Links returns how many names the file has, as ln and cp -l give it more of them; 1 where that
	// cannot be told. All of them show what is written to any of them.
	Links() (int, error)

	// Close closes the file. Nothing else may be called during it or after it.
	Close() error
}

// ErrLocked is matched by the error of a Lock that somebody holds.
var ErrLocked = errors.New("vfs: the lock is held")

// IsNoSpace reports whether err is for want of space or of quota.
func IsNoSpace(err error) bool {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return true
	}
	if runtime.GOOS != "windows" {
		return false
	}
	const handleDiskFull, diskFull = syscall.Errno(39), syscall.Errno(112)
	errno, ok := errors.AsType[syscall.Errno](err)
	return ok && (errno == handleDiskFull || errno == diskFull)
}

// IsNoFile reports whether err is for want of descriptors, of the process or of the system: nothing
// was tried.
func IsNoFile(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
}

// AlignedBytes returns n zero bytes at an address that [File.WriteBlocks] takes. Of one MiB and more they lie in huge
// pages of memory, where the platform has them and the memory is new to the process; otherwise see [HugePages].
func AlignedBytes(n int) []byte {
	b := make([]byte, n+BlockBytes-1)
	skip := int(-address(b) & (BlockBytes - 1))
	b = b[skip : skip+n : skip+n]
	if n >= 1<<20 {
		adviseHuge(b)
	}
	return b
}

// checkBlocks refuses what WriteBlocks must not be given. Every implementation does, so that a mistake is seen
// on each platform and not only where the disk minds.
func checkBlocks(path string, bufs [][]byte, off int64) error {
	refuse := func(what string, n int64) error {
		return &fs.PathError{Op: "write", Path: path,
			Err: fmt.Errorf("%w: the %s %d is no multiple of %d", syscall.EINVAL, what, n, BlockBytes)}
	}
	if off < 0 || off%BlockBytes != 0 {
		return refuse("offset", off)
	}
	for _, b := range bufs {
		if len(b)%BlockBytes != 0 {
			return refuse("length", int64(len(b)))
		}
		if len(b) > 0 && address(b)%BlockBytes != 0 {
			return refuse("address", int64(address(b)))
		}
	}
	return nil
}

func address(b []byte) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(b))) }

// checkRange refuses a range that Allocate cannot take.
func checkRange(path string, off, n int64) error {
	if off < 0 || n <= 0 || off+n < 0 {
		return &fs.PathError{Op: "allocate", Path: path, Err: syscall.EINVAL}
	}
	return nil
}
