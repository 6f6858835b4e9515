package wal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/vfs"
)

// FuzzRecord parses a record, with a checksum that matches when sealed. What is accepted comes back as it was.
func FuzzRecord(f *testing.F) {
	for _, r := range []record{
		{kind: recordEntry, flags: flagData | flagExtensions, a: 5, b: 2, c: 7, first: []byte("ext"), second: []byte("data"), raw: 4},
		{kind: recordEntry, flags: flagData | flagS2, a: 5, second: []byte("data"), raw: 400},
		{kind: recordSet, first: []byte("term"), second: []byte("1"), raw: 1},
		{kind: recordDelete, a: 1, b: 2},
		{kind: recordRuns, second: make([]byte, liveRunBytes), raw: liveRunBytes},
		{kind: recordMoved},
		{kind: recordUnset, first: []byte("term")},
		{kind: recordDrop, group: 3},
	} {
		b := encodeFrame([]record{r}, 1, 7, framesOffset)[frameHeaderBytes:]
		f.Add(b[:recordLength(b)], true)
		f.Add(b[:recordLength(b)], false)
	}
	f.Fuzz(func(t *testing.T, b []byte, sealed bool) {
		if len(b) < recordHeaderBytes {
			return
		}
		if sealed {
			b = bytes.Clone(b)
			binary.LittleEndian.PutUint32(b[4:], uint32(len(b)))
			sealRecord(b, 7, framesOffset)
		}
		r, err := parseRecord(b, 7, framesOffset)
		if err != nil || recordLength(b) != int64(len(b)) || b[11] != 0 {
			return
		}
		again := encodeFrame([]record{r}, 1, 7, framesOffset-frameHeaderBytes)[frameHeaderBytes:]
		if !bytes.Equal(again[:len(b)], b) {
			t.Errorf("%x comes back as %x", b, again[:len(b)])
		}
	})
}

// records splits bytes into records: a byte for the kind, the flags and the lengths each, three numbers, and the parts.
func records(b []byte) (all []record) {
	const head = 4 + 3*8
	for len(b) >= head && len(all) < 1000 {
		r := record{kind: b[0], flags: b[1], a: binary.LittleEndian.Uint64(b[4:]), b: binary.LittleEndian.Uint64(b[12:]), c: binary.LittleEndian.Uint64(b[20:])}
		first := min(int(b[2]), len(b)-head)
		second := min(8*int(b[3]), len(b)-head-first)
		r.first, r.second = b[head:head+first], b[head+first:head+first+second]
		r.raw = uint32(second)
		all = append(all, r)
		b = b[head+first+second:]
	}
	return all
}

// FuzzCheckpoint takes the state from any records, as from a checkpoint and then as from the frames behind it. It is refused,
// or it is a state: runs in order, in segments that know how much of them is live.
func FuzzCheckpoint(f *testing.F) {
	segmentOf := func(number byte, size uint64) []byte {
		b := append([]byte{recordSegment, 0, 0, segmentRefBytes / 8, number}, make([]byte, 7+16)...)
		binary.LittleEndian.PutUint64(b[20:], framesOffset)
		b = binary.LittleEndian.AppendUint64(b, 9)
		b = binary.LittleEndian.AppendUint64(b, 5)
		return binary.LittleEndian.AppendUint64(b, size)
	}
	runsOf := func(commit byte, runs ...liveRun) []byte {
		b := append([]byte{recordRuns, 0, 0, byte(3 * len(runs)), commit}, make([]byte, 7+16)...)
		for _, r := range runs {
			b = appendLiveRun(b, r)
		}
		return b
	}
	seg := segmentOf(1, 1<<20)
	set := append([]byte{recordSet, 0, 4, 1}, make([]byte, 24)...)
	set = append(set, "term12345678"...)
	f.Add(bytes.Join([][]byte{seg, runsOf(3, liveRun{1, 1, 5}, liveRun{2, 6, 9}), set}, nil), false)
	f.Add(bytes.Join([][]byte{seg, runsOf(0, liveRun{1, 1, 1 << 60})}, nil), false)
	f.Add(bytes.Join([][]byte{seg, runsOf(3, liveRun{1, 1, 5}), runsOf(3, liveRun{1, 1, 5}), seg}, nil), true)
	f.Add(append([]byte{recordDelete, 0, 0, 0}, bytes.Repeat([]byte{1}, 24)...), true)
	f.Fuzz(func(t *testing.T, b []byte, replay bool) {
		rec := &recovery{dir: dataDir, groups: make(map[uint64]*group), segments: make(map[uint64]*segment)}
		rec.tail = newSegment(dataDir, header{number: 2, identity: 1, size: 1 << 20})
		all := records(b)
		for i := range all {
			r := &all[i]
			if r.check() != nil {
				continue
			}
			var err error
			switch {
			case r.kind == recordEntry && r.a != 0:
				rec.group(0).put(r.a, rec.tail, []placed{{framesOffset >> 3, 7}})
			case replay && i > len(all)/2:
				err = rec.change(r)
			case r.kind != recordEntry:
				err = rec.checkpoint(r)
			}
			if err != nil {
				if !errors.Is(err, ballast.ErrCorrupt) && !errors.Is(err, ballast.ErrUnknownVersion) {
					t.Fatalf("record %d: %v", i, err)
				}
				return
			}
		}
		rec.finish([]uint64{1, 2})
		checkState(t, rec)
	})
}

