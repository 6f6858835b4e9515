package wal

import (
	"errors"
	"flag"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/oracle"
	"github.com/raft-ballast/ballast/internal/vfs"
)

var faultsAll = flag.Bool("faults.all", false, "let each call of a file system fail in each way, for several workloads")

// campaign is how many runs there are.
type campaign struct {
	seeds uint64
	calls int // of each run
	step  int // from one k to the next
}

func campaignOf(step int) campaign {
	if *faultsAll {
		return campaign{seeds: 2, calls: 50, step: 1}
	}
	return campaign{seeds: 1, calls: 40, step: step * thin}
}

// each runs with a fault at every k-th call, in each way, k growing until none fires.
func (c campaign) each(t *testing.T, run func(t *testing.T, kind faultKind, seed uint64, k int) (fired bool)) {
	for seed := range c.seeds {
		for i, kind := range faultKinds {
			t.Run(fmt.Sprintf("%s, seed %d", kind.name, seed+1), func(t *testing.T) {
				t.Parallel()
				for k := 1 + i*c.step/len(faultKinds); run(t, kind, seed+1, k); k += c.step {
				}
			})
		}
	}
}

// TestFaults makes random calls on a log while its file system fails, in each way and at every k-th call. Nothing that was acknowledged is
// lost, also not for a moment; the first cause is told from then on; a call that failed is there as a whole or not at all, for ever; and the log counts
// on nothing that a failed write or sync has left in doubt.
func TestFaults(t *testing.T) {
	c, counts := campaignOf(37), newFaultCounts()
	t.Cleanup(func() { counts.print(t) })
	c.each(t, func(t *testing.T, kind faultKind, seed uint64, k int) bool {
		r := newFaultRun(t, kind, seed, counts)
		r.plan.k = k
		return r.run(c.calls)
	})
}

// TestFaultsOfTheKeeper is the same with the keeper in a goroutine of its own, so that what fails there comes beside the calls. Which call
// fails is not the same each time.
func TestFaultsOfTheKeeper(t *testing.T) {
	c, counts := campaignOf(173), newFaultCounts()
	t.Cleanup(func() { counts.print(t) })
	c.each(t, func(t *testing.T, kind faultKind, seed uint64, k int) bool {
		r := newFaultRun(t, kind, seed, counts)
		r.opts.inline = false
		r.plan.k = k
		return r.run(c.calls)
	})
}

// TestFaultsOfEachOperation has every operation fail by itself, since in a row of all calls most are writes and reads.
func TestFaultsOfEachOperation(t *testing.T) {
	counts := newFaultCounts()
	t.Cleanup(func() { counts.print(t) })
	for op := vfs.OpMkdirAll; op <= vfs.OpClose; op++ {
		t.Run(op.String(), func(t *testing.T) {
			t.Parallel()
			for i, kind := range faultKinds {
				if !*faultsAll && (i+int(op))%(2*thin) != 0 {
					continue
				}
				first := 1
				if !*faultsAll {
					first += (i + int(op)) / 2 % 3
				}
				for nth := first; ; nth++ {
					r := newFaultRun(t, kind, 1+uint64(i), counts)
					r.plan.only, r.plan.k = &op, nth
					if fired := r.run(30); !fired || !*faultsAll {
						break
					}
				}
			}
		})
	}
}

// TestFailedReads has each read fail, of a log with many entries that are not in memory: while it is opened and while it is read, once and
// from then on. A read that failed is neither damage nor the end of the log, and the next time it may succeed.
func TestFailedReads(t *testing.T) {
	for _, closed := range []bool{false, true} {
		base := vfs.NewMem()
		l := newTestLog(t, base, 1)
		for range 3 {
			l.rotate()
		}
		for range 5 { // frames of the tail, which opening reads
			l.fill(16, 4<<10)
		}
		l.set("vote", "1")
		if closed {
			l.close()
		} else {
			l.abandon()
		}
		for _, forever := range []bool{false, true} {
			for _, op := range readOps {
				for nth, fired := 1, true; fired; nth++ {
					if nth > 16 && !*faultsAll { // behind those of opening
						nth += 150 * thin
					}
					fired = failRead(t, base.Clone(), l.model, op, nth, forever)
				}
			}
		}
	}
}

