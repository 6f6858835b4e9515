package powercut

import (
	"os"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// shared is memory of both processes. After the cut the store must hold what the first k calls made, where k is at least acknowledged
// as it was before the cut and at most started as it was after it.
type shared struct {
	acknowledged atomic.Uint64 // calls that have returned
	started      atomic.Uint64 // calls that have begun
}

const (
	sharedBytes = 4096

	// The child's files beside the standard ones.
	sharedFile = 3
	reportFile = 4 // where it writes its reports
)

// newShared returns such memory, and the file that a child finds it by.
func newShared() (*shared, *os.File, error) {
	fd, err := unix.MemfdCreate("powercut", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, nil, os.NewSyscallError("memfd_create", err)
	}
	file := os.NewFile(uintptr(fd), "shared")
	if err := file.Truncate(sharedBytes); err != nil {
		_ = file.Close() // the first error is the one that tells
		return nil, nil, err
	}
	s, err := openShared(fd)
	if err != nil {
		_ = file.Close()
		return nil, nil, err
	}
	return s, file, nil
}

func openShared(fd int) (*shared, error) {
	b, err := unix.Mmap(fd, 0, sharedBytes, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, os.NewSyscallError("mmap", err)
	}
	return (*shared)(unsafe.Pointer(&b[0])), nil
}

func (s *shared) close() error {
	return unix.Munmap(unsafe.Slice((*byte)(unsafe.Pointer(s)), sharedBytes))
}
