package vfs

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// seeds returns the seeds of a random test: n of them, or the one in BALLAST_VFS_SEED.
func seeds(t *testing.T, n int) []uint64 {
	if s := os.Getenv("BALLAST_VFS_SEED"); s != "" {
		seed, err := strconv.ParseUint(s, 10, 64)
		check(t, err)
		return []uint64{seed}
	}
	all := make([]uint64, n)
	for i := range all {
		all[i] = uint64(i)
	}
	return all
}

// fileModel is a file as a list of everything that was done to it, played again for every question.
type fileModel struct{ steps []fileStep }

type fileStep struct {
	size   int    // for data nil: the file got this size
	data   []byte // was written at off
	off    int
	failed bool
	synced bool // a size that is durable
}

// sets returns for each sector what it may hold after a power cut that keeps the first n sizes.
func (m *fileModel) sets(n int) []map[string]bool {
	const most = 64 // sectors of the largest file, with room
	zero := strings.Repeat("\x00", SectorBytes)
	sets := make([]map[string]bool, most)
	for i := range sets {
		sets[i] = map[string]bool{zero: true}
	}
	size := 0
	cut := func() {
		for i := range sets {
			keep := max(0, min(SectorBytes, size-i*SectorBytes))
			next := make(map[string]bool)
			for s := range sets[i] {
				next[s[:keep]+zero[keep:]] = true
			}
			sets[i] = next
		}
	}
	for _, s := range m.steps {
		switch {
		case s.data == nil && n > 0:
			n--
			size = s.size
			cut()
		case s.data != nil:
			for i := range len(s.data) / SectorBytes {
				sector := string(s.data[i*SectorBytes : (i+1)*SectorBytes])
				if at := s.off/SectorBytes + i; s.failed {
					sets[at][sector] = true
				} else {
					sets[at] = map[string]bool{sector: true}
				}
			}
		}
	}
	cut()
	return sets[:(size+SectorBytes-1)/SectorBytes]
}

func (m *fileModel) sizes() (durable, all []int) {
	all = []int{0}
	for _, s := range m.steps {
		if s.data == nil {
			all = append(all, s.size)
			if s.synced {
				durable = all
			}
		}
	}
	return durable, all
}

// allows reports whether the file may hold data after a power cut.
func (m *fileModel) allows(data []byte) bool {
	durable, all := m.sizes()
	for n := max(0, len(durable)-1); n < len(all); n++ {
		if all[n] != len(data) {
			continue
		}
		fits := true
		for i, set := range m.sets(n) {
			sector := make([]byte, SectorBytes)
			copy(sector, data[i*SectorBytes:])
			fits = fits && set[string(sector)]
		}
		if fits {
			return true
		}
	}
	return false
}

// now returns what the file holds.
func (m *fileModel) now() []byte {
	var data []byte
	for _, s := range m.steps {
		if s.data == nil {
			data = append(data[:min(s.size, len(data))], make([]byte, max(0, s.size-len(data)))...)
		} else {
			copy(data[s.off:], s.data)
		}
	}
	return data
}

// After random calls on a file everything that a power cut leaves is something that the model allows.
func TestContentModel(t *testing.T) {
	for _, seed := range seeds(t, 150) {
		rng := rand.New(rand.NewPCG(seed, 1))
		m := NewMem()
		f := create(t, m, "f")
		check(t, m.SyncDir("."))
		var model fileModel
		for range 12 {
			step(t, rng, m, f, &model)
			if got := m.ReadFile("f"); !bytes.Equal(got, model.now()) {
				t.Fatalf("seed %d: there are %d bytes, want %d", seed, len(got), len(model.now()))
			}
			for crash := range uint64(3) {
				c := m.Clone().Crash(rng.Uint64() + crash)
				if got := c.ReadFile("f"); !model.allows(got) {
					t.Fatalf("BALLAST_VFS_SEED=%d: a file of %d bytes that must not be", seed, len(got))
				}
				checkUsage(t, c)
			}
		}
	}
}

