package wal

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/raft-ballast/ballast/internal/oracle"
	"github.com/raft-ballast/ballast/internal/vfs"
)

// groupCalls makes calls on several groups: most of them compact all the time, group 0 never does, and one is dropped now and then. So
// there are always segments in which little is live but entries of group 0, which move.
type groupCalls struct {
	*testGroups
	rng      *rand.Rand // of whoever makes calls alone
	journal  atomic.Pointer[journal]
	dropping atomic.Int64

	mu    sync.Mutex
	lines map[uint64]*timeline
}

// timeline is what a group was, call by call. After a crash it may be states[acked] or a later one.
type timeline struct {
	states []*model
	acked  int
}

func (l *timeline) last() *model { return l.states[len(l.states)-1] }

const crashedGroups = 6

func newGroupCalls(t *testing.T, fsys vfs.FS, seed uint64, change func(*Options)) *groupCalls {
	c := &groupCalls{testGroups: newTestGroups(t, fsys, change), rng: oracle.Random(seed), lines: make(map[uint64]*timeline)}
	for id := range uint64(crashedGroups) {
		c.lines[id] = &timeline{states: []*model{oracle.NewModel()}}
	}
	c.journal.Store(c.j)
	return c
}

// next makes a call on one of the groups.
func (c *groupCalls) next() error {
	id := 1 + c.rng.Uint64N(crashedGroups-1)
	if c.rng.IntN(5) == 0 {
		id = 0
	}
	return c.on(id, c.rng)
}

// on makes a call on a group. Each group has one caller at a time.
func (c *groupCalls) on(id uint64, rng *rand.Rand) error {
	c.mu.Lock()
	line := c.lines[id]
	m := line.last().Clone()
	c.mu.Unlock()
	kind, size := rng.IntN(40), 40<<10
	if id == 0 {
		kind, size = 20, 1<<10
	}
	do := func() error { return c.drop(id) }
	if kind > 0 {
		call := aCall(rng, m, kind, size)
		s, err := c.storeOf(id)
		if err != nil {
			return err
		}
		do = func() error { return call.Do(s) }
		call.Apply(m)
	} else {
		m = oracle.NewModel()
	}
	c.mu.Lock()
	line.states = append(line.states, m)
	c.mu.Unlock()
	err := do()
	if err == nil {
		c.mu.Lock()
		line.acked = len(line.states) - 1
		c.mu.Unlock()
	}
	return err
}

func aCall(rng *rand.Rand, m *model, kind, size int) oracle.Call {
	switch {
	case kind < 4:
		return oracle.Call{Key: "CurrentTerm", Value: []byte{byte(rng.Uint32())}}
	case kind < 8 && m.Last() > 0:
		return oracle.Call{Low: 1, High: m.Last() - rng.Uint64N(2)}
	case kind < 10 && m.Last() > 1: // a conflict with the leader
		return oracle.Call{Logs: oracle.Entries(rng, m.Last()-1, 1, 300)}
	}
	return oracle.Call{Logs: oracle.Entries(rng, m.Last()+1, 1+rng.IntN(3), size)}
}

func (c *groupCalls) drop(id uint64) error {
	c.dropping.Add(1)
	defer c.dropping.Add(-1)
	c.mu.Lock()
	delete(c.opened, id)
	c.mu.Unlock()
	return c.Drop(id)
}

// storeOf returns the store of a group. It holds no lock while the log is asked: a Drop may be under way, whose write looks at the groups.
func (c *groupCalls) storeOf(id uint64) (*Store, error) {
	c.mu.Lock()
	s := c.opened[id]
	c.mu.Unlock()
	if s != nil {
		return s, nil
	}
	s, err := c.Store(id)
	if err == nil {
		c.mu.Lock()
		c.opened[id] = s
		c.mu.Unlock()
	}
	return s, err
}

// acked returns for each group which state was acknowledged.
func (c *groupCalls) acked() map[uint64]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	from := make(map[uint64]int)
	for id, line := range c.lines {
		from[id] = line.acked
	}
	return from
}

// found fails unless each group of a log is what it was when that was acknowledged, or what a later call makes of it.
func (c *groupCalls) found(gs *Groups, from map[uint64]int) error {
	for _, id := range gs.IDs() {
		if _, ok := from[id]; !ok {
			return fmt.Errorf("there is a group %d", id)
		}
	}
	for id, acked := range from {
		c.mu.Lock()
		allowed := c.lines[id].states[acked:]
		c.mu.Unlock()
		s, err := gs.Store(id)
		if err != nil {
			return err
		}
		got, err := readAll(s)
		for i := range allowed {
			if err != nil {
				break
			}
			if err = allowed[i].Diff(got); err == nil {
				break
			} else if i < len(allowed)-1 {
				err = nil
			}
		}
		if err != nil {
			return fmt.Errorf("group %d: %w", id, err)
		}
	}
	return nil
}

// again closes the log and opens it. Nobody makes calls.
func (c *groupCalls) again() {
	c.t.Helper()
	c.journal.Store(nil)
	for id, line := range c.lines {
		c.models[id] = line.last()
	}
	c.reopen()
	c.journal.Store(c.j)
}

// during says what goes on in the log: whether entries move, and whether a group is being dropped.
func (c *groupCalls) during() (moves, drops bool) {
	j := c.journal.Load()
	if j == nil {
		return false, false
	}
	if moves = !j.reclaimer.working.TryLock(); !moves {
		j.reclaimer.working.Unlock()
	}
	return moves, c.dropping.Load() > 0
}

func eagerly(o *Options) { o.garbage = 1 << 16 }

