package boltstore

import (
	"path/filepath"
	"testing"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/engine/enginetest"
	"github.com/raft-ballast/ballast/metrics"
)

func TestObserved(t *testing.T) {
	path := filepath.Join(t.TempDir(), "raft.db")
	enginetest.Observed(t, func(sink metrics.Sink) (ballast.Store, error) {
		return Open(path, &Options{Metrics: sink})
	})
}

// A commit that takes long is reported, and its end.
func TestStall(t *testing.T) {
	told := make(chan ballast.Stall)
	s, err := Open(filepath.Join(t.TempDir(), "raft.db"), &Options{StallAfter: 1, OnStall: func(s ballast.Stall) { told <- s }})
	if err != nil {
		t.Fatal(err)
	}
	enginetest.Stalls(t, s, told, func(while func() error) error {
		s.writing.Lock()
		defer s.writing.Unlock()
		return s.durably(while)
	})
}
