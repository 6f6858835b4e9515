package badgerstore

import (
	"testing"

	"github.com/dgraph-io/badger/v4"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/engine/enginetest"
	"github.com/raft-ballast/ballast/metrics"
)

func TestObserved(t *testing.T) {
	dir := t.TempDir()
	enginetest.Observed(t, func(sink metrics.Sink) (ballast.Store, error) {
		return Open(dir, &Options{Metrics: sink})
	})
}

// A write that takes long is reported, and its end.
func TestStall(t *testing.T) {
	told := make(chan ballast.Stall)
	s, err := Open(t.TempDir(), &Options{StallAfter: 1, OnStall: func(s ballast.Stall) { told <- s }})
	if err != nil {
		t.Fatal(err)
	}
	enginetest.Stalls(t, s, told, func(while func() error) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.commit(func(*badger.Txn, uint64) error { return while() })
	})
}