// failRead opens and reads a log whose nth read fails, and reports whether one did.
func failRead(t *testing.T, mem *vfs.Mem, m *model, op vfs.Op, nth int, forever bool) bool {
	t.Helper()
	faults := vfs.NewFaults(mem)
	n := 0
	faults.SetRule(func(o vfs.Op, path string, _ int) error {
		if o != op || !strings.HasPrefix(path, dataDir) {
			return nil
		}
		if n++; n == nth || forever && n > nth {
			return syscall.EIO
		}
		return nil
	})
	where := fmt.Sprintf("%v %d, forever %v", op, nth, forever)
	s, err := Open(dataDir, memOptions(faults))
	if err != nil {
		if !errors.Is(err, syscall.EIO) || errors.Is(err, ballast.ErrCorrupt) {
			t.Fatalf("%s: Open: %v", where, err)
		}
		faults.SetRule(nil)
		if s, err = Open(dataDir, memOptions(faults)); err != nil {
			t.Fatalf("%s: Open, when nothing fails: %v", where, err)
		}
	}
	for _, index := range m.Indexes() {
		var got raft.Log
		err := s.GetLog(index, &got)
		if err == nil {
			err = oracle.DiffEntry(m.Logs[index], &got)
		} else if errors.Is(err, syscall.EIO) && !errors.Is(err, ballast.ErrCorrupt) {
			err = nil
		}
		if err != nil {
			t.Fatalf("%s: GetLog(%d): %v", where, index, err)
		}
	}
	fired := n >= nth
	must(t, s.j.failed.Err()) // reads fail nothing
	faults.SetRule(nil)
	if err := check(m, s); err != nil {
		t.Fatalf("%s: when nothing fails any more: %v", where, err)
	}
	logs := oracle.Entries(oracle.Random(1), m.Last()+1, 3, 100)
	must(t, s.StoreLogs(logs))
	must(t, s.Close())
	after := m.Clone()
	after.Put(logs, 0)
	checkReopened(t, after, mem)
	return fired
}

// caller makes calls of one kind, beside others. What it knows of them is its own.
type caller struct {
	name         string
	call         func(s *Store, i uint64) error
	acknowledged uint64 // calls
	tried        uint64
	err          error // the first one
}

// callers append, vote and delete in goroutines of their own.
func callers() []*caller {
	list := []*caller{{name: "append", call: func(s *Store, i uint64) error {
		return s.StoreLogs([]*raft.Log{oracle.EntryOf(10*i+1, make([]byte, 40<<10)), oracle.EntryOf(10*i+2, nil)})
	}}, {name: "delete", call: func(s *Store, i uint64) error {
		return s.DeleteRange(1<<40+i, 1<<40+i)
	}}}
	for v := range 3 {
		key := fmt.Sprintf("vote %d", v)
		list = append(list, &caller{name: key, call: func(s *Store, i uint64) error { return s.Set([]byte(key), strconv.AppendUint(nil, i, 10)) }})
	}
	return list
}

