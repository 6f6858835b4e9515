package gometrics_test

import (
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	hashicorp "github.com/hashicorp/go-metrics"
	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast/metrics"
	"github.com/raft-ballast/ballast/metrics/gometrics"
	"github.com/raft-ballast/ballast/wal"
)

// newMetrics returns an instance of go-metrics, and what it has gathered.
func newMetrics(t *testing.T) (*hashicorp.Metrics, *hashicorp.InmemSink) {
	t.Helper()
	sink := hashicorp.NewInmemSink(24*time.Hour, 24*time.Hour)
	conf := hashicorp.DefaultConfig("")
	conf.EnableHostname, conf.EnableRuntimeMetrics = false, false
	m, err := hashicorp.New(conf, sink)
	if err != nil {
		t.Fatal(err)
	}
	return m, sink
}

// What a store did has arrived when it is closed, under the names of the documentation.
func TestStore(t *testing.T) {
	m, memory := newMetrics(t)
	store, err := wal.Open(t.TempDir(), &wal.Options{Metrics: gometrics.New(m, []hashicorp.Label{{Name: "store", Value: "a"}})})
	if err != nil {
		t.Fatal(err)
	}
	for index := range uint64(3) {
		if err := store.StoreLogs([]*raft.Log{{Index: 2*index + 1, Data: make([]byte, 100)}, {Index: 2*index + 2}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := store.GetLog(1, new(raft.Log)); err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	data := memory.Data()[0]
	for name, want := range map[string]struct {
		n   int
		sum float64
	}{
		"raft.ballast.storeLogs;store=a":    {3, -1},
		"raft.ballast.sync;store=a":         {-1, -1},
		"raft.ballast.logsPerBatch;store=a": {3, 6},
		"raft.ballast.logBatchSize;store=a": {3, 300},
	} {
		s, ok := data.Samples[name]
		if !ok || want.n >= 0 && s.Count != want.n || want.sum >= 0 && s.Sum != want.sum || s.Sum <= 0 {
			t.Errorf("%s: %+v", name, s)
		}
	}
	if got := data.Counters["raft.ballast.reads;store=a"].Sum; got != 1 {
		t.Errorf("reads: %v", got)
	}
	for _, name := range []string{"entries", "liveBytes", "diskBytes", "segments", "stalledSeconds", "failed"} {
		if _, ok := data.Gauges["raft.ballast."+name+";store=a"]; !ok {
			t.Errorf("there is no gauge %s", name)
		}
	}
	doc, err := os.ReadFile("../../docs/OPERATIONS.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range slices.Concat(slices.Collect(maps.Keys(data.Samples)), slices.Collect(maps.Keys(data.Counters)), slices.Collect(maps.Keys(data.Gauges))) {
		name, _, _ = strings.Cut(name, ";")
		if strings.HasPrefix(name, "raft.ballast.") && !strings.Contains(string(doc), "`"+name+"`") {
			t.Errorf("docs/OPERATIONS.md does not explain %s", name)
		}
	}
	for _, name := range []string{"appendFailures", "stalls", "corruptions", "cacheHits", "segmentsRecycled", "samplesDropped"} {
		if _, ok := data.Counters["raft.ballast."+name+";store=a"]; !ok {
			t.Errorf("there is no counter %s", name)
		}
	}
}

// Gauges and counters come every ten seconds, counters by how much they have grown.
func TestInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, memory := newMetrics(t)
		s := gometrics.New(m, nil)
		stats := make(chan metrics.Stats, 1)
		detach := s.Attach(func() metrics.Stats {
			now := <-stats
			stats <- now
			return now
		})
		for _, reads := range []uint64{5, 7} {
			stats <- metrics.Stats{Entries: 10 * reads, Reads: reads}
			time.Sleep(10*time.Second + time.Millisecond)
			synctest.Wait()
			<-stats
			data := memory.Data()
			data = slices.DeleteFunc(data, func(d *hashicorp.IntervalMetrics) bool { return len(d.Gauges) == 0 })
			if got := data[0].Gauges["raft.ballast.entries"].Value; got != float32(10*reads) {
				t.Errorf("entries: %v", got)
			}
			if got := data[0].Counters["raft.ballast.reads"].Sum; got != float64(reads) {
				t.Errorf("reads: %v, want %d", got, reads)
			}
		}
		stats <- metrics.Stats{}
		detach()
	})
}

// A sink of go-metrics that hangs holds nobody up.
func TestObserveNeverWaits(t *testing.T) {
	s := gometrics.New(nil, nil) // not attached: nobody takes anything
	if n := testing.AllocsPerRun(10_000, func() { s.Observe(metrics.SyncSeconds, 1) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
