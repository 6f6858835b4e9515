package wal

import (
	"errors"
	"fmt"
	"maps"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast/internal/oracle"
	"github.com/raft-ballast/ballast/internal/vfs"
)

// TestFlips flips bits of small logs. Each byte is known by what it is for: in the short form every bit of one byte of each
// kind is flipped in one log, and in all logs one bit of many bytes. The log is told to be damaged, or it is as it was; never
// is one byte another one, and never is it shorter, not even by the last call.
func TestFlips(t *testing.T) {
	for i, kind := range imageKinds {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			im := newImage(t, kind)
			c := &trials{name: "flips: " + kind.name}
			seen := make(map[spot]bool)
			for j, path := range im.segments() {
				// What opening reads of each kind of log, at all its bits.
				whole := kind == imageKinds[0] || kind == imageKinds[1] && path == im.tail
				maps.DeleteFunc(seen, func(at spot, _ bool) bool { return at.kind == isHeader || at.kind == isMarker })
				im.flipSegment(t, c, path, seen, whole, i+j)
			}
			im.flipBehind(c)
			c.report(t)
		})
	}
}

// flipEach is of how many bytes one is flipped in the short form.
const flipEach = 13

// flipSegment flips bits of a segment up to its last frame's end. whole has each spot's first byte flipped at all bits.
func (im *image) flipSegment(t *testing.T, c *trials, path string, seen map[spot]bool, whole bool, shift int) {
	for off, at := range im.spots(t, path) {
		first := whole && !seen[at]
		seen[at] = true
		if off/8%thin != 0 { // all bits of some bytes, every bit at some
			continue
		}
		for bit := range 8 {
			if !*flipsAll && !first && ((off+shift)%flipEach != 0 || bit != (off/flipEach+shift)%8) {
				continue
			}
			mem := im.mem.Clone()
			mem.Flip(path, int64(off), 1<<bit)
			got := c.add(im, mem, "bit %d of byte %d of %s", bit, off, path)
			// Where frames have to be read, nothing in them may be passed over.
			if got == allRight && path == im.tail && im.ending == isLeft && at.kind != isPadding && off >= framesOffset {
				t.Errorf("bit %d of byte %d of %s was not noticed", bit, off, path)
			}
		}
	}
}

// flipBehind flips bits of what is not used yet: zeros behind the last frame, and the segment that was prepared.
func (im *image) flipBehind(c *trials) {
	step := thin * 4093 // a prime, so that all kinds of places are met
	if *flipsAll {
		step = 97
	}
	for _, path := range im.segments() {
		size := len(im.full.ReadFile(path))
		for _, off := range []int{0, 1, 8, 39, 40, 41, 511, 512} {
			im.flipFull(c, path, len(im.used(path))+off)
		}
		for off := len(im.used(path)); off < size; off += step / 4 {
			im.flipFull(c, path, off)
		}
	}
	for off := range headerBytes {
		im.flipFull(c, im.next, off*thin%headerBytes)
		im.flipFull(c, im.next, markerOffset+off*thin%headerBytes)
	}
	for off := framesOffset; off < minSegmentBytes; off += step * 2 {
		im.flipFull(c, im.next, off)
	}
}

func (im *image) flipFull(c *trials, path string, off int) {
	mem := im.full.Clone()
	mem.Flip(path, int64(off), 1<<(off/3%8))
	c.add(im, mem, "bit %d of byte %d of %s", off/3%8, off, path)
}

// sector returns where a sector of a damaged file begins.
func sector(i int) int64 { return int64(i) * sectorBytes }

// place of a sector.
type sectorPlace struct {
	path string
	i    int
}

func (p sectorPlace) in(files map[string][]byte) []byte {
	return files[p.path][sector(p.i):sector(p.i+1)]
}

// sectors returns the sectors of all segments that hold something, and two of zeros behind them.
func (im *image) sectors() (places []sectorPlace) {
	for _, path := range append(im.segments(), im.next) {
		n := (len(im.used(path))+sectorBytes-1)/sectorBytes + 2
		for i := range n {
			places = append(places, sectorPlace{path, i})
		}
	}
	return places
}

