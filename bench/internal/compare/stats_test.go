package compare

import (
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/raft-ballast/ballast/bench/internal/report"
)

func TestSummarize(t *testing.T) {
	var rounds [][]float64
	for round := range 4 {
		var samples []float64
		for i := range 500 {
			samples = append(samples, float64(1000*round+i+1))
		}
		rounds = append(rounds, samples)
	}
	r := summarize("wal", append(rounds, nil))
	want := report.Result{Store: "wal", Samples: 2000, Median: 1750.5, P99: 3480, P999: 3498, Low: 250.5, High: 3250.5}
	if r.Samples != want.Samples || r.Median != want.Median || r.P99 != want.P99 || r.P999 != want.P999 || r.Low != want.Low || r.High != want.High {
		t.Errorf("%+v\nwant %+v", r, want)
	}
	last := r.Quantiles[len(r.Quantiles)-1]
	if last.X != 0.9995 || last.Y != 3499 {
		t.Errorf("the last quantile of 2000 samples is %+v", last)
	}
	if r := summarize("wal", [][]float64{nil}); r.Failed == "" {
		t.Errorf("nothing was measured and that is %+v", r)
	}
}

func TestFinish(t *testing.T) {
	w := report.Workload{Results: []report.Result{
		{Store: report.Limit, Median: 100}, {Store: "wal", Median: 110}, {Store: "raft-wal", Median: 220}, {Store: "raft-boltdb", Failed: "no disk"},
	}}
	finish(&w)
	if r := w.Of("raft-wal"); r.OverLimit != 2.2 || r.OverWAL != 2 {
		t.Errorf("%+v", r)
	}
}

func TestJudge(t *testing.T) {
	r := &report.Report{Workloads: []report.Workload{
		{Name: "append 1x128 B", Results: []report.Result{{Store: report.Limit, Median: 100}, {Store: "wal", Median: 105}, {Store: "raft-boltdb", Median: 210}}},
		{Name: "read in order", Results: []report.Result{{Store: "wal", Median: 0.5}}},
	}}
	got := make(map[string]report.Outcome)
	for _, o := range Judge(r) {
		got[o.Workload+" "+o.Ratio] = o
	}
	for name, ok := range map[string]bool{"append 1x128 B wal/limit": true, "append 1x128 B raft-boltdb/wal": false, "read in order wal": false} {
		if o, found := got[name]; !found || o.OK != ok {
			t.Errorf("%s: %+v", name, o)
		}
	}
	if len(got) != 3 {
		t.Errorf("%d goals; those without figures do not count: %v", len(got), got)
	}
	if got["append 1x128 B raft-boltdb/wal"].Why == "" || got["append 1x128 B wal/limit"].Why != "" {
		t.Error("a reason belongs to what was not reached")
	}
}

// TestTurns: all have as many turns, each call is one sample, and who fails takes no more turns and does not keep the others from theirs.
func TestTurns(t *testing.T) {
	calls := map[string]int{}
	begun, ended := 0, 0
	broken := errors.New("broken")
	rivals := []*rival{
		{name: "good", begin: func() error { begun++; return nil }, end: func() error { ended++; return nil },
			call: func() error { calls["good"]++; return nil }},
		{name: "bad", call: func() error {
			if calls["bad"]++; calls["bad"] > 7 {
				return broken
			}
			return nil
		}},
	}
	tr := turns{total: 10 * time.Nanosecond, turn: time.Nanosecond, warm: 1, calls: 2}
	if err := tr.take(t.Context(), rand.New(rand.NewPCG(1, 1)), rivals); err != nil {
		t.Fatal(err)
	}
	if begun != 5 || ended != 5 || calls["good"] != 5*2*(1+minSamples) {
		t.Errorf("%d turns begun, %d ended, %d calls", begun, ended, calls["good"])
	}
	list := results(rivals)
	if list[0].Samples != 5*minSamples || list[1].Failed != broken.Error() || calls["bad"] != 8 {
		t.Errorf("%+v, %d calls", list, calls["bad"])
	}
}

func TestThousands(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 10_000_001: "10,000,001"} {
		if got := thousands(n); got != want {
			t.Errorf("%d is %s", n, got)
		}
	}
}

func TestClock(t *testing.T) {
	const s = time.Second
	for _, c := range []struct {
		clock        clock
		takes, spent time.Duration
		done         float64
		left         time.Duration
	}{
		{clock{total: 100 * s}, 10 * s, 0, 0, 100 * s},
		{clock{total: 100 * s}, 10 * s, 5 * s, 0.05, 95 * s},
		{clock{total: 100 * s, planned: 50 * s, took: 100 * s}, 10 * s, 0, 0.5, 100 * s},                           // twice as slow as planned
		{clock{total: 100 * s, planned: 50 * s, took: 50 * s}, 10 * s, time.Hour, 0.595, 40500 * time.Millisecond}, // a step that takes long is not over
	} {
		if done, left := c.clock.at(c.takes, c.spent); max(done-c.done, c.done-done) > 1e-9 || left != c.left {
			t.Errorf("%+v, %v into %v: %v and %v left; want %v and %v", c.clock, c.spent, c.takes, done, left, c.done, c.left)
		}
	}
}
