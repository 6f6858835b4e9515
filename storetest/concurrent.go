package storetest

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/raft"
)

var concurrentTests = []test{
	{"calls of raft's goroutines", concurrentCalls},
	{"votes and appends", func(e *env) {
		var wg sync.WaitGroup
		for w := range 4 {
			wg.Go(e.safely(func() {
				key := []byte{'k', byte('0' + w)}
				for n := range uint64(30) {
					if err := e.store.SetUint64(key, n); err != nil {
						e.t.Errorf("SetUint64: %v", err)
						return
					}
					if got, err := e.store.GetUint64(key); err != nil || got != n {
						e.t.Errorf("GetUint64 right after SetUint64(%d) is %d, %v", n, got, err)
						return
					}
				}
			}))
		}
		wg.Go(e.safely(func() {
			for index := uint64(1); index <= 60; index++ {
				if err := e.store.StoreLog(entry(index, 1)); err != nil {
					e.t.Errorf("StoreLog: %v", err)
					return
				}
			}
		}))
		wg.Wait()
		e.modelPut(entries(1, 60, 1))
		for w := range 4 {
			e.model.setUint64("k"+string(rune('0'+w)), 29)
		}
		e.verify()
	}},
	{"every pair of calls at once", pairs},
	{"Close at the same time as Close", closeTwice},
	{"Close in the middle of calls", func(e *env) {
		if _, ok := e.store.(io.Closer); !ok {
			e.t.Skip("the store is no io.Closer, which is optional")
		}
		for round := range uint64(4) {
			closeInTheMiddle(e, round)
			if e.cfg.volatile {
				return
			}
		}
	}},
}

// concurrentCalls runs, at once, what raft's goroutines do: one appends and truncates, one compacts, one votes,
// several read. A reader may miss an entry; what it gets has to be an entry that was stored there.
func concurrentCalls(e *env) {
	var (
		c       = calls{store: e.store, stop: make(chan struct{})}
		writers sync.WaitGroup
		readers sync.WaitGroup
	)
	c.first.Store(1)
	run := func(wg *sync.WaitGroup, what string, f func() error) {
		wg.Go(e.safely(func() {
			if err := f(); err != nil {
				e.t.Errorf("%s: %v", what, err)
				c.failed.Store(true)
			}
		}))
	}
	run(&writers, "the main loop", c.append)
	run(&writers, "the snapshot goroutine", c.compact)
	run(&writers, "the transport", c.vote)
	for r := range uint64(3) {
		run(&readers, "a replicator", func() error { return c.read(r) })
	}
	writers.Wait()
	close(c.stop)
	readers.Wait()
	if e.t.Failed() {
		return
	}
	e.replayCalls()
	e.verify()
}

const (
	callBatches   = 120
	callBatch     = 5  // entries
	callConflicts = 10 // each that many batches a new leader replaces the last callReplaced entries
	callReplaced  = 3
	callCompacted = 300 // entries from 1 on
	callVotes     = 60
)

// calls is what the goroutines of concurrentCalls share.
type calls struct {
	store       Store
	first, last atomic.Uint64 // about what is there
	failed      atomic.Bool
	stop        chan struct{} // closed when the writers are done
}

// append is raft's main loop.
func (c *calls) append() error {
	next, term := uint64(1), uint64(1)
	for batch := range callBatches {
		if batch%callConflicts == callConflicts-1 {
			if err := c.store.DeleteRange(next-callReplaced, next-1); err != nil {
				return fmt.Errorf("DeleteRange of a suffix: %w", err)
			}
			next, term = next-callReplaced, term+1
		}
		if err := c.store.StoreLogs(entries(next, next+callBatch-1, term)); err != nil {
			return fmt.Errorf("StoreLogs at %d: %w", next, err)
		}
		next += callBatch
		c.last.Store(next - 1)
	}
	return nil
}

// compact is raft's snapshot goroutine.
func (c *calls) compact() error {
	const step = 20
	for from := uint64(1); from < callCompacted; from += step {
		for c.last.Load() < from+3*step {
			if c.failed.Load() {
				return nil
			}
			if _, err := c.store.LastIndex(); err != nil {
				return fmt.Errorf("LastIndex: %w", err)
			}
			runtime.Gosched()
		}
		if err := c.store.DeleteRange(from, from+step-1); err != nil {
			return fmt.Errorf("DeleteRange of a prefix: %w", err)
		}
		c.first.Store(from + step)
	}
	return nil
}

