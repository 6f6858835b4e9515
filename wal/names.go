package wal

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"sync/atomic"

	"github.com/raft-ballast/ballast/internal/engine"
)

// This file is about the names in the log's folder. A name that was changed is durable when its
// folder was synced, and not before: after a power cut a file that was removed may be back, with
// all that was in it. So two things wait for such a sync:
//
//   - The marker that says closed. Behind it the next opening reads nothing, and takes a next segment
//     for one that holds nothing. One with debris of a first frame, which was removed or used again
//     because of that, must not come back then.
//   - The first frame in a file that was written anew and has replaced another one. Whoever has given it
//     its name may have died before that was durable: then the frame would be gone with the file.

// And one thing is not the journal's own: the name of the folder. Who made the log in another
// place, or in this one behind a file that said so, may have died before it was durable that this
// is over. Then LOCK is not marked, see [engine.UnmarkLog].

// names counts the changes of names, and how many of them are durable.
type names struct{ changed, synced atomic.Uint64 }

// remove removes a file of the folder.
func (j *journal) remove(path string) error {
	err := j.fs.Remove(path)
	if !errors.Is(err, fs.ErrNotExist) {
		j.names.changed.Add(1) // behind the call: a sync meanwhile may not have it
	}
	return err
}

// rename gives a file of the folder another name.
func (j *journal) rename(from, to string) error {
	err := j.fs.Rename(from, to)
	j.names.changed.Add(1)
	return err
}

// syncNames makes durable which names there are.
func (j *journal) syncNames() error {
	n := j.names.changed.Load()
	if err := j.fs.SyncDir(j.dir); err != nil {
		return err
	}
	for old := j.names.synced.Load(); old < n && !j.names.synced.CompareAndSwap(old, n); {
		old = j.names.synced.Load()
	}
	return nil
}

// settleNames is syncNames where a name has changed since the last one.
func (j *journal) settleNames() error {
	if j.names.synced.Load() == j.names.changed.Load() {
		return nil
	}
	return j.nameError(j.syncNames())
}

// confirmTail makes the name of the tail durable when its file was written anew and has got no
// frame since. A marker that says so has no zeros behind the last frame, or is one of ownTail's.
func (j *journal) confirmTail(rec *recovery) error {
	m := rec.marker
	atRest := m.state != markerNone && m.end == rec.tail.end && m.zeroed == roundUp(m.end, blockBytes)
	if !atRest && (m.state == markerNone || m.zeroed != writtenAnew) {
		return nil
	}
	return j.nameError(j.syncNames())
}

// settle sees to it that what was recovered has its names for good, and is the log's own.
func (j *journal) settle(rec *recovery) error {
	for _, step := range []func(*recovery) error{j.confirmFolder, j.confirmTail, j.ownTail} {
		if err := step(rec); err != nil {
			return err
		}
	}
	return nil
}

// confirmFolder makes the name of the folder durable, and the names in it, when nobody has opened
// the log for writing since the folder has that name.
func (j *journal) confirmFolder(*recovery) error {
	if was, err := engine.WasLog(j.fs, j.dir); was && err == nil {
		j.marked = true
		return nil
	}
	err := j.fs.SyncDir(filepath.Dir(j.dir))
	if err == nil || errors.Is(err, fs.ErrPermission) { // of one that may not be looked into
		err = j.syncNames()
	}
	return j.nameError(err)
}

func (j *journal) nameError(err error) error {
	if err == nil {
		return nil
	}
	return noSpace(fmt.Errorf("wal: syncing the names in %s: %w", j.dir, err))
}
