package raftwal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast"
)

// Where the batches of tailOf lie.
func tailOf() (s *segmentFile, batches []int) {
	s = newSegment(10, 7)
	batches = append(batches, headerBytes)
	for range 4 { // 10-12, 13-15, 16-18, 19-21
		s.append(3)
		batches = append(batches, len(s.data))
	}
	return s.zeros(4096), batches
}

// Each case does something to the last segment of a log, of the batches 10-12, 13-15, 16-18 and 19-21.
var tails = []struct {
	name    string
	change  func(s *segmentFile, batch []int)
	last    uint64
	damaged [2]uint64 // from, to; 0 for none
	dropped bool
}{
	{"nothing", func(*segmentFile, []int) {}, 21, [2]uint64{}, false},
	{"the zeros behind it are missing", func(s *segmentFile, b []int) { s.data = s.data[:b[4]] }, 21, [2]uint64{}, false},
	{"the last batch is torn in an entry", func(s *segmentFile, b []int) { clear(s.data[b[3]+16 : b[3]+24]) }, 18, [2]uint64{}, true},
	{"the last batch is torn at its first frame", func(s *segmentFile, b []int) { clear(s.data[b[3] : b[3]+8]) }, 18, [2]uint64{}, true},
	{"the last batch has no commit", func(s *segmentFile, b []int) { clear(s.data[b[4]-8 : b[4]]) }, 18, [2]uint64{}, true},
	{"the last batch is cut off", func(s *segmentFile, b []int) { s.data = s.data[:b[3]+50] }, 18, [2]uint64{}, true},
	{"the file ends within a word", func(s *segmentFile, b []int) { s.data = s.data[:b[3]+13] }, 18, [2]uint64{}, true},
	{"the last batch never came", func(s *segmentFile, b []int) { s.data = s.data[:b[3]] }, 18, [2]uint64{}, false},
	{"the first batch is torn, and the header", func(s *segmentFile, b []int) { s.data = s.data[:b[1]-8]; clear(s.data[:8]) }, 0, [2]uint64{}, true},
	{"all zeros", func(s *segmentFile, _ []int) { clear(s.data) }, 0, [2]uint64{}, false},
	{"an empty file", func(s *segmentFile, _ []int) { s.data = nil }, 0, [2]uint64{}, false},
	{"something behind the last batch", func(s *segmentFile, b []int) { s.data[b[4]+1000] = 1 }, 21, [2]uint64{}, true},
	{"a word that looks like a commit behind the last batch", func(s *segmentFile, b []int) { s.data[b[4]] = commitFrame }, 21, [2]uint64{}, false},

	{"data of the first batch", func(s *segmentFile, b []int) { s.data[b[0]+20]++ }, 21, [2]uint64{10, 12}, false},
	{"data of the second batch", func(s *segmentFile, b []int) { s.data[b[1]+20]++ }, 21, [2]uint64{13, 15}, false},
	{"a kind in the second batch", func(s *segmentFile, b []int) { s.data[b[1]] = 9 }, 21, [2]uint64{13, 15}, false},
	{"zeros in the second batch", func(s *segmentFile, b []int) { clear(s.data[b[1] : b[1]+8]) }, 21, [2]uint64{13, 15}, false},
	{"a length in the second batch", func(s *segmentFile, b []int) { s.data[b[1]+6] = 200 }, 21, [2]uint64{13, 15}, false},
	{"the second batch's commit", func(s *segmentFile, b []int) { s.data[b[2]-8] = 0x83 }, 21, [2]uint64{13, 15}, false},
	{"the checksum in the second batch's commit", func(s *segmentFile, b []int) { s.data[b[2]-1]++ }, 21, [2]uint64{13, 15}, false},
	{"the commit of the last batch but one", func(s *segmentFile, b []int) { s.data[b[3]-8] = 0x83 }, 21, [2]uint64{16, 18}, false},
	{"data of the second and the third batch", func(s *segmentFile, b []int) { s.data[b[1]+20]++; s.data[b[2]+20]++ }, 21, [2]uint64{13, 18}, false},
	{"data of the two last batches", func(s *segmentFile, b []int) { s.data[b[2]+20]++; s.data[b[3]+20]++ }, 18, [2]uint64{16, 18}, true},
	{"data of the last batch but one, the last is cut off", func(s *segmentFile, b []int) { s.data[b[2]+20]++; clear(s.data[b[4]-8:]) },
		18, [2]uint64{16, 18}, true},
	{"a length that leads to another batch's end", func(s *segmentFile, b []int) {
		// The frame swallows all up to the commit frame of the third batch.
		binary.LittleEndian.PutUint32(s.data[b[1]+4:], uint32(b[3]-8-b[1]-8))
	}, 21, [2]uint64{13, 15}, false},
	{"a length that leads to the log's end", func(s *segmentFile, b []int) {
		binary.LittleEndian.PutUint32(s.data[b[2]+4:], uint32(b[4]-8-b[2]-8))
	}, 21, [2]uint64{16, 18}, false},
}

