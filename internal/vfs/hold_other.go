//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package vfs

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"syscall"
)

// Handles says that a [Dir] of [OS] reaches its folder by its name.
const Handles = false

// ErrNotDir is matched by the error of a Hold of something else than a folder.
const ErrNotDir = syscall.ENOTDIR

// handle stands for the open folder that this platform cannot open files in.
type handle struct {
	path string
	is   os.FileInfo
}

func openHandle(path string) (handle, error) {
	is, err := lookAt(path)
	if err == nil && !is.IsDir() {
		err = &os.PathError{Op: "open", Path: path, Err: syscall.ENOTDIR}
	}
	return handle{path, is}, err
}

// openWithoutLinks fails: the links are looked for.
func openWithoutLinks(string) (handle, error) { return handle{}, errors.ErrUnsupported }

// lookAt returns what is at a path. What os.Stat returns would be looked at only when it is
// compared.
func lookAt(path string) (os.FileInfo, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	return info, errors.Join(err, f.Close())
}

func (h handle) close() error { return nil }

// at returns where the file of a path in the folder is: a relative one may mean another by now.
func (h handle) at(path string) string {
	if h.is == nil { // the zero handle
		return path
	}
	return filepath.Join(h.path, filepath.Base(path))
}

func (h handle) openFile(path string, flag int) (*os.File, error) {
	if flag&os.O_CREATE != 0 {
		if err := h.check(); err != nil {
			return nil, err
		}
	}
	return os.OpenFile(h.at(path), flag, fileMode)
}

func (h handle) list(string) ([]string, error) { return osFS{}.List(h.path) }

func (h handle) sync() error { return osFS{}.SyncDir(h.path) }

func (h handle) rename(from, to string) error {
	if err := h.check(); err != nil {
		return err
	}
	return os.Rename(h.at(from), h.at(to))
}

func (h handle) remove(path string) error {
	if err := h.check(); err != nil {
		return err
	}
	return os.Remove(h.at(path))
}

func (h handle) diskUsage(path string) (int64, error) { return osFS{}.DiskUsage(h.at(path)) }

func (h handle) lock(path string) (io.Closer, error) {
	if err := h.check(); err != nil {
		return nil, err
	}
	return osFS{}.Lock(h.at(path))
}

func (h handle) check() error { return checkName(h.path, h.is) }

func (h handle) alias() string { return "" }

// locks returns nil: no folder can be locked.
func (h handle) locks() folderLocks { return nil }

// CheckName returns a [*DisplacedError] when path leads to another file or folder than the open
// one, or to none, and nil when it leads there or that cannot be found out.
func CheckName(path string, open *os.File) error {
	is, err := open.Stat()
	if err != nil {
		return nil
	}
	return checkName(path, is)
}

func checkName(path string, is os.FileInfo) error {
	if is == nil { // the zero handle
		return nil
	}
	named, err := lookAt(path)
	if err == nil && os.SameFile(named, is) || err != nil && !isNowhere(err) {
		return nil
	}
	return &DisplacedError{Path: path}
}
