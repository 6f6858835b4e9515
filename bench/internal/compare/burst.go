package compare

import (
	"slices"
	"time"

	"github.com/raft-ballast/ballast/bench/internal/report"
	"github.com/raft-ballast/ballast/bench/internal/stores"
)

const (
	burstSize   = 512 // bytes of Data of an entry
	burstBatch  = 16  // entries of a call
	burstFactor = 50
	burstBucket = 20  // calls of a point of the series
	burstAround = 300 // calls of the series before the burst, and behind it
)

const aboutBurst = "StoreLogs of 16 entries with 512 B of Data: before a burst that multiplies the log by 50, during it, and after it was truncated away."

// burst measures what is left of a time in which a log was much longer: before and after stores take turns, the burst itself is one
// store's after the other.
func burst(base int, takes time.Duration) step {
	names := []string{"burst before", "burst during", "burst after"}
	return step{names: names, takes: takes, measure: func(e *env) ([]report.Workload, error) {
		base := e.count(base, 4*burstBatch)
		lines := map[string]*burstLine{}
		rivals := e.rivals(e.kinds(onDisk), func(k stores.Kind, s stores.Store) (*rival, error) {
			l := &burstLine{s: s, feed: newFeed(k, 1, burstBatch, burstSize), base: uint64(base)}
			lines[k.Name] = l
			return &rival{call: l.append}, l.feed.fill(s, uint64(base))
		})
		defer closeAll(rivals)
		return e.burst(rivals, lines, names, takes)
	}}
}

func (e *env) burst(rivals []*rival, lines map[string]*burstLine, names []string, takes time.Duration) (list []report.Workload, err error) {
	quiet := turns{total: e.span(takes / 4), pause: usualTurn}
	for phase, name := range names {
		if phase == 1 {
			for _, i := range e.rng.Perm(len(rivals)) {
				if r := rivals[i]; r.failed == nil {
					e.doing(name + ": " + r.name)
					r.failed = e.burstOf(r, lines[r.name])
				}
			}
			err = e.ctx.Err()
		} else {
			e.doing(name)
			err = quiet.take(e.ctx, e.rng, rivals)
		}
		if err != nil {
			return nil, err
		}
		list = append(list, report.Workload{Group: "burst", Name: name, Unit: "µs", Better: "lower", Entries: burstBatch, Bytes: burstSize,
			About: aboutBurst, Results: results(rivals)})
	}
	for i := range list[1].Results {
		if r := &list[1].Results[i]; r.Failed == "" {
			r.Series, r.SeriesX, r.SeriesY = lines[r.Store].series(), "call", "µs, median of 20 calls"
		}
	}
	return list, nil
}

// burstOf is one store's burst, and the end of it.
func (e *env) burstOf(r *rival, l *burstLine) error {
	if err := keep(l.s, l.base); err != nil {
		return err
	}
	l.burst = len(l.took)
	for end := l.feed.next + (burstFactor-1)*l.base; l.feed.next < end && e.ctx.Err() == nil; {
		if err := l.append(); err != nil {
			return err
		}
	}
	l.after = len(l.took)
	r.rounds = [][]float64{slices.Clone(l.took[l.burst:])}
	return keep(l.s, l.base)
}

// burstLine is what one store took for each call, in order.
type burstLine struct {
	s    stores.Store
	feed *feed
	base uint64
	took []float64

	burst, after int // where in took these begin
}

func (l *burstLine) append() error {
	logs := l.feed.take()
	start := time.Now()
	err := l.s.StoreLogs(logs)
	l.took = append(l.took, micros(time.Since(start)))
	return err
}

// series has as many calls of each store.
func (l *burstLine) series() (points []report.Point) {
	took := l.took[max(l.burst-burstAround, 0):min(l.after+burstAround, len(l.took))]
	for at := 0; at < len(took); at += burstBucket {
		bucket := slices.Sorted(slices.Values(took[at:min(at+burstBucket, len(took))]))
		points = append(points, report.Point{X: float64(at), Y: quantile(bucket, 0.5)})
	}
	return points
}
