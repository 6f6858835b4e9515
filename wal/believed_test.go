package wal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"syscall"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/oracle"
	"github.com/raft-ballast/ballast/internal/vfs"
)

// TestNothingIsRemovedBeforeTheEndIsDurable: a deletion whose sync failed is read from the page cache at the next opening. The files
// that it frees must stay until its frame was written again: the power may be cut in between.
func TestNothingIsRemovedBeforeTheEndIsDurable(t *testing.T) {
	for seed := range uint64(40) {
		mem := vfs.NewMem()
		l := newTestLog(t, mem, 1)
		l.rotate()
		l.rotate()
		first := l.j.segments[0]
		last := uint64(0)
		for _, r := range l.g.runs {
			if r.seg == first {
				last = r.last
			}
		}
		mem.SetHook(func(c *vfs.Call) error {
			if c.Op == vfs.OpWrite {
				return vfs.Late(syscall.EIO)
			}
			return nil
		})
		err := l.DeleteRange(1, last)
		mem.SetHook(nil)
		if err == nil {
			t.Fatal("no error")
		}
		l.abandon()
		removed := false
		mem.SetHook(func(c *vfs.Call) error {
			if removed {
				return vfs.ErrCrashed
			}
			removed = c.Op == vfs.OpRemove
			return nil
		})
		_, _ = Open(dataDir, memOptions(mem))
		after := mem.Crash(seed)
		s, err := Open(dataDir, memOptions(after))
		if err != nil {
			t.Fatalf("seed %d: open: %v", seed, err)
		}
		if _, err := readAll(s); err != nil {
			t.Fatalf("seed %d: read: %v", seed, err)
		}
		s.Close()
	}
}

// patch writes b over a file.
func patch(t *testing.T, mem *vfs.Mem, path string, off int64, b []byte) {
	t.Helper()
	data := mem.ReadFile(path)
	copy(data[off:], b)
	mem.WriteFile(path, data)
}

// TestBelievedMarker: markers with a checksum that matches, which point to frames that cannot be there. They say nothing, and the
// log is read without them; at worst it would be read for ever.
func TestBelievedMarker(t *testing.T) {
	for name, change := range map[string]func(m *marker){
		"an index without length":       func(m *marker) { m.indexOffset = m.end },
		"an index of odd length":        func(m *marker) { m.indexOffset, m.indexLength = framesOffset, 41 },
		"an index in the header":        func(m *marker) { m.indexOffset, m.indexLength = 8, 48 },
		"a checkpoint without length":   func(m *marker) { m.checkpoint = m.end },
		"a checkpoint behind the end":   func(m *marker) { m.checkpoint = m.end + 8 },
		"a state that is not known":     func(m *marker) { m.state = markerSealed + 1 },
		"an end behind the segment":     func(m *marker) { m.end = 1 << 40 },
		"zeros up to behind the file":   func(m *marker) { m.zeroed = 1 << 40 },
		"an index that leaves the file": func(m *marker) { m.indexOffset, m.indexLength = framesOffset, 1<<30 },
	} {
		t.Run(name, func(t *testing.T) {
			mem := vfs.NewMem()
			l := newTestLog(t, mem, 1)
			l.fill(2, 10)
			tail := l.j.tail
			l.abandon()
			m := marker{state: markerOpen, sequence: tail.sequence, end: frameStart(tail.end)}
			change(&m)
			b := make([]byte, markerBytes)
			putMarker(b, m, tail.seed)
			if got := parseMarker(b, tail.seed, tail.size); got != (marker{}) {
				t.Errorf("it is believed: %+v", got)
			}
			patch(t, mem, tail.path, markerOffset, b)
			l.open()
			l.check()
		})
	}
}

// TestBelievedRuns: a checkpoint with a checksum that matches names more entries than a segment can hold. No memory is
// taken for them, and the log is read without that checkpoint.
func TestBelievedRuns(t *testing.T) {
	for _, last := range []uint64{1 << 20, 1 << 60, 1<<64 - 1} {
		mem := vfs.NewMem()
		l := newTestLog(t, mem, 1)
		tail := l.j.tail
		off := frameStart(tail.end)
		l.abandon()
		runs := appendLiveRun(nil, liveRun{tail.number, 1, last})
		frame := encodeFrame([]record{{kind: recordRuns, second: runs, raw: uint32(len(runs))}}, 2, tail.seed, off)
		patch(t, mem, tail.path, off, frame)
		b := make([]byte, markerBytes)
		putMarker(b, marker{state: markerClosed, sequence: 2, end: off + int64(len(frame)), checkpoint: off}, tail.seed)
		patch(t, mem, tail.path, markerOffset, b)
		l.open()
		if err := l.GetLog(1, new(raft.Log)); err != raft.ErrLogNotFound {
			t.Errorf("up to %d: %v", last, err)
		}
	}
}

