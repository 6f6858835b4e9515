package bench

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/engine"
	"github.com/raft-ballast/ballast/memstore"
	"github.com/raft-ballast/ballast/wal"
)

// testEngines are one on disk, one in memory, and one that does not open.
func testEngines() []Engine {
	return []Engine{
		{"memory", func(string) (ballast.Store, error) { return memstore.New(), nil }},
		{"wal", func(dir string) (ballast.Store, error) { return wal.Open(dir, nil) }},
		{"broken", func(string) (ballast.Store, error) { return nil, errors.New("it does not open") }},
	}
}

// A run measures each rival of each workload, tells what failed, and leaves nothing behind.
func TestRun(t *testing.T) {
	dir := t.TempDir()
	if free, err := engine.FreeBytes(dir); err != nil || free < NeededBytes {
		t.Skipf("there are %d bytes free, %v", free, err)
	}
	var whats []string
	last := 0.0
	r, err := Run(t.Context(), Config{Dir: dir, Length: 300 * time.Millisecond, Engines: testEngines(), Seed: 1, Progress: func(what string, done float64) {
		if done < last || done > 1.001 {
			t.Errorf("%s: %v is done after %v", what, done, last)
		}
		last = done
		whats = append(whats, what)
	}})
	if err != nil {
		t.Fatal(err)
	}
	if whats = slices.Compact(whats); len(whats) != 2+len(workloads) {
		t.Errorf("what was done is %q", whats)
	}
	for _, w := range r.Workloads {
		for _, x := range w.Results {
			if (x.Failed != "") != (x.Engine == "broken") || x.Failed == "" && (x.Samples < minSamples || x.Median <= 0 || x.P99 < x.Median || x.Max < x.P99) {
				t.Errorf("%s: %+v", w.Name, x)
			}
			if limited := w.Results[0].Engine == Limit; x.Failed == "" && (x.OverLimit > 0) != limited {
				t.Errorf("%s of %s is %v of the limit", w.Name, x.Engine, x.OverLimit)
			}
		}
	}
	for _, bytes := range []int{smallBytes, batchCount * batchBytes} {
		if n := len(slices.DeleteFunc(slices.Clone(r.Ways), func(w Way) bool { return w.Bytes != bytes || !w.Fastest })); n != 1 {
			t.Errorf("%d ways are the fastest for %d bytes", n, bytes)
		}
	}
	if len(r.Advice) < 3 {
		t.Errorf("the advice is %v", r.Advice)
	}
	empty(t, dir)
}

// A run that is interrupted leaves nothing either.
func TestRunInterrupted(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	_, err := Run(ctx, Config{Dir: dir, Length: time.Hour, Engines: testEngines(), Progress: func(what string, _ float64) {
		if what == "limit for 256 B" {
			cancel()
		}
	}})
	if !errors.Is(err, context.Canceled) && !errors.Is(err, ballast.ErrNoSpace) {
		t.Errorf("it ended with %v", err)
	}
	empty(t, dir)
}

func empty(t *testing.T, dir string) {
	t.Helper()
	if names, err := os.ReadDir(dir); err != nil || len(names) > 0 {
		t.Errorf("there are %v, %v", names, err)
	}
}

func TestEnough(t *testing.T) {
	if err := enough(NeededBytes, "here"); err != nil {
		t.Error(err)
	}
	if err := enough(NeededBytes-1, "here"); !errors.Is(err, ballast.ErrNoSpace) || !strings.Contains(err.Error(), "here has 1023 MiB free, and measuring needs 1024") {
		t.Error(err)
	}
}

