package prommetrics_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/raft"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/raft-ballast/ballast/metrics"
	"github.com/raft-ballast/ballast/metrics/prommetrics"
	"github.com/raft-ballast/ballast/wal"
)

func newSink(t *testing.T, reg *prometheus.Registry, store string) *prommetrics.Sink {
	t.Helper()
	sink, err := prommetrics.New(reg, store)
	if err != nil {
		t.Fatal(err)
	}
	return sink
}

// Everything of package metrics is there, under names that Prometheus's own linter likes, also before anything happened.
func TestNames(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	newSink(t, reg, "raft")
	var names []string
	for d := range metrics.Distributions {
		names = append(names, "ballast_"+d.Name())
	}
	for _, f := range metrics.Figures() {
		names = append(names, "ballast_"+f.Name)
	}
	for _, name := range names {
		if n, err := testutil.GatherAndCount(reg, name); n != 1 || err != nil {
			t.Errorf("%s is there %d times, %v", name, n, err)
		}
	}
	families, err := reg.Gather()
	if err != nil || len(families) != len(names) {
		t.Errorf("%d metrics, want %d; %v", len(families), len(names), err)
	}
	doc, err := os.ReadFile("../../docs/OPERATIONS.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if !strings.Contains(string(doc), "| `"+name+"` |") {
			t.Errorf("docs/OPERATIONS.md does not explain %s", name)
		}
	}
	for _, name := range regexp.MustCompile(`ballast_[a-z_]+`).FindAllString(string(doc), -1) {
		if !slices.Contains(names, name) {
			t.Errorf("docs/OPERATIONS.md has %s, which there is not", name)
		}
	}
	problems, err := promlint.NewWithMetricFamilies(families).Lint()
	if err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
}

func TestValues(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	sink := newSink(t, reg, "a")
	newSink(t, reg, "b")
	if _, err := prommetrics.New(reg, "a"); err == nil || !strings.Contains(err.Error(), `"a"`) {
		t.Errorf("a second sink of the same store: %v", err)
	}
	store, err := wal.Open(t.TempDir(), &wal.Options{Metrics: sink})
	if err != nil {
		t.Fatal(err)
	}
	logs := []*raft.Log{{Index: 1, Data: make([]byte, 100)}, {Index: 2, Data: make([]byte, 60)}}
	if err := store.StoreLogs(logs); err != nil {
		t.Fatal(err)
	}
	if err := store.GetLog(2, new(raft.Log)); err != nil {
		t.Fatal(err)
	}
	check := func(entries, reads string) {
		t.Helper()
		want := `
# HELP ballast_entries Entries in the log.
# TYPE ballast_entries gauge
ballast_entries{store="a"} ` + entries + `
ballast_entries{store="b"} 0
# HELP ballast_reads_total Entries that were read.
# TYPE ballast_reads_total counter
ballast_reads_total{store="a"} ` + reads + `
ballast_reads_total{store="b"} 0
`
		if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "ballast_entries", "ballast_reads_total"); err != nil {
			t.Error(err)
		}
	}
	check("2", "1")
	if n, sum := histogram(t, reg, "ballast_batch_bytes"); n != 1 || sum != 160 {
		t.Errorf("%d batches of %v bytes", n, sum)
	}
	if n, sum := histogram(t, reg, "ballast_sync_duration_seconds"); n != 1 || sum <= 0 || sum > 60 {
		t.Errorf("%d syncs of %v seconds", n, sum)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	check("0", "1")
}

// histogram returns what the store "a" has observed.
func histogram(t *testing.T, reg *prometheus.Registry, name string) (n uint64, sum float64) {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			h := f.GetMetric()[0].GetHistogram()
			return h.GetSampleCount(), h.GetSampleSum()
		}
	}
	t.Fatalf("there is no %s", name)
	return 0, 0
}

// The path of a write pays for no memory.
func TestObserveAllocatesNothing(t *testing.T) {
	sink := newSink(t, prometheus.NewRegistry(), "raft")
	for d := range metrics.Distributions {
		if n := testing.AllocsPerRun(100, func() { sink.Observe(d, 0.001) }); n != 0 {
			t.Errorf("%s: %v allocations", d.Name(), n)
		}
	}
}
