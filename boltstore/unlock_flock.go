//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package boltstore

import (
	"errors"
	"os"
	"syscall"
)

// locksFirst says that the file is locked when it is looked at.
const locksFirst = true

// lock takes bbolt's flock, which bbolt has then too, on the same handle. held is false when
// somebody else has it.
func lock(f *os.File, exclusive bool) (held bool, err error) {
	how := syscall.LOCK_NB | syscall.LOCK_SH
	if exclusive {
		how = syscall.LOCK_NB | syscall.LOCK_EX
	}
	for {
		err := syscall.Flock(int(f.Fd()), how)
		switch {
		case err == nil:
			return true, nil
		case errors.Is(err, syscall.EWOULDBLOCK):
			return false, nil
		case !errors.Is(err, syscall.EINTR):
			return false, os.NewSyscallError("flock", err)
		}
	}
}

// unlock lets go of bbolt's flock. Closing the file is not enough: the lock lives as long as the memory map, which
// stays when bbolt panics.
func unlock(f *os.File) { _ = syscall.Flock(int(f.Fd()), syscall.LOCK_UN) }
