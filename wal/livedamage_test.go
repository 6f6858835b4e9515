package wal

import (
	"errors"
	"fmt"
	"maps"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/oracle"
	"github.com/raft-ballast/ballast/internal/vfs"
)

// TestDamageBesideAWriter: in a log whose writer appends at each call of a reader, what is damaged
// is told, and nothing else, whether it is entries or whole files; and no more than three times as
// many bytes are read as without damage.
func TestDamageBesideAWriter(t *testing.T) {
	// The log as it is opened by its writer: each damage is done to a copy of it.
	base := vfs.NewMem()
	l := newTestLog(t, base, 1)
	for len(l.j.segments) < 5 {
		l.fill(3, 400)
	}
	inSegment := make(map[string]map[uint64]int64) // offsets of entries
	var paths []string
	for _, seg := range l.j.segments {
		must(t, l.j.loadIndex(seg))
		paths, inSegment[seg.path] = append(paths, seg.path), make(map[uint64]int64)
		for i := range l.g.runs {
			if r := &l.g.runs[i]; r.seg == seg {
				for n := range uint64(r.count()) {
					inSegment[seg.path][r.first+n] = r.offset(n)
				}
			}
		}
	}
	last := l.model.Last()
	l.close()
	all := func(path string) map[uint64]bool {
		told := make(map[uint64]bool)
		for index := range inSegment[path] {
			told[index] = true
		}
		return told
	}
	for name, damage := range map[string]func(mem *vfs.Mem) (told map[uint64]bool){
		"nothing": func(*vfs.Mem) map[uint64]bool { return nil },
		"many entries": func(mem *vfs.Mem) map[uint64]bool {
			told := make(map[uint64]bool)
			for path, offsets := range inSegment {
				for index, off := range offsets {
					if index%3 == 0 {
						mem.Flip(path, off+recordHeaderBytes+1, 4)
						told[index] = true
					}
				}
			}
			return told
		},
		"two files that are missing": func(mem *vfs.Mem) map[uint64]bool {
			must(t, errors.Join(mem.Remove(paths[1]), mem.Remove(paths[3])))
			told := all(paths[1])
			maps.Copy(told, all(paths[3]))
			return told
		},
		"a damaged header": func(mem *vfs.Mem) map[uint64]bool {
			mem.Flip(paths[2], 30, 1)
			return all(paths[2])
		},
		"a file of zeros": func(mem *vfs.Mem) map[uint64]bool {
			zero(mem, paths[2], 0, 1<<30)
			return all(paths[2])
		},
		"a file of another segment": func(mem *vfs.Mem) map[uint64]bool {
			mem.WriteFile(paths[2], mem.ReadFile(paths[1]))
			return all(paths[2])
		},
	} {
		t.Run(name, func(t *testing.T) {
			mem := base.Clone()
			want := damage(mem)
			got, bytes := readBesideAWriter(t, mem, last)
			if !maps.Equal(got, want) && len(got)+len(want) > 0 {
				t.Errorf("%d entries are told, %d are damaged", len(got), len(want))
			}
			if _, healthy := readBesideAWriter(t, base.Clone(), last); bytes > 3*healthy {
				t.Errorf("%d bytes are read, %d without damage", bytes, healthy)
			}
		})
	}
}

// readBesideAWriter reads the entries up to the last one while others are appended, and returns
// those that are damaged, and how many bytes were read.
func readBesideAWriter(t *testing.T, mem *vfs.Mem, last uint64) (damaged map[uint64]bool, bytes int64) {
	t.Helper()
	s, err := Open(dataDir, memOptions(mem))
	must(t, err)
	next, version := last, uint64(0)
	append := func() {
		version++
		l := oracle.EntryOf(next+1, fmt.Appendf(nil, "a small entry, %d", version))
		if next < last+500 {
			next++
		} else { // the log moves, and does not grow much
			must(t, s.DeleteRange(last+1, next))
			next, l.Index = last+1, last+1
		}
		must(t, s.StoreLog(l))
	}
	w := &vfs.Watch{FS: mem, Before: func(vfs.Op, string) { append() }}
	r, err := OpenReadOnly(dataDir, memOptions(w))
	must(t, err)
	damaged = make(map[uint64]bool)
	for index := uint64(1); index <= last; index++ {
		switch err := r.GetLog(index, new(raft.Log)); {
		case errors.Is(err, ballast.ErrCorrupt):
			damaged[index] = true
		case err != nil:
			t.Fatalf("entry %d: %v", index, err)
		}
	}
	must(t, errors.Join(r.Close(), s.Close()))
	return damaged, w.Bytes()
}
