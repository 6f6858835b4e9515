package badgerstore

import (
	"os"
	"path/filepath"

	"github.com/raft-ballast/ballast/internal/engine"
	"github.com/raft-ballast/ballast/internal/vfs"
	"github.com/raft-ballast/ballast/metrics"
)

// observe begins to tell whom the options name.
func (s *Store) observe() {
	s.meter.Attach(s.opts.Metrics, s.figures)
	if !s.opts.ReadOnly {
		noticed := s.opts.OnStall != nil || s.opts.Metrics != nil || s.opts.Logger != nil
		after := engine.StallAfter(s.opts.StallAfter, noticed)
		s.watch.Start(engine.WatchOptions{Path: s.dir, After: after, Told: s.opts.OnStall, Logger: s.opts.Logger})
	}
}

// figures asks badger for nothing.
func (s *Store) figures() (st metrics.Stats) {
	if v := s.view.Load(); v.first != 0 {
		st.Entries = v.last - v.first + 1
	}
	stalls, stalled := s.watch.Now()
	st.Stalls, st.StalledSeconds = stalls, stalled.Seconds()
	st.Segments, st.DiskBytes = s.meter.Disk(stalled, func() (int, int64) { return filesIn(s.by) })
	st.LiveBytes = st.DiskBytes
	if s.latch.Err() != nil {
		st.Failed = 1
	}
	st.Troubles, _ = s.Troubles()
	s.meter.Fill(&st)
	return st
}

// filesIn returns how many tables and value log files there are, and the disk that all files take: badger's files are mostly
// holes. What is gone meanwhile is nothing.
func filesIn(dir string) (segments int, bytes int64) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0, 0
	}
	for _, e := range entries {
		if ext := filepath.Ext(e.Name()); ext == ".sst" || ext == ".vlog" {
			segments++
		}
		if n, err := vfs.OS.DiskUsage(filepath.Join(dir, e.Name())); err == nil {
			bytes += n
		}
	}
	return segments, bytes
}
