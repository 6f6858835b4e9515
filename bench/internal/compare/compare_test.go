package compare

import (
	"math"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/raft-ballast/ballast/bench/internal/report"
)

// TestPlans runs the quick plan, and what the full one has beyond it, with amounts so small that only the measuring is tested.
func TestPlans(t *testing.T) {
	beyond := regexp.MustCompile("^(append 64x64 KiB|append .*segments.*|sustained.*|open .*|cluster .*)$")
	for _, quick := range []bool{true, false} {
		for _, s := range (&Config{Quick: quick}).plan() {
			if !quick && !beyond.MatchString(s.names[0]) {
				continue
			}
			t.Run(s.names[0], func(t *testing.T) {
				names := make([]string, len(s.names))
				for i, name := range s.names {
					names[i] = regexp.QuoteMeta(name)
				}
				r, err := Run(t.Context(), Config{Dir: t.TempDir(), Quick: quick, Seed: 1, shrink: 1000,
					Only: regexp.MustCompile("^(" + strings.Join(names, "|") + ")$")})
				if err != nil {
					t.Fatal(err)
				}
				check(t, r, s.names)
			})
		}
	}
}

// check fails unless each of these workloads was measured on some stores, wal among them, and all the figures are figures.
func check(t *testing.T, r *report.Report, names []string) {
	for _, name := range names {
		if name == report.Limit {
			if len(r.Ways) == 0 {
				t.Error("no way to write was measured")
			}
			continue
		}
		w := r.Find(name)
		if w == nil {
			if n := strings.TrimPrefix(name, "replay "); n == "10,000,000" {
				continue // too long
			}
			t.Errorf("%s was not measured", name)
			continue
		}
		if w.Of("wal") == nil || len(w.Results) < 2 && !strings.Contains(name, "zeros ahead") {
			t.Errorf("%s: wal or others are missing: %+v", name, w.Results)
		}
		for _, s := range w.Results {
			if s.Failed != "" {
				t.Errorf("%s, %s: %s", name, s.Store, s.Failed)
				continue
			}
			for _, v := range []float64{s.Median, s.Low, s.High} {
				if math.IsNaN(v) || math.IsInf(v, 0) || v < 0 {
					t.Errorf("%s, %s: %+v", name, s.Store, s)
				}
			}
			if s.Low > s.High || s.Samples == 0 {
				t.Errorf("%s, %s: lowest %v, highest %v of %d", name, s.Store, s.Low, s.High, s.Samples)
			}
		}
	}
}

// TestGroups runs what is measured of many raft groups in the same way.
func TestGroups(t *testing.T) {
	r, err := Run(t.Context(), Config{Dir: t.TempDir(), Groups: true, Seed: 1, shrink: 1000})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Failures(); err != nil {
		t.Error(err)
	}
	counted, err := writtenBytes()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{groupAppends, groupAlone, groupStorm, groupDevice, groupDisk, groupOpen} {
		w := r.Find(name)
		if w == nil && name == groupDevice && counted < 0 {
			continue
		}
		if w == nil {
			t.Errorf("%s was not measured", name)
			continue
		}
		for _, s := range w.Results {
			if !(s.Median > 0) || s.Low > s.High {
				t.Errorf("%s, %s: %+v", name, s.Store, s)
			}
		}
	}
	if want := 7; counted >= 0 && len(r.Goals) != want {
		t.Errorf("%d goals are told, should be %d", len(r.Goals), want)
	}
}

func TestPlanNames(t *testing.T) {
	for _, quick := range []bool{true, false} {
		var names []string
		total := time.Duration(0)
		for _, s := range (&Config{Quick: quick}).plan() {
			names = append(names, s.names...)
			total += s.takes
		}
		slices.Sort(names)
		if len(slices.Compact(slices.Clone(names))) != len(names) {
			t.Errorf("a name is there twice: %v", names)
		}
		if most := map[bool]time.Duration{true: time.Minute, false: 10 * time.Minute}[quick]; total > most {
			t.Errorf("the plan takes %v, should be %v at most", total, most)
		}
	}
}