func TestTail(t *testing.T) {
	for _, c := range tails {
		t.Run(c.name, func(t *testing.T) {
			s, batches := tailOf()
			c.change(s, batches)
			l := open(t, writeDir(t, s))
			checkBounds(t, l, 10, c.last)
			checkEntries(t, l, c.damaged)
			if dropped := l.Dropped(); (dropped != nil) != c.dropped || dropped != nil && !errors.Is(dropped, ballast.ErrCorrupt) {
				t.Errorf("what was dropped: %v; something was: %t", dropped, c.dropped)
			}
		})
	}
}

// The same damage in a sealed segment leaves the log as long as it is, and nothing is dropped.
func TestSealed(t *testing.T) {
	for _, c := range tails {
		for _, indexed := range []bool{true, false} { // false: as raft-wal v0.4.0 seals at a truncation
			t.Run(fmt.Sprintf("%s, index %t", c.name, indexed), func(t *testing.T) {
				s, batches := tailOf()
				s.data = s.data[:batches[4]]
				s.seal().zeros(4096)
				if !indexed {
					s.info.IndexStart = 0
					s.data = append(s.data[:batches[4]], make([]byte, 4096)...)
				}
				c.change(s, batches)
				l, err := Open(writeDir(t, s, newSegment(22, 8).append(2)))
				if err != nil { // the header is checked at once
					if !errors.Is(err, ballast.ErrCorrupt) {
						t.Error(err)
					}
					return
				}
				defer func() { must(t, l.Close()) }()
				checkBounds(t, l, 10, 23)
				damaged := c.damaged
				if c.last < 21 { // what would be the log's end is missing here
					if damaged[0] == 0 {
						damaged[0] = c.last + 1
					}
					damaged[1] = 21
				}
				checkEntries(t, l, damaged)
				if err := l.Dropped(); err != nil {
					t.Errorf("dropped: %v", err)
				}
			})
		}
	}
}

func checkBounds(t *testing.T, l *Log, first, last uint64) {
	t.Helper()
	if last == 0 {
		first = 0
	}
	gotFirst, err1 := l.FirstIndex()
	gotLast, err2 := l.LastIndex()
	if err := errors.Join(err1, err2); err != nil || gotFirst != first || gotLast != last {
		t.Fatalf("the log goes from %d to %d, %v; want %d to %d", gotFirst, gotLast, err, first, last)
	}
	for _, index := range []uint64{first - 1, last + 1} {
		if err := l.GetLog(index, new(raft.Log)); err != raft.ErrLogNotFound {
			t.Errorf("entry %d: %v", index, err)
		}
	}
}