// TestLostSectors has each sector of a log become zeros, and each two sectors of it change places, also those of two files.
func TestLostSectors(t *testing.T) {
	for n, kind := range imageKinds {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			im := newImage(t, kind)
			c := &trials{name: "sectors: " + kind.name}
			files, places := im.contents, im.sectors()
			for i, a := range places {
				for k, b := range places[i:] {
					if !*flipsAll && k > 0 && (i*7+k+n)%(11*thin) != 0 {
						continue
					}
					if isZero(a.in(files)) && isZero(b.in(files)) {
						continue
					}
					mem := im.full.Clone()
					if k == 0 {
						im.overwrite(mem, a.path, sector(a.i), zeroBlock[:sectorBytes])
						if got := c.add(im, mem, "sector %d of %s is lost", a.i, a.path); got == allRight && a.i == 0 && a.path != im.next {
							t.Errorf("the header of %s is lost, and nobody tells", a.path)
						}
						continue
					}
					im.overwrite(mem, a.path, sector(a.i), b.in(files))
					im.overwrite(mem, b.path, sector(b.i), a.in(files))
					c.add(im, mem, "sectors %d of %s and %d of %s have changed places", a.i, a.path, b.i, b.path)
				}
			}
			c.report(t)
		})
	}
}

// overwrite changes bytes of a file.
func (im *image) overwrite(mem *vfs.Mem, path string, off int64, b []byte) {
	was := im.contents[path]
	from, to := roundDown(off, blockBytes), min(roundUp(off+int64(len(b)), blockBytes), int64(len(was)))
	blocks := vfs.AlignedBytes(int(to - from))
	copy(blocks, was[from:to])
	copy(blocks[off-from:], b)
	f, err := mem.Open(path)
	if err == nil {
		err = errors.Join(f.WriteBlocks([][]byte{blocks}, from), f.Close())
	}
	if err != nil {
		panic(err) // it is in memory
	}
}

// TestDamagedBursts damages more than one byte at once: short runs, and up to eight sectors, which become zeros, noise, or what
// is elsewhere in the log.
func TestDamagedBursts(t *testing.T) {
	for n, kind := range imageKinds {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			im := newImage(t, kind)
			c := &trials{name: "bursts: " + kind.name}
			paths := append(im.segments(), im.next)
			count := 240 / thin
			if *flipsAll {
				count = 20_000
			}
			for seed := range count {
				rng := oracle.Random(uint64(n*1_000_000 + seed))
				path := paths[rng.IntN(len(paths))]
				off, size := rng.IntN(len(im.used(path))), 2+rng.IntN(63)
				if rng.IntN(2) == 0 {
					off, size = off/sectorBytes*sectorBytes, (1+rng.IntN(8))*sectorBytes
				}
				b, what := make([]byte, size), "zeros"
				switch from := paths[rng.IntN(len(paths))]; rng.IntN(3) {
				case 0:
				case 1:
					what = "noise"
					for i := range b {
						b[i] = byte(rng.Uint32())
					}
				default:
					at := rng.IntN(len(im.used(from)))
					if size >= sectorBytes {
						at = at / sectorBytes * sectorBytes
					}
					copy(b, im.contents[from][at:])
					what = fmt.Sprintf("a copy of %s from %d on", from, at)
				}
				mem := im.full.Clone()
				im.overwrite(mem, path, int64(off), b)
				c.add(im, mem, "seed %d: %d bytes at %d of %s are %s", seed, size, off, path, what)
			}
			c.report(t)
		})
	}
}

// TestLostEnd has all become zeros from a frame of the tail on. Who has closed the log knows how long it was; otherwise it
// looks as if it had ended there. Zeros from any other place on are told.
func TestLostEnd(t *testing.T) {
	for _, kind := range imageKinds {
		im := newImage(t, kind)
		c := &trials{name: "lost ends: " + kind.name}
		for i, start := range im.starts {
			if i == 0 {
				continue
			}
			for _, from := range []int64{start, start + 1, start + 39, start + frameHeaderBytes, start + frameHeaderBytes + 9,
				roundUp(start, sectorBytes), roundUp(start, sectorBytes) + 1, roundUp(start, blockBytes)} {
				mem := im.full.Clone()
				im.overwrite(mem, im.tail, from, make([]byte, len(im.contents[im.tail])-int(from)))
				got := c.add(im, mem, "%s is lost from %d on", im.tail, from)
				want := openRefuses
				if kind.ending != isClosed && i > im.floor {
					want = isShorter
				}
				if from == start && got != want {
					t.Errorf("%s: all from frame %d on is lost: outcome %d, should be %d", kind.name, i, got, want)
				}
			}
		}
		c.report(t)
	}
}

