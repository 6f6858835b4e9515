package engine

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/metrics"
)

// Meter measures the calls of a store for a sink. Without a sink a call costs a nil check; with one it takes no lock and allocates
// nothing. The zero Meter has none.
type Meter struct {
	sink   metrics.Sink
	detach func()

	hits, misses          atomic.Uint64 // only with a sink
	failures, corruptions atomic.Uint64

	disk atomic.Pointer[diskUse] // what the file system said last
}

type diskUse struct {
	files int
	bytes int64
}

// Attach hands the sink, nil for none, what returns the store's figures. It is called before any other method, but for failures of an opening.
func (m *Meter) Attach(sink metrics.Sink, read func() metrics.Stats) {
	if sink != nil {
		m.sink, m.detach = sink, sink.Attach(read)
	}
}

// Detach ends what Attach began. The figures are read a last time.
func (m *Meter) Detach() {
	if m.detach != nil {
		m.detach()
	}
}

// Start returns when something began that is going to be measured.
func (m *Meter) Start() (at time.Time) {
	if m.sink != nil {
		at = time.Now()
	}
	return at
}

// Appended measures a StoreLogs. What was refused for its arguments, or by a store that is closed or read-only, is no failure.
func (m *Meter) Appended(start time.Time, logs []*raft.Log, err error) {
	if err != nil {
		if !refused(err) {
			m.failures.Add(1)
		}
		return
	}
	if m.sink == nil || len(logs) == 0 {
		return
	}
	bytes := 0
	for _, l := range logs {
		bytes += len(l.Data) + len(l.Extensions)
	}
	m.sink.Observe(metrics.AppendSeconds, time.Since(start).Seconds())
	m.sink.Observe(metrics.BatchEntries, float64(len(logs)))
	m.sink.Observe(metrics.BatchBytes, float64(bytes))
}

func refused(err error) bool {
	_, large := errors.AsType[*ballast.EntryTooLargeError](err)
	return large || errors.Is(err, ballast.ErrZeroIndex) || errors.Is(err, ballast.ErrClosed) || errors.Is(err, ballast.ErrReadOnly)
}

// Synced measures a durable write.
func (m *Meter) Synced(start time.Time) {
	if m.sink != nil {
		m.sink.Observe(metrics.SyncSeconds, time.Since(start).Seconds())
	}
}

// Hit counts an entry that was read from memory.
func (m *Meter) Hit() {
	if m.sink != nil {
		m.hits.Add(1)
	}
}

// Missed counts a GetLog that was not answered from memory, with its outcome. An index that is not there is no read.
func (m *Meter) Missed(err error) {
	if err == nil {
		if m.sink != nil {
			m.misses.Add(1)
		}
		return
	}
	if errors.Is(err, ballast.ErrCorrupt) {
		m.corruptions.Add(1)
	}
}

// Disk returns how many files there are and how much space they take, as ask finds out. While a write stalls the file system may
// not answer, and that is when the other figures are wanted: then it is what was so before.
func (m *Meter) Disk(stalled time.Duration, ask func() (files int, bytes int64)) (files int, bytes int64) {
	if stalled == 0 {
		var use diskUse
		use.files, use.bytes = ask()
		m.disk.Store(&use)
	}
	if use := m.disk.Load(); use != nil {
		return use.files, use.bytes
	}
	return 0, 0
}

// Fill sets what the meter counts.
func (m *Meter) Fill(s *metrics.Stats) {
	s.CacheHits = m.hits.Load()
	s.Reads = s.CacheHits + m.misses.Load()
	s.AppendFailures, s.Corruptions = m.failures.Load(), m.corruptions.Load()
}
