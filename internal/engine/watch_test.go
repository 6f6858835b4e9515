package engine

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/raft-ballast/ballast"
)

// A write is a stall from the moment on at which it has taken After, whenever it began between two looks; what is shorter is none.
func TestWatch(t *testing.T) {
	const after = time.Second
	failure := errors.New("EIO")
	for _, c := range []struct {
		name         string
		before, long time.Duration
		err          error
		stalls       bool
	}{
		{"shorter", 0, after - 1, nil, false},
		{"longer, from the beginning", 0, 3 * after, nil, true},
		{"longer, begun between two looks", after + after/3, 3 * after, nil, true},
		{"by a nanosecond", after / 2, after + 1, nil, true},
		{"failed in the end", after / 2, 2 * after, failure, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var w Watch
				var told []ballast.Stall
				w.Start(WatchOptions{Path: "p", After: after, Told: func(s ballast.Stall) { told = append(told, s) }})
				defer w.Stop()
				time.Sleep(c.before)
				began := time.Now()
				w.Begin()
				time.Sleep(c.long)
				synctest.Wait()
				n, stalled := w.Now()
				if c.stalls != (n == 1) || c.stalls != (stalled == c.long) {
					t.Errorf("before the end there are %d stalls, of %v", n, stalled)
				}
				w.End(c.err)
				synctest.Wait()
				var want []ballast.Stall
				if c.stalls {
					want = []ballast.Stall{
						{Path: "p", Began: began, For: after},
						{Path: "p", Began: began, For: c.long, Ended: true, Err: c.err},
					}
				}
				if !slices.EqualFunc(told, want, sameStall) {
					t.Errorf("told %v, want %v", told, want)
				}
				if _, stalled := w.Now(); stalled != 0 {
					t.Errorf("stalled for %v after the end", stalled)
				}
			})
		})
	}
}

func sameStall(a, b ballast.Stall) bool {
	began := a.Began.Equal(b.Began)
	a.Began = b.Began
	return began && a == b
}

// While somebody is told the writer goes on, and a write that stalls then is noticed when it still does afterwards.
func TestWatchBesideASlowListener(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w Watch
		told := 0
		w.Start(WatchOptions{After: time.Second, Told: func(ballast.Stall) {
			told++
			time.Sleep(10 * time.Second)
		}})
		defer w.Stop()
		for range 5 { // each but the first ends before the listener returns
			w.Begin()
			time.Sleep(2 * time.Second)
			w.End(nil)
		}
		w.Begin()
		time.Sleep(30 * time.Second)
		w.End(nil)
		time.Sleep(time.Minute)
		synctest.Wait()
		if n, _ := w.Now(); n != 2 || told != 4 {
			t.Errorf("%d stalls, told %d times", n, told)
		}
	})
}

// Nobody is watched by a Watch that was not started.
func TestNoWatch(t *testing.T) {
	var w Watch
	w.Start(WatchOptions{After: StallAfter(0, false), Told: func(ballast.Stall) { t.Error("told") }})
	w.Begin()
	w.End(nil)
	w.Stop()
	if n, stalled := w.Now(); n != 0 || stalled != 0 {
		t.Errorf("%d stalls, of %v", n, stalled)
	}
	if got := StallAfter(0, true); got != ballast.DefaultStallAfter {
		t.Errorf("the default is %v", got)
	}
	if got := StallAfter(-1, true); got >= 0 {
		t.Errorf("never is %v", got)
	}
}
