package compare

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/raft-ballast/ballast/bench/internal/report"
	"github.com/raft-ballast/ballast/bench/internal/stores"
	"github.com/raft-ballast/ballast/wal"
)

// The workloads of many raft groups that share one log.
const (
	groupAppends = "append 1x128 B, a goroutine each"
	groupAlone   = "append 1x128 B beside 1,000 idle groups"
	groupStorm   = "vote storm of 1,000 groups"
	groupDevice  = "device, 63 groups compact and one never does"
	groupDisk    = "disk over live, 63 groups compact and one never does"
	groupOpen    = "open 10,000 groups of 1,000"

	fewGroups, manyGroups = 64, 1000
)

// groupsPlan is what many groups are measured by: in about a minute and a half, or for an hour more.
func groupsPlan(hour bool) []step {
	lag := lagging(20*time.Second, 4<<20)
	if hour {
		lag = lagging(time.Hour, 0)
	}
	return []step{crowds(20 * time.Second), alone(6 * time.Second), storms(8 * time.Second), lag, openings(30 * time.Second)}
}

// crowd is a rival of which each call has all its writers append for a while. What counts is how many appends a second it were.
type crowd struct {
	*rival
	writers []func() error
	each    int // appends of a writer's call
	span    time.Duration
	rates   []float64
}

func newCrowd(name string, span time.Duration) *crowd {
	c := &crowd{rival: &rival{name: name}, each: 1, span: span}
	c.call = c.run
	return c
}

func (c *crowd) run() error {
	var n atomic.Int64
	start := time.Now()
	err := together(len(c.writers), func(i int) error {
		for time.Since(start) < c.span {
			if err := c.writers[i](); err != nil {
				return err
			}
			n.Add(int64(c.each))
		}
		return nil
	})
	c.rates = append(c.rates, float64(n.Load())/time.Since(start).Seconds())
	return err
}

// together calls fn with each number below n, from a goroutine each, and returns the error of one of them.
func together(n int, fn func(i int) error) error {
	var all sync.WaitGroup
	var failed atomic.Pointer[error]
	for i := range n {
		all.Go(func() {
			if err := fn(i); err != nil {
				failed.Store(&err)
			}
		})
	}
	all.Wait()
	if err := failed.Load(); err != nil {
		return *err
	}
	return nil
}

// add gives a crowd a writer that appends to a store.
func (c *crowd) add(s stores.Store) {
	f := newFeed(stores.Kind{}, 1, 1, 128)
	c.writers = append(c.writers, func() error { return s.StoreLogs(f.take()) })
	before := c.close
	c.close = func() error { return errors.Join(maybe(before), s.Close()) }
}

// crowds measures goroutines that append, each to a raft group of its own.
func crowds(total time.Duration) step {
	return step{names: []string{groupAppends}, takes: total, measure: func(e *env) ([]report.Workload, error) {
		span := e.span(100 * time.Millisecond)
		list := []*crowd{e.limitCrowd(span), e.sharing(fewGroups, span), e.sharing(manyGroups, span),
			e.apart("raft-wal", fewGroups, span), e.apart("wal", fewGroups, span)}
		var rivals []*rival
		for _, c := range list {
			rivals = append(rivals, c.rival)
		}
		defer closeAll(rivals)
		t := turns{total: e.span(total), turn: minSamples * span, pause: usualTurn}
		if err := t.take(e.ctx, e.rng, rivals); err != nil {
			return nil, err
		}
		w := report.Workload{Group: "groups", Name: groupAppends, Unit: "appends/s", Better: "higher", Entries: 1, Bytes: 128,
			About: "Each raft group has a goroutine that appends one entry of 128 B after the other: to one log that all share, or to a folder of its own. The limit writes one such entry of each of 64 groups at once."}
		for _, c := range list {
			if c.failed != nil {
				w.Results = append(w.Results, failed(c.name, c.failed))
				continue
			}
			w.Results = append(w.Results, single(c.name, c.rates))
		}
		return []report.Workload{w}, nil
	}}
}

// limitCrowd is one writer that makes an entry of each group durable with one write: no log can be faster that waits for the disk.
func (e *env) limitCrowd(span time.Duration) *crowd {
	c := newCrowd(report.Limit, span)
	const record = 56 + 128
	r, err := e.limit(fewGroups*record, 1)
	if err != nil {
		c.failed = err
		return c
	}
	c.each, c.close = fewGroups, r.close
	c.writers = []func() error{func() error { r.ready(); return r.call() }}
	return c
}

