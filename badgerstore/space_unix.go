//go:build darwin || freebsd || linux

package badgerstore

import (
	"errors"
	"syscall"
)

// freeBytes returns what a process without privileges may still write to dir's file system.
func freeBytes(dir string) (int64, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return 0, err
	}
	return int64(st.Bavail) * int64(st.Bsize), nil
}

// isNoSpace reports whether err is the file system's way to say that it is full.
func isNoSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}
