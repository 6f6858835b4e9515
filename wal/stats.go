package wal

import (
	"time"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/engine"
)

// Stats are figures of a store. What counts from opening begins at 0 then.
type Stats struct {
	// Of the log as it is.
	FirstIndex  uint64 // 0 when there is no entry
	LastIndex   uint64
	CommitIndex uint64 // 0 unless raft v1.8.0 is told to track it
	Entries     uint64 // that can be read; fewer than the indexes between the first and the last when there are gaps
	Segments    int    // files that hold entries, and the one that is written
	LiveBytes   int64  // of live entries with their headers; an estimate until the first write
	DiskBytes   int64  // that the file system says all files of the log take, also the prepared one

	// Failed is why nothing is written any more: the write or sync that failed, or a
	// [*ballast.DisplacedError]; nil for a log that is well.
	Failed error

	// Displaced is a [*ballast.DisplacedError] when the path that the log was opened by leads to
	// another folder now, or to none: the next rotation will say so, and end the writes. It is nil
	// otherwise, and while a write stalls. It is that of a reader, too.
	Displaced error

	// Troubles is how many steps of the background fail now and are tried again, and Trouble is the
	// one that has failed for the longest time, the zero value for none. They stop no call; but
	// while one lasts space may not come back.
	Troubles int
	Trouble  ballast.Trouble

	// Stalled is how long the durable write in progress has taken, once that is longer than Options.StallAfter; otherwise 0.
	Stalled time.Duration

	// Since the log was opened.
	Calls      uint64 // durable calls that succeeded
	Frames     uint64 // that they were written in: fewer where calls came at once, each one write and one sync
	FrameBytes int64  // of frames
	BlockBytes int64  // that were written for them, in whole blocks
	ZeroBytes  int64  // written ahead of the log, by the background
	Syncs      uint64 // of the frames and of the background
	Recycled   uint64 // segments that were used again
	Moved      uint64 // entries that were moved out of segments in which little else was live
	MovedBytes int64  // of their records

	AppendFailures uint64 // appends that failed, also for want of space
	Stalls         uint64 // durable writes that took longer than Options.StallAfter
	Corruptions    uint64 // calls of GetLog that found damage
	Reads          uint64 // entries that were read; counted only with Options.Metrics
	CacheHits      uint64 // of these, from one block in memory
}

// Stats returns figures of the store, zeros after Close. Of a store that is one group of several, the indexes and Entries are the group's, and all else is
// that of the log which the groups share: do not add it up. It may be called by any goroutine and waits for no write; it
// asks the file system about each file, unless a write stalls.
func (s *Store) Stats() Stats {
	if s.gate.Enter() != nil {
		return Stats{}
	}
	defer s.gate.Leave()
	st := s.j.stats()
	s.j.mu.RLock()
	defer s.j.mu.RUnlock()
	st.FirstIndex, st.LastIndex, st.CommitIndex, st.Entries = s.g.first(), s.g.last(), s.g.commit, s.g.entries()
	return st
}

// stats returns what concerns the log as a whole, and the entries of all groups. The log may be closing.
func (j *journal) stats() Stats {
	k, w := &j.keeper, &j.writer
	st := Stats{
		Calls: w.calls.Load(), Frames: w.frames.Load(), FrameBytes: w.frameBytes.Load(), BlockBytes: w.blockBytes.Load(),
		ZeroBytes: k.zeroBytes.Load(), Syncs: w.frames.Load() + uint64(k.syncs.Load()), Recycled: uint64(k.recycled.Load()),
		Moved: j.reclaimer.movedEntries.Load(), MovedBytes: j.reclaimer.movedBytes.Load(),
	}
	st.Failed = j.failed.Err()
	st.Troubles, st.Trouble = engine.Oldest(&k.retries, &j.reclaimer.retries)
	st.measured(j)
	if st.Stalled == 0 {
		st.Displaced = engine.Displaced(j.held.Check())
	}
	var paths []string
	j.mu.RLock()
	for _, g := range j.groups {
		st.Entries += g.entries()
	}
	st.Segments = len(j.segments)
	for _, seg := range j.segments {
		paths = append(paths, seg.path)
		st.LiveBytes += seg.liveBytes()
	}
	j.mu.RUnlock()
	k.mu.Lock()
	if k.next != nil {
		paths = append(paths, k.next.path)
	}
	for _, seg := range k.unused {
		paths = append(paths, seg.path)
	}
	k.mu.Unlock()
	paths = j.reclaimer.mover.addFiles(paths)
	_, st.DiskBytes = j.meter.Disk(st.Stalled, func() (int, int64) {
		bytes := int64(0)
		for _, path := range paths {
			// A file that is gone meanwhile takes nothing.
			if n, err := j.fs.DiskUsage(path); err == nil {
				bytes += n
			}
		}
		return len(paths), bytes
	})
	return st
}
