package vfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// Dir is a folder that is held. Its FS reaches the folder, and each name in it, by a handle where
// the platform has one: it is the same folder as long as it is held, whatever is renamed, removed,
// mounted or linked meanwhile, and whatever becomes the folder of the process. Other paths are
// those of the file system that it was held on.
//
// Where there is no handle (see Handles) the FS looks before each name that it creates, renames,
// removes, or locks, whether Path still leads to the folder, and returns a [*DisplacedError] when
// it does not. A folder that changes between that look and the call is not noticed, and what is
// opened or listed is not looked at.
type Dir struct {
	FS

	// Path is absolute, without links: where Name led to when the folder was held. Calls of FS may
	// name the folder by either, and their errors say what they were given.
	Path, Name string

	check func() error
	close func() error
	alias func() string
	locks folderLocks // nil where a folder cannot be locked
}

// folderLocks is the part of a held folder that is about its own lock.
type folderLocks interface {
	lockFolder() (io.Closer, error)
	vouch(lock io.Closer) error
	vouched(path string) bool
}

// Check returns a [*DisplacedError] when Path leads to another folder now, or to none, and nil when
// it leads to this one or that cannot be found out.
func (d *Dir) Check() error { return d.check() }

// Alias returns a path that leads to the folder as long as it is held, whatever becomes of its
// name, for what can open files only by path. It is "" where there is none: it needs linux, with
// /proc.
func (d *Dir) Alias() string {
	if d.alias == nil {
		return ""
	}
	return d.alias()
}

// LockFolder takes the lock of the folder itself, for as long as the process lives or until the
// lock is closed. Another holder is an error at once that matches ErrLocked. It matches
// [errors.ErrUnsupported] where a folder has no lock, or not one that all see who can reach it:
// that needs unix and a file system of one machine.
func (d *Dir) LockFolder() (io.Closer, error) {
	if d.locks == nil {
		return nil, &fs.PathError{Op: "lock folder", Path: d.Path, Err: errors.ErrUnsupported}
	}
	return d.locks.lockFolder()
}

// Vouch says to whoever finds a lock of FS.Lock held that its holder has locked its folder as well:
// so that folder is another one than the one that the finder has locked. The lock says so until it
// is closed. It needs linux; elsewhere, and where it fails, nobody is told.
func (d *Dir) Vouch(lock io.Closer) error {
	if d.locks == nil {
		return errors.ErrUnsupported
	}
	return d.locks.vouch(lock)
}

// Vouched reports whether the holder of the lock file at path has said Vouch.
func (d *Dir) Vouched(path string) bool { return d.locks != nil && d.locks.vouched(path) }

// Again returns the same folder for somebody else, who closes it before this one is closed.
func (d *Dir) Again() *Dir {
	again := *d
	again.close = func() error { return nil }
	return &again
}

// Close lets go of the folder. Files and locks that were opened stay.
func (d *Dir) Close() error { return d.close() }

// DisplacedError says that a path leads to something else than what was opened by it, or to
// nothing.
type DisplacedError struct {
	Path string
	Now  string // a path of what was opened; "" where none is known
}

func (e *DisplacedError) Error() string {
	return fmt.Sprintf("%s leads to something else now, or to nothing", e.Path)
}

// heldFS is OS, but for what lies directly in one folder.
type heldFS struct {
	osFS
	path, name string
	handle
}

// Hold implements FS.
func (s osFS) Hold(dir string) (*Dir, error) {
	path, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	h := &heldFS{osFS: s, path: path, name: filepath.Clean(dir)}
	if h.handle, err = openWithoutLinks(path); err == nil {
		return h.held(h.handle.close), nil
	}
	if h.path, err = filepath.EvalSymlinks(path); err != nil {
		return nil, err
	}
	if h.handle, err = openHandle(h.path); err != nil {
		return nil, err
	}
	return h.held(h.handle.close), nil
}

// Hold returns the folder once more, when it is asked for that. The handle stays that of the first
// Dir.
func (h *heldFS) Hold(dir string) (*Dir, error) {
	if !h.is(dir) {
		return h.osFS.Hold(dir)
	}
	return h.held(func() error { return nil }), nil
}

func (h *heldFS) held(close func() error) *Dir {
	return &Dir{
		FS: h, Path: h.path, Name: h.name, check: h.check, close: close, alias: h.alias,
		locks: h.locks(),
	}
}

// is reports whether a path is the folder's.
func (h *heldFS) is(path string) bool { return isOneOf(filepath.Clean(path), h.path, h.name) }

// in reports whether a path is that of a name directly in the folder.
func (h *heldFS) in(path string) bool {
	return isOneOf(filepath.Dir(path), h.path, h.name) && !h.is(path) // Dir of "." is "."
}

func isOneOf(path, a, b string) bool { return path == a || path == b }

func (h *heldFS) List(dir string) ([]string, error) {
	if !h.is(dir) {
		return h.osFS.List(dir)
	}
	return h.list(dir)
}

func (h *heldFS) SyncDir(dir string) error {
	if !h.is(dir) {
		return h.osFS.SyncDir(dir)
	}
	return h.sync()
}

func (h *heldFS) Create(path string) (File, error) {
	if !h.in(path) {
		return h.osFS.Create(path)
	}
	f, err := h.openFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL)
	if err != nil {
		return nil, err
	}
	file, err := h.prepared(f, h.handle, true)
	if err != nil { // or Create could not be called again
		err = errors.Join(err, h.remove(path))
	}
	return file, err
}

func (h *heldFS) Open(path string) (File, error) { return h.open(path, os.O_RDWR) }

func (h *heldFS) OpenRead(path string) (File, error) { return h.open(path, os.O_RDONLY) }

func (h *heldFS) open(path string, flag int) (File, error) {
	if !h.in(path) {
		return h.osFS.open(path, flag)
	}
	f, err := h.openFile(path, flag)
	if err != nil {
		return nil, err
	}
	return h.prepared(f, h.handle, flag != os.O_RDONLY)
}

func (h *heldFS) Rename(from, to string) error {
	if !h.in(from) || !h.in(to) {
		return h.osFS.Rename(from, to)
	}
	return h.rename(from, to)
}

func (h *heldFS) Remove(path string) error {
	if !h.in(path) {
		return h.osFS.Remove(path)
	}
	return h.remove(path)
}

func (h *heldFS) DiskUsage(path string) (int64, error) {
	if !h.in(path) {
		return h.osFS.DiskUsage(path)
	}
	return h.diskUsage(path)
}

func (h *heldFS) Lock(path string) (io.Closer, error) {
	if !h.in(path) {
		return h.osFS.Lock(path)
	}
	return h.lock(path)
}

// isNowhere reports whether the error of a look at a path says that it leads to nothing. Any other,
// such as that of a folder above into which the process may not look any more, says nothing about
// that.
func isNowhere(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, ErrNotDir)
}