// step makes one random call on f, and on the model.
func step(t *testing.T, rng *rand.Rand, m *Mem, f File, model *fileModel) {
	const blocks = 4
	size, err := f.Size()
	check(t, err)
	grow := func(n int) {
		if n > int(size) {
			model.steps = append(model.steps, fileStep{size: n})
		}
	}
	off := rng.IntN(blocks) * BlockBytes
	data := pattern((1+rng.IntN(2))*BlockBytes, byte(rng.Uint32()))
	switch rng.IntN(6) {
	case 0:
		n := rng.IntN(blocks * BlockBytes)
		check(t, f.Truncate(int64(n)))
		model.steps = append(model.steps, fileStep{size: n})
	case 1:
		n := rng.IntN(2*BlockBytes) + 1
		check(t, f.Allocate(int64(off), int64(n)))
		grow(off + n)
	case 2:
		check(t, f.Sync())
		for i := range model.steps {
			model.steps[i].synced = true
		}
	case 3:
		m.SetHook(func(*Call) error { return Late(syscall.EIO) })
		if err := f.WriteBlocks([][]byte{data}, int64(off)); !errors.Is(err, syscall.EIO) {
			t.Fatal(err)
		}
		m.SetHook(nil)
		grow(off + len(data))
		model.steps = append(model.steps, fileStep{off: off, data: data, failed: true})
	default:
		write(t, f, int64(off), data)
		grow(off + len(data))
		model.steps = append(model.steps, fileStep{off: off, data: data})
	}
}

// nameStep gives the file id the name to, where it had the name from.
type nameStep struct{ from, to, id string }

// outcomes returns every state of names that may be there after a power cut: each step done or not, but none whose
// names have to do with one before it that was not done.
func outcomes(durable map[string]string, steps []nameStep) map[string]bool {
	all := make(map[string]bool)
	for done := range 1 << len(steps) {
		names := maps.Clone(durable)
		var lost []string
		possible := true
		for i, s := range steps {
			if done&(1<<i) == 0 {
				lost = append(lost, s.from, s.to)
				continue
			}
			for _, name := range lost {
				possible = possible && (name == "" || name != s.from && name != s.to)
			}
			delete(names, s.from)
			if s.to != "" {
				names[s.to] = s.id
			}
		}
		if possible {
			all[fmt.Sprint(names)] = true
		}
	}
	return all
}

// After random calls on names a power cut leaves one of the states that the model allows, and over many seeds all
// of them.
func TestNamesModel(t *testing.T) {
	for _, seed := range seeds(t, 20) {
		rng := rand.New(rand.NewPCG(seed, 2))
		m := NewMem()
		names, durable := make(map[string]string), make(map[string]string)
		var steps []nameStep
		for i := range 14 {
			if s := nameCall(t, rng, m, names, fmt.Sprint(i)); s != (nameStep{}) {
				steps = append(steps, s)
			}
			if len(steps) == 5 || rng.IntN(8) == 0 {
				check(t, m.SyncDir("."))
				steps, durable = nil, maps.Clone(names)
			}
			want, got := outcomes(durable, steps), make(map[string]bool)
			for crash := range uint64(400) {
				state := identify(m.Crash(crash))
				if got[state] = true; !want[state] {
					t.Fatalf("BALLAST_VFS_SEED=%d: %v and then %v became %s", seed, durable, steps, state)
				}
			}
			if len(got) != len(want) {
				t.Errorf("BALLAST_VFS_SEED=%d: %v and then %v became only %d of %d states", seed, durable, steps, len(got), len(want))
			}
		}
	}
}

