//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package vfs

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	"golang.org/x/sys/unix"
)

// Handles says that a [Dir] of [OS] reaches its folder by a handle.
const Handles = true

// ErrNotDir is matched by the error of a Hold of something else than a folder.
const ErrNotDir = unix.ENOTDIR

// handle is an open folder. The zero handle stands for the one that the process is in, so that a
// path is looked up by name.
type handle struct{ dir *os.File }

func openHandle(path string) (handle, error) {
	f, err := handle{}.openFile(path, os.O_RDONLY|unix.O_DIRECTORY)
	return handle{f}, err
}

func (h handle) close() error { return h.dir.Close() }

// at returns what calls with a folder and a path in it take.
func (h handle) at(path string) (dir int, name string) {
	if h.dir == nil {
		return unix.AT_FDCWD, path
	}
	return int(h.dir.Fd()), filepath.Base(path)
}

// openFile is os.OpenFile without asking the kernel, in five calls, whether the runtime can wait
// for the file without a thread. For one on a disk it cannot.
func (h handle) openFile(path string, flag int) (*os.File, error) {
	dir, name := h.at(path)
	return h.openName(dir, name, path, flag)
}

func (h handle) openName(dir int, name, path string, flag int) (*os.File, error) {
	fd, err := again(func() (int, error) {
		return unix.Openat(dir, name, flag|unix.O_CLOEXEC, fileMode)
	})
	runtime.KeepAlive(h.dir)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

// again makes a call until no signal interrupts it.
func again(call func() (int, error)) (n int, err error) {
	for {
		if n, err = call(); err != unix.EINTR {
			return n, err
		}
	}
}

func (h handle) list(path string) ([]string, error) {
	d, err := h.openName(int(h.dir.Fd()), ".", path, os.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	names, err := d.Readdirnames(-1)
	slices.Sort(names)
	return names, errors.Join(err, d.Close())
}

func (h handle) sync() error { return h.dir.Sync() }

// rename does as os.Rename: a folder is not replaced.
func (h handle) rename(from, to string) error {
	dir, old := h.at(from)
	_, name := h.at(to)
	var st unix.Stat_t
	err := unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW)
	if err == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR {
		err = unix.EEXIST
	} else {
		_, err = again(func() (int, error) { return 0, unix.Renameat(dir, old, dir, name) })
	}
	runtime.KeepAlive(h.dir)
	if err != nil {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
	}
	return nil
}

// remove does as os.Remove: a file, or a folder in which there is nothing.
func (h handle) remove(path string) error {
	dir, name := h.at(path)
	unlink := func(flags int) error {
		_, err := again(func() (int, error) { return 0, unix.Unlinkat(dir, name, flags) })
		return err
	}
	err := unlink(0)
	if err == unix.EISDIR || err == unix.EPERM {
		if e := unlink(unix.AT_REMOVEDIR); e != unix.ENOTDIR {
			err = e
		}
	}
	runtime.KeepAlive(h.dir)
	if err != nil {
		return &fs.PathError{Op: "remove", Path: path, Err: err}
	}
	return nil
}

func (h handle) diskUsage(path string) (int64, error) {
	dir, name := h.at(path)
	var st unix.Stat_t
	_, err := again(func() (int, error) { return 0, unix.Fstatat(dir, name, &st, 0) })
	runtime.KeepAlive(h.dir)
	if err != nil {
		return 0, &fs.PathError{Op: "stat", Path: path, Err: err}
	}
	return st.Blocks * statBlockBytes, nil
}

// lock takes the lock that package flock takes by path.
func (h handle) lock(path string) (io.Closer, error) {
	f, err := h.openFile(path, os.O_RDONLY|os.O_CREATE)
	if err != nil {
		return nil, err
	}
	err = tryLock(f)
	if err == unix.EBADF || err == unix.EIO { // NFS: it wants a file that is open for writing
		_ = f.Close()
		if f, err = h.openFile(path, os.O_RDWR|os.O_CREATE); err != nil {
			return nil, err
		}
		err = tryLock(f)
	}
	if err == nil {
		return heldLock{f}, nil
	}
	_ = f.Close()
	if err == unix.EWOULDBLOCK {
		err = ErrLocked
	}
	return nil, &fs.PathError{Op: "lock", Path: path, Err: err}
}

type heldLock struct{ f *os.File }

// Close lets go of the lock, once.
func (l heldLock) Close() error {
	if err := l.f.Close(); !errors.Is(err, fs.ErrClosed) {
		return err
	}
	return nil
}

func tryLock(f *os.File) error {
	_, err := again(func() (int, error) {
		return 0, unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	})
	runtime.KeepAlive(f)
	return err
}

func (h *heldFS) check() error { return CheckName(h.path, h.dir) }

// CheckName returns a [*DisplacedError] when path leads to another file or folder than the open
// one, or to none, and nil when it leads there or that cannot be found out. It allocates nothing
// when all is well.
func CheckName(path string, open *os.File) error {
	var named, is unix.Stat_t
	if unix.Fstat(int(open.Fd()), &is) != nil {
		return nil
	}
	err := unix.Stat(path, &named)
	if err == nil && named.Dev == is.Dev && named.Ino == is.Ino || err != nil && !isNowhere(err) {
		return nil
	}
	out := &DisplacedError{Path: path, Now: nameOf(open)}
	if err := unix.Stat(out.Now, &named); err != nil || named.Dev != is.Dev || named.Ino != is.Ino {
		out.Now = "" // removed, or below what is mounted over it
	}
	return out
}
