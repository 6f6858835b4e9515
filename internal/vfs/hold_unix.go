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
	"sync"

	"golang.org/x/sys/unix"
)

// Handles says that a [Dir] of [OS] reaches its folder by a handle.
const Handles = true

// ErrNotDir is matched by the error of a Hold of something else than a folder.
const ErrNotDir = unix.ENOTDIR

// handle is an open folder. The zero handle stands for the one that the process is in, so that a
// path is looked up by name.
type handle struct{ *folder }

type folder struct {
	mu  sync.RWMutex // held for reading in a call, so that nobody gets the descriptor meanwhile
	dir *os.File     // nil when it was closed

	taken *lockedFolder // that this handle has; nil for none
}

func newHandle(dir *os.File) handle { return handle{&folder{dir: dir}} }

func openHandle(path string) (handle, error) {
	dir, err := handle{}.openFile(path, os.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return handle{}, err
	}
	return newHandle(dir), nil
}

func (h handle) close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	dir := h.dir
	if h.dir = nil; dir == nil {
		return nil
	}
	return dir.Close()
}

// use makes a call with the folder.
func (h handle) use(call func(dir *os.File) error) error {
	h.mu.RLock()
	defer h.mu.RUnlock()
	if h.dir == nil {
		return fs.ErrClosed
	}
	return call(h.dir)
}

// at makes a call with a folder and the name of a path in it.
func (h handle) at(path string, call func(dir int, name string) error) error {
	if h.folder == nil {
		return call(unix.AT_FDCWD, path)
	}
	return h.use(func(dir *os.File) error { return call(int(dir.Fd()), filepath.Base(path)) })
}

// openFile is os.OpenFile without asking the kernel, in five calls, whether the runtime can wait
// for the file without a thread. For one on a disk it cannot. What is no file is looked for before:
// to open a pipe waits until somebody opens its other end.
func (h handle) openFile(path string, flag int) (f *os.File, err error) {
	err = h.at(path, func(dir int, name string) error {
		if flag&(os.O_EXCL|unix.O_DIRECTORY|directFlag) == 0 {
			if err := checkFile(dir, name); err != nil {
				return err
			}
		}
		f, err = openAt(dir, name, path, flag)
		return err
	})
	if err == nil {
		return f, nil
	}
	return nil, &fs.PathError{Op: "open", Path: path, Err: err}
}

// checkFile returns an error when there is something under a name that is no file. What stops it
// from looking stops who opens the file too.
func checkFile(dir int, name string) error {
	var st unix.Stat_t
	_, err := again(func() (int, error) { return 0, unix.Fstatat(dir, name, &st, 0) })
	if err != nil {
		return nil
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR, unix.S_IFIFO, unix.S_IFSOCK:
		return errNoFile
	}
	return nil
}

func openAt(dir int, name, path string, flag int) (*os.File, error) {
	fd, err := again(func() (int, error) {
		return unix.Openat(dir, name, flag|unix.O_CLOEXEC, fileMode)
	})
	if err != nil {
		return nil, err
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

func (h handle) list(path string) (names []string, err error) {
	err = h.use(func(dir *os.File) error {
		d, err := openAt(int(dir.Fd()), ".", path, os.O_RDONLY|unix.O_DIRECTORY)
		if err != nil {
			return &fs.PathError{Op: "open", Path: path, Err: err}
		}
		names, err = d.Readdirnames(-1)
		slices.Sort(names)
		return errors.Join(err, d.Close())
	})
	return names, err
}

func (h handle) sync() error { return h.use((*os.File).Sync) }

// rename does as os.Rename: a folder is not replaced.
func (h handle) rename(from, to string) error {
	name := filepath.Base(to)
	err := h.at(from, func(dir int, old string) error {
		var st unix.Stat_t
		err := unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW)
		if err == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR {
			return unix.EEXIST
		}
		_, err = again(func() (int, error) { return 0, unix.Renameat(dir, old, dir, name) })
		return err
	})
	if err != nil {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
	}
	return nil
}

// remove does as os.Remove: a file, or a folder in which there is nothing.
func (h handle) remove(path string) error {
	err := h.at(path, func(dir int, name string) error {
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
		return err
	})
	if err != nil {
		return &fs.PathError{Op: "remove", Path: path, Err: err}
	}
	return nil
}

func (h handle) diskUsage(path string) (int64, error) {
	var st unix.Stat_t
	err := h.at(path, func(dir int, name string) error {
		_, err := again(func() (int, error) { return 0, unix.Fstatat(dir, name, &st, 0) })
		return err
	})
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

// Close lets go of the lock, once. To close the file is not enough: a child of the process that is
// just being started has it open too, until it runs its own program.
func (l heldLock) Close() error {
	withdraw(l.f)
	_ = unlock(l.f) // the file that is closed lets go of it at the latest
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

func unlock(f *os.File) error {
	_, err := again(func() (int, error) { return 0, unix.Flock(int(f.Fd()), unix.LOCK_UN) })
	runtime.KeepAlive(f)
	return err
}

func (h handle) locks() folderLocks { return h }

// lockFolder takes the lock by the handle, so that it takes no descriptor. That has it once only,
// whoever holds the folder by it.
func (h handle) lockFolder() (io.Closer, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.dir == nil {
		return nil, fs.ErrClosed
	}
	err := errors.ErrUnsupported
	switch {
	case h.taken != nil:
		err = ErrLocked
	case isLocal(h.dir):
		err = tryLock(h.dir)
	}
	if err == nil {
		h.taken = &lockedFolder{h.folder}
		return h.taken, nil
	}
	if err == unix.EWOULDBLOCK {
		err = ErrLocked
	}
	if !errors.Is(err, ErrLocked) {
		err = errors.Join(errors.ErrUnsupported, err)
	}
	return nil, &fs.PathError{Op: "lock folder", Path: h.dir.Name(), Err: err}
}

type lockedFolder struct{ *folder }

// Close lets go of the lock, once. Closing the handle does so, too.
func (l *lockedFolder) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dir == nil || l.taken != l {
		return nil
	}
	l.taken = nil
	return unlock(l.dir)
}

func (h *heldFS) check() error {
	err := h.use(func(dir *os.File) error { return CheckName(h.path, dir) })
	if errors.Is(err, fs.ErrClosed) {
		return nil
	}
	return err
}

// CheckName returns a [*DisplacedError] when path leads to another file or folder than the open
// one, or to none, and nil when it leads there or that cannot be found out. It allocates its
// path only, for the kernel, when all is well.
func CheckName(path string, open *os.File) error {
	is, err := identityOf(open)
	if err != nil {
		return nil
	}
	named, err := identityAt(path)
	if err == nil && named == is || err != nil && !isNowhere(err) {
		return nil
	}
	out := &DisplacedError{Path: path, Now: nameOf(open)}
	if named, err := identityAt(out.Now); err != nil || named != is {
		out.Now = "" // removed, or below what is mounted over it
	}
	return out
}

// identity tells a file or folder from all others that there are at the same time.
type identity struct{ device, inode uint64 }