func checkState(t *testing.T, rec *recovery) {
	for _, g := range rec.groups {
		last := uint64(0)
		for _, r := range g.runs {
			if r.first <= last || r.last < r.first || r.seg == nil {
				t.Fatalf("entries %d to %d follow entry %d", r.first, r.last, last)
			}
			last = r.last
		}
		if g.commit > last {
			t.Errorf("the commit index is %d, the last index is %d", g.commit, last)
		}
	}
	for _, seg := range rec.order {
		if seg.live < 0 {
			t.Errorf("%d entries are live in segment %d", seg.live, seg.number)
		}
	}
}

// FuzzIndex reads the index of a segment from any frame whose checksums match, and where it is none from the frames of the
// segment. What it says is given to runs that the checkpoint named.
func FuzzIndex(f *testing.F) {
	offsets := []byte{1, 4, 0, 0, 8, 4, 0, 0}
	entry := record{kind: recordEntry, flags: flagData, a: 5, second: []byte("data"), raw: 4}
	for _, r := range []record{
		{kind: recordIndex, a: 4, second: offsets, raw: 8},
		{kind: recordIndex, a: ^uint64(0), second: offsets[:4], raw: 4},
		{kind: recordIndex, a: 1, second: offsets[:6], raw: 6},
		entry,
	} {
		f.Add(encodeFrame([]record{r, entry}, 3, seedOf(1), framesOffset), uint64(3), uint64(9))
	}
	f.Fuzz(func(t *testing.T, b []byte, first, last uint64) {
		if len(b) > 64<<10 || first == 0 || last < first || last-first > 10_000 {
			return
		}
		size := roundUp(framesOffset+int64(len(b)), blockBytes) + blockBytes
		data := make([]byte, size)
		copy(data[framesOffset:], b)
		putHeader(data, header{number: 1, identity: 1, size: size})
		for off := int64(framesOffset); ; {
			n := resealFrame(data, off, seedOf(1))
			if n == 0 {
				break
			}
			off = frameStart(off + n)
		}
		mem := vfs.NewMem()
		mem.WriteFile(segmentPath(dataDir, 1), data)
		seg, file, _, err := openSegment(mem, dataDir, 1, false)
		must(t, err)
		length := int64(binary.LittleEndian.Uint64(data[framesOffset+8:]))
		m := marker{indexOffset: framesOffset, indexLength: length}
		var runs []indexedRun
		if isFramePlace(m.indexOffset, m.indexLength, size) {
			runs = readIndex(&reader{seg: seg, f: file}, m)
		}
		scanned, err := scanIndex(&reader{seg: seg, f: file}, size-blockBytes, marker{})
		must(t, err)
		for _, index := range [][]indexedRun{runs, scanned} {
			g := newGroup(0)
			g.runs = []run{{first: first, last: last, seg: seg}}
			g.assign(seg, index)
			for i := range g.runs[0].count() {
				g.runs[0].offset(uint64(i))
			}
		}
		must(t, file.Close())
	})
}
