package wal

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/raft-ballast/ballast/internal/vfs"
)

// This file is what the keeper does with segments that are written no more.

// sealTries is how often the index of a segment is written that cannot be. Its entries move only
// when that is over, and whoever opens the log finds the index by reading the segment.
const sealTries = 8

// clean writes the index of one segment or removes one, and reports whether there was any. What
// fails is tried again later.
func (k *keeper) clean() (bool, error) { return k.cleanUp(true) }

// cleanUp is clean, without what takes space when seal is false.
func (k *keeper) cleanUp(seal bool) (bool, error) {
	if seg := k.takeUnsealed(seal); seg != nil {
		err := k.retries.Note(stepSeal, seg.number, k.writeIndex(seg))
		if err != nil && k.retries.Tries(stepSeal, seg.number) < sealTries {
			k.mu.Lock()
			k.unsealed = append(k.unsealed, seg)
			k.mu.Unlock()
			return true, err
		}
		_ = k.retries.Note(stepSeal, seg.number, nil) // it is done with
		k.release(seg)
		return true, err
	}
	return k.removeOne()
}

// takeUnsealed takes one whose index may be written now, or that needs none any more.
func (k *keeper) takeUnsealed(seal bool) *segment {
	k.j.mu.RLock()
	defer k.j.mu.RUnlock()
	k.mu.Lock()
	defer k.mu.Unlock()
	i := slices.IndexFunc(k.unsealed, func(seg *segment) bool {
		return seg.freed || seal && k.retries.Due(stepSeal, seg.number)
	})
	if i < 0 {
		return nil
	}
	seg := k.unsealed[i]
	k.unsealed = slices.Delete(k.unsealed, i, i+1)
	return seg
}

// removeOne removes a segment that holds nothing and that nobody reads from, and reports whether there was any.
func (k *keeper) removeOne() (bool, error) {
	k.mu.Lock()
	i := slices.IndexFunc(k.unused, func(seg *segment) bool {
		return !seg.unsealed && k.retries.Due(stepRemove, seg.number) && k.j.handles.retire(seg)
	})
	var seg *segment
	if i >= 0 {
		seg = k.unused[i]
		k.unused = slices.Delete(k.unused, i, i+1)
	}
	k.mu.Unlock()
	if seg == nil {
		return false, nil
	}
	return true, k.discardUnused(seg)
}

// discardUnused removes a segment that was taken out of the unused ones, or leaves it to a later
// try.
func (k *keeper) discardUnused(seg *segment) error {
	err := k.remove(seg)
	if !seg.freed { // its name is used again
		return err
	}
	if k.retries.Note(stepRemove, seg.number, err) != nil {
		k.giveBack(seg)
	}
	return err
}

// giveBack takes a segment that could not be removed or recycled for one of which the space is
// still to be given back.
func (k *keeper) giveBack(seg *segment) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.unused = append(k.unused, seg)
}

// removeUnused removes all of those, when the disk is full, and reports whether that made room.
func (k *keeper) removeUnused() (some bool) {
	for {
		done, err := k.removeOne()
		if !done {
			return some
		}
		some = some || err == nil
	}
}

// remove gives a segment's space back. It may come back after a power cut and is removed again then, since no
// checkpoint names it.
func (k *keeper) remove(seg *segment) error {
	if err := k.j.remove(seg.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("wal: removing a segment: %w", err)
	}
	return nil
}

// writeIndex ends a segment that is written no more: its index, then a marker that says where that is. Without
// room, or when that fails, the index is found by reading the segment. It may be called again, and
// writes all of it anew.
func (k *keeper) writeIndex(seg *segment) error {
	k.j.mu.RLock()
	freed := seg.freed
	m := marker{state: markerSealed, sequence: seg.sequence, end: seg.end, zeroed: seg.end, successor: seg.successor}
	k.j.mu.RUnlock()
	if freed {
		return nil
	}
	if err := k.openUnsealed(seg); err != nil {
		return err
	}
	if isShared(seg.rw) {
		return nil // to a copy the log may end here
	}
	records, _, err := k.j.indexOf(seg)
	if lasting(err) {
		return nil // whoever reads it is told
	}
	if err != nil {
		return err
	}
	offset := roundUp(m.end, blockBytes)
	frame := encodeFrame(records, m.sequence+1, seg.seed, offset)
	if n := roundUp(int64(len(frame)), blockBytes); offset+n <= seg.size {
		b := vfs.AlignedBytes(int(n))
		copy(b, frame)
		err := seg.rw.Allocate(offset, n)
		if err == nil {
			err = seg.rw.WriteBlocks([][]byte{b}, offset)
		}
		if err != nil {
			return noSpace(fmt.Errorf("wal: writing the index of %s: %w", seg.path, err))
		}
		m.indexOffset, m.indexLength = offset, int64(len(frame))
		k.syncs.Add(1)
	}
	k.syncs.Add(1)
	return noSpace(writeMarker(seg.rw, seg, m))
}

// openUnsealed opens the file of a segment for its index, where the opening of the log could not.
func (k *keeper) openUnsealed(seg *segment) error {
	if seg.rw != nil {
		return nil
	}
	f, err := k.j.fs.Open(seg.path)
	if err != nil {
		return noSpace(fmt.Errorf("wal: opening a segment: %w", err))
	}
	k.j.handles.keep(seg, f)
	k.mu.Lock()
	seg.rw = f
	k.mu.Unlock()
	return nil
}

// release closes a segment for writing, and its index grows no more.
func (k *keeper) release(seg *segment) {
	k.mu.Lock()
	held := seg.rw != nil
	seg.rw, seg.unsealed = nil, false
	k.mu.Unlock()
	if held {
		k.j.handles.release(seg)
	}
	for _, g := range k.j.groupsIn(seg) {
		k.j.mu.Lock() // for each anew, so that no append waits for all of them
		for i := range g.runs {
			if r := &g.runs[i]; r.seg == seg {
				r.pack()
			}
		}
		k.j.mu.Unlock()
	}
}
