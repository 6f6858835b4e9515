package vfs

import (
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
	return &Dir{FS: h, Path: h.path, Name: h.path, check: h.check, close: nothing}
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