// sharing is a crowd of so many groups in one log.
func (e *env) sharing(n int, span time.Duration) *crowd {
	c := newCrowd(fmt.Sprintf("%s groups", thousands(n)), span)
	gs, list, err := e.openGroups(n, wal.Options{})
	if err != nil {
		c.failed = err
		return c
	}
	for _, s := range list {
		c.add(s)
	}
	before := c.close
	c.close = func() error { return errors.Join(before(), gs.Close()) }
	return c
}

// apart is a crowd of stores of a kind in folders of their own.
func (e *env) apart(name string, n int, span time.Duration) *crowd {
	c := newCrowd(fmt.Sprintf("%d %s", n, name), span)
	for len(c.writers) < n && c.failed == nil {
		dir, err := e.folder(name)
		if err == nil {
			var s stores.Store
			if s, err = stores.Open(name, dir, stores.Options{}); err == nil {
				c.add(s)
			}
		}
		c.failed = err
	}
	return c
}

// openGroups opens a new log of so many groups, and writes to each what a peer has at least.
func (e *env) openGroups(n int, o wal.Options) (*wal.Groups, []*wal.Store, error) {
	dir, err := e.folder("groups")
	if err != nil {
		return nil, nil, err
	}
	gs, err := wal.OpenGroups(dir, &o)
	if err != nil {
		return nil, nil, err
	}
	list := make([]*wal.Store, n)
	for i := range list {
		if list[i], err = gs.Store(uint64(i)); err != nil {
			return nil, nil, errors.Join(err, gs.Close())
		}
	}
	return gs, list, stormOf(list, 1)
}

// alone measures what it costs an append that there are other groups, which do nothing.
func alone(total time.Duration) step {
	return step{names: []string{groupAlone}, takes: total, measure: func(e *env) ([]report.Workload, error) {
		kinds := e.kinds(func(k stores.Kind) bool { return k.Name == "wal" })
		rivals := e.withLimit(128, 1, e.rivals(kinds, func(k stores.Kind, s stores.Store) (*rival, error) {
			return appender(k, s, 1, 128), nil
		}))
		one := &rival{name: "one of 1,000 groups"}
		if gs, list, err := e.openGroups(manyGroups, wal.Options{}); err != nil {
			one.failed = err
		} else {
			a := appender(stores.Kind{}, list[manyGroups/2], 1, 128)
			one.ready, one.call, one.close = a.ready, a.call, gs.Close
		}
		results, err := turns{total: e.span(total), warm: 2, pause: usualTurn}.compare(e, append(rivals, one))
		return []report.Workload{{Group: "alone", Name: groupAlone, Unit: "µs", Better: "lower", Entries: 1, Bytes: 128, Results: results,
			About: "StoreLogs of one entry of 128 B, one call after the other: to the log of one peer, and to one group in a log of 1,000 of which the others have their stable values and do nothing."}}, err
	}}
}

// storms measures elections in all groups at once.
func storms(total time.Duration) step {
	return step{names: []string{groupStorm}, takes: total, measure: func(e *env) ([]report.Workload, error) {
		kinds := e.kinds(func(k stores.Kind) bool { return k.Name == "wal" })
		rivals := e.withLimit(128, 1, e.rivals(kinds, func(k stores.Kind, s stores.Store) (*rival, error) {
			return appender(k, s, 1, 128), nil
		}))
		storm := &rival{name: "1,000 groups"}
		if gs, list, err := e.openGroups(manyGroups, wal.Options{}); err != nil {
			storm.failed = err
		} else {
			term := uint64(1)
			storm.call = func() error { term++; return stormOf(list, term) }
			storm.close = gs.Close
		}
		results, err := turns{total: e.span(total), turn: 2 * usualTurn, warm: 2, pause: usualTurn}.compare(e, append(rivals, storm))
		return []report.Workload{{Group: "storm", Name: groupStorm, Unit: "µs", Better: "lower", Results: results,
			About: "Each of 1,000 groups in one log writes its term, the term of its vote and its vote, one after the other, and all at once, from a goroutine each: until the last one is done. Beside it one append of 128 B to a log of one peer."}}, err
	}}
}

// stormOf has each group write what a peer writes that votes.
func stormOf(list []*wal.Store, term uint64) error {
	return together(len(list), func(i int) error {
		s := list[i]
		if err := s.SetUint64([]byte("CurrentTerm"), term); err != nil {
			return err
		}
		if err := s.SetUint64([]byte("LastVoteTerm"), term); err != nil {
			return err
		}
		return s.Set([]byte("LastVoteCand"), []byte("127.0.0.1:8300"))
	})
}
