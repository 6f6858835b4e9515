package wal

import (
	"errors"
	"io"
	"io/fs"
	"slices"
	"sync"

	"github.com/raft-ballast/ballast/internal/vfs"
)

// mendedFS shows a damaged directory as it would be with what is missing put back where that is known, and with zeros where it
// is not: a segment's header that was found out, the end of a file that was cut off, sectors that the disk does not read. It
// notes where it shows zeros that may have been something else. Nothing is written.
type mendedFS struct {
	vfs.FS
	patches map[string]*mending // by path
}

// mending is what is shown instead of a part of a file. Its fields are set before the file is read, but for unread.
type mending struct {
	header []byte // in the place of the first bytes; nil for those of the file
	size   int64  // of the segment, as far as the file goes
	length int64  // of the file
	cut    bool   // the segment was longer

	mu     sync.Mutex
	unread []int64 // blocks that the disk does not read, ascending
	cause  error   // of the last one
}

// hides returns why what lies from an offset on may have been something else than the zeros that are shown; nil when all of it was read.
func (p *mending) hides(from int64) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.unread); n > 0 && p.unread[n-1]+blockBytes > from {
		return p.cause
	}
	if p.cut {
		return errCutOff
	}
	return nil
}

// show has a header be read that goes with the length of the file: what was cut off is not there, and no memory is taken for it.
func (p *mending) show(h *header) {
	p.cut = p.length < h.size
	h.size = min(h.size, max(roundUp(p.length, blockBytes), framesOffset+blockBytes))
	p.size, p.header = h.size, make([]byte, headerBytes)
	putHeader(p.header, *h)
}

var errCutOff = errors.New("the file was cut off")

func (m *mendedFS) patch(path string) *mending {
	p := m.patches[path]
	if p == nil {
		p = new(mending)
		m.patches[path] = p
	}
	return p
}

func (m *mendedFS) OpenRead(path string) (vfs.File, error) {
	f, err := m.FS.OpenRead(path)
	if err != nil || m.patches[path] == nil {
		return f, err
	}
	return &mendedFile{File: f, mending: m.patches[path]}, nil
}

// Open refuses: what is mended is only read.
func (m *mendedFS) Open(string) (vfs.File, error) { return nil, fs.ErrPermission }

type mendedFile struct {
	vfs.File
	*mending
}

func (f *mendedFile) Size() (int64, error) {
	size, err := f.File.Size()
	return max(size, f.size), err
}

// ReadAt never fails for what lies in the segment.
func (f *mendedFile) ReadAt(b []byte, off int64) (int, error) {
	for n := 0; n < len(b); {
		at := off + int64(n)
		part := b[n:][:min(int64(len(b)-n), roundDown(at, readerBytes)+readerBytes-at)]
		if got, err := f.File.ReadAt(part, at); got < len(part) {
			f.readBlocks(part, at, got, err)
		}
		n += len(part)
	}
	if f.header != nil && off < headerBytes {
		copy(b, f.header[off:])
	}
	if off+int64(len(b)) > max(f.size, f.length) {
		return 0, io.EOF
	}
	return len(b), nil
}

// readBlocks reads what a read of many blocks has left, one by one.
func (f *mendedFile) readBlocks(b []byte, off int64, got int, err error) {
	clear(b[got:])
	if err == io.EOF {
		return
	}
	for at := roundDown(off, blockBytes); at < off+int64(len(b)); at += blockBytes {
		from, to := max(at, off), min(at+blockBytes, off+int64(len(b)))
		part := b[from-off : to-off]
		if n, err := f.File.ReadAt(part, from); n < len(part) {
			clear(part[n:])
			if err != io.EOF {
				f.note(at, err)
			}
		}
	}
}

func (f *mendedFile) note(block int64, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cause = err
	if i, found := slices.BinarySearch(f.unread, block); !found {
		f.unread = slices.Insert(f.unread, i, block)
	}
}
