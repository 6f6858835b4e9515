//go:build darwin || freebsd || linux

package engine

import "syscall"

// FreeBytes returns what a process without privileges may still write to the file system of a folder, in bytes.
func FreeBytes(dir string) (int64, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return 0, err
	}
	return int64(st.Bavail) * int64(st.Bsize), nil
}
