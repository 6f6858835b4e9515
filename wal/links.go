package wal

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/vfs"
)

// This file is about files with more than one name. A copy of hard links (cp -al, rsnapshot) shares
// every file with the log that it is of, and what is written to one is there in both. So such a
// file is never zeroed, renamed, used again or sealed; its name may be removed. The tail goes on:
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

// writtenAnew is what a marker that says open has for the end of the zeros when the file was
// written anew, by which confirmTail knows it. Nothing else is said by that number in a log that
// was not closed.
const writtenAnew = framesOffset

// sharesNext reports whether a copy has the next segment, too. It asks the file once for each
// rotation.
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

// recoverShared is recoverLog of a log whose newest segments may be shared with one that is open.
// What goes on there is seen here, and so a frame in the making, which is no damage: it is told
// from damage as by whoever reads a log that is written. The names of this folder are nobody
// else's.
func (j *journal) recoverShared() (*recovery, error) {
	rec, err := recoverLog(j.fs, j.dir)
	if !j.mayMove(rec, err) {
		return rec, err
	}
	rec.closeFiles()
	return readLog(j.fs, j.dir, j.opts.settle)
}

// mayMove reports whether what was recovered, or the damage that was found, may be of a file that
// another log writes.
func (j *journal) mayMove(rec *recovery, err error) bool {
	if err == nil {
		return isShared(rec.file)
	}
	if !errors.Is(err, ballast.ErrCorrupt) {
		return false
	}
	numbers, err := newRecovery(j.fs, j.dir).list()
	if err != nil {
		return false
	}
	written, _ := slices.BinarySearch(numbers, maxSegment+1)
	for _, number := range numbers[max(0, written-2):written] { // the tail, and the one that follows
		if isSharedAt(j.fs, segmentPath(j.dir, number)) {
			return true
		}
	}
	return false
}
