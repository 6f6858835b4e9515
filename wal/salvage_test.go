package wal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/oracle"
	"github.com/raft-ballast/ballast/internal/vfs"
)

// TestSalvage damages small logs in many ways. What is salvaged is never wrong: the entries before what is missing are those of
// a log that there was at some time, those behind it are those of the log that was damaged, and so are the stable values but for those
// that are said to be unsure. Where nothing is said to be missing, nothing is.
func TestSalvage(t *testing.T) {
	for n, kind := range imageKinds {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			im := newImage(t, kind)
			count, refused, missing, later := 200, 0, 0, 0
			if *flipsAll {
				count = 20_000
			}
			for seed := range count {
				mem := im.full.Clone()
				what := im.damage(oracle.Random(uint64(n*1_000_000+seed)), mem)
				s, err := Salvage(dataDir, im.options(mem))
				if err != nil {
					refused++
					if !errors.Is(err, ballast.ErrCorrupt) && !errors.Is(err, fs.ErrNotExist) {
						t.Fatalf("seed %d, %s: %v", seed, what, err)
					}
					continue
				}
				if err := im.checkSalvaged(mem, s); err != nil {
					t.Fatalf("seed %d, %s: %v; damage %v", seed, what, err, s.Damage)
				}
				if s.Missing() {
					missing++
					if last, _ := s.Later.LastIndex(); last != 0 {
						later++
					}
				}
				must(t, s.Close())
			}
			t.Logf("%d trials, %d of which nothing can be read, %d in which calls are missing, %d with entries behind them", count, refused, missing, later)
			if missing == 0 {
				t.Error("never was anything missing")
			}
		})
	}
}

// damage changes one or two places of a log and says how.
func (im *image) damage(rng interface {
	IntN(int) int
	Uint32() uint32
}, mem *vfs.Mem) (what string) {
	paths := append(im.segments(), im.next)
	for range 1 + rng.IntN(2) {
		path := paths[rng.IntN(len(paths))]
		data := mem.ReadFile(path)
		if len(data) < framesOffset {
			continue // it was cut off already
		}
		used := min(len(im.used(path)), len(data))
		off, size := rng.IntN(used), 1+rng.IntN(600)
		switch rng.IntN(7) {
		case 0:
			what += fmt.Sprintf("the header of %s; ", path)
			data[rng.IntN(headerBytes)] ^= 1
		case 1:
			what += fmt.Sprintf("%s ends at %d; ", path, off)
			data = data[:off]
		case 2:
			what += fmt.Sprintf("the first block of %s is zero; ", path)
			clear(data[:blockBytes])
		case 3:
			what += fmt.Sprintf("%d bytes at %d of %s are zero; ", size, off, path)
			clear(data[off:min(off+size, len(data))])
		case 4:
			what += fmt.Sprintf("%d bytes at %d of %s are noise; ", size, off, path)
			for i := off; i < min(off+size, len(data)); i++ {
				data[i] = byte(rng.Uint32())
			}
		default:
			what += fmt.Sprintf("a bit of byte %d of %s; ", off, path)
			data[off] ^= 1 << rng.IntN(8)
		}
		mem.WriteFile(path, data)
	}
	return what
}

// entriesOf returns the entries that can be read of a store, nil for those that it says are damaged.
func entriesOf(s *Store) (map[uint64]*raft.Log, error) {
	if err := checkLive(s.j); err != nil {
		return nil, err
	}
	out := make(map[uint64]*raft.Log)
	for index := uint64(1); ; index++ {
		next, err := s.NextIndex(index)
		if err != nil || next == 0 {
			return out, err
		}
		index = next
		log := new(raft.Log)
		switch err := s.GetLog(index, log); {
		case err == nil:
			out[index] = log
		case errors.Is(err, ballast.ErrCorrupt):
			out[index] = nil
		default:
			return nil, err
		}
	}
}

// holds reports whether entries are some of those of a model.
func holds(m *model, entries map[uint64]*raft.Log) error {
	for index, log := range entries {
		if m.Logs[index] == nil {
			return fmt.Errorf("entry %d was deleted", index)
		}
		if log != nil {
			if err := oracle.DiffEntry(m.Logs[index], log); err != nil {
				return err
			}
		}
	}
	return nil
}

func (im *image) checkSalvaged(mem *vfs.Mem, s *Salvaged) error {
	ends := append([]*model{im.model}, im.indistinguishable(mem)...)
	times := slices.Concat([]*model{oracle.NewModel()}, im.older, im.states)
	if !s.Missing() {
		times = ends
	}
	entries, err := entriesOf(s.Log)
	if err != nil {
		return err
	}
	commit, err := s.Log.GetCommitIndex()
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(times, func(m *model) bool {
		return len(m.Logs) == len(entries) && m.Commit == commit && holds(m, entries) == nil
	}) {
		return fmt.Errorf("there was never a log with the %d entries up to %d and commit index %d; the last one is %s", len(entries), s.Reached, commit, im.model)
	}
	if s.Missing() {
		behind, err := entriesOf(s.Later)
		if err != nil {
			return err
		}
		if err := holds(im.model, behind); err != nil {
			return fmt.Errorf("behind what is missing: %w", err)
		}
	}
	return im.checkStable(s, ends)
}

func (im *image) checkStable(s *Salvaged, ends []*model) error {
	for _, end := range ends {
		wrong := false
		for key, want := range end.Stable {
			value, ok := s.Stable[key]
			if unsure := !ok && s.StableUnsure || slices.Contains(s.Stale, key); !unsure && !bytes.Equal(value, want) {
				wrong = true
			}
		}
		if !wrong {
			return nil
		}
	}
	return fmt.Errorf("the stable values are %q, should be %q; only %q of them are said to be unsure", s.Stable, im.model.Stable, s.Stale)
}

// TestCrcBack: a CRC run backwards leads to what it began with, and an identity can be made for it.
func TestCrcBack(t *testing.T) {
	rng := oracle.Random(1)
	for range 100 {
		seg := newSegment(dataDir, header{number: 1, identity: rng.Uint64(), size: minSegmentBytes})
		b := make([]byte, 64)
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		r := record{kind: recordSet, first: []byte("key"), second: b, raw: uint32(len(b))}
		frame := encodeFrame([]record{r}, 1, seg.seed, framesOffset)
		if got := crcBack(binary.LittleEndian.Uint32(frame[4:])^place(framesOffset), frame[8:frameHeaderBytes]); got != seg.seed {
			t.Fatalf("%08x, should be %08x", got, seg.seed)
		}
		if got := seedOf(identityOf(seg.seed)); got != seg.seed {
			t.Fatalf("an identity of seed %08x, should be %08x", got, seg.seed)
		}
	}
}
