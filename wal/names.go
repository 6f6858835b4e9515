package wal

import (
	"errors"
	"fmt"
	"io/fs"
	"sync/atomic"
)

// This file is about the names in the log's folder. A name that was changed is durable when its folder
// was synced, and not before: after a power cut a file that was removed may be back, with all that was
// in it. So two things wait for such a sync:
//
//   - The marker that says closed. Behind it the next opening reads nothing, and takes a next segment
//     for one that holds nothing. One with debris of a first frame, which was removed or used again
//     because of that, must not come back then.
//   - The first frame in a file that was written anew and has replaced another one. Whoever has given it
//     its name may have died before that was durable: then the frame would be gone with the file.

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

// confirmTail makes the name of the tail durable when its file was written anew and has got no frame
// since. A marker that says so has no zeros behind the last frame, or is one of ownTail's.
func (j *journal) confirmTail(rec *recovery) error {
	m := rec.marker
	atRest := m.state != markerNone && m.end == rec.tail.end && m.zeroed == roundUp(m.end, blockBytes)
	if !atRest && (m.state == markerNone || m.zeroed != writtenAnew) {
		return nil
	}
	return j.nameError(j.syncNames())
}

func (j *journal) nameError(err error) error {
	if err == nil {
		return nil
	}
	return noSpace(fmt.Errorf("wal: syncing the names in %s: %w", j.dir, err))
}