// checkEntries reads every entry. Those in the range are damaged, the others right.
func checkEntries(t *testing.T, l *Log, damaged [2]uint64) {
	t.Helper()
	for index := l.first; index <= l.last && l.last > 0; index++ {
		got := &raft.Log{Term: 4711}
		err := l.GetLog(index, got)
		if damaged[0] <= index && index <= damaged[1] {
			bad, ok := errors.AsType[*ballast.CorruptionError](err)
			if !ok || bad.Index != index || bad.Path == "" || bad.Offset < headerBytes || bad.Err == nil || !reflect.DeepEqual(got, &raft.Log{Term: 4711}) {
				t.Errorf("entry %d, which is damaged: %v", index, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("entry %d: %v", index, err)
		} else if !reflect.DeepEqual(got, entry(index)) {
			t.Errorf("entry %d is %+v; want %+v", index, got, entry(index))
		}
	}
}

// A batch whose checksum is right was neither damaged nor cut off. When its entries are not those that follow they are in another codec.
func TestForeign(t *testing.T) {
	for name, index := range map[string]uint64{"repeated": 15, "left out": 17, "none": 0} {
		t.Run(name, func(t *testing.T) {
			s := newSegment(10, 1).append(6)
			wrong := entry(index)
			wrong.Index = index
			s.put(encode(wrong))
			s.commit()
			l := open(t, writeDir(t, s))
			checkBounds(t, l, 10, 16)
			must(t, l.Dropped())
			must(t, l.GetLog(15, new(raft.Log)))
			checkForeign(t, l, 16)
		})
	}
	all := newSegment(10, 1)
	for n := range 6 {
		for i := range n {
			all.put(fmt.Appendf(nil, `{"Index":%d}`, i)[:max(1, 12-2*n)])
		}
		all.commit()
	}
	l := open(t, writeDir(t, all.zeros(64)))
	checkBounds(t, l, 10, 24)
	must(t, l.Dropped())
	for index := uint64(10); index <= 24; index++ {
		checkForeign(t, l, index)
	}
	all.seal()
	l = open(t, writeDir(t, all, newSegment(25, 2)))
	checkBounds(t, l, 10, 24)
}

func checkForeign(t *testing.T, l *Log, index uint64) {
	t.Helper()
	if err := l.GetLog(index, new(raft.Log)); !errors.Is(err, ballast.ErrUnknownVersion) || errors.Is(err, ballast.ErrCorrupt) {
		t.Errorf("entry %d: %v", index, err)
	}
}

// A raft-wal that lies in an entry's data is not taken for the log when that entry is damaged.
func TestLogInAnEntry(t *testing.T) {
	inner := newSegment(10, 3).append(3).append(3).append(3) // with entries 13 to 15 too
	s := newSegment(10, 1).append(3)
	at := len(s.data)
	// The frames in the data begin at a multiple of 8, as those of the file do.
	outer := entry(13)
	outer.Data = inner.data[headerBytes:]
	for i := 1; bytes.Index(encode(outer), inner.data[headerBytes:])%8 != 0; i++ {
		outer.Data = append(make([]byte, i), inner.data[headerBytes:]...)
	}
	s.put(encode(outer))
	s.commit()
	s.append(2).seal()
	s.data[at] = 9
	l := open(t, writeDir(t, s, newSegment(16, 2)))
	checkBounds(t, l, 10, 15)
	checkEntries(t, l, [2]uint64{13, 13})
}

// What is read later than it was checked is checked again.
func TestChangedAfterOpen(t *testing.T) {
	s, batches := tailOf()
	dir := writeDir(t, s)
	l := open(t, dir)
	checkEntries(t, l, [2]uint64{})
	f, err := os.OpenFile(filepath.Join(dir, s.name()), os.O_WRONLY, 0)
	must(t, err)
	defer f.Close()
	_, err = f.WriteAt([]byte{0xff}, int64(batches[2]+20))
	must(t, err)
	checkEntries(t, l, [2]uint64{16, 16})
	must(t, f.Truncate(int64(batches[3])))
	if err := l.GetLog(20, new(raft.Log)); !errors.Is(err, ballast.ErrCorrupt) {
		t.Errorf("an entry that was cut off: %v", err)
	}
}

// Entries larger than what is read at once.
func TestLargeEntries(t *testing.T) {
	s := newSegment(1, 0)
	var want []*raft.Log
	for i, size := range []int{windowBytes - 40, windowBytes, windowBytes + 1, 3*windowBytes + 5, 0} {
		l := entry(uint64(i + 1))
		l.Data = bytes.Repeat([]byte{byte(i), 1, 2}, size/3)
		if size == 0 {
			l.Data = nil
		}
		want = append(want, l)
		s.put(encode(l))
		s.commit()
	}
	at := s.offsets[1] + 1000
	for _, damaged := range []bool{false, true} {
		if damaged {
			s.data[at]++
		}
		l := open(t, writeDir(t, s))
		for i, want := range want {
			var got raft.Log
			err := l.GetLog(want.Index, &got)
			switch {
			case damaged && i == 1:
				if !errors.Is(err, ballast.ErrCorrupt) {
					t.Errorf("the damaged one: %v", err)
				}
			case err != nil || !reflect.DeepEqual(&got, want):
				t.Errorf("entry %d: %v, or something else", want.Index, err)
			}
		}
	}
}

// A file in which every word is made to look like a batch is read in a time that its size bounds.
func TestHostileWords(t *testing.T) {
	s := newSegment(1, 0)
	body := encode(entry(2))
	for len(s.data) < 4<<20 {
		s.frame(entryFrame, uint32(len(body)), body) // out of order
		s.frame(commitFrame, crc32.Checksum(s.data[s.from:], castagnoli), nil)
		s.from = len(s.data)
	}
	counted := &counter{in: bytes.NewReader(s.data)}
	c, err := scan(counted, int64(len(s.data)), &s.info)
	must(t, err)
	if len(c.frames) > len(s.data)/minEntryBytes || counted.n > 10*int64(len(s.data)) {
		t.Errorf("%d entries, and %d bytes read of %d", len(c.frames), counted.n, len(s.data))
	}
}

// counter counts what is read.
type counter struct {
	in *bytes.Reader
	n  int64
}

func (c *counter) ReadAt(b []byte, at int64) (int, error) {
	n, err := c.in.ReadAt(b, at)
	c.n += int64(n)
	return n, err
}

// An error of reading is no damage, and the next call tries again.
func TestReadError(t *testing.T) {
	s, _ := tailOf()
	broken := errors.New("input/output error")
	_, err := scan(failing{broken}, int64(len(s.data)), &s.info)
	if !errors.Is(err, broken) || errors.Is(err, ballast.ErrCorrupt) {
		t.Error(err)
	}
}

// A file that has become shorter since its size was taken ends where it ends.
func TestShorterThanThought(t *testing.T) {
	s, batches := tailOf()
	for n := range batches[4] {
		c, err := scan(bytes.NewReader(s.data[:n]), int64(len(s.data)), &s.info)
		if err == nil && len(c.frames) > 12 {
			t.Errorf("%d bytes: %d entries", n, len(c.frames))
		}
	}
}

type failing struct{ err error }

func (f failing) ReadAt([]byte, int64) (int, error) { return 0, f.err }
