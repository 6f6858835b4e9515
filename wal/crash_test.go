package wal

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast/internal/oracle"
	"github.com/raft-ballast/ballast/internal/vfs"
)

// crasher runs a workload once and cuts the power during every call that changes the file system, in a copy of it. Each
// copy is opened, and what is found must be what the acknowledged calls made, with all of the call in progress or nothing
// of it.
//
// During the recovery the power is cut again, and once more behind it: what was found must be found for ever.
type crasher struct {
	name string
	seed uint64
	opts Options

	mem   *vfs.Mem
	store *Store
	rng   *rand.Rand

	// What a power cut may leave: the one or the other. Without a call in progress they are the same.
	before, after *model

	// inject is what the call fails with that comes when untilFault is 0.
	inject     error
	untilFault int

	calls  uint64 // that changed the file system
	opened int
	err    error // the first failure
}

// cutsPerCall is how many outcomes of each power cut are looked at.
const cutsPerCall = 2

func newCrasher(name string, seed uint64, compression Compression) *crasher {
	c := &crasher{name: name, seed: seed, mem: vfs.NewMem(), rng: oracle.Random(seed), before: oracle.NewModel()}
	c.after = c.before
	c.opts = *memOptions(c.mem)
	c.opts.Compression = compression
	c.mem.SetHook(func(call *vfs.Call) error {
		c.calls++
		if c.calls%thin != 0 {
			return c.fault()
		}
		cut := call.Cut()
		for i := range uint64(cutsPerCall) {
			if err := c.recover(cut, c.calls*cutsPerCall+i); err != nil {
				c.err = fmt.Errorf("%s, seed %d, call %d (%v of %s to %q at %d), power cut %d: %w",
					c.name, c.seed, c.calls, call.Op, call.Path, call.To, call.Off, i, err)
				return vfs.ErrCrashed // ends the workload
			}
		}
		return c.fault()
	})
	return c
}

// fault returns what the present call fails with.
func (c *crasher) fault() (err error) {
	if c.untilFault--; c.untilFault == 0 {
		err = c.inject
	}
	return err
}

// recover opens what a power cut has left, lets the log go on, and cuts the power again in between.
func (c *crasher) recover(cut *vfs.Mem, seed uint64) error {
	rng := oracle.Random(seed)
	mem := cut.Crash(seed)
	var again []*vfs.Mem
	mem.SetHook(func(call *vfs.Call) error {
		again = append(again, call.Cut())
		return nil
	})
	s, err := c.open(mem)
	if err != nil {
		return err
	}
	mem.SetHook(nil)
	found, err := c.found(s)
	if err != nil {
		return err
	}
	if err := c.goOn(s, mem, found.Clone(), rng); err != nil {
		return err
	}
	if len(again) == 0 {
		return nil
	}
	i := rng.IntN(len(again))
	mem = again[i].Crash(seed)
	if s, err = c.open(mem); err == nil {
		found, err = c.found(s)
	}
	if err == nil {
		err = c.goOn(s, mem, found.Clone(), rng)
	}
	if err != nil {
		return fmt.Errorf("the power cut again in call %d of %d of the recovery: %w", i+1, len(again), err)
	}
	return nil
}

func (c *crasher) open(mem *vfs.Mem) (*Store, error) {
	c.opened++
	opts := c.opts
	opts.fs = mem
	s, err := Open(dataDir, &opts)
	if err != nil {
		return nil, fmt.Errorf("Open: %w", err)
	}
	return s, nil
}

// found returns which of the two states a store has.
func (c *crasher) found(s *Store) (*model, error) {
	got, err := readAll(s)
	if err != nil {
		return nil, err
	}
	err = c.before.Diff(got)
	if err == nil {
		return c.before, nil
	}
	if c.after == c.before {
		return nil, err
	}
	if e := c.after.Diff(got); e != nil {
		return nil, fmt.Errorf("neither as before the call in progress (%w) nor as after it (%w)", err, e)
	}
	return c.after, nil
}

// goOn writes to a store that was recovered, closes it or cuts the power, and expects all of it when it is opened again.
func (c *crasher) goOn(s *Store, mem *vfs.Mem, m *model, rng *rand.Rand) error {
	logs := oracle.Entries(rng, m.Last()+1, 1, rng.IntN(2000))
	m.Put(logs, 0)
	if err := s.StoreLogs(logs); err != nil {
		return fmt.Errorf("going on: %w", err)
	}
	if rng.IntN(2) == 0 {
		if err := s.Close(); err != nil {
			return fmt.Errorf("Close: %w", err)
		}
	}
	s, err := c.open(mem.Crash(rng.Uint64()))
	if err == nil {
		err = check(m, s)
	}
	if err != nil {
		return fmt.Errorf("what was found before is not found again: %w", err)
	}
	return nil
}

