package compare

import (
	"cmp"
	"fmt"
	"time"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast/bench/internal/report"
	"github.com/raft-ballast/ballast/bench/internal/stores"
)

// held is how many bytes a store in memory keeps between two turns.
const held = 64 << 20

// appends measures StoreLogs of n entries of size bytes for so long.
func appends(n, size int, total time.Duration) step {
	name := fmt.Sprintf("append %dx%s", n, byteCount(size))
	return step{names: []string{name}, takes: total, measure: func(e *env) ([]report.Workload, error) {
		ok := plain
		if n == 64 && size == 1<<10 {
			ok = every // what the cache costs
		}
		rivals := e.withLimit(n*size, 1, e.rivals(e.kinds(ok), func(k stores.Kind, s stores.Store) (*rival, error) {
			return appender(k, s, n, size), nil
		}))
		results, err := turns{total: e.span(total), warm: 2, pause: pauseAfter(n * size)}.compare(e, rivals)
		return []report.Workload{{Group: "append", Name: name, Unit: "µs", Better: "lower", Entries: n, Bytes: size, Results: results,
			About: "StoreLogs of so many entries with so many bytes of Data each, one call after the other."}}, err
	}}
}

// pauseAfter is how long stores get to do in the background what a turn of so many bytes a call has left.
func pauseAfter(bytes int) time.Duration {
	if bytes >= 64<<10 {
		return 2 * usualTurn
	}
	return usualTurn
}

// appender stores one batch after the other.
func appender(k stores.Kind, s stores.Store, n, size int) *rival {
	f := newFeed(k, 1, n, size)
	var logs []*raft.Log
	r := &rival{ready: func() { logs = f.take() }, call: func() error { return s.StoreLogs(logs) }}
	if k.Memory {
		r.end = func() error { return keep(s, uint64(held/size)) }
	}
	return r
}

// keep deletes all but the last entries.
func keep(s stores.Store, n uint64) error {
	first, err := s.FirstIndex()
	if err != nil {
		return err
	}
	last, err := s.LastIndex()
	if err != nil || last < first+n {
		return err
	}
	return s.DeleteRange(first, last-n)
}

// byteCount prints a size as people name it.
func byteCount(n int) string {
	switch {
	case n >= 1<<20 && n%(1<<20) == 0:
		return fmt.Sprintf("%d MiB", n>>20)
	case n >= 1<<10 && n%(1<<10) == 0:
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d B", n)
}

// rotations measures the same with segments of 1 MiB, so that a store with segments goes on to a new one again and again. The turns are
// long, so that what it does in the background meets its own appends.
func rotations(total time.Duration) step {
	const name = "append 1x128 B, segments of 1 MiB"
	return step{names: []string{name}, takes: total, measure: func(e *env) ([]report.Workload, error) {
		segmented := e.kinds(func(k stores.Kind) bool { return durable(k) && k.Segments })
		rivals := e.withLimit(128, 1, e.rivalsIn(segmented, func(k stores.Kind, dir string) (*rival, error) {
			s, err := k.Open(dir, stores.Options{SegmentBytes: 1 << 20})
			if err != nil {
				return nil, err
			}
			r := appender(k, s, 1, 128)
			r.close = s.Close
			return r, nil
		}))
		results, err := turns{total: e.span(total), turn: 4 * usualTurn, pause: usualTurn}.compare(e, rivals)
		return []report.Workload{{Group: "rotation", Name: name, Unit: "µs", Better: "lower", Entries: 1, Bytes: 128, Results: results,
			About: "StoreLogs of one entry of 128 B with segments of 1 MiB, so that appends meet the change from one segment to the next: look at p99.9."}}, err
	}}
}

// sustained measures how many MiB a second of 64 entries of 4 KiB go in without any break: what a store does in the background has to be
// done meanwhile. In each round every store is opened, written to, and closed, so that it has the disk for itself.
func sustained(mib, rounds int, takes time.Duration) step {
	const name, n, size = "sustained 64x4 KiB", 64, 4 << 10
	return step{names: []string{name}, takes: takes, measure: func(e *env) ([]report.Workload, error) {
		w := report.Workload{Group: "sustained", Name: name, Unit: "MiB/s", Better: "higher", Entries: n, Bytes: size,
			About: "Data in entries of 4 KiB that goes in without a break, in batches of 64."}
		kinds := e.kinds(onDisk)
		all := make([]*rival, len(kinds)+1)
		for range rounds {
			for _, i := range e.rng.Perm(len(all)) {
				var r *rival
				if i == 0 {
					r = e.withLimit(n*size, 1, nil)[0]
				} else {
					r = e.rivals(kinds[i-1:i], func(k stores.Kind, s stores.Store) (*rival, error) { return appender(k, s, n, size), nil })[0]
				}
				if before := all[i]; before != nil {
					r.rounds, r.failed = before.rounds, cmp.Or(before.failed, r.failed)
				}
				all[i] = r
				e.doing(name + ": " + r.name)
				if r.failed == nil {
					r.failed = r.sustain(e, e.count(mib<<20/(n*size), 4), n*size)
				}
				closeAll(all[i : i+1])
				time.Sleep(4 * usualTurn)
			}
		}
		for _, r := range all {
			if r.failed != nil {
				w.Results = append(w.Results, failed(r.name, r.failed))
				continue
			}
			w.Results = append(w.Results, single(r.name, r.rounds[0]))
		}
		return []report.Workload{w}, e.ctx.Err()
	}}
}

// sustain makes calls of so many bytes each, and notes MiB a second.
func (r *rival) sustain(e *env, calls, bytes int) error {
	start, spent := time.Now(), time.Duration(0)
	for range calls {
		if r.ready != nil {
			before := time.Now()
			r.ready()
			spent += time.Since(before)
		}
		if err := r.call(); err != nil {
			return err
		}
		if err := e.ctx.Err(); err != nil {
			return err
		}
	}
	took := time.Since(start) - spent
	if r.rounds == nil {
		r.rounds = make([][]float64, 1)
	}
	r.rounds[0] = append(r.rounds[0], float64(calls*bytes)/(1<<20)/took.Seconds())
	return nil
}