// vote is the transport's fast path, which sets the term off the main loop.
func (c *calls) vote() error {
	for term := range uint64(callVotes) {
		if err := c.store.SetUint64([]byte("CurrentTerm"), term); err != nil {
			return fmt.Errorf("SetUint64: %w", err)
		}
	}
	return nil
}

// read is a replicator.
func (c *calls) read(seed uint64) error {
	for i := seed; ; i += 7 {
		select {
		case <-c.stop:
			return nil
		default:
		}
		if err := readOne(c.store, c.first.Load(), c.last.Load(), i); err != nil {
			return err
		}
	}
}

// replayCalls does to the model what concurrentCalls has done to the store.
func (e *env) replayCalls() {
	next, term := uint64(1), uint64(1)
	for batch := range callBatches {
		if batch%callConflicts == callConflicts-1 {
			next, term = next-callReplaced, term+1
		}
		e.modelPut(entries(next, next+callBatch-1, term))
		next += callBatch
	}
	for index := uint64(1); index <= callCompacted; index++ {
		delete(e.model.logs, index)
	}
	e.model.setUint64("CurrentTerm", callVotes-1)
}

// readOne reads one entry between first and last and checks that it is what some leader had stored there.
func readOne(store Store, first, last, i uint64) error {
	if last < first {
		return nil
	}
	index := first + i%(last-first+1)
	var got raft.Log
	err := store.GetLog(index, &got)
	if errors.Is(err, raft.ErrLogNotFound) {
		return nil // compacted or truncated meanwhile
	}
	if err != nil {
		return fmt.Errorf("GetLog(%d): %w", index, err)
	}
	if diff := diffLogs(&got, entry(index, got.Term)); diff != "" {
		return fmt.Errorf("GetLog(%d) while others write: %s", index, diff)
	}
	return nil
}

// closeInTheMiddle closes the store while others use it. Each call either does its work or returns the sentinel,
// and what was acknowledged is there afterwards.
func closeInTheMiddle(e *env, round uint64) {
	base := round*1000 + 1
	var acknowledged, term atomic.Uint64
	var wg sync.WaitGroup
	var started sync.WaitGroup // each has done something
	started.Add(3)
	check := func(name string, err error) bool {
		if err != nil && !isAny(err, e.cfg.errClosed, raft.ErrLogNotFound) {
			e.t.Errorf("%s while the store is being closed: %v", name, err)
		}
		return err == nil
	}
	store := e.store
	wg.Go(e.safely(func() {
		begun := sync.OnceFunc(started.Done)
		defer begun()
		for index := base; index < base+1000; index++ {
			if !check("StoreLog", store.StoreLog(entry(index, 1))) {
				return
			}
			acknowledged.Store(index)
			if index == base+3 {
				begun()
			}
		}
	}))
	wg.Go(e.safely(func() {
		begun := sync.OnceFunc(started.Done)
		defer begun()
		for n := base; n < base+1000; n++ {
			if !check("SetUint64", store.SetUint64([]byte("n"), n)) {
				return
			}
			term.Store(n)
			if n == base+3 {
				begun()
			}
		}
	}))
	wg.Go(e.safely(func() {
		begun := sync.OnceFunc(started.Done)
		defer begun()
		for i := 0; ; i++ {
			_, err := store.LastIndex()
			if !check("LastIndex", err) {
				return
			}
			check("GetLog", store.GetLog(base, &raft.Log{}))
			if i == 100 {
				begun()
			}
		}
	}))
	started.Wait()
	e.within("Close", func() {
		if err := e.closeStore(); err != nil {
			e.t.Errorf("Close: %v", err)
		}
	})
	wg.Wait()
	if e.cfg.volatile || e.t.Failed() {
		return
	}
	e.modelPut(entries(base, acknowledged.Load(), 1))
	e.model.setUint64("n", term.Load())
	e.start()
	e.verify()
	_, last := e.bounds()
	e.put(entries(last+1, round*1000+1000, 2)...) // so that the next round continues the log
}
