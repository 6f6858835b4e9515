package vfs

import (
	"os"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// nameOf returns a path that an open file has now, "" where /proc does not say. It may be one that leads elsewhere.
func nameOf(f *os.File) string {
	name, err := os.Readlink(descriptor(f))
	if err != nil {
		return ""
	}
	return name
}

func descriptor(f *os.File) string { return "/proc/self/fd/" + strconv.Itoa(int(f.Fd())) }

// alias is the path of the descriptor.
func (h handle) alias() string {
	var named, is unix.Stat_t
	path := descriptor(h.dir)
	if unix.Stat(path, &named) != nil || unix.Fstat(int(h.dir.Fd()), &is) != nil || named.Dev != is.Dev || named.Ino != is.Ino {
		return "" // there is no /proc here, or that of somebody else
	}
	runtime.KeepAlive(h.dir)
	return path
}
