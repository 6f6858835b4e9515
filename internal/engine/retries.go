package engine

import (
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/raft-ballast/ballast"
)

const (
	firstRetry = 250 * time.Millisecond
	lastRetry  = 30 * time.Second

	// damageRetry is when something that is damaged is looked at again: it may have been deleted.
	damageRetry = 10 * time.Minute
)

// Retries keeps which steps of a store's background fail, so that a trouble that passes leaves
// nothing behind: each is tried again, at a distance that doubles. The logger is told of the first
// failure of a step, and when it is over. A step may have items, as the segments that are to be
// removed, which are tried for themselves. The zero Retries serves. All methods may be called by
// any goroutine.
type Retries struct {
	Path   string
	Logger *slog.Logger // nil for none

	// Rounds has no time pass but with NextRound, after which everything is due: a test repeats.
	Rounds bool

	count atomic.Int64 // steps that fail; almost always 0
	mu    sync.Mutex
	round int
	steps map[string]*failingStep
}

type failingStep struct {
	ballast.Trouble
	items map[uint64]*failingItem
}

type failingItem struct {
	tries uint64
	due   time.Time
	round int
}

// Due reports whether an item of a step may be tried now: it has not failed, or long enough ago.
func (r *Retries) Due(step string, item uint64) bool {
	if r.count.Load() == 0 {
		return true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	i := r.item(step, item)
	return i == nil || r.due(i)
}

func (r *Retries) due(i *failingItem) bool {
	if r.Rounds {
		return i.round < r.round
	}
	return !time.Now().Before(i.due)
}

// item returns what is known of an item, nil for one that has not failed. The caller holds r.mu.
func (r *Retries) item(step string, item uint64) *failingItem {
	if s := r.steps[step]; s != nil {
		return s.items[item]
	}
	return nil
}

// Tries returns how often an item has failed since it succeeded.
func (r *Retries) Tries(step string, item uint64) uint64 {
	if r.count.Load() == 0 {
		return 0
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if i := r.item(step, item); i != nil {
		return i.tries
	}
	return 0
}

// Note notes what became of a try, or, with nil, that nothing is to be done any more. It returns
// err.
func (r *Retries) Note(step string, item uint64, err error) error {
	if err == nil && r.count.Load() == 0 {
		return nil
	}
	var over, began *failingStep
	r.mu.Lock()
	s := r.steps[step]
	switch {
	case err == nil && s == nil:
	case err == nil:
		if delete(s.items, item); len(s.items) == 0 {
			delete(r.steps, step)
			r.count.Add(-1)
			over = s
		}
	default:
		if s == nil {
			if r.steps == nil {
				r.steps = make(map[string]*failingStep)
			}
			s = &failingStep{items: make(map[uint64]*failingItem)}
			s.Step, s.Since = step, time.Now()
			r.steps[step] = s
			r.count.Add(1)
			began = s
		}
		s.fail(item, r.round, err)
	}
	r.mu.Unlock()
	if began != nil && r.Logger != nil {
		r.Logger.Warn("ballast: work in the background fails; it will be tried again",
			"path", r.Path, "step", step, "err", err)
	}
	if over != nil && r.Logger != nil {
		r.Logger.Info("ballast: work in the background goes on",
			"path", r.Path, "step", step, "tries", over.Tries, "after", time.Since(over.Since))
	}
	return err
}

func (s *failingStep) fail(item uint64, round int, err error) {
	i := s.items[item]
	if i == nil {
		i = new(failingItem)
		s.items[item] = i
	}
	wait := min(firstRetry<<min(i.tries, 16), lastRetry)
	if errors.Is(err, ballast.ErrCorrupt) {
		wait = damageRetry
	}
	i.tries, i.due, i.round = i.tries+1, time.Now().Add(wait), round
	s.Tries, s.Err = s.Tries+1, err
}

// Keep forgets the items of a step for which there is nothing to be done any more.
func (r *Retries) Keep(step string, still func(item uint64) bool) {
	if r.count.Load() == 0 {
		return
	}
	var gone []uint64
	r.mu.Lock()
	if s := r.steps[step]; s != nil {
		for item := range s.items {
			if !still(item) {
				gone = append(gone, item)
			}
		}
	}
	r.mu.Unlock()
	for _, item := range gone {
		_ = r.Note(step, item, nil)
	}
}

// NextRound makes everything due with Rounds, and before a store is closed.
func (r *Retries) NextRound() {
	if r.count.Load() == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.round++
	for _, s := range r.steps {
		for _, i := range s.items {
			i.due = time.Time{}
		}
	}
}

// Wait returns when to look again, at most what it is given.
func (r *Retries) Wait(most time.Duration) time.Duration {
	if r.count.Load() == 0 {
		return most
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.steps {
		for _, i := range s.items {
			most = min(most, max(time.Until(i.due), firstRetry))
		}
	}
	return most
}

// Oldest returns how many steps fail now, of all that are given, and the one that has failed for
// the longest time, the zero value for none.
func Oldest(all ...*Retries) (n int, oldest ballast.Trouble) {
	for _, r := range all {
		if r.count.Load() == 0 {
			continue
		}
		r.mu.Lock()
		for _, s := range r.steps {
			if n++; oldest.Step == "" || s.Since.Before(oldest.Since) {
				oldest = s.Trouble
			}
		}
		r.mu.Unlock()
	}
	return n, oldest
}
