package powercut

import (
	"bytes"
	"encoding/binary"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/raft-ballast/ballast/internal/loopfs"
	"github.com/raft-ballast/ballast/internal/oracle"
)

var (
	cuts = flag.Int("cuts", 0, "power cuts of each store on each file system; 0 is few")
	seed = flag.Uint64("seed", 0, "where the power cuts are chosen from; 0 is chosen at random and printed")
)

// chosen returns the seed, and prints it.
func chosen(t *testing.T) uint64 {
	t.Helper()
	s := *seed
	if s == 0 {
		s = rand.Uint64() >> 1
	}
	t.Logf("-seed %d", s)
	return s
}

// slow is a disk that is simple enough to be right: all versions of each sector since the flush, the oldest first.
type slow [][][]byte

func newSlow(bytes int64) slow {
	s := make(slow, bytes/SectorBytes)
	for i := range s {
		s[i] = [][]byte{make([]byte, SectorBytes)}
	}
	return s
}

func (s slow) write(b []byte, off int64) {
	for i := off / SectorBytes; len(b) > 0; i++ {
		s[i] = append(s[i], bytes.Clone(b[:SectorBytes]))
		b = b[SectorBytes:]
	}
}

func (s slow) flush() {
	for i, versions := range s {
		s[i] = versions[len(versions)-1:]
	}
}

func content(t *testing.T, d *Disk) []byte {
	t.Helper()
	b := make([]byte, d.Bytes())
	if _, err := d.ReadAt(b, 0); err != nil {
		t.Fatal(err)
	}
	return b
}

// check compares a disk with what it should be, and what a cut leaves with what there may be.
func (s slow) check(t *testing.T, d *Disk, rng *rand.Rand) {
	t.Helper()
	now := content(t, d)
	cut, how := d.Cut(rng)
	after := content(t, cut)
	for i, versions := range s {
		at := i * SectorBytes
		if !bytes.Equal(now[at:at+SectorBytes], versions[len(versions)-1]) {
			t.Fatalf("sector %d is not what was written last", i)
		}
		if !slices.ContainsFunc(versions, func(v []byte) bool { return bytes.Equal(v, after[at:at+SectorBytes]) }) {
			t.Fatalf("%s: sector %d is what it never was since the flush", how, i)
		}
	}
	if !bytes.Equal(now, content(t, d)) {
		t.Fatalf("%s: the cut has changed the disk", how)
	}
	if _, err := cut.WriteAt(bytes.Repeat([]byte{0xff}, pageBytes), 0); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(now, content(t, d)) {
		t.Fatalf("%s: a write to what was left has changed the disk", how)
	}
	if again, _ := cut.Cut(rng); !bytes.Equal(content(t, again)[pageBytes:], after[pageBytes:]) {
		t.Fatalf("%s: what was left was not durable", how)
	}
}

func TestDiskModel(t *testing.T) {
	const size = 16 * pageBytes
	s := chosen(t)
	rng := oracle.Random(s)
	for range 100 / thin {
		d, model := NewDisk(size), newSlow(size)
		for range 1 + rng.IntN(60) {
			off := rng.Int64N(size/SectorBytes) * SectorBytes
			n := min(size-off, rng.Int64N(20)*SectorBytes)
			switch rng.IntN(8) {
			case 0:
				d.Flush()
				model.flush()
			case 1:
				if err := d.Zero(off, n); err != nil {
					t.Fatal(err)
				}
				model.write(make([]byte, n), off)
			default:
				b := make([]byte, n)
				for i := range b {
					b[i] = byte(rng.Uint32())
				}
				if _, err := d.WriteAt(b, off); err != nil {
					t.Fatal(err)
				}
				model.write(b, off)
				clear(b) // the disk has a copy
			}
		}
		model.check(t, d, rng)
	}
}

// All that a disk may do to a sector that was written twice comes about, alone and together with another sector.
func TestCutReachesAll(t *testing.T) {
	s := chosen(t)
	rng := oracle.Random(s)
	d := NewDisk(4 * pageBytes)
	stamp := func(off int64, version uint64) {
		b := make([]byte, SectorBytes)
		binary.BigEndian.PutUint64(b, version)
		if _, err := d.WriteAt(b, off); err != nil {
			t.Fatal(err)
		}
	}
	const near, far = SectorBytes, 3 * pageBytes
	stamp(0, 1)
	stamp(far, 1)
	d.Flush()
	stamp(0, 2)
	stamp(near, 2)
	stamp(0, 3)
	stamp(far, 3)
	seen := make(map[string]bool)
	for range 5000 {
		cut, _ := d.Cut(rng)
		b := content(t, cut)
		seen[fmt.Sprint(b[7], b[near+7], b[far+7])] = true
	}
	if got, want := slices.Sorted(maps.Keys(seen)), 3*2*2; len(got) != want {
		t.Errorf("the cuts left %d states of three sectors, there are %d: %v", len(got), want, got)
	}
}