// do makes a call, and to the model what the call is to do. It reports whether the workload goes on.
func (c *crasher) do(call func() error, change func(*model)) bool {
	c.after = c.before.Clone()
	change(c.after)
	if err := call(); err != nil && c.err == nil {
		c.err = fmt.Errorf("%s, seed %d, call %d: %w", c.name, c.seed, c.calls, err)
	}
	c.before = c.after
	return c.err == nil
}

func (c *crasher) reopen() bool {
	return c.do(func() (err error) {
		if c.store != nil {
			if err := c.store.Close(); err != nil {
				return err
			}
		}
		c.store, err = c.open(c.mem)
		return err
	}, func(*model) {})
}

// put stores n entries from first on, now and then with a commit index.
func (c *crasher) put(first uint64, n, size int) bool {
	logs := oracle.Entries(c.rng, first, n, size)
	staged := uint64(0)
	if c.rng.IntN(3) == 0 {
		staged = first + uint64(c.rng.IntN(n+2)) // also above the last index
		_ = c.store.StageCommitIndex(staged)     // fails only when closed
	}
	return c.do(func() error { return c.store.StoreLogs(logs) }, func(m *model) { m.Put(logs, staged) })
}

func (c *crasher) remove(low, high uint64) bool {
	return c.do(func() error { return c.store.DeleteRange(low, high) }, func(m *model) { m.Delete(low, high) })
}

func (c *crasher) set(key string, value []byte) bool {
	return c.do(func() error { return c.store.Set([]byte(key), value) }, func(m *model) { m.Stable[key] = value })
}

// step makes one call of any kind.
func (c *crasher) step() bool {
	first, last := c.before.First(), c.before.Last()
	count := max(last-first, 1)
	within := func() uint64 { return first + c.rng.Uint64N(count) }
	switch c.rng.IntN(20) {
	default:
		return c.put(last+1, 1+c.rng.IntN(8), c.rng.IntN(100<<10))
	case 0, 1, 2:
		return c.put(last+1, 1+c.rng.IntN(30), c.rng.IntN(200))
	case 3: // an overwrite, with what follows it left as it is
		return c.put(within()+1, 1+c.rng.IntN(4), c.rng.IntN(10<<10))
	case 4: // as raft does it
		at := within() + 1
		return c.remove(at, last) && c.put(at, 1+c.rng.IntN(4), c.rng.IntN(10<<10))
	case 5, 6, 7: // as raft compacts
		return c.remove(first, within())
	case 8:
		at := within()
		return c.remove(at, at+c.rng.Uint64N(5))
	case 9: // a snapshot was installed
		return c.remove(first, last) && c.put(last+1+c.rng.Uint64N(3)*1000, 1, 100)
	case 10: // a gap
		return c.put(last+2+c.rng.Uint64N(100), 1+c.rng.IntN(3), c.rng.IntN(10<<10))
	case 11, 12:
		return c.set(fmt.Sprintf("key %d", c.rng.IntN(5)), oracle.Bytes(c.rng, c.rng.IntN(200)))
	case 13:
		return c.reopen()
	case 14:
		return c.failed()
	}
}

// failed makes a call, or opens the log again, and the file system fails once meanwhile. When that fails a call nobody knows
// whether it happened, until the log is opened: then it is known for ever.
func (c *crasher) failed() bool {
	c.inject = []error{syscall.EIO, vfs.Late(syscall.EIO), vfs.Late(syscall.EIO), syscall.ENOSPC}[c.rng.IntN(4)]
	c.untilFault = 1 + c.rng.IntN(4)
	first, last := c.before.First(), c.before.Last()
	logs := oracle.Entries(c.rng, last+1, 1+c.rng.IntN(8), c.rng.IntN(60<<10))
	c.after = c.before.Clone()
	var err error
	switch c.rng.IntN(3) {
	case 0:
		c.after.Put(logs, 0)
		err = c.store.StoreLogs(logs)
	case 1:
		c.after.Delete(first, last)
		err = c.store.DeleteRange(first, last)
	case 2:
		c.untilFault = 1 + c.rng.IntN(12)
	}
	if err == nil { // the keeper met the fault, or nobody
		c.before = c.after
	} else {
		c.untilFault = 0
	}
	pending := c.untilFault > 0
	_ = c.store.Close() // may return the fault
	if c.store, err = c.open(c.mem); pending && (err != nil || c.store.j.failed.Err() != nil) {
		if err == nil {
			_ = c.store.Close()
		}
		c.store, err = c.open(c.mem) // the fault was in the first opening
	}
	c.untilFault = 0
	if err == nil {
		c.before, err = c.found(c.store)
	}
	c.after = c.before
	if c.err == nil {
		c.err = err
	}
	return c.err == nil
}

