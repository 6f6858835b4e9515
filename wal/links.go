package wal

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/raft-ballast/ballast/internal/engine"
	"github.com/raft-ballast/ballast/internal/vfs"
)

// This file is about files with more than one name. A copy of hard links (cp -al, rsnapshot) shares every
// file with the log that it is of, and what is written to one is there in both. So such a file is never
// zeroed, renamed, used again or sealed; its name may be removed. The tail goes on:
//
//   - When the log is opened for writing, the tail is copied into a file of its own first, which takes the
//     name. So neither the log nor a copy that is opened ever writes to the other's.
//   - When the links are made while the log is open, the frames that follow are in the copy as well, up to
//     the next rotation. The log goes on in a segment that the copy has no part of, and the tail that it
//     leaves is not sealed: to the copy the log ends there.

// isShared reports whether a file has more than one name.
func isShared(f vfs.File) bool {
	n, err := f.Links()
	return err == nil && n > 1
}

func isSharedAt(fsys vfs.FS, path string) bool {
	f, err := fsys.OpenRead(path)
	if err != nil {
		return false // whoever needs it is told
	}
	defer f.Close() // it was only looked at
	return isShared(f)
}

// ownTail gives the tail that was found a file of its own, when others have it too.
func (j *journal) ownTail(rec *recovery) error {
	if !isShared(rec.file) {
		return nil
	}
	seg, m := rec.tail, rec.marker
	end := roundUp(seg.end, blockBytes)
	switch {
	case rec.clean:
		m.zeroed = end
	case m.state == markerNone:
		m = marker{state: markerOpen, sequence: seg.sequence, end: seg.end, zeroed: writtenAnew}
	default: // it says where frames are that repeat others, and so keeps its sequence number and end
		m.zeroed = writtenAnew
	}
	tmp := filepath.Join(j.dir, nextName) // whoever opens the log removes it
	err := j.copyTail(seg, rec.file, tmp, m, end)
	rec.closeFiles() // no platform minds the renaming of a closed file
	if err == nil {
		err = j.rename(tmp, seg.path)
	}
	if err == nil {
		err = j.syncNames()
	}
	if err == nil {
		rec.file, err = j.fs.Open(seg.path)
	}
	if err != nil {
		return noSpace(fmt.Errorf("wal: copying %s, which has more than one hard link and so is not written: %w", seg.path, err))
	}
	rec.marker = m
	if rec.clean {
		seg.indexed = m
	}
	if rec.unused == nil {
		return nil
	}
	if rec.unusedFile, err = j.fs.Open(rec.unused.path); err != nil {
		return noSpace(fmt.Errorf("wal: opening a segment: %w", err))
	}
	return nil
}

// writtenAnew is what a marker that says open has for the end of the zeros when the file was written anew, by
// which confirmTail knows it. Nothing else is said by that number in a log that was not closed.
const writtenAnew = framesOffset

// sharesNext reports whether a copy has the next segment, too. It asks the file once for each rotation.
func (k *keeper) sharesNext(next *segment) bool {
	k.mu.Lock() // which the keeper holds when it closes the file
	defer k.mu.Unlock()
	return k.next == next && isShared(next.rw)
}

// replaceShared prepares another next segment for one that a copy has, too.
func (k *keeper) replaceShared(next *segment, size int64) error {
	k.work.Lock()
	defer k.work.Unlock()
	k.mu.Lock()
	current := k.next == next
	k.mu.Unlock()
	if !current {
		return nil
	}
	return k.prepare(size)
}

// sharedLock explains why the LOCK of a copy is held when the copy is not open.
func (j *journal) sharedLock(err error) error {
	path := filepath.Join(j.dir, engine.LockName)
	if !errors.Is(err, vfs.ErrLocked) || !isSharedAt(j.fs, path) {
		return err
	}
	return fmt.Errorf("%w; the file has more than one hard link, so it may be the other folder's log that is open: "+
		"where that is certain, remove %s from this one", err, engine.LockName)
}
