package wal

import (
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"

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
const cutsPerCall = 3

func newCrasher(name string, seed uint64, compression Compression) *crasher {
	c := &crasher{name: name, seed: seed, mem: vfs.NewMem(), rng: random(seed), before: newModel()}
	c.after = c.before
	c.opts = *memOptions(c.mem)
	c.opts.Compression = compression
	c.mem.SetHook(func(call *vfs.Call) error {
		c.calls++
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
	rng := random(seed)
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
	if err := c.goOn(s, mem, found.clone(), rng); err != nil {
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
		err = c.goOn(s, mem, found.clone(), rng)
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
	err = c.before.diff(got)
	if err == nil {
		return c.before, nil
	}
	if c.after == c.before {
		return nil, err
	}
	if e := c.after.diff(got); e != nil {
		return nil, fmt.Errorf("neither as before the call in progress (%w) nor as after it (%w)", err, e)
	}
	return c.after, nil
}

// goOn writes to a store that was recovered, closes it or cuts the power, and expects all of it when it is opened again.
func (c *crasher) goOn(s *Store, mem *vfs.Mem, m *model, rng *rand.Rand) error {
	logs := entriesFrom(rng, m.last()+1, 1, rng.IntN(2000))
	m.store(logs, 0)
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
		err = m.check(s)
	}
	if err != nil {
		return fmt.Errorf("what was found before is not found again: %w", err)
	}
	return nil
}

// do makes a call, and to the model what the call is to do. It reports whether the workload goes on.
func (c *crasher) do(call func() error, change func(*model)) bool {
	c.after = c.before.clone()
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
	logs := entriesFrom(c.rng, first, n, size)
	staged := uint64(0)
	if c.rng.IntN(3) == 0 {
		staged = first + uint64(c.rng.IntN(n+2)) // also above the last index
		_ = c.store.StageCommitIndex(staged)     // fails only when closed
	}
	return c.do(func() error { return c.store.StoreLogs(logs) }, func(m *model) { m.store(logs, staged) })
}

func (c *crasher) remove(low, high uint64) bool {
	return c.do(func() error { return c.store.DeleteRange(low, high) }, func(m *model) { m.remove(low, high) })
}

func (c *crasher) set(key string, value []byte) bool {
	return c.do(func() error { return c.store.Set([]byte(key), value) }, func(m *model) { m.stable[key] = value })
}

// step makes one call of any kind.
func (c *crasher) step() bool {
	first, last := c.before.first(), c.before.last()
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
		return c.set(fmt.Sprintf("key %d", c.rng.IntN(5)), randomBytes(c.rng, c.rng.IntN(200)))
	case 13:
		return c.reopen()
	case 14:
		return c.failed()
	}
}

// failed makes a call during which the file system fails once. When that fails the call nobody knows whether it happened, until
// the log is opened again: then it is known for ever.
func (c *crasher) failed() bool {
	c.inject = []error{syscall.EIO, vfs.Late(syscall.EIO), vfs.Late(syscall.EIO), syscall.ENOSPC}[c.rng.IntN(4)]
	c.untilFault = 1 + c.rng.IntN(4)
	first, last := c.before.first(), c.before.last()
	logs := entriesFrom(c.rng, last+1, 1+c.rng.IntN(8), c.rng.IntN(60<<10))
	c.after = c.before.clone()
	var err error
	if c.rng.IntN(2) == 0 {
		c.after.store(logs, 0)
		err = c.store.StoreLogs(logs)
	} else {
		c.after.remove(first, last)
		err = c.store.DeleteRange(first, last)
	}
	c.untilFault = 0
	if err == nil { // the keeper met the fault, or nobody
		c.before = c.after
	}
	if c.err != nil {
		return false
	}
	_ = c.store.Close() // returns what failed
	if c.store, c.err = c.open(c.mem); c.err != nil {
		return false
	}
	if c.before, c.err = c.found(c.store); c.err != nil {
		return false
	}
	c.after = c.before
	return true
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
		{"plain", 1, None, 80},
		{"plain", 2, None, 80},
		{"plain", 3, None, 80},
		{"s2", 4, S2, 80},
		{"zstd", 5, Zstd, 80},
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
