package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// A rival is one of those that take turns.
type rival struct {
	name  string
	ready func()       // before each sample, outside its time; nil for nothing
	call  func() error // what is measured
	close func() error
}

// turns say how rivals take turns: in each round every one has a turn, in an order that is drawn anew.
type turns struct {
	rounds  int
	warm    int // samples at the start of a turn that do not count: the processor's caches still hold the one before
	samples int // of a turn that count
	calls   int // of a sample; more than one where a call takes less than reading the clock

	// pause is between two turns, so that what a store still does in the background meets no rival.
	pause time.Duration
}

// take returns the samples of each rival, in microseconds a call.
func (t turns) take(rng *rand.Rand, rivals []rival) (map[string][]float64, error) {
	all := map[string][]float64{}
	for range t.rounds {
		for _, i := range rng.Perm(len(rivals)) {
			if err := t.turn(&rivals[i], all); err != nil {
				return nil, fmt.Errorf("%s: %w", rivals[i].name, err)
			}
			time.Sleep(t.pause)
		}
	}
	return all, nil
}

func (t turns) turn(r *rival, all map[string][]float64) error {
	for sample := range t.warm + t.samples {
		if r.ready != nil {
			r.ready()
		}
		start := time.Now()
		for range t.calls {
			if err := r.call(); err != nil {
				return err
			}
		}
		took := time.Since(start)
		if sample >= t.warm {
			all[r.name] = append(all[r.name], micros(took)/float64(t.calls))
		}
	}
	return nil
}

// compare lets rivals take turns, closes them, and returns what summary makes of the samples of each.
func (t turns) compare(e *env, rivals []rival, summary func([]float64) float64) (v values, err error) {
	defer func() { err = errors.Join(err, closeAll(rivals)) }()
	all, err := t.take(e.rng, rivals)
	if err != nil {
		return nil, err
	}
	v = values{}
	for name, samples := range all {
		v[name] = summary(samples)
	}
	return v, nil
}

func closeAll(rivals []rival) error {
	var errs []error
	for _, r := range rivals {
		if err := r.close(); err != nil {
			errs = append(errs, fmt.Errorf("close %s: %w", r.name, err))
		}
	}
	return errors.Join(errs...)
}

func median(v []float64) float64 {
	sorted := slices.Sorted(slices.Values(v))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

func mean(v []float64) float64 {
	sum := 0.0
	for _, x := range v {
		sum += x
	}
	return sum / float64(len(v))
}

// p999 is the sample that all but one in a thousand are below.
func p999(v []float64) float64 {
	sorted := slices.Sorted(slices.Values(v))
	return sorted[len(sorted)-1-len(sorted)/1000]
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