// TestShorterFiles cuts files off: at each block, around each frame, and at some other places.
func TestShorterFiles(t *testing.T) {
	for _, kind := range imageKinds {
		im := newImage(t, kind)
		c := &trials{name: "shorter files: " + kind.name}
		for _, path := range append(im.segments(), im.next) {
			data := im.full.ReadFile(path)
			keeps := []int64{0, 1, headerBytes, markerOffset + markerBytes, framesOffset + 100, int64(len(data)) - 1}
			for at := int64(0); at < int64(len(data)); at += blockBytes {
				if path != im.next || at < 4*blockBytes || *flipsAll {
					keeps = append(keeps, at)
				}
			}
			for i, start := range im.starts {
				if path == im.tail {
					keeps = append(keeps, start-1, start, start+1, im.ends[i])
				}
			}
			for _, keep := range keeps {
				mem := im.full.Clone()
				mem.WriteFile(path, data[:keep])
				if got := c.add(im, mem, "%s ends at %d", path, keep); got == allRight || got == isShorter {
					t.Errorf("%s: %s ends at %d, and nobody tells", kind.name, path, keep)
				}
			}
		}
		c.report(t)
	}
}

// TestMissingFiles takes files away, empties them, and gives them the names and contents of others.
func TestMissingFiles(t *testing.T) {
	for _, kind := range imageKinds {
		im := newImage(t, kind)
		other := newImage(t, kind)
		c := &trials{name: "missing files: " + kind.name}
		for _, path := range im.files() {
			harmless := path == im.lock || path == im.next
			try := func(what string, change func(mem *vfs.Mem)) {
				mem := im.full.Clone()
				change(mem)
				if got := c.add(im, mem, "%s %s", path, what); !harmless && (got == allRight || got == isShorter) {
					t.Errorf("%s: %s %s, and nobody tells", kind.name, path, what)
				}
			}
			try("is missing", func(mem *vfs.Mem) { must(t, mem.Remove(path)) })
			try("is empty", func(mem *vfs.Mem) { mem.WriteFile(path, nil) })
			if !kind.single { // with nothing beside it to tell
				try("is that of another log", func(mem *vfs.Mem) { mem.WriteFile(path, other.full.ReadFile(path)) })
			}
			for _, name := range []string{nextName, "0000000000000004.wal", "0000000000000007.wal", "ffffffffffffffff.wal", "lost"} {
				try("is now "+name, func(mem *vfs.Mem) { must(t, mem.Rename(path, dataDir+"/"+name)) })
			}
			for _, to := range im.files() {
				if to == path {
					continue
				}
				harmless = (path == im.lock || path == im.next) && (to == im.lock || to == im.next)
				try("has replaced "+to, func(mem *vfs.Mem) { must(t, mem.Rename(path, to)) })
				try("and "+to+" are exchanged", func(mem *vfs.Mem) {
					mem.WriteFile(path, im.full.ReadFile(to))
					mem.WriteFile(to, im.full.ReadFile(path))
				})
				harmless = to == im.lock || to == im.next
				try("was copied to "+to, func(mem *vfs.Mem) { mem.WriteFile(to, im.full.ReadFile(path)) })
				harmless = path == im.lock || path == im.next
			}
		}
		c.report(t)
	}
}

// TestMissingNextSegment: nothing is lost with a segment that was only prepared.
func TestMissingNextSegment(t *testing.T) {
	mem := vfs.NewMem()
	l := newTestLog(t, mem, 1)
	l.fill(5, 100)
	l.close()
	must(t, mem.Remove(segmentPath(dataDir, 2)))
	l.open()
	l.rotate()
	l.check()
}