// TestCrash cuts the power at each step of rotation, preparation, recycling, deletion, opening and closing, with segments of 1 MiB that are
// full after some calls. A log that is lost here is lost in a data centre.
func TestCrash(t *testing.T) {
	for _, c := range []struct {
		name        string
		seed        uint64
		compression Compression
		steps       int
	}{
		{"plain", 1, None, 40},
		{"plain", 2, None, 40},
		{"s2", 3, S2, 40},
		{"zstd", 4, Zstd, 40},
	} {
		t.Run(fmt.Sprintf("%s %d", c.name, c.seed), func(t *testing.T) {
			t.Parallel()
			sim := newCrasher(c.name, c.seed, c.compression)
			if sim.reopen() {
				for range c.steps {
					if !sim.step() {
						break
					}
				}
			}
			if sim.err != nil {
				t.Fatal(sim.err)
			}
			t.Logf("seed %d: %d calls, %d logs opened, tail %d", sim.seed, sim.calls, sim.opened, sim.store.j.tail.number)
		})
	}
}

// forge returns n bytes of data for an entry stored next, in which all looks like frames: a copy of the last one of this
// segment, and frames that would be the next ones, sealed with the identities of all segments so far, for just the place
// where the data will be. Only the identity of the next segment is not known to who stores entries.
func (c *crasher) forge(identities []uint64, n int) []byte {
	w := &c.store.j.writer
	last := c.mem.ReadFile(w.seg.path)[w.start:w.seg.end]
	last = last[:min(len(last), 2<<10)]
	at := frameStart(w.seg.end) + frameHeaderBytes + recordHeaderBytes
	data := bytes.Clone(last)
	for i := 0; len(data) < n; i++ {
		data = append(data, make([]byte, -len(data)&7)...)
		forged := record{kind: recordEntry, flags: flagData, a: c.before.Last() + 1, b: 1}
		seed := seedOf(identities[i%len(identities)])
		data = append(data, encodeFrame([]record{forged}, w.sequence+1+uint64(i/4%3), seed, at+int64(len(data)))...)
	}
	return data[:n]
}

// TestStaleBytes fills segments with data that looks like frames, recycles them, and cuts the power in every call. Behind a
// write that was cut off lies what the segment held before, and none of that may ever be taken for a frame.
func TestStaleBytes(t *testing.T) {
	c := newCrasher("stale bytes", 1, None)
	if !c.reopen() {
		t.Fatal(c.err)
	}
	identities := []uint64{0}
	tail := c.store.j.tail
	for c.err == nil && c.store.j.keeper.recycled.Load() < 3 {
		logs := []*raft.Log{oracle.EntryOf(c.before.Last()+1, c.forge(identities, 150<<10))}
		c.do(func() error { return c.store.StoreLogs(logs) }, func(m *model) { m.Put(logs, 0) })
		if tail != c.store.j.tail {
			identities = append(identities, tail.identity)
			tail = c.store.j.tail
			c.remove(1, c.before.Last()-1)
		}
	}
	if c.err != nil {
		t.Fatal(c.err)
	}
	t.Logf("%d calls, %d logs opened, %d segments recycled", c.calls, c.opened, c.store.j.keeper.recycled.Load())
}

// TestForgedFrames looks for frames where there are only forged ones, and copies of real ones in other places.
func TestForgedFrames(t *testing.T) {
	const size = minSegmentBytes
	seg := newSegment(dataDir, header{number: 1, identity: newIdentity(), size: size})
	real := encodeFrame([]record{{kind: recordEntry, a: 1}}, 1, seg.seed, framesOffset)
	data := make([]byte, size)
	for at := int64(framesOffset + 8); at < size-1<<10; at += 1 << 10 {
		copy(data[at:], real)
		forged := encodeFrame([]record{{kind: recordEntry, a: 1}}, 1, seedOf(seg.identity+1), at+int64(len(real)))
		copy(data[at+int64(len(real)):], forged)
	}
	mem := vfs.NewMem()
	mem.WriteFile(seg.path, data)
	f, err := mem.OpenRead(seg.path)
	must(t, err)
	if at, err := search(&reader{seg: seg, f: f}, framesOffset); at != 0 || err != nil {
		t.Errorf("a frame is found at %d: %v", at, err)
	}
	copy(data[framesOffset:], real)
	mem.WriteFile(seg.path, data)
	if at, err := search(&reader{seg: seg, f: f}, framesOffset); at != framesOffset || err != nil {
		t.Errorf("the real frame is found at %d: %v", at, err)
	}
}