// TestUnknownRecords: what a later version may write is refused as that, and what none writes as damage. Neither is passed over, nor
// taken for something else.
func TestUnknownRecords(t *testing.T) {
	for _, tc := range []struct {
		name string
		record
		want error
	}{
		{"a flag of an entry", record{kind: recordEntry, flags: flagData | 1<<5, a: 1, second: []byte("abc"), raw: 3}, ballast.ErrUnknownVersion},
		{"a flag of a compression", record{kind: recordEntry, flags: flagData | 1<<5, a: 1, second: []byte("abc"), raw: 9}, ballast.ErrUnknownVersion},
		{"two compressions", record{kind: recordEntry, flags: flagData | flagS2 | flagZstd, a: 1, second: []byte("abc"), raw: 9}, ballast.ErrUnknownVersion},
		{"a flag of a value", record{kind: recordSet, flags: flagS2, first: []byte("k"), second: []byte("abc"), raw: 9}, ballast.ErrUnknownVersion},
		{"a kind", record{kind: lastKind + 2, flags: flagData, a: 1, second: []byte("abc"), raw: 3}, ballast.ErrUnknownVersion},
		{"the kind behind the last", record{kind: lastKind + 1, first: []byte("k")}, ballast.ErrUnknownVersion},
		{"data that is denied", record{kind: recordEntry, flags: flagExtensions, a: 1, second: []byte("abc"), raw: 3}, ballast.ErrCorrupt},
		{"a length that is not there", record{kind: recordEntry, flags: flagData, a: 1, second: []byte("abc"), raw: 4}, ballast.ErrCorrupt},
	} {
		t.Run(tc.name, func(t *testing.T) {
			mem := vfs.NewMem()
			l := newTestLog(t, mem, 1)
			tail := l.j.tail
			l.abandon()
			off := frameStart(tail.end)
			patch(t, mem, tail.path, off, encodeFrame([]record{tc.record}, 2, tail.seed, off))
			if _, err := Open(dataDir, memOptions(mem)); !errors.Is(err, tc.want) {
				t.Errorf("Open returns %v, want %v", err, tc.want)
			}
		})
	}
}

// TestUnknownKindInAnOlderSegment: opening does not read it, reading does.
func TestUnknownKindInAnOlderSegment(t *testing.T) {
	mem := vfs.NewMem()
	l := newTestLog(t, mem, 1)
	l.rotate()
	seg, off := l.j.segments[0], l.g.runs[0].offset(0)
	l.close()
	raw := mem.ReadFile(seg.path)
	rec := slices.Clone(raw[off : off+recordLength(raw[off:])])
	rec[8] = lastKind + 1
	sealRecord(rec, seg.seed, off)
	patch(t, mem, seg.path, off, rec)
	l.open()
	if err := l.GetLog(1, new(raft.Log)); !errors.Is(err, ballast.ErrUnknownVersion) || errors.Is(err, ballast.ErrCorrupt) {
		t.Errorf("GetLog returns %v", err)
	}
}

// TestDamagedCheckpointIsReadPast: without the checkpoint at its end the tail is read, and its entries count once.
func TestDamagedCheckpointIsReadPast(t *testing.T) {
	mem := vfs.NewMem()
	l := newTestLog(t, mem, 1)
	l.fill(10, 10)
	l.close()
	b := mem.ReadFile(segmentPath(dataDir, 1))
	m := parseMarker(b[markerOffset:], l.j.tail.seed, int64(len(b)))
	mem.Flip(segmentPath(dataDir, 1), m.end-8, 1)
	l.open()
	if l.j.tail.live != 10 {
		t.Errorf("%d entries are live", l.j.tail.live)
	}
	l.check()
}

