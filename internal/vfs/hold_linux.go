package vfs

import (
	"errors"
	"io"
	"os"
	"runtime"
	"slices"
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

// directFlag opens a file past the page cache, one that is open already.
const directFlag = unix.O_DIRECT

// identityAt returns what a path leads to. It asks for nothing that changes when a file is written:
// whoever has seen the time of the last change makes the kernel note a finer one with the next write,
// and then a sync has that to write, too. With a look before each write that was a fifth of the time
// that bbolt takes for one.
func identityAt(path string) (identity, error) { return askIdentity(unix.AT_FDCWD, path, 0) }

func identityOf(f *os.File) (identity, error) {
	defer runtime.KeepAlive(f)
	return askIdentity(int(f.Fd()), "", unix.AT_EMPTY_PATH)
}

func askIdentity(dir int, path string, flags int) (identity, error) {
	var st unix.Statx_t
	err := error(unix.EINTR)
	for err == unix.EINTR {
		err = unix.Statx(dir, path, flags, unix.STATX_INO, &st)
	}
	device := uint64(st.Dev_major)<<32 | uint64(st.Dev_minor)
	return identity{device, st.Ino}, err
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

// localFS are the file systems whose files and folders one kernel serves, so that all who can reach
// a folder see its lock. On others, such as NFS, SMB and those of a program (FUSE), a lock of a
// folder may be this machine's alone. One that is not known here is taken for one of those.
var localFS = []uint32{
	unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC, unix.TMPFS_MAGIC,
	unix.F2FS_SUPER_MAGIC, unix.OVERLAYFS_SUPER_MAGIC, unix.RAMFS_MAGIC, unix.NILFS_SUPER_MAGIC,
	0x2fc12fc1, // ZFS
	0xca451a4e, // bcachefs
	0x3153464a, // JFS
}

func isLocal(dir *os.File) bool {
	var st unix.Statfs_t
	_, err := again(func() (int, error) { return 0, unix.Fstatfs(int(dir.Fd()), &st) })
	return err == nil && slices.Contains(localFS, uint32(st.Type))
}

// Who vouches holds a second lock of the lock file, by the same descriptor: one for reading, of a
// byte that no file has. It is no lock for those who lock the file with flock.
const vouchedByte = 1<<62 + 0x62616c6c

func vouchLock(kind int16) *unix.Flock_t {
	return &unix.Flock_t{Type: kind, Whence: io.SeekStart, Start: vouchedByte, Len: 1}
}

func (h handle) vouch(lock io.Closer) error {
	l, ok := lock.(heldLock)
	if !ok {
		return errors.ErrUnsupported
	}
	_, err := again(func() (int, error) {
		return 0, unix.FcntlFlock(l.f.Fd(), unix.F_OFD_SETLK, vouchLock(unix.F_RDLCK))
	})
	return err
}

// withdraw ends vouch.
func withdraw(f *os.File) {
	_ = unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, vouchLock(unix.F_UNLCK)) // or there was none
}

func (h handle) vouched(path string) bool {
	f, err := h.openFile(path, os.O_RDONLY)
	if err != nil {
		return false
	}
	defer f.Close() // it was only looked at
	found := vouchLock(unix.F_WRLCK)
	_, err = again(func() (int, error) {
		return 0, unix.FcntlFlock(f.Fd(), unix.F_OFD_GETLK, found)
	})
	return err == nil && found.Type != unix.F_UNLCK
}