// Sectors of a unit are as one write has left them, or as before all.
func TestUnits(t *testing.T) {
	const unit = 0b00111000
	s := chosen(t)
	rng := oracle.Random(s)
	d := NewDisk(2 * pageBytes)
	d.units = func(i int, _ *page) uint8 { return [...]uint8{0, unit}[i] }
	for i := range byte(4) {
		if _, err := d.WriteAt(bytes.Repeat([]byte{i + 1}, pageBytes), pageBytes); err != nil {
			t.Fatal(err)
		}
	}
	seen, torn := make(map[byte]bool), false
	for range 2000 {
		cut, how := d.Cut(rng)
		b := content(t, cut)[pageBytes:]
		in := b[3*SectorBytes : 6*SectorBytes]
		if !bytes.Equal(in, bytes.Repeat(in[:1], len(in))) {
			t.Fatalf("%s: the unit is torn", how)
		}
		seen[in[0]] = true
		torn = torn || b[0] != in[0]
	}
	if len(seen) != 5 || !torn {
		t.Errorf("the unit was one of %v; other sectors differed from it: %v", seen, torn)
	}
}

// A block of xfs is written whole or not at all, other pages of it are torn.
func TestUntornXFS(t *testing.T) {
	rng := oracle.Random(chosen(t))
	for name, want := range map[string]bool{"XDB3": false, "AB3C": false, "\x00\x00\x00\x00\x00\x00\x00\x00\x3d\xf1": false, "IN": true, "data": true} {
		d, torn := NewDisk(pageBytes), false
		d.units = untorn[loopfs.XFS]
		b := bytes.Repeat([]byte{1}, pageBytes)
		copy(b, name)
		if _, err := d.WriteAt(b, 0); err != nil {
			t.Fatal(err)
		}
		for range 200 {
			cut, _ := d.Cut(rng)
			got := content(t, cut)
			torn = torn || !bytes.Equal(got, b) && !bytes.Equal(got, zeros[:])
		}
		if torn != want {
			t.Errorf("a page that begins with %q: torn %v", name, torn)
		}
	}
}

// A cut in a write may take it away; a cut in a flush may take away all before it, and not what was flushed before.
func TestHook(t *testing.T) {
	s := chosen(t)
	rng := oracle.Random(s)
	d := NewDisk(pageBytes)
	var calls int
	left := make(map[byte]bool)
	d.setHook(func() {
		calls++
		for range 100 {
			cut, _ := d.cut(rng)
			left[content(t, cut)[0]] = true
		}
	})
	expect := func(what string, want ...byte) {
		t.Helper()
		if got := slices.Sorted(maps.Keys(left)); !slices.Equal(got, want) {
			t.Errorf("a cut in %s leaves %v, want %v", what, got, want)
		}
		clear(left)
	}
	write := func(b byte) {
		t.Helper()
		if _, err := d.WriteAt(bytes.Repeat([]byte{b}, pageBytes), 0); err != nil {
			t.Fatal(err)
		}
	}
	write(1)
	expect("the first write", 0, 1)
	d.Flush()
	expect("a flush", 0, 1)
	write(2)
	expect("the next write", 1, 2)
	if err := d.Zero(0, pageBytes); err != nil {
		t.Fatal(err)
	}
	expect("zeroing", 0, 1, 2)
	d.setHook(nil)
	d.Flush()
	if calls != 4 {
		t.Errorf("%d calls of the hook, there were 4", calls)
	}
}

func TestDiskRefuses(t *testing.T) {
	d := NewDisk(2 * pageBytes)
	for _, at := range []struct{ off, n int64 }{
		{-SectorBytes, SectorBytes}, {1, SectorBytes}, {0, 1}, {d.Bytes(), SectorBytes}, {SectorBytes, d.Bytes()},
	} {
		if _, err := d.WriteAt(make([]byte, at.n), at.off); err == nil {
			t.Errorf("a write of %d bytes at %d was accepted", at.n, at.off)
		}
		if err := d.Zero(at.off, at.n); err == nil {
			t.Errorf("zeroing %d bytes at %d was accepted", at.n, at.off)
		}
	}
	if _, err := d.ReadAt(make([]byte, 2), d.Bytes()-1); err == nil {
		t.Error("a read beyond the end was accepted")
	}
	if _, err := d.ReadAt(make([]byte, 5), d.Bytes()-5); err != nil {
		t.Error(err)
	}
}

func BenchmarkCut(b *testing.B) {
	rng := oracle.Random(1)
	d := NewDisk(512 << 20)
	data := make([]byte, 1<<20)
	for i := range data {
		data[i] = byte(rng.Uint32())
	}
	for off := int64(0); off < 64<<20; off += 1 << 20 {
		if _, err := d.WriteAt(data, off); err != nil {
			b.Fatal(err)
		}
		if off == 56<<20 {
			d.Flush()
		}
	}
	for b.Loop() {
		d.Cut(rng)
	}
}
