package wal

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/raft-ballast/ballast/internal/vfs"
)

// This file is what the keeper does with segments that are written no more.

// clean writes the index of one segment or removes one, and reports whether there was any.
func (k *keeper) clean() (bool, error) {
	k.mu.Lock()
	var seal *segment
	if len(k.unsealed) > 0 {
		seal = k.unsealed[0]
		k.unsealed = slices.Delete(k.unsealed, 0, 1)
	}
	k.mu.Unlock()
	if seal != nil {
		return true, k.writeIndex(seal)
	}
	return k.removeOne()
}

// removeOne removes a segment that holds nothing and that nobody reads from, and reports whether there was any.
func (k *keeper) removeOne() (bool, error) {
	k.mu.Lock()
	i := slices.IndexFunc(k.unused, k.j.handles.retire)
	var seg *segment
	if i >= 0 {
		seg = k.unused[i]
		k.unused = slices.Delete(k.unused, i, i+1)
	}
	k.mu.Unlock()
	if seg == nil {
		return false, nil
	}
	return true, k.remove(seg)
}

// removeUnused removes all of those, when the disk is full, and reports whether that made room.
func (k *keeper) removeUnused() (some bool) {
	for {
		done, err := k.removeOne()
		if !done || err != nil {
			return some
		}
		some = true
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
// room, or when that fails, the index is found by reading the segment.
func (k *keeper) writeIndex(seg *segment) error {
	defer k.release(seg)
	if isShared(seg.rw) {
		return nil // to a copy the log may end here
	}
	records, _, err := k.j.indexOf(seg)
	k.j.mu.RLock()
	freed := seg.freed
	m := marker{state: markerSealed, sequence: seg.sequence, end: seg.end, zeroed: seg.end, successor: seg.successor}
	k.j.mu.RUnlock()
	if freed || err != nil { // then whoever reads it is told
		return nil
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
	return writeMarker(seg.rw, seg, m)
}

// release closes a segment for writing, and its index grows no more.
func (k *keeper) release(seg *segment) {
	k.j.handles.release(seg)
	k.mu.Lock()
	seg.rw = nil
	k.mu.Unlock()
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