// TestCrashGroups cuts the power in calls of several groups and in between, while entries move and groups are dropped.
func TestCrashGroups(t *testing.T) {
	for _, k := range []struct {
		name    string
		share   int // in percent of all power cuts of the tier
		callers uint64
		change  func(*Options)
	}{
		{"inline", 12, 1, eagerly},
		{"goroutines", 8, 3, func(o *Options) { eagerly(o); o.inline = false }},
	} {
		t.Run(k.name, func(t *testing.T) {
			n := &cutCounts{want: int64(*crashPoints * k.share / 100 / min(thin, 2))}
			few := func() bool { return n.all.Load() < n.want || n.moves.Load() == 0 || n.drops.Load() == 0 }
			for seed := *crashSeed; few() && seed < *crashSeed+1000 && !t.Failed(); seed++ {
				if n.all.Load() >= n.want {
					n.want = n.all.Load() + 100
				}
				t.Logf("seed %d, after %d power cuts", seed, n.all.Load())
				crashGroups(t, seed, k.callers, k.change, n)
			}
			t.Logf("%d power cuts, %d of them while entries moved, %d while a group was dropped; %d entries moved", n.all.Load(), n.moves.Load(), n.drops.Load(), n.moved)
			if n.moves.Load() == 0 || n.drops.Load() == 0 || n.moved == 0 {
				t.Error("no power cut while entries moved, or none while a group was dropped")
			}
		})
	}
}

// cutCounts counts power cuts of several runs.
type cutCounts struct {
	want              int64
	all, moves, drops atomic.Int64
	moved             uint64
}

// crashGroups makes some hundred calls and cuts the power in one of so many calls to the file system, more often in those that count.
func crashGroups(t *testing.T, seed, callers uint64, change func(*Options), n *cutCounts) {
	mem := vfs.NewMem()
	c := newGroupCalls(t, mem, seed, change)
	var calls atomic.Uint64
	mem.SetHook(func(call *vfs.Call) error {
		i := calls.Add(1)
		moves, drops := c.during()
		every := uint64(14)
		if moves || drops {
			every = 3
		}
		if i%every != 0 || n.all.Load() >= n.want {
			return nil
		}
		from := c.acked()
		cut := call.Cut()
		if err := c.lookAt(cut.Crash(seed<<32+i), from); err != nil {
			t.Errorf("seed %d, power cut at call %d (%v of %s): %v", seed, i, call.Op, call.Path, err)
		}
		for count, is := range map[*atomic.Int64]bool{&n.all: true, &n.moves: moves, &n.drops: drops} {
			if is {
				count.Add(1)
			}
		}
		return nil
	})
	const callsEach = 240
	for range 3 {
		if t.Failed() || n.all.Load() >= n.want {
			break
		}
		if callers == 1 {
			for range callsEach {
				must(t, c.next())
			}
		} else {
			c.together(seed, callers, callsEach/callers)
		}
		n.moved += c.j.reclaimer.movedEntries.Load()
		c.again()
	}
	mem.SetHook(nil)
	must(t, c.Groups.Close())
}

// together has callers make calls at once, each on groups of its own.
func (c *groupCalls) together(seed, callers, calls uint64) {
	var all sync.WaitGroup
	for caller := range callers {
		rng := oracle.Random(seed<<8 + caller)
		all.Go(func() {
			for range calls {
				id := caller + callers*rng.Uint64N(crashedGroups/callers)
				if err := c.on(id, rng); err != nil {
					c.t.Errorf("group %d: %v", id, err)
					return
				}
			}
		})
	}
	all.Wait()
}

// lookAt opens what a crash has left.
func (c *groupCalls) lookAt(mem *vfs.Mem, from map[uint64]int) error {
	opts := c.options(mem)
	opts.inline = true
	gs, err := OpenGroups(dataDir, opts)
	if err != nil {
		return err
	}
	return errors.Join(c.found(gs, from), gs.Close())
}

// TestFaultGroups has a call to the file system fail while entries move, each in turn, and looks at what is there after a reopening.
func TestFaultGroups(t *testing.T) {
	step := 80 * min(thin, 4)
	if *faultsAll {
		step = 1
	}
	moved := uint64(0)
	for _, fault := range []error{syscall.ENOSPC, syscall.EIO} {
		for at := 0; at < 1600; at += step {
			t.Run(fmt.Sprintf("%v at %d", fault, at), func(t *testing.T) { moved += faultGroups(t, at, fault) }) // whose memory is free behind it
		}
	}
	if t.Logf("%d entries moved", moved); moved == 0 {
		t.Error("nothing was moved")
	}
}

func faultGroups(t *testing.T, at int, fault error) (moved uint64) {
	t.Helper()
	mem := vfs.NewMem()
	c := newGroupCalls(t, mem, *crashSeed, eagerly)
	calls := 0
	mem.SetHook(func(*vfs.Call) error {
		if calls++; calls == at+1 {
			return fault
		}
		return nil
	})
	var err error
	for i := 0; i < 400 && err == nil; i++ {
		err = c.next()
	}
	mem.SetHook(nil)
	moved = c.j.reclaimer.movedEntries.Load()
	if err != nil && !errors.Is(err, fault) {
		t.Errorf("call %d fails with %v: %v", at, fault, err)
	}
	if e := c.Groups.Close(); e != nil && err == nil && !errors.Is(e, fault) {
		t.Errorf("call %d fails with %v, and Close with %v", at, fault, e)
	}
	if err := c.lookAt(mem, c.acked()); err != nil {
		t.Errorf("call %d fails with %v, then: %v", at, fault, err)
	}
	return moved
}