// Rivals take turns: none has a second one before all have had one. One that failed, or has done enough, takes no more.
func TestTurns(t *testing.T) {
	var order []string
	call := func(name string) func() error {
		return func() error {
			if n := len(order); n == 0 || order[n-1] != name {
				order = append(order, name)
			}
			return nil
		}
	}
	failing := errors.New("it fails")
	rivals := []*rival{
		{name: "a", call: call("a"), calls: 2}, {name: "b", call: call("b")},
		{name: "few", call: call("few"), most: 5}, {name: "broken", call: func() error { return failing }},
	}
	if err := (turns{length: time.Millisecond, progress: func(float64) {}}).take(t.Context(), rand.New(rand.NewPCG(1, 0)), rivals); err != nil {
		t.Fatal(err)
	}
	count := map[string]int{}
	for _, name := range order {
		count[name]++
	}
	if count["a"] > minRounds || count["b"] > minRounds || count["few"] != 1 || len(rivals[2].samples) != 5 || rivals[3].failed != failing {
		t.Errorf("the turns were %q, few has %d samples, broken has %v", order, len(rivals[2].samples), rivals[3].failed)
	}
	if r := rivals[3].result(); r.Failed != "it fails" || r.Engine != "broken" {
		t.Errorf("%+v", r)
	}
	r := rival{name: "known", samples: []float64{4, 1, 3, 2}}
	if got, want := r.result(), (Result{Engine: "known", Figures: Figures{Samples: 4, Median: 2, P99: 4, Max: 4}}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// What is advised depends on the figures alone.
func TestAdvice(t *testing.T) {
	report := func(sync, longest float64, kind string) *Report {
		r := &Report{Dir: "/data", FileSystem: kind, FreeBytes: 100 << 30}
		r.Ways = []Way{
			{Bytes: smallBytes, Extents: "written", Sync: "fdatasync", Figures: Figures{Median: 2 * sync}},
			{Bytes: smallBytes, Extents: "written", Sync: "O_DIRECT|O_DSYNC", Figures: Figures{Median: sync}},
		}
		r.Workloads = []Workload{{Name: workloads[0].name, Results: []Result{
			{Engine: Limit, Figures: Figures{Median: sync, Max: longest}}, {Engine: "memory", Figures: Figures{Median: 0.1}},
			{Engine: "wal", OverLimit: 1.5, Figures: Figures{Median: 1.5 * sync, Max: longest}}, {Engine: "bolt", Figures: Figures{Median: 3 * sync}},
		}}}
		return r
	}
	full := report(100, 1000, "xfs")
	full.FreeBytes = 1 << 30
	refused := report(100, 1000, "ext4")
	refused.Ways[1].Failed, refused.Ways[0].Median = "invalid argument", 100
	cases := []struct {
		name  string
		r     *Report
		topic string
		bad   bool
		want  string
	}{
		{"too fast", report(5, 100, "ext4"), "lie", true, "a durable write takes 5.00 µs, less than a disk needs"},
		{"protected", report(30, 100, "ext4"), "sync", false, "a durable write takes 30 µs. That is a disk whose cache is protected"},
		{"good", report(300, 1000, "ext4"), "sync", false, "a durable write takes 300 µs: good"},
		{"slow", report(8000, 50_000, "ext4"), "sync", true, "a durable write takes 8.0 ms, which is slow: a peer makes about 125 batches a second at most"},
		{"very slow", report(40_000, 50_000, "ext4"), "sync", true, "a durable write takes 40.0 ms, which is very slow"},
		{"default timeouts", report(300, 100_000, "ext4"), "timeouts", false, "the longest write took 100.0 ms, so raft's own timeouts, 1s"},
		{"longer timeouts", report(300, 250_000, "ext4"), "timeouts", true, "set HeartbeatTimeout and ElectionTimeout to 3s and LeaderLeaseTimeout to 1.5s"},
		{"memory", report(1, 10, "tmpfs"), "memory", true, "/data is tmpfs, which is memory"},
		{"direct", report(100, 1000, "ext4"), "direct", false, "O_DIRECT is accepted, and"},
		{"no direct", refused, "direct", false, "O_DIRECT is not accepted here"},
		{"btrfs", report(100, 1000, "btrfs"), "file_system", true, "btrfs writes nothing in place"},
		{"sshfs", report(100, 1000, "fuse.sshfs"), "file_system", true, "a file system in a process"},
		{"little space", full, "space", true, "1024 MiB are free"},
		{"engine", report(100, 1000, "ext4"), "engine", false, "a small append takes wal 150 µs, 1.5 times the limit, and bolt 300 µs"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			list := c.r.advise()
			i := slices.IndexFunc(list, func(a Advice) bool { return a.Topic == c.topic })
			if i < 0 || list[i].Bad != c.bad || !strings.Contains(list[i].Text, c.want) {
				t.Errorf("%+v has no %s, bad %v, with %q", list, c.topic, c.bad, c.want)
			}
			if c.topic == "memory" && slices.ContainsFunc(list, func(a Advice) bool { return a.Topic == "sync" || a.Topic == "lie" }) {
				t.Errorf("memory is judged as a disk: %+v", list)
			}
		})
	}
}
