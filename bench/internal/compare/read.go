package compare

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast/bench/internal/report"
	"github.com/raft-ballast/ballast/bench/internal/stores"
)

const (
	readCount = 50_000 // entries that are read
	readSize  = 256    // bytes of Data of each
	readCalls = 10     // of a sample
	tailReach = 64     // how far behind the last entry the tail is read
)

const aboutRead = "GetLog of entries with 256 B of Data: in order and at random in a log of 50,000 that was closed and opened again, in a first pass " +
	"behind the append that wrote them, and of the 64 newest while another goroutine appends."

func readStep(name string, total time.Duration, ok func(stores.Kind) bool, t turns, start func(e *env, k stores.Kind, dir string) (*rival, error)) step {
	return step{names: []string{name}, takes: total, measure: func(e *env) ([]report.Workload, error) {
		rivals := e.rivalsIn(e.kinds(ok), func(k stores.Kind, dir string) (*rival, error) { return start(e, k, dir) })
		t.total = e.span(total)
		results, err := t.compare(e, rivals)
		return []report.Workload{readWorkload(name, results)}, err
	}}
}

// getFilled reads in order, as raft does, and then at random, from stores that were filled, closed and opened again, and read once from the
// first entry to the last.
func getFilled(total time.Duration) step {
	names := []string{"read in order", "read at random"}
	return step{names: names, takes: 4 * total, measure: func(e *env) (list []report.Workload, err error) {
		count := uint64(e.count(readCount, 200))
		t := turns{total: e.span(total), warm: 100, calls: readCalls}
		readers := map[string]*reader{}
		rivals := e.rivalsIn(e.kinds(every), func(k stores.Kind, dir string) (*rival, error) {
			e.doing("filling " + k.Name + " to be read")
			s, err := openFilled(k, dir, count)
			if err != nil {
				return nil, err
			}
			r := &reader{s: s}
			readers[k.Name] = r
			return &rival{call: func() error { return r.get(r.next()) }, close: s.Close}, nil
		})
		defer closeAll(rivals)
		for i, name := range names {
			e.doing(name)
			for _, r := range readers {
				r.next = inOrder(count)
				if i == 1 {
					r.next = func() uint64 { return e.rng.Uint64N(count) + 1 }
				}
			}
			if err := t.take(e.ctx, e.rng, rivals); err != nil {
				return nil, err
			}
			list = append(list, readWorkload(name, results(rivals)))
		}
		return list, nil
	}}
}

func readWorkload(name string, results []report.Result) report.Workload {
	return report.Workload{Group: "read", Name: name, Unit: "µs", Better: "lower", About: aboutRead, Entries: 1, Bytes: readSize, Results: results}
}

func inOrder(count uint64) func() uint64 {
	last := uint64(0)
	return func() uint64 {
		last = last%count + 1
		return last
	}
}

// reader reads from one store.
type reader struct {
	s    stores.Store
	next func() uint64
	log  raft.Log
}

func (r *reader) get(index uint64) error { return get(r.s, index, &r.log) }

// openFilled opens a store that was filled, closed and opened again, and reads all of it.
func openFilled(k stores.Kind, dir string, count uint64) (stores.Store, error) {
	s, err := k.Open(dir, stores.Options{NoSync: true})
	if err != nil {
		return nil, err
	}
	if err := newFeed(k, 1, 4096, readSize).fill(s, count); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	if !k.Memory {
		if err := s.Close(); err != nil {
			return nil, err
		}
		if s, err = k.Open(dir, stores.Options{}); err != nil {
			return nil, err
		}
	}
	for index := range count {
		if err := get(s, index+1, new(raft.Log)); err != nil {
			return nil, errors.Join(err, s.Close())
		}
	}
	return s, nil
}

func get(s stores.Store, index uint64, l *raft.Log) error {
	if err := s.GetLog(index, l); err != nil {
		return fmt.Errorf("entry %d: %w", index, err)
	}
	if l.Index != index || len(l.Data) != readSize {
		return fmt.Errorf("asked for entry %d, got %d with %d bytes", index, l.Index, len(l.Data))
	}
	return nil
}

// getFirst reads each entry once, behind the append that wrote it: 1,000 at once in batches of 64, which is outside the time.
func getFirst(total time.Duration) step {
	const chunk = 1000
	t := turns{calls: readCalls}
	return readStep("read first time", total, every, t, func(e *env, k stores.Kind, dir string) (*rival, error) {
		s, err := k.Open(dir, stores.Options{})
		if err != nil {
			return nil, err
		}
		f, next := newFeed(k, 1, 64, readSize), uint64(1)
		var l raft.Log
		var failed error
		return &rival{
			ready: func() {
				if next+readCalls > f.next {
					failed = f.fill(s, f.next+chunk-1)
				}
			},
			call: func() error {
				if failed != nil {
					return failed
				}
				next++
				return get(s, next-1, &l)
			},
			end:   func() error { return keep(s, chunk) },
			close: s.Close,
		}, nil
	})
}

// getTail reads one of the newest entries while another goroutine appends, which is what a leader's replicators do.
func getTail(total time.Duration) step {
	return readStep("read tail, appending", total, every, turns{warm: 100}, func(_ *env, k stores.Kind, dir string) (*rival, error) {
		s, err := k.Open(dir, stores.Options{})
		if err != nil {
			return nil, err
		}
		a := &appending{s: s, feed: newFeed(k, 1, 8, readSize)}
		if err := a.feed.fill(s, 8*tailReach); err != nil {
			return nil, errors.Join(err, s.Close())
		}
		a.last.Store(8 * tailReach)
		var l raft.Log
		n := uint64(0)
		return &rival{
			begin: a.start,
			call: func() error {
				n++
				return get(s, a.last.Load()-n%tailReach, &l)
			},
			end:   func() error { return errors.Join(a.stop(), keep(s, held/readSize)) },
			close: s.Close,
		}, nil
	})
}

// appending is the goroutine that appends meanwhile.
type appending struct {
	s       stores.Store
	feed    *feed
	last    atomic.Uint64 // that is durable
	halt    atomic.Bool
	running sync.WaitGroup
	err     error
}

func (a *appending) start() error {
	a.halt.Store(false)
	a.running.Go(func() {
		for !a.halt.Load() && a.err == nil {
			a.err = a.s.StoreLogs(a.feed.take())
			if a.err == nil {
				a.last.Store(a.feed.next - 1)
			}
			if a.feed.next%(1<<16) == 1 {
				time.Sleep(time.Millisecond) // a store in memory would fill it
			}
		}
	})
	return nil
}

func (a *appending) stop() error {
	a.halt.Store(true)
	a.running.Wait()
	return a.err
}
