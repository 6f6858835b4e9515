//go:build unix

package boltstore

import (
	"io/fs"
	"os"
	"syscall"
)

// sameOwner gives a file the owner that info says, where that is another one than it has.
func sameOwner(file *os.File, info fs.FileInfo) error {
	has, err := file.Stat()
	if err != nil {
		return err
	}
	want, ok := info.Sys().(*syscall.Stat_t)
	is, ok2 := has.Sys().(*syscall.Stat_t)
	if !ok || !ok2 || is.Uid == want.Uid && is.Gid == want.Gid {
		return nil
	}
	return file.Chown(int(want.Uid), int(want.Gid))
}

// linked reports whether a file has a name.
func linked(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return !ok || stat.Nlink > 0
}
