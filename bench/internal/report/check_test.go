package report

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// measured makes a report of one workload: wal's figure and that of another store.
func measured(better string, wal, other float64) *Report {
	return &Report{
		Stores: []Store{{Name: "wal", Durable: true}, {Name: "raft-wal", Durable: true}, {Name: "raft-boltdb", Durable: true}, {Name: "InmemStore"}, {Name: "wal+cache", Durable: true, Cache: true}},
		Workloads: []Workload{{Name: "append 1x128 B", Better: better, Results: []Result{
			{Store: "wal", Median: wal, Samples: 100}, {Store: "raft-wal", Median: other, Samples: 100},
			{Store: "raft-boltdb", Failed: "no disk"}, {Store: "InmemStore", Median: 1, Samples: 100}, {Store: "wal+cache", Median: 1, Samples: 100},
		}}},
	}
}

func TestCompare(t *testing.T) {
	for _, c := range []struct {
		name          string
		better        string
		wal, other    float64
		marked, fails bool
	}{
		{"the same, on a slower machine", "lower", 300, 300, false, false},
		{"a little worse", "lower", 124, 100, false, false},
		{"worse by more than a quarter", "lower", 126, 100, true, false},
		{"twice as bad", "lower", 200, 100, true, true},
		{"better", "lower", 50, 100, false, false},
		{"a lower rate, where a higher one is better", "higher", 49, 100, true, true},
		{"a higher rate", "higher", 200, 100, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			kept := Reference{Ratios: measured(c.better, 100, 100).Ratios()}
			path := filepath.Join(t.TempDir(), "reference.json")
			text, err := json.Marshal(kept)
			if err == nil {
				err = os.WriteFile(path, text, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
			ref, err := ReadReference(path)
			if err != nil {
				t.Fatal(err)
			}
			r := measured(c.better, c.wal, c.other)
			r.Compare(ref)
			if len(r.Checks) != 1 || r.Checks[0].Marked() != c.marked || r.Checks[0].Fails() != c.fails {
				t.Fatalf("%+v", r.Checks)
			}
			if failing := r.Failing(); (len(failing) > 0) != c.fails {
				t.Errorf("failing: %v", failing)
			}
			var out strings.Builder
			if err := r.WriteChecks(&out); err != nil {
				t.Fatal(err)
			}
			if strings.Contains(out.String(), "TWICE AS BAD") != c.fails {
				t.Errorf("the table:\n%s", &out)
			}
		})
	}
}

// TestAgain: what was bad for a moment is not held against anybody.
func TestAgain(t *testing.T) {
	ref := Reference{Ratios: measured("lower", 100, 100).Ratios()}
	r := measured("lower", 300, 100)
	r.Workloads = append(r.Workloads, Workload{Name: "another", Results: []Result{{Store: "wal", Median: 1}}})
	r.Compare(ref)
	if got := r.Failing(); !slices.Equal(got, []string{"append 1x128 B"}) {
		t.Fatalf("failing: %v", got)
	}
	r.Again(measured("lower", 110, 100))
	r.Compare(ref)
	if got := r.Failing(); len(got) > 0 || len(r.Workloads) != 2 {
		t.Errorf("failing: %v of %d", got, len(r.Workloads))
	}
	r.Again(measured("lower", 300, 100))
	r.Compare(ref)
	if got := r.Failing(); len(got) != 1 {
		t.Errorf("what is slow twice does not fail")
	}
	r.Workloads[0].Results[0].Samples = 99
	r.Compare(ref)
	if got := r.Failing(); len(got) != 0 || !r.Checks[0].Marked() {
		t.Errorf("too few calls: %+v", r.Checks)
	}
}
