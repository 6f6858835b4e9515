package wal

import (
	"errors"
	"syscall"
	"testing"

	"github.com/raft-ballast/ballast/internal/oracle"
	"github.com/raft-ballast/ballast/internal/vfs"
)

// groupCalls makes calls on several groups: most of them compact all the time, group 0 never does, and one is dropped now and then. So
// there are always segments in which little is live but entries of group 0, which move.
type groupCalls struct {
	*testGroups
	n      uint64
	before map[uint64]*model // the state before the call in progress
}

const crashedGroups = 6

// next makes a call, on the models too, and returns its error.
func (c *groupCalls) next() error {
	c.n++
	rng := oracle.Random(c.n)
	c.before = make(map[uint64]*model)
	for id, m := range c.models {
		c.before[id] = m.Clone()
	}
	id, kind := 1+rng.Uint64N(crashedGroups-1), rng.IntN(40)
	if kind == 0 {
		c.models[id] = oracle.NewModel()
		delete(c.opened, id)
		return c.Drop(id)
	}
	size := 40 << 10
	if kind >= 32 {
		id, size = 0, 1<<10
	}
	m := c.model(id)
	var call oracle.Call
	switch {
	case kind < 4:
		call = oracle.Call{Key: "CurrentTerm", Value: []byte{byte(c.n)}}
	case kind < 8 && m.Last() > 0:
		call = oracle.Call{Low: 1, High: m.Last() - rng.Uint64N(2)}
	case kind < 10 && m.Last() > 1: // a conflict with the leader
		call = oracle.Call{Logs: oracle.Entries(rng, m.Last()-1, 1, 300)}
	default:
		call = oracle.Call{Logs: oracle.Entries(rng, m.Last()+1, 1+rng.IntN(3), size)}
	}
	s := c.store(id)
	call.Apply(m)
	return call.Do(s)
}

// found fails unless a log is what it was before the call in progress or what it is after it, in all groups alike.
func (c *groupCalls) found(gs *Groups) error {
	opened := make(map[uint64]*Store)
	err := checkGroups(gs, opened, c.before)
	if err == nil {
		return nil
	}
	if e := checkGroups(gs, opened, c.models); e != nil {
		return errors.Join(err, e)
	}
	return nil
}

func eagerly(o *Options) { o.garbage = 1 << 16 }

// TestCrashGroups cuts the power in calls of several groups and in between, while entries move.
func TestCrashGroups(t *testing.T) {
	mem := vfs.NewMem()
	c := &groupCalls{testGroups: newTestGroups(t, mem, eagerly)}
	cuts := uint64(0)
	every := uint64(3 * thin)
	mem.SetHook(func(call *vfs.Call) error {
		if cuts++; cuts%every != *crashSeed%every {
			return nil
		}
		gs, err := OpenGroups(dataDir, c.options(call.Cut().Crash(cuts)))
		if err != nil {
			t.Fatalf("power cut %d (%v of %s): %v", cuts, call.Op, call.Path, err)
		}
		if err := c.found(gs); err != nil {
			t.Errorf("power cut %d (%v of %s): %v", cuts, call.Op, call.Path, err)
		}
		if err := gs.Close(); err != nil {
			t.Error(err)
		}
		return nil
	})
	for range 900 / thin {
		if must(t, c.next()); t.Failed() {
			return
		}
		if c.n%250 == 0 {
			c.reopen()
		}
	}
	c.check()
	st := c.store(0).Stats()
	t.Logf("%d power cuts, %d entries moved, %d segments recycled, %d there", cuts/every, st.Moved, st.Recycled, st.Segments)
	if st.Moved == 0 {
		t.Error("nothing was moved")
	}
	mem.SetHook(nil)
}

// TestFaultGroups has a call to the file system fail while entries move, each in turn, and looks at what is there after a reopening.
func TestFaultGroups(t *testing.T) {
	moved := uint64(0)
	for _, fault := range []error{syscall.ENOSPC, syscall.EIO} {
		for at := 0; at < 1600; at += 50 * min(thin, 4) {
			moved += faultGroups(t, at, fault)
		}
	}
	if t.Logf("%d entries moved", moved); moved == 0 {
		t.Error("nothing was moved")
	}
}

func faultGroups(t *testing.T, at int, fault error) (moved uint64) {
	t.Helper()
	mem := vfs.NewMem()
	c := &groupCalls{testGroups: newTestGroups(t, mem, eagerly)}
	calls := 0
	mem.SetHook(func(*vfs.Call) error {
		if calls++; calls == at+1 {
			return fault
		}
		return nil
	})
	var err error
	for c.n < 400 && err == nil {
		err = c.next()
	}
	mem.SetHook(nil)
	for _, s := range c.opened {
		moved = max(moved, s.Stats().Moved)
	}
	if err != nil && !errors.Is(err, fault) {
		t.Errorf("call %d fails with %v: %v", at, fault, err)
	}
	if e := c.Groups.Close(); e != nil && err == nil && !errors.Is(e, fault) {
		t.Errorf("call %d fails with %v, and Close with %v", at, fault, e)
	}
	gs, err := OpenGroups(dataDir, c.options(mem))
	must(t, err)
	if err := c.found(gs); err != nil {
		t.Errorf("call %d fails with %v, then: %v", at, fault, err)
	}
	must(t, gs.Close())
	return moved
}
