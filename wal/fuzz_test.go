package wal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"runtime"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/oracle"
	"github.com/raft-ballast/ballast/internal/vfs"
)

// reseal sets the checksums in a segment's file so that its content is believed, whatever it says: only then are the checks
// behind the checksums reached.
func reseal(data []byte) {
	if len(data) < framesOffset+blockBytes {
		return
	}
	copy(data, headerMagic)
	binary.LittleEndian.PutUint32(data[12:], formatVersion)
	binary.LittleEndian.PutUint64(data[16:], 1)
	binary.LittleEndian.PutUint64(data[32:], uint64(roundDown(int64(len(data)), blockBytes)))
	binary.LittleEndian.PutUint32(data[8:], crc32.Checksum(data[12:headerBytes], castagnoli))
	seed := seedOf(binary.LittleEndian.Uint64(data[24:]))
	m := data[markerOffset:]
	binary.LittleEndian.PutUint32(m, crc32.Update(seed, castagnoli, m[4:markerBytes])^place(markerOffset))
	for off := int64(framesOffset); ; {
		n := resealFrame(data, off, seed)
		if n == 0 {
			return
		}
		off = frameStart(off + n)
	}
}

// resealFrame does that for one frame and returns its length, 0 for none.
func resealFrame(data []byte, off int64, seed uint32) int64 {
	if off+frameHeaderBytes > int64(len(data)) {
		return 0
	}
	frame := data[off:]
	length := int64(binary.LittleEndian.Uint64(frame[8:]))
	if binary.LittleEndian.Uint32(frame) != frameMagic || !within(frameHeaderBytes, length, int64(len(frame))) || length%8 != 0 {
		return 0
	}
	digest := uint32(0)
	for pos := int64(frameHeaderBytes); pos+recordHeaderBytes <= length; {
		n := recordLength(frame[pos:])
		if n == 0 || pos+padded(n) > length {
			break
		}
		sealRecord(frame[pos:pos+n], seed, off+pos)
		digest = crc32.Update(digest, castagnoli, frame[pos:pos+recordHeaderBytes])
		pos += padded(n)
	}
	binary.LittleEndian.PutUint32(frame[24:], digest)
	binary.LittleEndian.PutUint32(frame[4:], crc32.Update(seed, castagnoli, frame[8:frameHeaderBytes])^place(off))
	return length
}

// allocated returns how many bytes fn allocates.
func allocated(fn func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	fn()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// FuzzSegment opens a log whose only segment holds any bytes, or any bytes with checksums that match. It may be refused, but
// nothing panics, runs for ever or takes more memory than what is there asks for.
func FuzzSegment(f *testing.F) {
	for _, closed := range []bool{false, true} {
		mem := vfs.NewMem()
		l := newTestLog(f, mem, 1)
		shrink(l, mem, 24<<10)
		l.fill(3, 100)
		l.set("term", "1")
		l.remove(2, 2)
		must(f, l.StageCommitIndex(3))
		l.fill(1, 600)
		l.fill(1, 10)
		if closed {
			l.close()
		} else {
			l.abandon()
		}
		data := mem.ReadFile(segmentPath(dataDir, 1))
		f.Add(data, false)
		f.Add(data, true)
		// What a field that means a number of bytes or of entries may become.
		for off := framesOffset + 8; off < len(bytes.TrimRight(data, "\x00")); off += 8 {
			changed := bytes.Clone(data)
			changed[off+5] ^= 0x7f
			f.Add(changed, true)
		}
	}
	f.Add([]byte{}, false)
	f.Add(make([]byte, framesOffset+blockBytes), true)
	f.Fuzz(func(t *testing.T, data []byte, sealed bool) {
		if len(data) > 1<<20 {
			return
		}
		if sealed {
			data = bytes.Clone(data)
			reseal(data)
		}
		mem := vfs.NewMem()
		mem.WriteFile(segmentPath(dataDir, 1), data)
		bytes := allocated(func() { openAny(t, mem) })
		// Whatever is there, opening and writing take some blocks of a cache.
		if limit := uint64(4<<20 + 16*len(data)); bytes > limit {
			t.Errorf("%d bytes are allocated for a segment of %d", bytes, len(data))
		}
	})
}

// openAny opens a log of which nothing is known, reads what it says it holds and writes to it.
func openAny(t *testing.T, mem *vfs.Mem) {
	s, err := Open(dataDir, memOptions(mem))
	if err != nil {
		if !errors.Is(err, ballast.ErrCorrupt) && !errors.Is(err, ballast.ErrUnknownVersion) {
			t.Fatalf("Open returns %v", err)
		}
		return
	}
	index := uint64(1)
	for range 1000 {
		if index, err = s.NextIndex(index); err != nil || index == 0 {
			break
		}
		var l raft.Log
		if err := s.GetLog(index, &l); err != nil && !errors.Is(err, ballast.ErrCorrupt) {
			t.Fatalf("GetLog(%d): %v", index, err)
		}
		if index++; index == 0 {
			break
		}
	}
	must(t, s.Set([]byte("term"), []byte("2")))
	must(t, s.DeleteRange(2, 3))
	must(t, s.Close())
}

func FuzzHeader(f *testing.F) {
	b := make([]byte, headerBytes)
	putHeader(b, header{number: 1, identity: 2, size: 1 << 20})
	f.Add(b)
	f.Add(b[:10])
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := parseHeader(b)
		if err != nil {
			return
		}
		again := make([]byte, headerBytes)
		putHeader(again, h)
		if got, err := parseHeader(again); err != nil || got != h {
			t.Errorf("%+v comes back as %+v, %v", h, got, err)
		}
	})
}