// found returns how many calls of a caller are in a store, all of those before with them.
func (c *caller) found(s *Store) (n uint64, err error) {
	switch c.name {
	case "append":
		for ; ; n++ {
			err1, err2 := s.GetLog(10*n+11, new(raft.Log)), s.GetLog(10*n+12, new(raft.Log))
			if err1 == raft.ErrLogNotFound && err2 == raft.ErrLogNotFound {
				return n, nil
			}
			if err := errors.Join(err1, err2); err != nil {
				return n, err
			}
		}
	case "delete":
		for ; s.GetLog(1<<40+n+1, new(raft.Log)) == raft.ErrLogNotFound; n++ {
		}
		return n, nil
	}
	value, err := s.Get([]byte(c.name))
	if err == ballast.ErrKeyNotFound {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return strconv.ParseUint(string(value), 10, 64)
}

const callsEach = 60

// TestFaultsOfSeveralCallers has a call fail while several goroutines wait for one another's writes. Each is told the same first
// cause, each sees what was acknowledged to it and no more, and after opening again at most its last call more.
func TestFaultsOfSeveralCallers(t *testing.T) {
	c, counts := campaignOf(53), newFaultCounts()
	if *faultsAll {
		c.step = 5
	}
	t.Cleanup(func() { counts.print(t) })
	c.each(t, func(t *testing.T, kind faultKind, seed uint64, k int) bool {
		r := newFaultRun(t, kind, seed, counts)
		r.opts.inline = false
		return r.several(k)
	})
}

// several is a run with several callers, and reports whether anything has failed.
func (r *faultRun) several(k int) bool {
	r.t.Helper()
	r.plan.k = 1 << 30
	r.open(r.model)
	var logs []*raft.Log
	for i := range uint64(callsEach) {
		logs = append(logs, oracle.EntryOf(1<<40+i+1, nil))
	}
	logs = append(logs, oracle.EntryOf(1<<40+callsEach+1, nil)) // stays
	r.must(r.store.StoreLogs(logs))
	r.plan.mu.Lock()
	r.plan.k = r.plan.n + k
	r.plan.mu.Unlock()

	list := callers()
	var wg sync.WaitGroup
	for _, c := range list {
		wg.Go(func() {
			for c.tried < callsEach {
				c.tried++
				if c.err = c.call(r.store, c.tried); c.err != nil {
					return
				}
				c.acknowledged++
			}
		})
	}
	wg.Wait()
	failed := r.store.j.failed.Err()
	if failed != nil {
		r.counts.add("engines failed", 1)
	}
	for _, c := range list {
		r.calls += c.tried
		if c.err == nil {
			continue
		}
		r.refusal(c.err)
		if failed != nil && cause(c.err) != cause(failed) && !errors.Is(c.err, ballast.ErrNoSpace) {
			r.fatal("%s was told %v, the first cause is %v", c.name, c.err, failed)
		}
	}
	r.plan.liftReads()
	if r.plan.kind.all {
		r.plan.lift()
	}
	r.holds(list, false)
	r.close()
	r.plan.lift()
	again := &faultRun{t: r.t, plan: r.plan, seed: r.seed, opts: r.opts, files: r.files, doubt: r.doubt, mem: r.mem, counts: r.counts, rng: r.rng}
	again.reopened(list)
	r.counts.add("calls of a store", int(r.calls))
	r.counts.add("calls of a file system", r.faults.Count())
	r.counts.done(r.plan)
	return r.plan.started()
}

// reopened opens the log again, and what a power cut leaves of it then, which has to be the same.
func (r *faultRun) reopened(list []*caller) {
	r.t.Helper()
	var err error
	r.store, err = Open(dataDir, r.opts)
	r.must(err)
	r.counts.add("opened again", 1)
	r.sound()
	r.holds(list, true)
	for _, c := range list {
		n, err := c.found(r.store)
		r.must(err)
		c.acknowledged, c.tried = n, n // that is how it stays
	}
	after, err := readAll(r.store)
	r.must(err)
	r.counts.add("power cuts", 1)
	checkReopened(r.t, after, r.mem.Crash(r.rng.Uint64()))
	for _, c := range list {
		r.must(c.call(r.store, c.acknowledged+1))
	}
	r.close()
}

// holds expects what was acknowledged to each caller, and when the log was opened again perhaps the call that failed.
func (r *faultRun) holds(list []*caller, again bool) {
	r.t.Helper()
	for _, c := range list {
		n, err := c.found(r.store)
		r.must(err)
		if n != c.acknowledged && !(again && n == c.tried) {
			r.fatal("%s: %d calls were acknowledged and %d tried, %d are there", c.name, c.acknowledged, c.tried, n)
		}
		if again && c.err != nil {
			r.counts.add([]string{"without it", "with the call that failed"}[n-c.acknowledged], 1)
		}
	}
}
