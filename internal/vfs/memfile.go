package vfs

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"syscall"
)

type memFile struct {
	m        *Mem
	path     string
	node     *node
	writable bool
	closed   bool
}

// check returns why nothing can be done with the file, or nil.
func (f *memFile) check(op Op) error {
	if f.m.failed != nil {
		return wrap(op, f.path, f.m.failed)
	}
	if f.closed {
		return wrap(op, f.path, fs.ErrClosed)
	}
	return nil
}

// do makes a call that changes the file and takes blocks in the call's range.
func (f *memFile) do(c Call, apply func(n *node, cut bool)) error {
	c.Path = f.path
	c.apply = func(m *Mem, at cloner, cut bool) error {
		if f.closed {
			return fs.ErrClosed
		}
		if !f.writable {
			return syscall.EBADF
		}
		n := at.node(f.node)
		first, pages := pageRange(c.Off, c.Len)
		if err := m.reserve(n.now.holes(first, pages)); err != nil {
			return err
		}
		before := n.now.blocks
		apply(n, cut)
		m.used += (n.now.blocks - before) * BlockBytes
		return nil
	}
	return f.m.do(c)
}

// pageRange returns the pages of n bytes from off.
func pageRange(off, n int64) (first, pages int64) {
	first = off / BlockBytes
	if n == 0 {
		return first, 0
	}
	return first, (off+n+BlockBytes-1)/BlockBytes - first
}

func (f *memFile) ReadAt(b []byte, off int64) (int, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if err := f.check(OpRead); err != nil {
		return 0, err
	}
	if off < 0 {
		return 0, wrap(OpRead, f.path, fmt.Errorf("%w: offset %d", syscall.EINVAL, off))
	}
	return f.node.now.readAt(b, off)
}

func (f *memFile) WriteBlocks(bufs [][]byte, off int64) error {
	if err := checkBlocks(f.path, bufs, off); err != nil {
		return err
	}
	pages := newPages(bufs)
	length := int64(len(pages)) * BlockBytes
	return f.do(Call{Op: OpWrite, Off: off, Len: length}, func(n *node, cut bool) {
		if length > 0 {
			n.grow(off + length)
			n.change(change{kind: written, first: off / BlockBytes, pages: pages, torn: cut})
		}
	})
}

func (f *memFile) Allocate(off, n int64) error {
	if err := checkRange(f.path, off, n); err != nil {
		return err
	}
	return f.do(Call{Op: OpAllocate, Off: off, Len: n}, func(node *node, _ bool) {
		node.grow(off + n)
		first, pages := pageRange(off, n)
		node.change(change{kind: filled, first: first, n: pages})
	})
}

// Prefetch does nothing.
func (f *memFile) Prefetch(int64, int64) {}

func (f *memFile) Truncate(size int64) error {
	if size < 0 {
		return wrap(OpTruncate, f.path, syscall.EINVAL)
	}
	return f.do(Call{Op: OpTruncate, Off: size}, func(n *node, _ bool) {
		n.change(change{kind: resized, size: size})
	})
}

func (f *memFile) Sync() error {
	return f.do(Call{Op: OpSync}, func(n *node, cut bool) {
		if !cut {
			n.sync()
		}
	})
}

func (f *memFile) Size() (int64, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if err := f.check(OpSize); err != nil {
		return 0, err
	}
	return f.node.now.size, nil
}

func (f *memFile) Links() (int, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if err := f.check(OpSize); err != nil {
		return 0, err
	}
	return f.node.links, nil
}

// Link gives the file at from one more name, which must be free, and makes the folder that it is
// in. It and all names beside it are durable at once. Neither the hook nor the capacity is asked.
func (m *Mem) Link(from, to string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.lookup(from)
	dir := filepath.Dir(filepath.Clean(to))
	if err == nil {
		err = m.mkdirAll(dir, false)
	}
	if err == nil {
		if _, e := m.lookup(to); e != fs.ErrNotExist {
			err = fs.ErrExist
		}
	}
	if err != nil {
		panic(wrap(OpCreate, to, err))
	}
	n.links++
	m.dirs[dir].names[filepath.Base(to)] = n
	m.dirs[dir].sync()
}

func (f *memFile) Close() error {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if f.closed {
		return wrap(OpClose, f.path, fs.ErrClosed)
	}
	f.closed = true
	f.node.opens--
	f.m.release(f.node)
	return wrap(OpClose, f.path, f.m.failed)
}

// WriteFile replaces the content of a file, which it creates where it is missing, with its folders. It and all
// names beside it are durable at once. Neither the hook nor the capacity is asked.
func (m *Mem) WriteFile(path string, data []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.lookup(path)
	dir := filepath.Dir(filepath.Clean(path))
	if err == fs.ErrNotExist {
		if err = m.mkdirAll(dir, false); err == nil {
			n, err = m.create(path)
		}
	}
	if err != nil {
		panic(wrap(OpCreate, path, err))
	}
	m.dirs[dir].sync()
	m.used -= n.now.blocks * BlockBytes
	n.now = newContent(data)
	m.used += n.now.blocks * BlockBytes
	n.settle()
}

// Flip changes bits of one byte of a file, which makes the whole file durable. It is much cheaper than WriteFile.
func (m *Mem) Flip(path string, off int64, bits byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.lookup(path)
	if err == nil && (off < 0 || off >= n.now.size) {
		err = syscall.EINVAL
	}
	if err != nil {
		panic(wrap(OpWrite, path, err))
	}
	p := new(page)
	if old := n.now.page(off / BlockBytes); old != nil {
		*p = *old
	} else {
		m.used += BlockBytes
	}
	p[off%BlockBytes] ^= bits
	n.now.set(off/BlockBytes, p)
	n.settle()
}
