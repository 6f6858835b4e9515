package wal

import (
	"fmt"
	"testing"

	"github.com/raft-ballast/ballast/internal/oracle"
	"github.com/raft-ballast/ballast/internal/vfs"
)

// tearing is a file system in which each write can be seen while it is half done.
type tearing struct {
	vfs.FS
	*halves
}

type halves struct {
	half func(finish func() error) // called in the middle of a write, and may finish it
	torn func(before, after []byte) (between []byte)
}

func (t *tearing) Hold(dir string) (*vfs.Dir, error) {
	d, err := t.FS.Hold(dir)
	if err == nil {
		d.FS = &tearing{d.FS, t.halves}
	}
	return d, err
}

func (t *tearing) Create(path string) (vfs.File, error) { return t.file(t.FS.Create(path)) }

func (t *tearing) Open(path string) (vfs.File, error) { return t.file(t.FS.Open(path)) }

func (t *tearing) file(f vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return &tearingFile{f, t}, nil
}

type tearingFile struct {
	vfs.File
	t *tearing
}

func (f *tearingFile) WriteBlocks(bufs [][]byte, off int64) error {
	finish := func() error { return f.File.WriteBlocks(bufs, off) }
	if f.t.half == nil {
		return finish()
	}
	var after []byte
	for _, b := range bufs {
		after = append(after, b...)
	}
	before := make([]byte, len(after))
	if n, _ := f.ReadAt(before, off); n < len(before) {
		clear(before[n:]) // it ends there
	}
	between := vfs.AlignedBytes(len(after))
	copy(between, f.t.torn(before, after))
	if err := f.File.WriteBlocks([][]byte{between}, off); err != nil {
		return err
	}
	f.t.half(finish)
	return finish()
}

// The ways in which a write can be half done: of sectors those at the front, at the back, or every
// other one are there; or it is copied byte by byte, and has come to the middle of the last sector
// that it changes.
var tears = map[string]func(before, after []byte) []byte{
	"the front": func(before, after []byte) []byte {
		at := int(roundDown(int64(len(after)/2), sectorBytes))
		return append(append([]byte{}, after[:at]...), before[at:]...)
	},
	"the back": func(before, after []byte) []byte {
		at := int(roundDown(int64(len(after)/2), sectorBytes))
		return append(append([]byte{}, before[:at]...), after[at:]...)
	},
	"every other sector": func(before, after []byte) []byte {
		out := append([]byte{}, before...)
		for at := 0; at < len(out); at += 2 * sectorBytes {
			copy(out[at:at+sectorBytes], after[at:])
		}
		return out
	},
	"bytes": func(before, after []byte) []byte {
		last := len(after) - 1
		for last > 0 && before[last] == after[last] {
			last--
		}
		first := 0
		for first < last && before[first] == after[first] {
			first++
		}
		at := max(first, int(roundDown(int64(last), sectorBytes)))
		at += (last - at) / 2
		return append(append([]byte{}, after[:at]...), before[at:]...)
	},
}

// TestReadInTheMiddleOfAnyWrite: a log is read when a write of its writer is half done, at each of
// them. What is half done is no damage, and is not there yet.
func TestReadInTheMiddleOfAnyWrite(t *testing.T) {
	for name, tear := range tears {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mem := vfs.NewMem()
			fsys := &tearing{mem, &halves{torn: tear}}
			opts := memOptions(fsys)
			opts.garbage = 1 << 20
			d := &duet{t: t, mem: mem, rng: oracle.Random(3)}
			d.liveWriter = &liveWriter{pastLog: newPastLog(), opts: opts, rng: oracle.Random(2), version: 1, other: new(Store)}
			must(t, d.open())
			must(t, d.append(30, 100))
			must(t, d.other.SetUint64([]byte("a"), 1))
			looks := 0
			fsys.half = func(finish func() error) {
				if looks++; t.Failed() {
					return
				}
				d.settle = nil
				if name == "bytes" {
					d.settle = func() { must(t, finish()) }
				}
				if err := d.look(dataDir, mem, d.done); err != nil {
					t.Errorf("look %d: %v", looks, err)
				}
			}
			for range 100 {
				must(t, d.step())
			}
			if looks < 100 {
				t.Error(fmt.Sprint("there were only ", looks))
			}
		})
	}
}
