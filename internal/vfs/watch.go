package vfs

import "sync/atomic"

// Watch is a file system whose reading calls are seen: how many bytes they read is counted, and
// something may happen before each of them.
type Watch struct {
	FS

	// Before is called before each List, OpenRead, DiskUsage, Size and ReadAt, in the goroutine
	// that makes the call; nil is nobody.
	Before func(op Op, path string)

	of    *Watch // that it is a folder of; nil for none
	bytes atomic.Int64
}

// Bytes returns how many bytes were read.
func (w *Watch) Bytes() int64 { return w.bytes.Load() }

// Hold implements FS. What is done in the folder is seen, too.
func (w *Watch) Hold(dir string) (*Dir, error) {
	d, err := w.FS.Hold(dir)
	if err == nil {
		d.FS = &Watch{FS: d.FS, of: w}
	}
	return d, err
}

func (w *Watch) before(op Op, path string) {
	if w.of != nil {
		w.of.before(op, path)
	}
	if w.Before != nil {
		w.Before(op, path)
	}
}

// List implements FS.
func (w *Watch) List(dir string) ([]string, error) {
	w.before(OpList, dir)
	return w.FS.List(dir)
}

// DiskUsage implements FS.
func (w *Watch) DiskUsage(path string) (int64, error) {
	w.before(OpSize, path)
	return w.FS.DiskUsage(path)
}

// Create implements FS.
func (w *Watch) Create(path string) (File, error) { return w.file(w.FS.Create, path) }

// Open implements FS.
func (w *Watch) Open(path string) (File, error) { return w.file(w.FS.Open, path) }

// OpenRead implements FS.
func (w *Watch) OpenRead(path string) (File, error) {
	w.before(OpOpenRead, path)
	return w.file(w.FS.OpenRead, path)
}

func (w *Watch) file(open func(string) (File, error), path string) (File, error) {
	f, err := open(path)
	if err != nil {
		return nil, err
	}
	return &watchedFile{File: f, w: w, path: path}, nil
}

type watchedFile struct {
	File
	w    *Watch
	path string
}

func (f *watchedFile) ReadAt(b []byte, off int64) (int, error) {
	f.w.before(OpRead, f.path)
	n, err := f.File.ReadAt(b, off)
	for w := f.w; w != nil; w = w.of {
		w.bytes.Add(int64(n))
	}
	return n, err
}

func (f *watchedFile) Size() (int64, error) {
	f.w.before(OpSize, f.path)
	return f.File.Size()
}
