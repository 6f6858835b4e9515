//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package raftwal

import (
	"os"
	"syscall"
)

// lockShared takes the lock that bbolt takes for reading, and reports whether nobody writes. Closing the file lets go of it.
func lockShared(f *os.File) (held bool, err error) {
	for {
		switch err := syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB); err {
		case nil:
			return true, nil
		case syscall.EINTR:
		case syscall.EWOULDBLOCK:
			return false, nil
		default:
			return false, err
		}
	}
}