// nameCall makes a random call on names, and on the map; a new file holds its id durably.
func nameCall(t *testing.T, rng *rand.Rand, m *Mem, names map[string]string, id string) nameStep {
	all := []string{"a", "b", "c"}
	from, to := all[rng.IntN(3)], all[rng.IntN(3)]
	if names[from] == "" {
		f := create(t, m, from)
		block := AlignedBytes(BlockBytes)
		copy(block, id)
		write(t, f, 0, block)
		check(t, errors.Join(f.Sync(), f.Close()))
		names[from] = id
		return nameStep{"", from, id}
	}
	id = names[from]
	if rng.IntN(3) == 0 {
		check(t, m.Remove(from))
		delete(names, from)
		return nameStep{from, "", id}
	}
	check(t, m.Rename(from, to))
	if from == to {
		return nameStep{}
	}
	delete(names, from)
	names[to] = id
	return nameStep{from, to, id}
}

func identify(m *Mem) string {
	names := make(map[string]string)
	for _, path := range m.Files() {
		id, _, _ := bytes.Cut(m.ReadFile(path), []byte{0})
		names[path] = string(id)
	}
	return fmt.Sprint(names)
}

// Every choice is possible, and of many things all and none are chosen often.
func TestChoose(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	seen := make(map[[3]bool]bool)
	all, none := 0, 0
	const rounds = 1000
	for range rounds {
		keep := choose(rng, 3)
		seen[[3]bool{keep(0), keep(1), keep(2)}] = true
		keep = choose(rng, 128)
		kept := 0
		for i := range 128 {
			if keep(i) {
				kept++
			}
		}
		if kept == 128 {
			all++
		}
		if kept == 0 {
			none++
		}
	}
	if len(seen) != 8 {
		t.Errorf("of three things %d of 8 choices were seen", len(seen))
	}
	if min(all, none) < rounds/20 {
		t.Errorf("of many things all were kept %d times and none %d times, of %d", all, none, rounds)
	}
}

// A content that is changed in every way is what a slice of bytes becomes, and its shares stay as they were.
func TestContentRandom(t *testing.T) {
	for _, seed := range seeds(t, 8) {
		rng := rand.New(rand.NewPCG(seed, 3))
		const most = 3 * chunkPages
		var c content
		var want []byte
		var shares []content
		var shared [][]byte
		for range 60 {
			first, n := rng.Int64N(most), rng.Int64N(most)
			switch rng.IntN(4) {
			case 0:
				size := rng.IntN(most * BlockBytes)
				c.resize(int64(size))
				want = append(want[:min(size, len(want)):min(size, len(want))], make([]byte, max(0, size-len(want)))...)
			case 1:
				holes, before := c.holes(first, n), c.blocks
				c.fill(first, n)
				if c.blocks-before != holes || c.holes(first, n) != 0 {
					t.Fatalf("seed %d: filling %d holes added %d blocks", seed, holes, c.blocks-before)
				}
				c.resize(c.size) // nothing is left beyond the size
			case 2:
				if at := int(first) * BlockBytes; at+BlockBytes <= len(want) {
					b := pattern(BlockBytes, byte(n))
					c.set(first, newPages([][]byte{b})[0])
					want = slices.Concat(want[:at], b, want[at+BlockBytes:])
				}
			case 3:
				shares, shared = append(shares, c.share()), append(shared, want)
			}
			compare(t, seed, &c, want)
		}
		for i := range shares {
			compare(t, seed, &shares[i], shared[i])
		}
	}
}

func compare(t *testing.T, seed uint64, c *content, want []byte) {
	t.Helper()
	got := make([]byte, c.size)
	if n, err := c.readAt(got, 0); n != len(got) || err != nil || !bytes.Equal(got, want) {
		t.Fatalf("BALLAST_VFS_SEED=%d: %d bytes of %d are not what was put there: %v", seed, n, len(want), err)
	}
	blocks := int64(0)
	for _, k := range c.chunks {
		blocks += k.blocks()
	}
	if blocks != c.blocks {
		t.Fatalf("BALLAST_VFS_SEED=%d: %d blocks, and %d are counted", seed, blocks, c.blocks)
	}
}