// TestForeignFolder: a folder of another store is refused and left as it is. An empty log beside a file of raft-boltdb would
// make a peer forget its vote.
func TestForeignFolder(t *testing.T) {
	for _, name := range []string{
		"wal-meta.db", "MANIFEST", "raft.db",
		"000001.vlog", "000001.sst", "00001.mem", "KEYREGISTRY", "DISCARD", // parts of a badger directory
	} {
		mem := vfs.NewMem()
		must(t, mem.MkdirAll(dataDir))
		mem.WriteFile(dataDir+"/"+name, []byte("something"))
		for _, open := range []func(string, *Options) (*Store, error){Open, OpenReadOnly} {
			if _, err := open(dataDir, memOptions(mem)); !errors.Is(err, ballast.ErrForeign) {
				t.Errorf("beside %s: %v", name, err)
			}
		}
		if files := mem.Files(); len(files) != 1 {
			t.Errorf("beside %s there are %v", name, files)
		}
	}
	mem := vfs.NewMem()
	must(t, mem.MkdirAll("/raft.d"))
	mem.WriteFile(dataDir, []byte("something"))
	if _, err := Open(dataDir, memOptions(mem)); !errors.Is(err, ballast.ErrForeign) {
		t.Errorf("a file instead of a folder: %v", err)
	}
	l := newTestLog(t, vfs.NewMem(), 1)
	l.close()
	l.fs.(*vfs.Mem).WriteFile(dataDir+"/other.db", []byte("of somebody else"))
	l.open()
	l.check()
}

// TestBelievedCheckpoint: a checkpoint with checksums that match names segments as none can be named. To believe it would be to free the
// segment that the log goes on in, when the entries that are said to be there are deleted.
func TestBelievedCheckpoint(t *testing.T) {
	renamed := func(r record, number uint64) record {
		switch r.kind {
		case recordSegment:
			r.a = number
		case recordRuns:
			r.second = bytes.Clone(r.second)
			binary.LittleEndian.PutUint64(r.second, number)
		}
		return r
	}
	of := func(kinds ...byte) func(r record) bool {
		return func(r record) bool { return slices.Contains(kinds, r.kind) }
	}
	for name, change := range map[string]func(r record) []record{
		"as it was":                 func(r record) []record { return []record{r} },
		"the tail as an older one":  func(r record) []record { return []record{renamed(r, 2)} },
		"the one after the tail":    func(r record) []record { return []record{renamed(r, 3)} },
		"one beyond the limit":      func(r record) []record { return []record{renamed(r, maxMovedSegment+1)} },
		"one of number 0":           func(r record) []record { return []record{renamed(r, 0)} },
		"a segment twice":           func(r record) []record { return slices.Repeat([]record{r}, 1+count(of(recordSegment)(r))) },
		"the runs of a group twice": func(r record) []record { return slices.Repeat([]record{r}, 1+count(of(recordRuns)(r))) },
		"a sequence number that is none": func(r record) []record {
			r.b |= math.MaxUint64 * uint64(count(of(recordSegment)(r)))
			return []record{r}
		},
	} {
		t.Run(name, func(t *testing.T) {
			mem := vfs.NewMem()
			l := newTestLog(t, mem, 1)
			l.rotate()
			tail := l.j.tail
			l.abandon()
			data := bytes.Clone(mem.ReadFile(tail.path))
			h, _ := parseFrameHeader(data[framesOffset:], tail.seed, framesOffset, tail.size)
			var forged []record
			must(t, walk(data[framesOffset:][:h.length], h, tail.seed, framesOffset, func(r *record, _ int64, _ bool) error {
				if r.kind != recordEntry {
					forged = append(forged, change(*r)...)
				}
				return nil
			}))
			fresh := make([]byte, len(data))
			copy(fresh, data[:framesOffset])
			copy(fresh[framesOffset:], encodeFrame(forged, h.sequence, tail.seed, framesOffset))
			mem.WriteFile(tail.path, fresh)
			before := mem.Files()
			_, err := Open(dataDir, memOptions(mem))
			if name == "as it was" {
				must(t, err)
				return
			}
			if !errors.Is(err, ballast.ErrCorrupt) {
				t.Errorf("Open returns %v", err)
			}
			if after := mem.Files(); len(after) < len(before) {
				t.Errorf("of %v there are %v", before, after)
			}
		})
	}
}

func count(yes bool) int {
	if yes {
		return 1
	}
	return 0
}

