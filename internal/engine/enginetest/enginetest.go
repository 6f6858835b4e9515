// Package enginetest tests what engines do through package engine.
package enginetest

import (
	"sync"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/metrics"
)

// tally is a sink that adds up.
type tally struct {
	metrics.Sources
	mu     sync.Mutex
	n, sum [metrics.Distributions]float64
}

func (s *tally) Observe(d metrics.Distribution, v float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.n[d]++
	s.sum[d] += v
}

// Observed checks what a new store with a sink tells it, in two lives.
func Observed(t *testing.T, open func(metrics.Sink) (ballast.Store, error)) {
	t.Helper()
	var sink tally
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	s, err := open(&sink)
	check(err)
	check(s.StoreLogs([]*raft.Log{{Index: 1, Data: make([]byte, 100)}, {Index: 2, Data: make([]byte, 50), Extensions: make([]byte, 5)}}))
	check(s.StoreLog(&raft.Log{Index: 3}))
	check(s.SetUint64([]byte("CurrentTerm"), 1))
	check(s.GetLog(2, new(raft.Log)))
	if err := s.GetLog(4, new(raft.Log)); err != raft.ErrLogNotFound {
		t.Fatal(err)
	}
	if err := s.StoreLog(&raft.Log{}); err == nil {
		t.Fatal("an entry of index 0 was stored")
	}
	if n := sink.n; n[metrics.AppendSeconds] != 2 || sink.sum[metrics.BatchEntries] != 3 || sink.sum[metrics.BatchBytes] != 155 {
		t.Errorf("%v appends of %v entries and %v bytes", n[metrics.AppendSeconds], sink.sum[metrics.BatchEntries], sink.sum[metrics.BatchBytes])
	}
	if n, sum := sink.n[metrics.SyncSeconds], sink.sum[metrics.SyncSeconds]; n < 3 || sum <= 0 || sum > sink.sum[metrics.AppendSeconds]+60 {
		t.Errorf("%v durable writes in %v s", n, sum)
	}
	got := sink.Stats()
	if got.Entries != 3 || got.Reads != 1 || got.Segments < 1 || got.DiskBytes <= 0 || got.LiveBytes <= 0 || got.LiveBytes > got.DiskBytes {
		t.Errorf("%+v", got)
	}
	if got.AppendFailures != 0 || got.Corruptions != 0 || got.Failed != 0 || got.Stalls != 0 {
		t.Errorf("something went wrong: %+v", got)
	}
	check(s.Close())
	if got := sink.Stats(); got != (metrics.Stats{Reads: 1}) {
		t.Errorf("closed: %+v", got)
	}
	s, err = open(&sink)
	check(err)
	check(s.GetLog(1, new(raft.Log)))
	if got := sink.Stats(); got.Entries != 3 || got.Reads != 2 {
		t.Errorf("opened again: %+v", got)
	}
	check(s.Close())
}

// Stalls makes a write of a store, which calls a function before it does anything durable, and returns from that only
// when the stall was told to the channel.
func Stalls(t *testing.T, s ballast.Store, told <-chan ballast.Stall, write func(while func() error) error) {
	t.Helper()
	var first ballast.Stall
	if err := write(func() error { first = <-told; return nil }); err != nil {
		t.Fatal(err)
	}
	if last := <-told; first.Ended || !last.Ended || last.Err != nil || !last.Began.Equal(first.Began) || last.For < first.For {
		t.Errorf("told %+v, then %+v", first, last)
	}
	closed := make(chan error)
	go func() { closed <- s.Close() }() // which writes, and may stall by the nanosecond that this store allows
	for {
		select {
		case <-told:
		case err := <-closed:
			if err != nil {
				t.Error(err)
			}
			return
		}
	}
}
