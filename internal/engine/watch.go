package engine

import (
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/raft-ballast/ballast"
)

// Watch notices a durable write that takes long while it goes on. The writer only stores when it began; a goroutine sleeps, looks
// at that, and tells. The zero Watch notices nothing.
type Watch struct {
	WatchOptions
	epoch time.Time // a time is stored as nanoseconds since then

	// began is when the write in progress began, 0 for none. The watcher alone makes it negative, which says that it has called the
	// write a stall and waits to be told its end.
	began  atomic.Int64
	stalls atomic.Uint64

	// ended has room for the end of the one stall that there can be at a time, so that the writer never waits here.
	ended chan ballast.Stall
	stop  chan struct{}
}

// WatchOptions say what is noticed, and who is told.
type WatchOptions struct {
	Path   string
	After  time.Duration       // as StallAfter returns it
	Told   func(ballast.Stall) // nil for nobody; called by the watcher's goroutine
	Logger *slog.Logger        // nil for none
}

// StallAfter returns what the option of that name means: with 0 a watch is kept only for somebody who would notice, because it costs
// a goroutine.
func StallAfter(option time.Duration, noticed bool) time.Duration {
	if option == 0 && noticed {
		return ballast.DefaultStallAfter
	}
	return option
}

// Start begins to watch, unless After is 0 or less.
func (w *Watch) Start(o WatchOptions) {
	if o.After <= 0 {
		return
	}
	w.WatchOptions, w.epoch = o, time.Now()
	w.ended, w.stop = make(chan ballast.Stall, 1), make(chan struct{})
	go w.run()
}

// Stop ends the watch, when no write is in progress. It does not wait for whoever is being told: that may be what closes the store.
func (w *Watch) Stop() {
	if w.stop != nil {
		close(w.stop)
	}
}

// Begin notes that a durable write begins. There is one at a time.
func (w *Watch) Begin() {
	if w.stop != nil {
		w.began.Store(int64(time.Since(w.epoch)) + 1)
	}
}

// End notes that it ended. Only the end of a stall costs more than an atomic operation.
func (w *Watch) End(err error) {
	if w.stop == nil {
		return
	}
	if began := w.began.Swap(0); began < 0 {
		s := w.stall(-began)
		s.Ended, s.Err = true, err
		w.ended <- s
	}
}

func (w *Watch) stall(began int64) ballast.Stall {
	at := w.epoch.Add(time.Duration(began - 1))
	return ballast.Stall{Path: w.Path, Began: at, For: time.Since(at)}
}

// Now returns how many stalls there were, and how long the one that goes on has taken, 0 for none.
func (w *Watch) Now() (stalls uint64, stalled time.Duration) {
	if began := w.began.Load(); began < 0 {
		stalled = w.stall(-began).For
	}
	return w.stalls.Load(), stalled
}

// run looks each time when the write that was in progress, or one that began since, could have become a stall.
func (w *Watch) run() {
	timer := time.NewTimer(w.After)
	defer timer.Stop()
	for {
		select {
		case <-w.stop:
			return
		case <-timer.C:
		}
		began := w.began.Load()
		wait := w.After
		if began > 0 {
			wait = w.After - w.stall(began).For
		}
		if wait <= 0 && w.began.CompareAndSwap(began, -began) {
			w.follow(w.stall(began))
			wait = w.After
		}
		timer.Reset(max(wait, 0))
	}
}

// follow tells of a stall, waits for its end, which always comes before Stop, and tells of that.
func (w *Watch) follow(s ballast.Stall) {
	w.stalls.Add(1)
	w.tell(s)
	w.tell(<-w.ended)
}

func (w *Watch) log(s ballast.Stall) {
	switch {
	case !s.Ended:
		w.Logger.Warn("ballast: a write to the disk stalls", "path", s.Path, "for", s.For)
	case s.Err != nil:
		w.Logger.Error("ballast: the write that stalled has failed", "path", s.Path, "for", s.For, "err", s.Err)
	default:
		w.Logger.Warn("ballast: the write that stalled is durable", "path", s.Path, "for", s.For)
	}
}

func (w *Watch) tell(s ballast.Stall) {
	if w.Logger != nil {
		w.log(s)
	}
	if w.Told != nil {
		w.Told(s)
	}
}