// TestFlippedRecordHeader: one byte in the middle of the segment that is written. What a stopped process left is read to
// its end, and a record whose place in the log is unknown ends that; whoever closed the log needs none of it until it is read.
func TestFlippedRecordHeader(t *testing.T) {
	for _, field := range []int64{4, 8, 9, 10, 16, 24, 32, 40, 48, 52} {
		for _, closed := range []bool{false, true} {
			mem := vfs.NewMem()
			l := newTestLog(t, mem, 1)
			for range 20 {
				l.fill(5, 100)
			}
			const index = 52
			at := int64(l.g.find(index).offs[index-1]) << 3
			tail := l.j.tail.path
			if closed {
				l.close()
			} else {
				l.abandon()
			}
			mem.Flip(tail, at+field, 1)

			s, err := Open(dataDir, memOptions(mem))
			if !closed {
				if c := corruption(t, err); c.Path != tail || c.Offset < framesOffset || c.Offset > at {
					t.Errorf("field %d: %v; the damage is in the record at %d", field, err, at)
				}
				continue
			}
			must(t, err)
			for i := uint64(1); i <= 100; i++ {
				var got raft.Log
				err := s.GetLog(i, &got)
				if i == index {
					if c := corruption(t, err); c.Path != tail || c.Offset != at || c.Index != index {
						t.Errorf("field %d: %v; the record is at %d", field, err, at)
					}
				} else if err != nil || oracle.DiffEntry(l.model.Logs[i], &got) != nil {
					t.Errorf("field %d: entry %d: %v", field, i, err)
				}
			}
			must(t, s.Close())
		}
	}
}

// TestDamagedOverwrite: an entry was replaced in the same segment, and the frame that did it is damaged. Where the segment has
// no index yet its entries are found by reading it, and then the older one is there as well, whole and wrong.
func TestDamagedOverwrite(t *testing.T) {
	mem := vfs.NewMem()
	l := newTestLog(t, mem, 1)
	l.fill(20, 100)
	at := l.j.tail.end
	logs := oracle.Entries(l.rng, 10, 1, 100)
	must(t, l.StoreLogs(logs))
	l.model.Put(logs, 0)
	sealed := l.j.tail.path
	mem.SetHook(func(c *vfs.Call) error {
		if l.j.tail.number == 2 {
			return vfs.ErrCrashed // before the first segment has its index
		}
		return nil
	})
	for l.j.tail.number == 1 {
		must(t, l.append(16, 4<<10))
	}
	for _, field := range []int64{0, 4, 8, 16, 24, frameHeaderBytes + 4, frameHeaderBytes + 24, frameHeaderBytes + recordHeaderBytes} {
		damaged := mem.Crash(1)
		damaged.Flip(sealed, frameStart(at)+field, 1)
		for range 2 { // the second time there is an index
			s := openMem(t, damaged)
			told, err := compare(s, l.model)
			if err != nil || len(told) == 0 {
				t.Errorf("field %d: %d entries are told to be damaged: %v", field, len(told), err)
			}
			must(t, s.Close())
		}
	}
}

// TestDamagedEnd: the frames that ended a log when it was closed only repeat what was there. When they are damaged nothing
// is lost, neither at the next opening nor by going on behind them.
func TestDamagedEnd(t *testing.T) {
	mem := vfs.NewMem()
	l := newTestLog(t, mem, 1)
	l.fill(20, 100)
	l.set("term", "1")
	from := frameStart(l.j.tail.end)
	l.close()
	to := l.j.tail.end
	if to == from {
		t.Fatal("the log was closed without a frame")
	}
	for at := from; at < to; at += 4 * thin {
		damaged := mem.Clone()
		damaged.Flip(segmentPath(dataDir, 1), at, 1)
		m := &testLog{t: t, fs: damaged, rng: oracle.Random(2), model: l.model.Clone()}
		for range 2 {
			m.open()
			m.check()
			m.fill(2, 100)
			m.close()
		}
		m.open()
		m.fill(2, 100)
		m.abandon()
		// Without being closed again the log has the damage in its middle, and it may say so.
		s, err := Open(dataDir, memOptions(damaged))
		if err != nil {
			corruption(t, err)
			continue
		}
		m.Store = s
		m.check()
		m.close()
	}
}

// TestRecycledDeletion: entries of the first segment are deleted by a record in the second one, in which nothing lives
// afterwards, so that it is used again. The deletion must not go with it.
func TestRecycledDeletion(t *testing.T) {
	mem := vfs.NewMem()
	l := newTestLog(t, mem, 1)
	l.rotate()
	from := l.model.Last() - 15 // where the second segment begins
	l.remove(10, 30)
	l.set("term", "1")
	l.rotate()
	recycled := l.j.keeper.recycled.Load()
	l.remove(from, l.model.Last()-4) // all that the second one holds, and most of the third one
	if l.j.keeper.recycled.Load() == recycled || mem.ReadFile(segmentPath(dataDir, 2)) != nil {
		t.Fatal("the second segment is still there")
	}
	l.check()
	checkAfterCuts(t, l.model, mem)
	l.rotate()
	checkAfterCuts(t, l.model, mem)
	l.close()
	checkReopened(t, l.model, mem)
}
