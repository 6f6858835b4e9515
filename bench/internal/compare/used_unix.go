//go:build unix

package compare

import (
	"io/fs"
	"syscall"
)

// allocated is what a file takes of the disk, without its holes.
func allocated(info fs.FileInfo) int64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return int64(st.Blocks) * 512
	}
	return info.Size()
}
