package wal

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/vfs"
)

// salvager is a directory of which is read what can be read.
type salvager struct {
	fs      *mendedFS
	dir     string
	numbers []uint64
	parts   []*part // segments of the log whose frames can be told from other bytes, ascending
	moved   []*part // those of moved entries
	damage  []*ballast.CorruptionError

	// lost is why there is no part above the last one: a newer segment is there, or was, and nothing in it can be read.
	lost error
}

// part is a segment whose identity is known.
type part struct {
	header
	f vfs.File
	m marker

	lostBefore error // why the segment before it is none of the parts, nil when it is one or is not needed
}

func (s *salvager) closeFiles() {
	for _, p := range slices.Concat(s.parts, s.moved) {
		_ = p.f.Close() // it was only read from
	}
}

// openAll opens each segment and finds out what damaged headers said.
func (s *salvager) openAll() error {
	list := &recovery{fs: s.fs, dir: s.dir}
	var err error
	if s.numbers, err = list.list(); err != nil {
		return err
	}
	for _, number := range s.numbers {
		if isMoved(number) {
			if err := s.openMoved(number); err != nil {
				return err
			}
			continue
		}
		p, err := s.open(number)
		damage, damaged := errors.AsType[*ballast.CorruptionError](err)
		switch {
		case damaged:
			s.lost = damage
			if len(s.parts) > 0 && s.parts[len(s.parts)-1].m.state == markerClosed {
				s.lost = nil // nothing follows where a log was closed
			}
			continue
		case err != nil:
			return err
		}
		p.lostBefore, s.lost = s.lost, nil
		s.parts = append(s.parts, p)
	}
	s.dropUnused()
	if len(s.parts) == 0 && s.lost == nil && len(s.moved) == 0 {
		if err := lostLog(s.fs, s.dir); err != nil {
			return err
		}
	}
	switch {
	case len(s.numbers) == 0:
		return fmt.Errorf("wal: there is no log in %s: %w", s.dir, fs.ErrNotExist)
	case len(s.parts) == 0 && s.lost != nil:
		return s.lost
	case len(s.parts) == 0 && len(s.moved) > 0:
		return onlyMoved(s.dir)
	case len(s.parts) == 0:
		return fmt.Errorf("wal: the log in %s was never written: %w", s.dir, fs.ErrNotExist)
	}
	if last := s.parts[len(s.parts)-1]; s.lost == nil && last.m.state == markerSealed {
		s.lost = &ballast.CorruptionError{Path: segmentPath(s.dir, last.number+1), Offset: -1,
			Err: errors.New("the log goes on in this segment, and none of it is there")}
	}
	return nil
}

// open opens one segment. The error is a *ballast.CorruptionError where nothing in it can be told from other bytes.
func (s *salvager) open(number uint64) (*part, error) {
	path := segmentPath(s.dir, number)
	p := s.fs.patch(path)
	f, err := s.fs.OpenRead(path)
	if err != nil {
		return nil, fmt.Errorf("wal: opening a segment: %w", err)
	}
	out, err := s.identify(f, p, number)
	if err != nil {
		_ = f.Close() // it was only read from
	}
	return out, err
}

func (s *salvager) identify(f vfs.File, p *mending, number uint64) (*part, error) {
	length, err := f.Size()
	if err != nil {
		return nil, fmt.Errorf("wal: %w", err)
	}
	p.length, p.size = length, max(roundUp(length, blockBytes), framesOffset+blockBytes)
	var b [framesOffset]byte
	if _, err := f.ReadAt(b[:], 0); err != nil {
		return nil, fmt.Errorf("wal: reading a segment: %w", err)
	}
	path := segmentPath(s.dir, number)
	h, err := parseHeader(b[:])
	switch {
	case errors.Is(err, ballast.ErrUnknownVersion):
		return nil, fmt.Errorf("wal: %s: %w", path, err)
	case err != nil:
		return s.withoutHeader(f, p, number, err)
	case h.number != number:
		s.tell(path, 16, fmt.Errorf("this is segment %d, renamed", h.number))
		return nil, s.damage[len(s.damage)-1]
	case length < h.size:
		s.tell(path, length, fmt.Errorf("the file ends at %d bytes, it had %d", length, h.size))
	}
	m := parseMarker(b[markerOffset:], seedOf(h.identity), h.size)
	if p.size = h.size; length < h.size {
		p.show(&h)
		if m.end > h.size || m.indexOffset+m.indexLength > h.size {
			m.indexOffset, m.indexLength, m.checkpoint = 0, 0, 0
		}
	}
	return &part{header: h, f: f, m: m}, nil
}

// withoutHeader makes a part of a segment whose header is damaged.
func (s *salvager) withoutHeader(f vfs.File, p *mending, number uint64, err error) (*part, error) {
	switch {
	case p.cause != nil:
		err = p.cause
	case p.length < framesOffset+blockBytes:
		err = fmt.Errorf("the file ends at %d bytes", p.length)
	}
	s.tell(segmentPath(s.dir, number), 0, err)
	h := header{number: number, size: p.size}
	identity, ok := findIdentity(f, s.dir, number, p.size)
	if !ok {
		if s.empty(f, p) {
			return &part{header: h, f: f}, nil
		}
		return nil, s.damage[len(s.damage)-1]
	}
	h.identity = identity
	p.show(&h)
	b := make([]byte, markerBytes)
	if _, err := f.ReadAt(b, markerOffset); err != nil {
		return nil, fmt.Errorf("wal: reading a segment: %w", err)
	}
	return &part{header: h, f: f, m: parseMarker(b, seedOf(identity), h.size)}, nil
}

// tell notes damage that keeps the log from being opened.
func (s *salvager) tell(path string, offset int64, err error) {
	s.damage = append(s.damage, &ballast.CorruptionError{Path: path, Offset: offset, Err: err})
}

// empty reports whether all that a segment's first frame could have been written to is zero, so that it never was.
func (s *salvager) empty(f vfs.File, p *mending) bool {
	n := min(framesOffset+firstZeros, p.size)
	if p.length < n {
		return false
	}
	b := make([]byte, n-framesOffset)
	_, err := f.ReadAt(b, framesOffset)
	return err == nil && isZero(b) && p.hides(framesOffset) == nil
}

// dropUnused takes away the newest segment when it was prepared and never written.
func (s *salvager) dropUnused() {
	n := len(s.parts)
	if n == 0 || s.lost != nil {
		return
	}
	last := s.parts[n-1]
	if last.m.state != markerNone {
		return
	}
	closed := n > 1 && s.parts[n-2].m.state == markerClosed
	r := &reader{seg: newSegment(s.dir, last.header), f: last.f}
	v, _, _, err := judgeFirst(r)
	if err != nil || !closed && v != isEnd && v != isTorn || closed && v == isFrame {
		return
	}
	if later, err := search(r, framesOffset+8); !closed && (err != nil || later != 0) {
		return
	}
	s.parts = slices.Delete(s.parts, n-1, n)
	_ = last.f.Close() // it was only read from
	if last.lostBefore != nil {
		s.lost = last.lostBefore
	}
}
