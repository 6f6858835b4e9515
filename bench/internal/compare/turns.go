package compare

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/raft-ballast/ballast/bench/internal/report"
	"github.com/raft-ballast/ballast/bench/internal/stores"
)

// A rival is one of those that take turns. Its functions are nil where there is nothing to do; call is not.
type rival struct {
	name  string
	begin func() error // before each turn, outside its time
	ready func()       // before each sample, outside its time
	call  func() error // what is measured
	end   func() error // after each turn
	close func() error

	failed error // the first one; such a rival takes no more turns
	rounds [][]float64
}

// turns say how rivals take turns: in each round every one has a turn, all equally long, in an order that is drawn anew. There are as many
// rounds as the time allows.
type turns struct {
	total time.Duration // of all turns and pauses together
	turn  time.Duration // 0 is the usual one
	warm  int           // samples at the start of a turn that do not count: the processor's caches still hold the one before
	calls int           // of a sample; more than one where a call takes less than reading the clock; 0 is one

	// pause is behind each turn, so that what a store still does in the background meets no rival, and is done before its own next turn. Where
	// there is one, it lasts until the background is quiet.
	pause time.Duration
}

const (
	usualTurn = 25 * time.Millisecond
	minRounds = 2
)

func (t turns) rounds(rivals int) int {
	return max(int(t.total/((t.turn+t.pause)*time.Duration(max(rivals, 1)))), minRounds)
}

// minSamples is what each turn has, however long they take.
const minSamples = 3

// take has all rivals take their turns. What they measured is in them, in microseconds a call.
func (t turns) take(ctx context.Context, rng *rand.Rand, rivals []*rival) error {
	t.calls = max(t.calls, 1)
	t.turn = cmp.Or(t.turn, usualTurn)
	for range t.rounds(len(rivals)) {
		for _, i := range rng.Perm(len(rivals)) {
			r := rivals[i]
			if r.failed != nil {
				continue
			}
			samples, err := t.one(ctx, r)
			if err := ctx.Err(); err != nil {
				return err
			}
			r.failed = err
			r.rounds = append(r.rounds, samples)
			t.rest()
		}
	}
	return nil
}

const (
	// A store like badger sorts and compresses in the background what it was given, for longer than a pause; and the garbage collector follows
	// those that allocate. The next turn waits until this process takes less than a share of one processor, for a while at most.
	restLook  = 5 * time.Millisecond
	restShare = 0.2
	restMost  = 500 * time.Millisecond
)

// rest is the pause behind a turn, and as much more as the background takes to become quiet.
func (t turns) rest() {
	time.Sleep(t.pause)
	if t.pause == 0 {
		return
	}
	for begun := time.Now(); time.Since(begun) < restMost; {
		looked, used := time.Now(), processorTime()
		time.Sleep(restLook)
		if processorTime()-used <= time.Duration(restShare*float64(time.Since(looked))) {
			return
		}
	}
}

func (t turns) one(ctx context.Context, r *rival) (samples []float64, err error) {
	if err := maybe(r.begin); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, maybe(r.end)) }()
	begun := time.Now()
	for n := 0; (time.Since(begun) < t.turn || n < t.warm+minSamples) && ctx.Err() == nil; n++ {
		if r.ready != nil {
			r.ready()
		}
		start := time.Now()
		for range t.calls {
			if err := r.call(); err != nil {
				return samples, err
			}
		}
		took := time.Since(start)
		if n >= t.warm {
			samples = append(samples, micros(took)/float64(t.calls))
		}
	}
	return samples, nil
}

func maybe(f func() error) error {
	if f == nil {
		return nil
	}
	return f()
}

// compare has rivals take turns, closes them, and returns the result of each.
func (t turns) compare(e *env, rivals []*rival) ([]report.Result, error) {
	defer closeAll(rivals)
	if err := t.take(e.ctx, e.rng, rivals); err != nil {
		return nil, err
	}
	return results(rivals), nil
}

// closeAll closes stores in folders that are removed: nobody needs what is in them.
func closeAll(rivals []*rival) {
	for _, r := range rivals {
		_ = maybe(r.close)
	}
}

// results takes what the rivals have measured off them.
func results(rivals []*rival) (list []report.Result) {
	for _, r := range rivals {
		if r.failed != nil {
			list = append(list, failed(r.name, r.failed))
			continue
		}
		list = append(list, summarize(r.name, r.rounds))
		r.rounds = nil
	}
	return list
}

// rivals opens a new store of each kind and starts a rival on it. One that cannot is there all the same, and has failed.
func (e *env) rivals(kinds []stores.Kind, start func(k stores.Kind, s stores.Store) (*rival, error)) []*rival {
	return e.rivalsIn(kinds, func(k stores.Kind, dir string) (*rival, error) {
		s, err := k.Open(dir, stores.Options{})
		if err != nil {
			return nil, err
		}
		r, err := start(k, s)
		if err != nil {
			return nil, errors.Join(err, s.Close())
		}
		r.close = s.Close
		return r, nil
	})
}

// rivalsIn gives each kind a folder in which start opens its store.
func (e *env) rivalsIn(kinds []stores.Kind, start func(k stores.Kind, dir string) (*rival, error)) (list []*rival) {
	for _, k := range kinds {
		dir, err := e.folder(k.Name)
		var r *rival
		if err == nil {
			r, err = start(k, dir)
		}
		if err != nil {
			r = &rival{failed: err}
		}
		r.name = k.Name
		list = append(list, r)
	}
	return list
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
