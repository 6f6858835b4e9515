package wal

import (
	"errors"
	"fmt"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/vfs"
)

// damagedLog is a log of small entries in several segments, that is damaged afterwards.
type damagedLog struct {
	mem      *vfs.Mem
	segments []string
	offsets  [][]int64 // of the records of entries, by segment
}

// newDamagedLog makes one that was closed, or that was left as a kill leaves it, with an entry in
// each frame.
func newDamagedLog(t *testing.T, closed bool, segments int, segmentBytes int64, size int) *damagedLog {
	mem := vfs.NewMem()
	l := newTestLogWith(t, mem, 1, func(o *Options) { o.SegmentBytes = segmentBytes })
	d := &damagedLog{mem: mem}
	for len(l.j.segments) < segments || l.j.tail.end < l.j.tail.size/2 {
		l.fill(1, size)
	}
	for _, seg := range l.j.segments {
		var offsets []int64
		for i := range l.g.runs {
			if r := &l.g.runs[i]; r.seg == seg {
				must(t, l.j.loadIndex(seg))
				for n := range uint64(r.count()) {
					offsets = append(offsets, r.offset(n))
				}
			}
		}
		d.segments, d.offsets = append(d.segments, seg.path), append(d.offsets, offsets)
	}
	if closed {
		l.close()
	} else {
		l.abandon()
	}
	return d
}

// each does damage to every share-th entry of all segments.
func (d *damagedLog) each(share int, damage func(mem *vfs.Mem, path string, off int64)) func(*vfs.Mem) {
	return func(mem *vfs.Mem) {
		for i, path := range d.segments {
			for n, off := range d.offsets[i] {
				if n%share == 0 {
					damage(mem, path, off)
				}
			}
		}
	}
}

// zero makes bytes of a file zero.
func zero(mem *vfs.Mem, path string, from, to int64) {
	b := mem.ReadFile(path)
	clear(b[from:min(to, int64(len(b)))])
	mem.WriteFile(path, b)
}

// kinds are the kinds of damage.
func (d *damagedLog) kinds() map[string]func(*vfs.Mem) {
	second := d.segments[1]
	flip := func(at int64) func(*vfs.Mem, string, int64) {
		return func(mem *vfs.Mem, path string, off int64) { mem.Flip(path, off+at, 0x20) }
	}
	return map[string]func(*vfs.Mem){
		"one entry":          func(mem *vfs.Mem) { flip(60)(mem, second, d.offsets[1][9]) },
		"each tenth entry":   d.each(10, flip(recordHeaderBytes+3)),
		"each entry":         d.each(1, flip(recordHeaderBytes+3)),
		"each length":        d.each(1, func(mem *vfs.Mem, path string, off int64) { mem.Flip(path, off+6, 0x08) }),
		"each frame header":  d.each(1, func(mem *vfs.Mem, path string, off int64) { mem.Flip(path, off-frameHeaderBytes+9, 1) }),
		"a missing segment":  func(mem *vfs.Mem) { _ = mem.Remove(second) },
		"two missing":        func(mem *vfs.Mem) { _ = errors.Join(mem.Remove(second), mem.Remove(d.segments[0])) },
		"a segment of zeros": func(mem *vfs.Mem) { zero(mem, second, 0, 1<<30) },
		"frames of zeros":    func(mem *vfs.Mem) { zero(mem, second, framesOffset, 1<<30) },
		"a header":           func(mem *vfs.Mem) { mem.Flip(second, 20, 1) },
		"every header": func(mem *vfs.Mem) {
			for _, path := range d.segments {
				mem.Flip(path, 20, 1)
			}
		},
		"another segment": func(mem *vfs.Mem) { mem.WriteFile(second, mem.ReadFile(d.segments[0])) },
		"another identity": func(mem *vfs.Mem) {
			b := mem.ReadFile(second)
			h, _ := parseHeader(b)
			h.identity++
			putHeader(b, h)
			mem.WriteFile(second, b)
		},
		"the index": func(mem *vfs.Mem) {
			b := mem.ReadFile(second)
			h, _ := parseHeader(b)
			m := parseMarker(b[markerOffset:], seedOf(h.identity), h.size)
			mem.Flip(second, m.indexOffset+10, 1)
		},
		"each sector": func(mem *vfs.Mem) {
			for off := int64(framesOffset); off < minSegmentBytes; off += sectorBytes {
				mem.Flip(second, off+100, 1)
			}
		},
		"the end": func(mem *vfs.Mem) {
			tail := len(d.segments) - 1
			off := d.offsets[tail][len(d.offsets[tail])/2]
			zero(mem, d.segments[tail], off-300, off)
		},
	}
}

// readThrough reads all entries of a store, and returns how many are damaged.
func readThrough(t *testing.T, s *Store) (damaged int) {
	first, err1 := s.FirstIndex()
	last, err2 := s.LastIndex()
	must(t, errors.Join(err1, err2))
	for index := first; index <= last && index > 0; index++ {
		var l raft.Log
		switch err := s.GetLog(index, &l); {
		case errors.Is(err, ballast.ErrCorrupt):
			damaged++
		case err != nil:
			t.Fatalf("entry %d: %v", index, err)
		}
	}
	return damaged
}

// TestBytesReadOfADamagedLog: whatever is damaged, and in however many places, at most three times
// as many bytes are read as of a log without damage: for reading, for writing, for a copy, and for
// what can be salvaged.
func TestBytesReadOfADamagedLog(t *testing.T) {
	for _, closed := range []bool{true, false} {
		d := newDamagedLog(t, closed, 3, minSegmentBytes, 200)
		if !closed { // larger than what is read at once
			d = newDamagedLog(t, closed, 3, minSegmentBytes+256<<10, 2000)
		}
		readers := map[string]func(fsys vfs.FS){
			"OpenReadOnly": func(fsys vfs.FS) {
				if s, err := OpenReadOnly(dataDir, memOptions(fsys)); err == nil {
					readThrough(t, s)
					must(t, s.Close())
				}
			},
			"Open": func(fsys vfs.FS) {
				if s, err := Open(dataDir, memOptions(fsys)); err == nil {
					readThrough(t, s)
					must(t, s.Close())
				}
			},
			"Backup": func(fsys vfs.FS) { _, _ = Backup(t.Context(), dataDir, "/copy", &BackupOptions{fs: fsys}) },
			"Salvage": func(fsys vfs.FS) {
				if s, err := Salvage(dataDir, memOptions(fsys)); err == nil {
					readThrough(t, s.Log)
					if s.Later != nil {
						readThrough(t, s.Later)
					}
					must(t, s.Close())
				}
			},
		}
		for name, read := range readers {
			healthy := &vfs.Watch{FS: d.mem.Clone()}
			read(healthy)
			for kind, damage := range d.kinds() {
				t.Run(fmt.Sprintf("%s of a log closed=%v with %s", name, closed, kind), func(t *testing.T) {
					mem := d.mem.Clone()
					damage(mem)
					w := &vfs.Watch{FS: mem}
					read(w)
					if w.Bytes() > 3*healthy.Bytes() {
						t.Errorf("%d bytes are read, %d without damage", w.Bytes(), healthy.Bytes())
					}
				})
			}
		}
	}
}
