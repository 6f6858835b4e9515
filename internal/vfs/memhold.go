package vfs

import (
	"errors"
	"io"
	"path/filepath"
)

// memHeld is a Mem, but for what lies directly in one folder, which is that one whatever its path
// is now.
type memHeld struct {
	*Mem
	path string // when it was held
	dir  *memDir
}

// Hold implements FS. The path is as it is given: there is no folder that a relative one could
// begin in. A power cut ends it.
func (m *Mem) Hold(dir string) (*Dir, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	dir = filepath.Clean(dir)
	err := m.failed
	if err == nil && m.dirs[dir] == nil {
		if _, err = m.lookup(dir); err == nil {
			err = ErrNotDir
		}
	}
	if err != nil {
		return nil, wrap(OpHold, dir, err)
	}
	h := &memHeld{Mem: m, path: dir, dir: m.dirs[dir]}
	return h.held(), nil
}

func (h *memHeld) held() *Dir {
	nothing := func() error { return nil }
	d := &Dir{FS: h, Path: h.path, Name: h.path, check: h.check, close: nothing}
	if !h.noFolderLocks {
		d.locks = h
	}
	return d
}

// NoFolderLocks has no folder that is held from now on be one that can be locked.
func (m *Mem) NoFolderLocks() {
	m.mu.Lock()
	m.noFolderLocks = true
	m.mu.Unlock()
}

func (h *memHeld) lockFolder() (io.Closer, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	err := h.failed
	if err == nil && h.dir.lock != nil {
		err = ErrLocked
	}
	if err != nil {
		return nil, wrap(OpLock, h.path, err)
	}
	h.dir.lock = &memFolderLock{h}
	return h.dir.lock, nil
}

type memFolderLock struct{ h *memHeld }

func (l *memFolderLock) Close() error {
	l.h.mu.Lock()
	defer l.h.mu.Unlock()
	if l.h.dir.lock == l {
		l.h.dir.lock = nil
	}
	return nil
}

func (h *memHeld) vouch(lock io.Closer) error {
	l, ok := lock.(*memLock)
	if !ok {
		return errors.ErrUnsupported
	}
	h.mu.Lock()
	l.vouched = true
	h.mu.Unlock()
	return nil
}

func (h *memHeld) vouched(path string) bool {
	at := h.at(path)
	h.mu.Lock()
	defer h.mu.Unlock()
	n, err := h.lookup(at)
	return err == nil && h.locks[n] != nil && h.locks[n].vouched
}

// Hold implements FS.
func (h *memHeld) Hold(dir string) (*Dir, error) {
	if filepath.Clean(dir) != h.path {
		return h.Mem.Hold(dir)
	}
	return h.held(), nil
}

// now returns the folder's path, "" when it was removed.
func (h *memHeld) now() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.dirs[h.path] == h.dir {
		return h.path
	}
	for path, d := range h.dirs {
		if d == h.dir {
			return path
		}
	}
	return ""
}

func (h *memHeld) check() error {
	if now := h.now(); now != h.path {
		return &DisplacedError{Path: h.path, Now: now}
	}
	return nil
}

// removedDir is where nothing is.
const removedDir = "(removed)"

// at returns what a path is now.
func (h *memHeld) at(path string) string {
	path = filepath.Clean(path)
	name := ""
	if path != h.path {
		if filepath.Dir(path) != h.path {
			return path
		}
		name = filepath.Base(path)
	}
	now := h.now()
	if now == "" {
		now = removedDir
	}
	return filepath.Join(now, name)
}

func (h *memHeld) List(dir string) ([]string, error)  { return h.Mem.List(h.at(dir)) }
func (h *memHeld) Create(path string) (File, error)   { return h.Mem.Create(h.at(path)) }
func (h *memHeld) Open(path string) (File, error)     { return h.Mem.Open(h.at(path)) }
func (h *memHeld) OpenRead(path string) (File, error) { return h.Mem.OpenRead(h.at(path)) }
func (h *memHeld) Rename(from, to string) error {
	return h.Mem.Rename(h.at(from), h.at(to))
}
func (h *memHeld) Remove(path string) error                   { return h.Mem.Remove(h.at(path)) }
func (h *memHeld) SyncDir(dir string) error                   { return h.Mem.SyncDir(h.at(dir)) }
func (h *memHeld) DiskUsage(path string) (int64, error)       { return h.Mem.DiskUsage(h.at(path)) }
func (h *memHeld) Lock(path string) (lock io.Closer, e error) { return h.Mem.Lock(h.at(path)) }
