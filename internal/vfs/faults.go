package vfs

import (
	"errors"
	"io"
	"sync"
)

// Rule is asked before each call of a [Faults], the n-th from 1 of all, and returns the error that the call is
// to fail with, without being made, or nil. [Late] and [Short] make it fail in other ways. A rule may be called by several
// goroutines at once.
type Rule func(op Op, path string, n int) error

// Late returns an error with which a call is made as always and then fails with err: nobody knows whether it
// happened.
func Late(err error) error { return &lateError{err} }

type lateError struct{ err error }

func (e *lateError) Error() string { return "after the call: " + e.err.Error() }

func (e *lateError) Unwrap() error { return e.err }

// Short returns an error with which a WriteBlocks writes the first half of its blocks, rounded down, and then
// fails with err. Another call fails without being made.
func Short(err error) error { return &shortError{err} }

type shortError struct{ err error }

func (e *shortError) Error() string { return "in the middle of the call: " + e.err.Error() }

func (e *shortError) Unwrap() error { return e.err }

// Faults is a file system whose calls fail where a rule says so. A Close that fails has closed the file all
// the same, as that of the operating system does.
type Faults struct {
	fs FS
	*faultRule
}

// faultRule is shared with the folders that are held.
type faultRule struct {
	mu   sync.Mutex
	n    int
	rule Rule
}

// NewFaults returns fs with faults, at first without any.
func NewFaults(fs FS) *Faults { return &Faults{fs, new(faultRule)} }

// SetRule replaces the rule; nil is none.
func (f *faultRule) SetRule(rule Rule) {
	f.mu.Lock()
	f.rule = rule
	f.mu.Unlock()
}

// Count returns how many calls there were.
func (f *faultRule) Count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.n
}

func (f *faultRule) ask(op Op, path string) error {
	f.mu.Lock()
	f.n++
	n, rule := f.n, f.rule
	f.mu.Unlock()
	if rule == nil {
		return nil
	}
	return rule(op, path, n)
}

// do makes a call, or lets it fail.
func (f *Faults) do(op Op, path string, call func() error) error {
	return f.doShort(op, path, call, func() error { return nil })
}

// doShort is do with what makes the first half of the call.
func (f *Faults) doShort(op Op, path string, call, half func() error) error {
	err := f.ask(op, path)
	if err == nil {
		return call()
	}
	if late, ok := errors.AsType[*lateError](err); ok {
		err, half = late.err, call
	} else if short, ok := errors.AsType[*shortError](err); ok {
		err = short.err
	} else {
		return wrap(op, path, err)
	}
	if err := half(); err != nil {
		return err
	}
	return wrap(op, path, err)
}

// open is do for a call that opens something, which is closed again when the call fails late.
func open[T io.Closer](f *Faults, op Op, path string, call func(path string) (T, error)) (T, error) {
	var file, none T
	opened := false
	err := f.do(op, path, func() (err error) {
		file, err = call(path)
		opened = err == nil
		return err
	})
	if err == nil {
		return file, nil
	}
	if opened {
		err = errors.Join(err, file.Close())
	}
	return none, err
}

func (f *Faults) file(op Op, path string, call func(path string) (File, error)) (File, error) {
	file, err := open(f, op, path, call)
	if err != nil {
		return nil, err
	}
	return &faultyFile{faults: f, path: path, file: file}, nil
}

// MkdirAll implements FS.
func (f *Faults) MkdirAll(dir string) error {
	return f.do(OpMkdirAll, dir, func() error { return f.fs.MkdirAll(dir) })
}

// List implements FS.
func (f *Faults) List(dir string) (names []string, err error) {
	err = f.do(OpList, dir, func() (err error) {
		names, err = f.fs.List(dir)
		return err
	})
	if err != nil {
		return nil, err
	}
	return names, nil
}

// Create implements FS.
func (f *Faults) Create(path string) (File, error) { return f.file(OpCreate, path, f.fs.Create) }

// Open implements FS.
func (f *Faults) Open(path string) (File, error) { return f.file(OpOpen, path, f.fs.Open) }

// OpenRead implements FS.
func (f *Faults) OpenRead(path string) (File, error) { return f.file(OpOpenRead, path, f.fs.OpenRead) }

// Rename implements FS. The rule is asked with the old path.
func (f *Faults) Rename(from, to string) error {
	return f.do(OpRename, from, func() error { return f.fs.Rename(from, to) })
}

// Place implements FS. It has no error.
func (f *Faults) Place(path string) string { return f.fs.Place(path) }

// DiskUsage implements FS. It never fails by a rule: nothing depends on it.
func (f *Faults) DiskUsage(path string) (int64, error) { return f.fs.DiskUsage(path) }

// Remove implements FS.
func (f *Faults) Remove(path string) error {
	return f.do(OpRemove, path, func() error { return f.fs.Remove(path) })
}

// SyncDir implements FS.
func (f *Faults) SyncDir(dir string) error {
	return f.do(OpSyncDir, dir, func() error { return f.fs.SyncDir(dir) })
}

// Hold implements FS. The calls of what it returns are counted and fail as all others; its own
// Check and Close have no faults.
func (f *Faults) Hold(dir string) (*Dir, error) {
	d, err := open(f, OpHold, dir, f.fs.Hold)
	if err == nil {
		d.FS = &Faults{d.FS, f.faultRule}
	}
	return d, err
}

// Lock implements FS. There are no faults in letting go of it.
func (f *Faults) Lock(path string) (io.Closer, error) { return open(f, OpLock, path, f.fs.Lock) }

type faultyFile struct {
	faults *Faults
	path   string
	file   File
}

func (f *faultyFile) ReadAt(b []byte, off int64) (n int, err error) {
	err = f.faults.do(OpRead, f.path, func() (err error) {
		n, err = f.file.ReadAt(b, off)
		return err
	})
	return n, err
}

func (f *faultyFile) WriteBlocks(bufs [][]byte, off int64) error {
	return f.faults.doShort(OpWrite, f.path,
		func() error { return f.file.WriteBlocks(bufs, off) },
		func() error { return f.file.WriteBlocks(firstHalf(bufs), off) })
}

// firstHalf returns the first half of the blocks, rounded down.
func firstHalf(bufs [][]byte) [][]byte {
	blocks := 0
	for _, b := range bufs {
		blocks += len(b) / BlockBytes
	}
	var half [][]byte
	left := blocks / 2 * BlockBytes
	for _, b := range bufs {
		n := min(left, len(b))
		half = append(half, b[:n])
		left -= n
	}
	return half
}

func (f *faultyFile) Allocate(off, n int64) error {
	return f.faults.do(OpAllocate, f.path, func() error { return f.file.Allocate(off, n) })
}

// Prefetch cannot fail.
func (f *faultyFile) Prefetch(off, n int64) { f.file.Prefetch(off, n) }

func (f *faultyFile) Truncate(size int64) error {
	return f.faults.do(OpTruncate, f.path, func() error { return f.file.Truncate(size) })
}

func (f *faultyFile) Sync() error { return f.faults.do(OpSync, f.path, f.file.Sync) }

func (f *faultyFile) Size() (size int64, err error) {
	err = f.faults.do(OpSize, f.path, func() (err error) {
		size, err = f.file.Size()
		return err
	})
	return size, err
}

// Links is no call that the rule is asked for: it looks at what Size looks at.
func (f *faultyFile) Links() (int, error) { return f.file.Links() }

func (f *faultyFile) Close() error {
	closed := f.file.Close()
	if err := f.faults.do(OpClose, f.path, func() error { return nil }); err != nil {
		return err
	}
	return closed
}
