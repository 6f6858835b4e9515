package vfs

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// openWithoutLinks is openHandle of a path without links. That saves a look at each folder on the
// way. It fails where there are links, and where the kernel, or whoever guards it, does not know
// the call.
func openWithoutLinks(path string) (handle, error) {
	how := unix.OpenHow{
		Flags: unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC, Resolve: unix.RESOLVE_NO_SYMLINKS,
	}
	fd, err := unix.Openat2(unix.AT_FDCWD, path, &how)
	if err != nil {
		return handle{}, err
	}
	return newHandle(os.NewFile(uintptr(fd), path)), nil
}

// nameOf returns a path that an open file has now, "" where /proc does not say. It may be one that
// leads elsewhere.
func nameOf(f *os.File) string {
	name, err := os.Readlink(descriptor(f))
	if err != nil {
		return ""
	}
	return name
}

func descriptor(f *os.File) string { return "/proc/self/fd/" + strconv.Itoa(int(f.Fd())) }

// alias is the path of the descriptor, "" where there is no /proc, or that of somebody else.
func (h handle) alias() (path string) {
	err := h.use(func(dir *os.File) error {
		path = descriptor(dir)
		if _, err := os.Stat(path); err != nil {
			return err
		}
		return CheckName(path, dir)
	})
	if err != nil {
		return ""
	}
	return path
}
