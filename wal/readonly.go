package wal

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/raft-ballast/ballast"
)

// Readings returns how often a store that OpenReadOnly returned has read the log: once when it was opened, and again each time that the owner of the
// log had used the place of an entry for something else before the entry was read. Since then the store shows the log as it was at that later
// moment, in which entries that were read before may be others. It is 0 for a store that may write, and may be called by any goroutine at any time.
func (s *Store) Readings() uint64 { return s.j.readings.Load() }

// refresh reads the log anew and replaces the state of a read-only store. It does nothing, and
// reports false, when that was done since a reading.
func (j *journal) refresh(since uint64) (done bool, err error) {
	j.refreshing.Lock()
	defer j.refreshing.Unlock()
	if j.readings.Load() != since {
		return false, nil
	}
	if j.unreadable != nil { // it will not get better, and whoever goes through a log asks for each entry
		return false, j.unreadable
	}
	rec, err := readLog(j.fs, j.dir, j.opts.settle)
	if errors.Is(err, errEmpty) {
		return false, fmt.Errorf("wal: there is no log in %s; check the path: %w", j.dir, fs.ErrNotExist)
	}
	if errors.Is(err, ballast.ErrCorrupt) {
		j.unreadable = err
	}
	if err != nil {
		return false, err
	}
	if rec.unusedFile != nil {
		_ = rec.unusedFile.Close() // nothing in it
	}
	j.seen = rec.seen
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
	return true, nil
}

// doubt is what is known of an entry that seems damaged to a reader of a log that may be written
// meanwhile.
type doubt struct {
	seg *segment // that it was in at the reading before; nil for none
}

// damaged reports whether what was read at a location is damage. When it cannot tell it has the log
// read anew, and reports false: the entry has to be looked for again. An error says why nobody can
// tell.
//
// What has happened since the reading is told by the segment alone, almost always. Only where it
// has lost its file the log is looked at.
func (d *doubt) damaged(j *journal, at *location, found error) (bool, error) {
	if !j.readOnly || j.mended || j.isCondemned(at.seg) {
		return true, nil
	}
	there, err := inPlace(j.fs, at.seg)
	if there || err != nil {
		return there, err
	}
	if d.seg != nil && d.seg.header == at.seg.header {
		j.condemn(at.seg, found) // the log was read since, and says still that the entry is there
		return true, nil
	}
	moved, err := j.hasMoved(at.reading)
	if err != nil {
		return false, err
	}
	if !moved {
		j.condemn(at.seg, found)
		return true, nil
	}
	done, err := j.refresh(at.reading)
	if done {
		d.seg = at.seg
	}
	return false, err
}

// condemn notes that a segment has lost its file, for whoever reads the next entry in it.
func (j *journal) condemn(seg *segment, found error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	seg.bad, seg.condemned = found, true
}

func (j *journal) isCondemned(seg *segment) bool {
	j.mu.RLock()
	defer j.mu.RUnlock()
	return seg.condemned
}

// hasMoved reports whether a log is another one than at a reading, or was read again since.
func (j *journal) hasMoved(since uint64) (bool, error) {
	j.refreshing.Lock()
	defer j.refreshing.Unlock()
	if j.readings.Load() != since {
		return true, nil
	}
	now, numbers, err := look(j.fs, j.dir, j.opts.settle, true)
	if mayBeLive(err) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	defer now.closeFiles()
	if now.sight(numbers, nil) != j.seen {
		return true, nil
	}
	j.mu.RLock()
	end, sequence := j.tail.end, j.tail.sequence
	j.mu.RUnlock()
	r := &reader{seg: now.tail, f: now.file}
	return r.isFrame(end, sequence+1)
}
