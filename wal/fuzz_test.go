package wal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/engine"
	"github.com/raft-ballast/ballast/internal/oracle"
	"github.com/raft-ballast/ballast/internal/vfs"
)

// reseal sets the checksums in a segment's file so that its content is believed, whatever it says: only then are the checks
// behind the checksums reached. The file is then as long as it says, and segment number.
func reseal(data []byte, number uint64) {
	if len(data) < framesOffset+blockBytes {
		return
	}
	copy(data, headerMagic)
	binary.LittleEndian.PutUint32(data[12:], formatVersion)
	binary.LittleEndian.PutUint64(data[16:], number)
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

// unpacked makes a segment's file of what packed made: its marker, and what is behind its first two blocks. Without the zeros between
// them there is more to change in less.
func unpacked(b []byte, number uint64) []byte {
	frames := b[min(len(b), markerBytes):]
	data := make([]byte, roundUp(framesOffset+int64(len(frames)), blockBytes)+blockBytes)
	copy(data[markerOffset:], b[:len(b)-len(frames)])
	copy(data[framesOffset:], frames)
	reseal(data, number)
	return data
}

func packed(data []byte) []byte {
	return append(bytes.Clone(data[markerOffset:markerOffset+markerBytes]), bytes.TrimRight(data[framesOffset:], "\x00")...)
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

// Opening, reading and writing a log of so many bytes takes at most this much memory: pieces of 1 MiB that it is read in, the
// blocks of the smallest cache, the zeros of a segment, and a few KiB for each call; then what is read when opening, in the state, and again for
// each entry, each of these with what the memory grows by. A log for reading is read a second time,
// in part, before anything
// is called damaged. Entries that were compressed are counted as what they are.
const (
	fuzzConstant = 8 << 20
	fuzzFactor   = 16
)

// watched counts the calls of a file system and panics when there are more of them than any log of its size can need: then
// something runs for ever.
func watched(mem *vfs.Mem) vfs.FS {
	size := 0
	for _, path := range mem.Files() {
		size += len(mem.ReadFile(path))
	}
	f := vfs.NewFaults(mem)
	f.SetRule(func(op vfs.Op, path string, n int) error {
		if limit := 20_000 + size/16; n > limit {
			panic(fmt.Sprintf("%d calls for %d bytes; now %v of %s", n, size, op, path))
		}
		return nil
	})
	return f
}

// openMeasured opens, reads and writes what is on mem, and checks what memory that takes.
func openMeasured(t *testing.T, mem *vfs.Mem) {
	size := 0
	for _, path := range mem.Files() {
		size += len(mem.ReadFile(path))
	}
	fsys := watched(mem)
	decoded := 0
	n := allocated(func() { decoded = readAny(t, fsys) })
	if limit := uint64(2*(fuzzConstant+fuzzFactor*size) + 10*decoded); n > limit {
		t.Errorf("%d bytes are allocated for reading %d", n, size)
	}
	n = allocated(func() { decoded = salvageAny(t, fsys) })
	if limit := uint64(salvageFactor*(fuzzConstant+fuzzFactor*size) + 10*decoded); n > limit {
		t.Errorf("%d bytes are allocated for salvaging %d", n, size)
	}
	n = allocated(func() { decoded = openAny(t, fsys) })
	if limit := uint64(fuzzConstant + fuzzFactor*size + 10*decoded); n > limit {
		t.Errorf("%d bytes are allocated for %d", n, size)
	}
}

// opened fails unless a log of which nothing is known opens or says why not.
func opened(t *testing.T, err error) bool {
	if err != nil && !errors.Is(err, ballast.ErrCorrupt) && !errors.Is(err, ballast.ErrUnknownVersion) && !errors.Is(err, ballast.ErrForeign) &&
		!errors.Is(err, fs.ErrNotExist) && !errors.Is(err, errNumbers) {
		t.Fatalf("Open returns %v", err)
	}
	return err == nil
}

// readEntries reads up to n entries and returns how many bytes they are.
func readEntries(t *testing.T, s *Store, n int) (decoded int) {
	index := uint64(1)
	for range n {
		var err error
		if index, err = s.NextIndex(index); err != nil || index == 0 {
			break
		}
		var l raft.Log
		if err := s.GetLog(index, &l); err != nil && !errors.Is(err, ballast.ErrCorrupt) && !errors.Is(err, ballast.ErrUnknownVersion) {
			t.Fatalf("GetLog(%d): %v", index, err)
		}
		if decoded += len(l.Data); decoded > 64<<20 {
			break
		}
		if index++; index == 0 {
			break
		}
	}
	return decoded
}

// readAny opens a log for reading.
func readAny(t *testing.T, fsys vfs.FS) (decoded int) {
	s, err := OpenReadOnly(dataDir, memOptions(fsys))
	if !opened(t, err) {
		return 0
	}
	decoded = readEntries(t, s, 5) // each that is damaged has the log read again
	must(t, s.Close())
	return decoded
}

// salvageFactor is how often a damaged log is read at most: from three checkpoints on, and once more for what is behind the damage.
const salvageFactor = 4

// salvageAny reads what can be read of a log.
func salvageAny(t *testing.T, fsys vfs.FS) (decoded int) {
	s, err := Salvage(dataDir, memOptions(fsys))
	if errors.Is(err, errGroups) || !opened(t, err) {
		return 0
	}
	for _, s := range []*Store{s.Log, s.Later} {
		if s == nil {
			continue
		}
		decoded += readEntries(t, s, 500)
		if err := checkLive(s.j); err != nil {
			t.Error(err)
		}
	}
	must(t, s.Close())
	return decoded
}

// openAny opens a log, reads what it says it holds and writes to it. What is written is there afterwards.
func openAny(t *testing.T, fsys vfs.FS) (decoded int) {
	s, err := Open(dataDir, memOptions(fsys))
	if !opened(t, err) {
		return 0
	}
	decoded = readEntries(t, s, 1000)
	if err := checkLive(s.j); err != nil {
		t.Error(err)
	}
	if err := errors.Join(s.Set([]byte("term"), []byte("2")), s.DeleteRange(2, 3)); errors.Is(err, errNumbers) {
		_ = s.Close() // forged numbers of which none is left; TestLastNumber has them
		return decoded
	} else if err != nil {
		t.Fatal(err)
	}
	must(t, s.Close())
	s, err = Open(dataDir, memOptions(fsys))
	if err != nil {
		t.Fatalf("what was opened, written and closed: %v", err)
	}
	if value, err := s.Get([]byte("term")); err != nil || string(value) != "2" {
		t.Errorf("Get returns %q, %v", value, err)
	}
	must(t, s.Close())
	return decoded
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
		f.Add(packed(data), true)
		// What a field that means a number of bytes or of entries may become.
		for off := framesOffset + 8; off < framesOffset+600; off += 8 {
			changed := bytes.Clone(data)
			changed[off+5] ^= 0x7f
			f.Add(packed(changed), true)
		}
	}
	f.Add([]byte{}, false)
	f.Add(make([]byte, framesOffset), true)
	f.Fuzz(func(t *testing.T, data []byte, sealed bool) {
		if len(data) > 1<<20 {
			return
		}
		if sealed {
			data = unpacked(data, 1)
		}
		mem := vfs.NewMem()
		mem.WriteFile(segmentPath(dataDir, 1), data)
		openMeasured(t, mem)
	})
}

// withMoved returns the two files of a log of which all that is live was moved.
func withMoved(f *testing.F, closed bool) (tail, moved []byte) {
	mem := vfs.NewMem()
	l := newTestLog(f, mem, 1)
	l.fill(3, 100)
	l.rotate()
	l.remove(4, l.model.Last())
	must(f, l.j.reclaimer.take(l.j.segments[0]))
	must(f, l.j.reclaimer.moveSome())
	l.rotate()
	l.remove(4, l.model.Last())
	l.check()
	if len(l.j.segments) != 2 || l.j.tail.number != 3 {
		f.Fatalf("%d segments, the last one is %d", len(l.j.segments), l.j.tail.number)
	}
	if closed {
		l.close()
	} else {
		l.abandon()
	}
	return mem.ReadFile(segmentPath(dataDir, 3)), mem.ReadFile(segmentPath(dataDir, maxSegment+1))
}

// fuzzNames are those that the files of FuzzOpen may have, besides any other.
var fuzzNames = []string{"0000000000000001.wal", "0000000000000002.wal", "0000000000000003.wal", "0000000000000000.wal", "ffffffffffffffff.wal",
	"FFFFFFFFFFFFFFFF.wal", nextName, engine.LockName, "raft.db", "wal-meta.db", "MANIFEST", "0000000000000004.wal.bak",
	"0001000000000001.wal"}

// FuzzOpen opens a folder of three files with any content, each with the name that a number chooses, or with any name. With sealed they
// are segments whose checksums match.
func FuzzOpen(f *testing.F) {
	f.Add([]byte(headerMagic), []byte{}, make([]byte, framesOffset), uint32(0x010007), "x", false)
	for _, kind := range []int{0, 1, 2, 3, 6, 7, 8} {
		im := newImage(f, imageKinds[kind])
		files := append(im.segments(), im.next)
		var data [3][]byte
		for i, path := range files {
			data[i] = packed(im.contents[path])
		}
		const numbers = uint32(0x020100)
		f.Add(data[0], data[1], data[2], numbers, "x", true)
		f.Add(data[0], data[2], data[1], numbers, "x", true)
		f.Add(data[0], data[1], []byte{}, uint32(0xff0100), "0000000000000007.wal", true)
		f.Add(data[1], []byte{}, data[0], uint32(0x060700), "", true)
	}
	for _, closed := range []bool{false, true} {
		tail, moved := withMoved(f, closed)
		f.Add(packed(tail), packed(moved), []byte{}, uint32(0xff0c02), "x", true)
		f.Add(packed(moved), packed(tail), packed(moved), uint32(0x020c0c), "x", true)
		f.Add([]byte{}, packed(moved), packed(moved), uint32(0x010cff), "x", true)
	}
	f.Fuzz(func(t *testing.T, a, b, c []byte, numbers uint32, other string, sealed bool) {
		if len(a)+len(b)+len(c) > 1<<20 || len(other) > 100 {
			return
		}
		mem := vfs.NewMem()
		must(t, mem.MkdirAll(dataDir))
		for i, data := range [][]byte{a, b, c} {
			name := other
			if n := int(byte(numbers >> (8 * i))); n < len(fuzzNames) {
				name = fuzzNames[n]
			}
			if name != filepath.Base(name) || name == "." || name == ".." || name == string(filepath.Separator) {
				continue // not the name of a file
			}
			if number, ok := segmentNumber(name); ok && sealed {
				data = unpacked(data, number)
			}
			mem.WriteFile(filepath.Join(dataDir, name), data)
		}
		openMeasured(t, mem)
	})
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
		if flags &= flagS2 | flagZstd; flags == 0 {
			return
		}
		var (
			data []byte
			err  error
		)
		n := allocated(func() { data, err = decompress(&record{flags: flags, raw: raw, second: b}) })
		if err == nil && len(data) != int(raw) {
			t.Errorf("%d bytes come back, the record says %d", len(data), raw)
		}
		// Without data there is memory for what is believed, and eight times that when that much is there. The decoder has some of its own.
		if limit := uint64(4<<20 + 10*believedRatio*len(b) + 10*len(data)); err == nil && n > limit {
			t.Errorf("%d bytes are allocated for %d in %d", n, len(data), len(b))
		}
	})
}
