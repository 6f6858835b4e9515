package wal

import (
	"github.com/raft-ballast/ballast/internal/engine"
	"github.com/raft-ballast/ballast/metrics"
)

// This file is how others see what a store does, while it does it.

// observe begins to tell whom the options name.
func (j *journal) observe() {
	j.meter.Attach(j.opts.Metrics, j.figures)
	if !j.readOnly {
		j.watch.Start(engine.WatchOptions{Path: j.dir, After: j.opts.StallAfter, Told: j.opts.OnStall, Logger: j.opts.Logger})
	}
}

// figures are Stats for a sink, which may ask while the store closes.
func (j *journal) figures() metrics.Stats {
	st := j.stats()
	out := metrics.Stats{
		Entries: st.Entries, LiveBytes: st.LiveBytes, DiskBytes: st.DiskBytes, Segments: st.Segments,
		Troubles: st.Troubles, StalledSeconds: st.Stalled.Seconds(), Stalls: st.Stalls, SegmentsRecycled: st.Recycled,
		AppendFailures: st.AppendFailures, Corruptions: st.Corruptions, Reads: st.Reads, CacheHits: st.CacheHits,
	}
	if st.Failed != nil {
		out.Failed = 1
	}
	return out
}

// measured sets what the meter and the watch count.
func (st *Stats) measured(j *journal) {
	st.Stalls, st.Stalled = j.watch.Now()
	var m metrics.Stats
	j.meter.Fill(&m)
	st.AppendFailures, st.Corruptions, st.Reads, st.CacheHits = m.AppendFailures, m.Corruptions, m.Reads, m.CacheHits
}
