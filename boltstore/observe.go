package boltstore

import (
	"github.com/raft-ballast/ballast/internal/engine"
	"github.com/raft-ballast/ballast/internal/vfs"
	"github.com/raft-ballast/ballast/metrics"
)

// observe begins to tell whom the options name.
func (s *Store) observe() {
	s.meter.Attach(s.opts.Metrics, s.figures)
	if !s.opts.ReadOnly {
		after := engine.StallAfter(s.opts.StallAfter, s.opts.OnStall != nil || s.opts.Metrics != nil)
		s.watch.Start(engine.WatchOptions{Path: s.path, After: after, Told: s.opts.OnStall})
	}
}

// durably makes a call that ends with bbolt's syncs, under the watch. The caller holds s.writing.
func (s *Store) durably(commit func() error) error {
	began := s.meter.Start()
	s.watch.Begin()
	s.committing = true
	err := s.guard(commit)
	s.committing = false
	s.watch.End(err)
	s.meter.Synced(began)
	return err
}

// figures asks bbolt for nothing that waits for a transaction.
func (s *Store) figures() (st metrics.Stats) {
	if first, last := s.first.Load(), s.last.Load(); first != 0 && last >= first {
		st.Entries = last - first + 1
	}
	stalls, stalled := s.watch.Now()
	st.Stalls, st.StalledSeconds = stalls, stalled.Seconds()
	st.Segments, st.DiskBytes = s.meter.Disk(stalled, func() (int, int64) {
		bytes, _ := vfs.OS.DiskUsage(s.path) // 0 for a file that is gone
		return 1, bytes
	})
	if !s.wedged.Load() {
		st.LiveBytes = max(0, st.DiskBytes-int64(s.db.Stats().FreeAlloc))
	}
	if s.failed.Err() != nil {
		st.Failed = 1
	}
	s.meter.Fill(&st)
	return st
}
