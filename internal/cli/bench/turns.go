package bench

import (
	"context"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

// rival is one of those that take turns.
type rival struct {
	name  string
	ready func()       // before each sample, outside its time; nil for nothing
	call  func() error // what is measured
	close io.Closer    // nil for nothing
	calls int          // of a sample: more than one where a call takes less than reading the clock; 0 is one
	most  int          // samples, so that the disk is not filled; 0 is no limit

	failed  error     // the first one; such a rival takes no more turns
	samples []float64 // microseconds a call
}

const (
	turnLength = 20 * time.Millisecond
	turnPause  = 4 * time.Millisecond // what an engine still does in the background meets no rival
	minSamples = 3                    // of each turn, however long they take
	warmups    = 2                    // samples at the start of a turn that do not count: the processor's caches still hold the one before
	minRounds  = 2
)

// turns say how rivals take turns: in each round every one has a turn, all equally long.
type turns struct {
	length   time.Duration
	progress func(done float64)
}

// take has all rivals take their turns.
func (t turns) take(ctx context.Context, rng *rand.Rand, rivals []*rival) error {
	begun := time.Now()
	for round := 0; round < minRounds || time.Since(begun) < t.length; round++ {
		for _, i := range rng.Perm(len(rivals)) {
			if err := ctx.Err(); err != nil {
				return err
			}
			t.progress(min(1, float64(time.Since(begun))/float64(t.length)))
			if r := rivals[i]; !r.over() {
				r.turn(ctx)
				time.Sleep(turnPause)
			}
		}
		if !slices.ContainsFunc(rivals, func(r *rival) bool { return !r.over() }) {
			break
		}
	}
	return ctx.Err()
}

// over reports whether a rival takes no more turns.
func (r *rival) over() bool { return r.failed != nil || r.most > 0 && len(r.samples) >= r.most }

func (r *rival) turn(ctx context.Context) {
	begun := time.Now()
	for n := 0; (time.Since(begun) < turnLength || n < warmups+minSamples) && ctx.Err() == nil && !r.over(); n++ {
		if r.ready != nil {
			r.ready()
		}
		calls := max(r.calls, 1)
		start := time.Now()
		for range calls {
			if r.failed = r.call(); r.failed != nil {
				return
			}
		}
		if took := time.Since(start); n >= warmups {
			r.samples = append(r.samples, float64(took)/float64(time.Microsecond)/float64(calls))
		}
	}
}

// result makes figures of the samples.
func (r *rival) result() Result {
	if r.failed == nil && len(r.samples) == 0 {
		r.failed = errors.New("nothing was measured")
	}
	if r.failed != nil {
		return Result{Engine: r.name, Failed: r.failed.Error()}
	}
	slices.Sort(r.samples)
	return Result{Engine: r.name, Figures: Figures{
		Samples: len(r.samples), Median: quantile(r.samples, 0.5), P99: quantile(r.samples, 0.99), Max: r.samples[len(r.samples)-1],
	}}
}

// quantile returns what a share of sorted samples is at or below.
func quantile(sorted []float64, share float64) float64 {
	return sorted[max(int(math.Ceil(share*float64(len(sorted)))), 1)-1]
}
