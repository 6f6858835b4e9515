package wal

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/raft-ballast/ballast"
)

// refreshTries is how often a log that is written meanwhile is read again before what looks like damage is damage:
// its owner may have recycled a segment in between, or written a frame.
const refreshTries = 10

// Readings returns how often a store that OpenReadOnly returned has read the log: once when it was opened, and again each time that the owner of the
// log had used the place of an entry for something else before the entry was read. Since then the store shows the log as it was at that later
// moment, in which entries that were read before may be others. It is 0 for a store that may write, and may be called by any goroutine at any time.
func (s *Store) Readings() uint64 { return s.j.readings.Load() }

// refresh reads the log anew and replaces the state of a read-only store.
func (j *journal) refresh() error {
	j.refreshing.Lock()
	defer j.refreshing.Unlock()
	var (
		rec *recovery
		err error
	)
	for range refreshTries {
		if rec, err = recoverLog(j.fs, j.dir, false); err == nil {
			break
		}
		if !errors.Is(err, ballast.ErrCorrupt) && !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	if errors.Is(err, errEmpty) {
		return fmt.Errorf("wal: there is no log in %s; check the path: %w", j.dir, fs.ErrNotExist)
	}
	if err != nil {
		return err
	}
	if rec.unusedFile != nil {
		_ = rec.unusedFile.Close() // nothing in it
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.readings.Add(1)
	old := j.segments
	for id, g := range j.groups { // a store keeps its group
		fresh := rec.groups[id]
		if fresh == nil {
			fresh = newGroup(id)
		}
		g.runs, g.commit, g.stable = fresh.runs, fresh.commit, fresh.stable
		g.publish()
		rec.groups[id] = g
	}
	j.adopt(rec)
	for _, seg := range old {
		seg.freed = true
		j.cache.forget(seg)
		j.handles.retire(seg)
	}
	j.handles.mu.Lock()
	j.handles.add(rec.tail, rec.file)
	j.handles.mu.Unlock()
	return nil
}
