//go:build unix

package vfs

import (
	"os"
	"syscall"
)

func links(f *os.File) (int, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(stat.Nlink), nil
	}
	return 1, nil
}
