package main

import (
	"math"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Each figure is measured with amounts so small that only the measuring is tested.
func TestFigures(t *testing.T) {
	stores := regexp.MustCompile(`.*`)
	if r, err := startLimit(t.TempDir(), 1, block); err != nil {
		t.Logf("without the limit: %v", err)
		stores = regexp.MustCompile(`^[^l]`)
	} else if err := r.close(); err != nil {
		t.Fatal(err)
	}
	for set, figures := range sets {
		for _, f := range figures {
			t.Run(set+"/"+f.name, func(t *testing.T) {
				e := &env{dir: t.TempDir(), stores: stores, seed: 1, shrink: 1000}
				m := f.take(e, 1)
				if m.Failed != "" {
					t.Fatal(m.Failed)
				}
				for _, g := range f.goals {
					if !e.wants(g.below) {
						continue
					}
					i := slices.IndexFunc(m.Outcomes, func(o outcome) bool { return o.Ratio == g.String() })
					if i < 0 {
						t.Errorf("%s was not measured: %v", g, m.Medians)
						continue
					}
					if o := m.Outcomes[i]; math.IsNaN(o.Median) || math.IsInf(o.Median, 0) || o.Lowest > o.Median || o.Median > o.High {
						t.Errorf("%s is %+v", g, o)
					}
				}
			})
		}
	}
}

func TestJudge(t *testing.T) {
	runs := []values{{"a": 10, "b": 10}, {"a": 30, "b": 10}, {"a": 20, "b": 10}}
	for _, c := range []struct {
		goal   goal
		median float64
		ok     bool
	}{
		{most("a", "b", 2), 2, true},
		{most("a", "b", 1.9), 2, false},
		{least("a", "b", 2), 2, true},
		{least("a", "b", 2.1), 2, false},
		{most("a", "", 19), 20, false},
		{ratio("b", "a"), 0.5, true},
	} {
		if o := c.goal.judge(runs); o.Median != c.median || o.OK != c.ok {
			t.Errorf("%v %s %v is %+v; want %v, %v", c.goal, c.goal.bound, c.goal.reach, o, c.median, c.ok)
		}
	}
}

func TestSummaries(t *testing.T) {
	v := make([]float64, 2000)
	for i := range v {
		v[len(v)-1-i] = float64(i + 1)
	}
	if m, a, p := median(v), mean(v), p999(v); m != 1000.5 || a != 1000.5 || p != 1998 {
		t.Errorf("median %v, mean %v, p99.9 %v", m, a, p)
	}
}

func TestTable(t *testing.T) {
	r := report{Figures: []measurement{
		{Name: "one", Unit: "µs", Medians: map[string]float64{"raft-wal": 123.4, limit: 91.25, "raft-wal append": 0.5},
			Outcomes: []outcome{
				{Ratio: "raft-wal/limit", Bound: atMost, Reach: 1.1, Median: 1.35, Lowest: 1.3, High: 1.4},
				{Ratio: "raft-wal", Bound: atLeast, Reach: 100, Median: 123.4, Lowest: 123, High: 124, OK: true},
			}},
		{Name: "two", Failed: "no disk"},
	}}
	var out strings.Builder
	if err := r.writeTable(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"raft-wal/limit  <= 1.10    1.35      1.30 - 1.40  NOT REACHED  limit 91.2, raft-wal 123, raft-wal append 0.50 µs",
		"raft-wal        >= 100.00  123       123 - 124    ok",
		"FAILED       no disk",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the table lacks %q:\n%s", want, &out)
		}
	}
	if r.missed() != 2 {
		t.Errorf("%d missed; want 2", r.missed())
	}
}
