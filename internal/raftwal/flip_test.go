package raftwal

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast"
)

// flips calls f with one bit of a file flipped after the other, those that step leaves out apart.
func flips(t *testing.T, path string, step int, f func(bit int)) {
	t.Helper()
	data, err := os.ReadFile(path)
	must(t, err)
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	must(t, err)
	defer file.Close()
	for bit := 0; bit < 8*len(data); bit += step {
		at := bit / 8
		_, err := file.WriteAt([]byte{data[at] ^ 1<<(bit%8)}, int64(at))
		must(t, err)
		f(bit)
		_, err = file.WriteAt(data[at:at+1], int64(at))
		must(t, err)
	}
}

// isDamage reports whether an error is one that damage may give.
func isDamage(err error) bool {
	return errors.Is(err, ballast.ErrCorrupt) || errors.Is(err, ballast.ErrUnknownVersion)
}

// checkFlipped reads the entries of a segment: each is right or an error.
func checkFlipped(t *testing.T, bit int, s *segment, first, last uint64) {
	t.Helper()
	for index := first; index <= last; index++ {
		var got raft.Log
		err := s.get(index, &got)
		if err != nil && !isDamage(err) {
			t.Errorf("bit %d: entry %d: %v", bit, index, err)
		}
		if err == nil && !reflect.DeepEqual(&got, entry(index)) {
			t.Errorf("bit %d: entry %d is %+v", bit, index, got)
		}
	}
}

// Every bit of a sealed segment: no entry is wrong, and none is missing.
func TestFlipSealed(t *testing.T) {
	s := newSegment(5, 3).append(1).append(4).append(2).append(3).seal().zeros(64)
	for _, start := range []uint64{s.info.IndexStart, 0} {
		s.info.IndexStart = start
		dir := writeDir(t, s)
		flips(t, filepath.Join(dir, s.name()), 1, func(bit int) {
			got, err := openSegment(dir, s.info)
			if err != nil {
				if !isDamage(err) {
					t.Errorf("bit %d: %v", bit, err)
				}
				return
			}
			defer got.close()
			checkFlipped(t, bit, got, 5, 14)
		})
	}
}

// Every bit of the last segment: no entry is wrong, and those of the last batch, 12 to 14, may be missing, but not in silence.
func TestFlipTail(t *testing.T) {
	s := newSegment(5, 3).append(1).append(4).append(2).append(3).zeros(64)
	dir := writeDir(t, s)
	flips(t, filepath.Join(dir, s.name()), 1, func(bit int) {
		got, err := openSegment(dir, s.info)
		if err != nil {
			if !isDamage(err) {
				t.Errorf("bit %d: %v", bit, err)
			}
			return
		}
		defer got.close()
		last := got.last()
		if last != 14 && (last != 11 || got.contents.Load().dropped == nil) {
			t.Errorf("bit %d: the log ends with %d", bit, last)
		}
		checkFlipped(t, bit, got, 5, last)
	})
}

// Bits of what raft-wal itself wrote: the same content, or an error.
func TestFlipFixture(t *testing.T) {
	var want []raft.Log
	l := open(t, fixtureDir)
	for index := l.first; index <= l.last; index++ {
		var log raft.Log
		must(t, l.GetLog(index, &log))
		want = append(want, log)
	}
	dir := copyFixture(t)
	for _, s := range l.segments {
		step := 8*int(s.size)/100 + rand.IntN(8)
		flips(t, filepath.Join(dir, filepath.Base(s.path)), step, func(bit int) {
			l, err := Open(dir)
			if err != nil {
				if !isDamage(err) {
					t.Errorf("%s: bit %d: %v", s.path, bit, err)
				}
				return
			}
			defer l.Close()
			if l.first != 21 || l.last != 290 {
				t.Errorf("%s: bit %d: the log goes from %d to %d", s.path, bit, l.first, l.last)
			}
			for _, want := range want {
				var got raft.Log
				err := l.GetLog(want.Index, &got)
				if err != nil && !isDamage(err) || err == nil && !reflect.DeepEqual(got, want) {
					t.Errorf("%s: bit %d: entry %d: %v, or something else", s.path, bit, want.Index, err)
				}
			}
		})
	}
}

// Bits of wal-meta.db, which has no checksum: no entry is wrong, and the log ends where it ended. It may begin somewhere else.
func TestFlipMeta(t *testing.T) {
	first, tail := newSegment(5, 3).append(4).append(6).seal(), newSegment(15, 4).append(3)
	first.info.MinIndex = 7
	dir := writeDir(t, first, tail)
	opened := 0
	flips(t, filepath.Join(dir, metaName), 29, func(bit int) {
		l, err := Open(dir)
		if err != nil {
			if !isDamage(err) && !errors.Is(err, ballast.ErrForeign) && !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("bit %d: %v", bit, err)
			}
			return
		}
		defer l.Close()
		opened++
		if l.last != 17 || l.first < 5 || l.first > 14 {
			t.Errorf("bit %d: the log goes from %d to %d", bit, l.first, l.last)
		}
		for index := l.first; index <= l.last; index++ {
			var got raft.Log
			if err := l.GetLog(index, &got); err != nil || !reflect.DeepEqual(&got, entry(index)) {
				t.Errorf("bit %d: entry %d: %v, or something else", bit, index, err)
			}
		}
	})
	if opened == 0 {
		t.Error("it was never opened")
	}
}
