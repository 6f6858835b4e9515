//go:build unix

package vfs

import (
	"io/fs"
	"syscall"
)

// statBlockBytes is the unit of st_blocks, whatever the file system's own blocks are.
const statBlockBytes = 512

func diskUsage(info fs.FileInfo) int64 {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return stat.Blocks * statBlockBytes
	}
	return info.Size()
}