func FuzzMarker(f *testing.F) {
	b := make([]byte, markerBytes)
	putMarker(b, marker{state: markerClosed, sequence: 9, end: 9000, indexOffset: 8192, indexLength: 100, zeroed: 16384}, 7)
	f.Add(b, uint32(7), int64(1<<20))
	f.Fuzz(func(t *testing.T, b []byte, seed uint32, size int64) {
		if len(b) < markerBytes || size < framesOffset {
			return
		}
		binary.LittleEndian.PutUint32(b, crc32.Update(seed, castagnoli, b[4:markerBytes])^place(markerOffset))
		m := parseMarker(b, seed, size)
		if m != (marker{}) && (m.end > size || m.indexOffset < 0 || m.indexLength < 0 || m.indexOffset+m.indexLength > size) {
			t.Errorf("a marker of a segment of %d bytes: %+v", size, m)
		}
	})
}

// FuzzFrame parses a frame with checksums that match where they can.
func FuzzFrame(f *testing.F) {
	records := []record{
		{kind: recordEntry, flags: flagData, a: 5, second: []byte("data"), raw: 4},
		{kind: recordSet, first: []byte("term"), second: []byte("1"), raw: 1},
		{kind: recordDelete, a: 1, b: 2},
	}
	f.Add(encodeFrame(records, 3, 7, framesOffset))
	f.Add(encodeFrame(nil, 3, 7, framesOffset))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < frameHeaderBytes {
			return
		}
		data := make([]byte, framesOffset, framesOffset+len(b))
		data = append(data, b...)
		resealFrame(data, framesOffset, 7)
		h, ok := parseFrameHeader(data[framesOffset:], 7, framesOffset, int64(len(data)))
		if !ok {
			return
		}
		frame := data[framesOffset:][:h.length]
		n := 0
		err := walk(frame, h, 7, framesOffset, func(r *record, off int64, whole bool) error {
			n++
			if !within(framesOffset+frameHeaderBytes, off, framesOffset+h.length-recordHeaderBytes) ||
				len(r.first)+len(r.second) > len(frame) {
				t.Errorf("a record of %d and %d bytes at %d in a frame of %d", len(r.first), len(r.second), off, len(frame))
			}
			return nil
		})
		if err == nil && n != int(h.records) {
			t.Errorf("%d records are walked, the header says %d", n, h.records)
		}
		zeroSlices(frame, framesOffset)
	})
}

func FuzzLiveRuns(f *testing.F) {
	f.Add(appendLiveRun(appendLiveRun(nil, liveRun{1, 1, 10}), liveRun{2, 20, 30}))
	f.Fuzz(func(t *testing.T, b []byte) {
		runs, err := parseLiveRuns(b)
		if err != nil {
			return
		}
		var again []byte
		last := uint64(0)
		for _, r := range runs {
			if r.first <= last || r.last < r.first {
				t.Errorf("%+v is out of order", r)
			}
			last = r.last
			again = appendLiveRun(again, r)
		}
		if !bytes.Equal(again, b) {
			t.Errorf("%x comes back as %x", b, again)
		}
	})
}

func FuzzOffsets(f *testing.F) {
	f.Add(uint64(1), []byte{0, 4, 0, 0, 8, 4, 0, 0})
	f.Fuzz(func(t *testing.T, first uint64, b []byte) {
		offs, err := parseOffsets(&record{kind: recordIndex, a: first, second: b})
		if err == nil && (len(offs) != len(b)/4 || first == 0 || first+uint64(len(offs))-1 < first) {
			t.Errorf("%d offsets from entry %d in %d bytes", len(offs), first, len(b))
		}
	})
}

// FuzzDecompress expects what the record says the length is, or an error.
func FuzzDecompress(f *testing.F) {
	for _, mode := range []Compression{S2, Zstd} {
		c, err := newCompressor(mode)
		must(f, err)
		for _, n := range []int{64, 300, 5000} {
			r := c.entry(oracle.EntryOf(1, bytes.Repeat([]byte("ballast"), n)), 0)
			f.Add(r.flags, uint32(r.raw), bytes.Clone(r.second))
			f.Add(r.flags, uint32(r.raw-1), bytes.Clone(r.second))
			f.Add(r.flags, uint32(1<<20), bytes.Clone(r.second[:len(r.second)/2]))
		}
	}
	f.Fuzz(func(t *testing.T, flags byte, raw uint32, b []byte) {
		if flags &= flagS2 | flagZstd; flags == 0 || raw > 1<<20 {
			return
		}
		data, err := decompress(&record{flags: flags, raw: raw, second: b})
		if err == nil && len(data) != int(raw) {
			t.Errorf("%d bytes come back, the record says %d", len(data), raw)
		}
	})
}