// TestBeyondTheLimit: a marker with a number that no log comes to is a bound that the log does not reach, whatever it says besides, and a
// frame with one behind the end of the log shows that something is missing before it.
func TestBeyondTheLimit(t *testing.T) {
	for _, sequence := range []uint64{7, maxSequence, maxSequence + 1, math.MaxUint64} {
		for _, state := range []byte{markerOpen, markerClosed, markerSealed} {
			mem := vfs.NewMem()
			l := newTestLog(t, mem, 1)
			l.fill(3, 100)
			tail := l.j.tail
			l.abandon()
			b := make([]byte, markerBytes)
			putMarker(b, marker{state: state, sequence: sequence, end: tail.end}, tail.seed)
			patch(t, mem, tail.path, markerOffset, b)
			if _, err := Open(dataDir, memOptions(mem)); !errors.Is(err, ballast.ErrCorrupt) {
				t.Errorf("a marker of state %d with sequence number %d: Open returns %v", state, sequence, err)
			}
		}
		mem := vfs.NewMem()
		l := newTestLog(t, mem, 1)
		l.fill(3, 100)
		tail := l.j.tail
		l.abandon()
		off := roundUp(tail.end, blockBytes) // where the frame before it would be, all is zero
		patch(t, mem, tail.path, off, encodeFrame([]record{{kind: recordSet, first: []byte("k")}}, sequence, tail.seed, off))
		if _, err := Open(dataDir, memOptions(mem)); !errors.Is(err, ballast.ErrCorrupt) {
			t.Errorf("frame %d behind the end: Open returns %v", sequence, err)
		}
	}
}

// TestLastNumber: a segment with a number, or a frame with a sequence number, that nothing can follow. Counting on from it would come
// to 0, and what is written then was not found any more.
func TestLastNumber(t *testing.T) {
	mem := vfs.NewMem()
	l := newTestLog(t, mem, 1)
	l.fill(3, 100)
	l.abandon()
	was := mem.ReadFile(segmentPath(dataDir, 1))
	forged := func(number, sequence uint64) *vfs.Mem {
		data := bytes.Clone(was)
		for off := int64(framesOffset); sequence > 0 && off < int64(len(data))-frameHeaderBytes; {
			if binary.LittleEndian.Uint32(data[off:]) != frameMagic {
				break
			}
			binary.LittleEndian.PutUint64(data[off+16:], sequence)
			sequence++
			off = frameStart(off + int64(binary.LittleEndian.Uint64(data[off+8:])))
		}
		reseal(data, number)
		mem := vfs.NewMem()
		must(t, mem.MkdirAll(dataDir))
		mem.WriteFile(segmentPath(dataDir, number), data)
		return mem
	}
	const last = math.MaxUint64
	for _, c := range []struct {
		name             string
		number, sequence uint64
		opens            bool
	}{
		{"the segment that is last of all", last, 0, false},
		{"a segment beyond the limit", maxSegment + 1, 0, false},
		{"a segment at the limit", maxSegment, 0, true},
		{"a segment before the limit", maxSegment - 1, 0, true},
		{"the frame that is last of all", 1, last - 1, false},
		{"a frame beyond the limit", 1, maxSequence, false},
		{"a frame at the limit", 1, maxSequence - 1, true},
		{"a frame before the limit", 1, maxSequence - 2, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			mem := forged(c.number, c.sequence)
			s, err := Open(dataDir, memOptions(mem))
			if !c.opens {
				if !errors.Is(err, ballast.ErrCorrupt) {
					t.Fatalf("Open returns %v", err)
				}
				return
			}
			if err != nil && !errors.Is(err, errNumbers) {
				t.Fatalf("Open returns %v", err)
			}
			written := uint64(3)
			for err == nil && written < 100 { // at most two segments
				if err = s.StoreLog(oracle.EntryOf(written+1, make([]byte, minSegmentBytes/40))); err == nil {
					written++
				}
			}
			if !errors.Is(err, errNumbers) && c.number != maxSegment-1 {
				t.Errorf("a write returns %v", err)
			}
			if s != nil {
				must(t, s.Close())
			}
			s, err = OpenReadOnly(dataDir, memOptions(mem))
			must(t, err)
			defer s.Close()
			if got, err := s.LastIndex(); err != nil || got != written {
				t.Errorf("LastIndex: %d, %v; %d was acknowledged", got, err, written)
			}
		})
	}
}
