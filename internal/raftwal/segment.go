package raftwal

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast"
)

const segmentSuffix = ".wal"

// segment is a segment's file, open until the Log is closed.
type segment struct {
	info segmentInfo
	path string
	file *os.File // nil for a last segment that is missing
	size int64

	scanning sync.Mutex
	contents atomic.Pointer[contents] // nil until the first read
}

// openSegment opens a segment's file and compares its header.
func openSegment(dir string, info segmentInfo) (*segment, error) {
	s := &segment{info: info, path: filepath.Join(dir, segmentName(info.BaseIndex, info.ID))}
	f, err := os.Open(s.path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && info.sealed():
		return nil, &ballast.CorruptionError{Path: s.path, Offset: -1, Index: info.MinIndex, Err: fmt.Errorf("the file is missing: %w", fs.ErrNotExist)}
	case errors.Is(err, fs.ErrNotExist):
		s.contents.Store(&contents{dropped: &damage{first: info.BaseIndex, offset: -1, err: fmt.Errorf("the file is missing: %w", fs.ErrNotExist)}})
		return s, nil
	case err != nil:
		return nil, fmt.Errorf("raftwal: %w", err)
	}
	s.file = f
	if err := s.prepare(); err != nil {
		_ = f.Close() // what failed before says more
		return nil, err
	}
	return s, nil
}

// prepare checks the header. The last segment is read too: how long it is nothing else says.
func (s *segment) prepare() error {
	info, err := s.file.Stat()
	if err != nil {
		return fmt.Errorf("raftwal: %w", err)
	}
	s.size = info.Size()
	var head [headerBytes]byte
	n, err := s.file.ReadAt(head[:], 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("raftwal: %w", err)
	}
	err = checkHeader(head[:n], &s.info)
	if errors.Is(err, ballast.ErrUnknownVersion) {
		return fmt.Errorf("raftwal: %s: %w", s.path, err)
	}
	if s.info.sealed() {
		return s.headerError(err)
	}
	c, scanErr := s.load()
	if scanErr != nil {
		return scanErr
	}
	if c.entries == 0 { // the header is written with the first batch
		return nil
	}
	return s.headerError(err)
}

func (s *segment) headerError(err error) error {
	if err != nil {
		return &ballast.CorruptionError{Path: s.path, Offset: 0, Err: err}
	}
	return nil
}

// load returns what is in the segment, and reads it the first time. An error of reading is not kept.
func (s *segment) load() (*contents, error) {
	if c := s.contents.Load(); c != nil {
		return c, nil
	}
	s.scanning.Lock()
	defer s.scanning.Unlock()
	if c := s.contents.Load(); c != nil {
		return c, nil
	}
	c, err := scan(s.file, s.size, &s.info)
	if err != nil {
		return nil, fmt.Errorf("raftwal: reading %s: %w", s.path, err)
	}
	s.contents.Store(c)
	return c, nil
}

// last is the highest index in the segment; the one before its first where it has none.
func (s *segment) last() uint64 {
	if s.info.sealed() {
		return s.info.MaxIndex
	}
	return s.info.BaseIndex + s.contents.Load().entries - 1 // read by prepare
}

// get reads an entry that is in the segment.
func (s *segment) get(index uint64, log *raft.Log) error {
	c, err := s.load()
	if err != nil {
		return err
	}
	f, bad := c.find(s.info.BaseIndex, index)
	if bad != nil && bad.err == errForeign {
		return fmt.Errorf("raftwal: entry %d in %s at offset %d: %w: %w", index, s.path, bad.offset, ballast.ErrUnknownVersion, bad.err)
	}
	if bad != nil {
		return &ballast.CorruptionError{Path: s.path, Offset: bad.offset, Index: index, Err: bad.err}
	}
	corrupt := func(err error) error {
		return &ballast.CorruptionError{Path: s.path, Offset: int64(f.offset), Index: index, Err: err}
	}
	buf := make([]byte, frameHeaderBytes+int(f.size))
	switch _, err := s.file.ReadAt(buf, int64(f.offset)); {
	case errors.Is(err, io.EOF):
		return corrupt(io.ErrUnexpectedEOF)
	case err != nil:
		return fmt.Errorf("raftwal: reading entry %d: %w", index, err)
	}
	if crc32.Checksum(buf, castagnoli) != f.sum {
		return corrupt(errChanged)
	}
	if err := decodeEntry(buf[frameHeaderBytes:], log); err != nil {
		return corrupt(err)
	}
	return nil
}

var errChanged = errors.New("it is not what it was when its batch was checked")

func (s *segment) close() error {
	if s.file == nil {
		return nil
	}
	return s.file.Close()
}
