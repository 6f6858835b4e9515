package wal

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/vfs"
)

// This file is how the keeper comes by the next segment.

// takeNext returns the segment to go on in, ready for a frame that ends at end and with room bytes behind that.
func (k *keeper) takeNext(end, room int64, entries bool) (*segment, error) {
	size := max(k.segmentBytes(), roundUp(end+room+reserveBytes+blockBytes, blockBytes))
	if size > maxSegmentBytes {
		return nil, fmt.Errorf("wal: a batch needs a segment of %d bytes, the most is %d; split it",
			size, int64(maxSegmentBytes))
	}
	for {
		next, err := k.atLeast(size)
		if err != nil {
			return nil, err
		}
		if k.sharesNext(next) {
			if err := k.replaceShared(next, size); err != nil {
				return nil, err
			}
			continue
		}
		err = k.ready(next, end, entries)
		k.mu.Lock()
		current := k.next == next // and not replaced meanwhile
		if current && err == nil {
			k.next, k.last = nil, next.number
			k.tight.Store(false)
		}
		k.mu.Unlock()
		if current {
			return next, err
		}
	}
}

// adopt makes the segment that was found the next one. Whoever named it may have died before the name was durable, or seen a sync
// of it fail; so it gets the name once more.
func (k *keeper) adopt() error {
	seg := k.found
	if seg == nil {
		return nil
	}
	k.found = nil
	prepared := seg.isPrepared()
	_ = seg.rw.Close() // nothing was written
	if !prepared {
		return k.recycle(seg)
	}
	tmp := filepath.Join(k.j.dir, nextName)
	if err := k.j.rename(seg.path, tmp); err != nil {
		return noSpace(fmt.Errorf("wal: naming a segment: %w", err))
	}
	if err := k.rename(tmp, seg.path); err != nil {
		return err
	}
	f, err := k.j.fs.Open(seg.path)
	if err != nil {
		return noSpace(fmt.Errorf("wal: opening a segment: %w", err))
	}
	seg.rw = f
	k.mu.Lock()
	defer k.mu.Unlock()
	k.next = seg
	return nil
}

// isPrepared reports whether a segment that was found is as it was prepared: the marker that says
// closed is believed where it says that no frame is in it, and not where it says that nothing is. A
// release before may have closed a log while a segment with debris, which it had removed, could
// still come back.
func (s *segment) isPrepared() bool {
	b := make([]byte, min(firstZeros, s.size-framesOffset))
	n, _ := s.rw.ReadAt(b, framesOffset)
	return n == len(b) && isZero(b)
}

// unnamed is what becomes of a segment, prepared and not used yet, whose name could not be synced. After a want of space
// it is made again, so that no sync is tried twice for the same name, and after a want of
// descriptors, with which none was tried. After anything else nobody knows which names are there,
// so the log takes no more writes.
func (k *keeper) unnamed(path string, err error) error {
	err = fmt.Errorf("wal: syncing the name of a segment: %w", err)
	if !vfs.IsNoSpace(err) && !vfs.IsNoFile(err) {
		return k.j.failed.Fail(err)
	}
	_ = k.j.remove(path) // otherwise the next one replaces it
	return noSpace(err)
}

// drop closes the file of the next segment, which holds nothing, and forgets it.
func (k *keeper) drop() {
	if k.found != nil {
		_ = k.found.rw.Close()
		k.found = nil
	}
	if k.next != nil {
		_ = k.next.rw.Close()
		k.next = nil
	}
}

// atLeast returns a next segment of at least size bytes, and prepares one when there is none.
func (k *keeper) atLeast(size int64) (*segment, error) {
	suits := func() *segment {
		k.mu.Lock()
		defer k.mu.Unlock()
		if k.next != nil && k.next.size >= size {
			return k.next
		}
		return nil
	}
	if next := suits(); next != nil {
		return next, nil
	}
	k.work.Lock()
	defer k.work.Unlock()
	if next := suits(); next != nil { // the keeper was at it
		return next, nil
	}
	if err := k.prepare(size); err != nil {
		return nil, err
	}
	return suits(), nil
}

// settled reports whether the tail has its first frame, so that there may be a next segment.
func (k *keeper) settled() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.published.Load() == k.last
}

const nextName = "next.tmp"

// prepare makes a next segment of size bytes, in the place of one that there is. Its name is visible only when all
// else is durable. The caller holds k.work.
func (k *keeper) prepare(size int64) error {
	if k.found != nil && k.found.size >= size {
		return k.adopt()
	}
	if k.nextNumber() > maxSegment {
		return errNumbers
	}
	tmp := filepath.Join(k.j.dir, nextName)
	if err := k.j.remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return noSpace(fmt.Errorf("wal: removing what an earlier attempt left: %w", err))
	}
	f, err := k.j.fs.Create(tmp)
	if err != nil {
		return noSpace(fmt.Errorf("wal: creating a segment: %w", err))
	}
	seg := newSegment(k.j.dir, header{number: k.nextNumber(), identity: newIdentity(), size: size})
	seg.fresh = true
	err = k.install(seg, f, tmp, size > k.segmentBytes())
	if err == nil {
		return nil
	}
	_ = k.j.remove(tmp) // the next attempt begins with that too
	if errors.Is(err, ballast.ErrNoSpace) && k.removeUnused() {
		return k.prepare(size)
	}
	return err
}

func (k *keeper) nextNumber() uint64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.last + 1
}

// install makes a file with any content the next segment and takes the file over, also when it fails.
func (k *keeper) install(seg *segment, f vfs.File, tmp string, whole bool) error {
	seg.rw = f
	err := k.format(seg, whole)
	if e := f.Close(); err == nil && e != nil { // no platform minds the renaming of a closed file
		err = noSpace(fmt.Errorf("wal: closing a segment: %w", e))
	}
	if err != nil {
		return err
	}
	k.mu.Lock()
	if seg.number != k.last+1 || k.published.Load() != k.last {
		k.mu.Unlock()
		return errWentOn
	}
	// It could be taken just when its file is replaced.
	k.drop()
	k.mu.Unlock()
	if err := k.rename(tmp, seg.path); err != nil {
		return err
	}
	if seg.rw, err = k.j.fs.Open(seg.path); err != nil {
		return noSpace(fmt.Errorf("wal: opening a segment: %w", err))
	}
	k.mu.Lock()
	k.next = seg
	k.mu.Unlock()
	return nil
}

// errWentOn is returned where the next segment has to be made anew, since the log took the one
// before.
var errWentOn = errors.New("wal: the log went on meanwhile")

// errNumbers is returned by a write to a log with forged numbers.
var errNumbers = errors.New("wal: the log is at the last number that a segment or a frame can have; move it to a new folder with ballast.Copy")

// format writes a segment's first zeros and what it begins with.
func (k *keeper) format(seg *segment, whole bool) error {
	if err := seg.rw.Truncate(seg.size); err != nil {
		return noSpace(fmt.Errorf("wal: sizing a segment: %w", err))
	}
	n := int64(framesOffset + firstZeros)
	if whole {
		n = seg.size
	}
	if err := seg.rw.Allocate(0, n); err != nil {
		return noSpace(fmt.Errorf("wal: allocating a segment: %w", err))
	}
	seg.zeroed.Store(framesOffset)
	if whole { // a new file for one frame: what is allocated reads as zeros, and writing them would double the work
		seg.zeroed.Store(seg.size)
	}
	for seg.zeroed.Load() < n {
		if err := k.zero(seg, min(n-seg.zeroed.Load(), smallStep)); err != nil { // appends to the tail go on meanwhile
			return err
		}
	}
	return k.head(seg) // behind the zeros: its identity must not meet what another one left behind
}

// head writes a segment's header, and makes its size durable.
func (k *keeper) head(seg *segment) error {
	b := vfs.AlignedBytes(framesOffset)
	putHeader(b, seg.header)
	if err := seg.rw.WriteBlocks([][]byte{b}, 0); err != nil {
		return noSpace(fmt.Errorf("wal: writing the header of a segment: %w", err))
	}
	if err := seg.rw.Sync(); err != nil {
		return noSpace(fmt.Errorf("wal: syncing a segment: %w", err))
	}
	k.syncs.Add(2) // with the header's
	return nil
}

// rename gives a segment its name, durably.
func (k *keeper) rename(from, to string) error {
	if err := k.j.rename(from, to); err != nil {
		return noSpace(fmt.Errorf("wal: naming a segment: %w", err))
	}
	if err := k.j.syncNames(); err != nil {
		return k.unnamed(to, err)
	}
	k.syncs.Add(1)
	return nil
}

// recyclable takes an unused segment that is worth more than the next one, which has few zeros yet. Its blocks
// are on the disk already, so writing to them changes nothing in the file system.
func (k *keeper) recyclable() *segment {
	if !k.settled() || k.nextNumber() > maxSegment || !k.retries.Due(stepRecycle, 0) {
		return nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.next != nil && (k.next.zeroed.Load() > framesOffset+firstZeros || k.next.size != k.segmentBytes()) {
		return nil
	}
	for i, seg := range k.unused {
		if seg.size == k.segmentBytes() && !seg.unsealed && k.j.handles.retire(seg) {
			k.unused = slices.Delete(k.unused, i, i+1)
			return seg
		}
	}
	return nil
}

// mayRecycle reports whether it is worth waiting for a segment to recycle: there have been some, and the tail has room for
// long.
func (k *keeper) mayRecycle() bool {
	if k.recycled.Load() == 0 {
		return false
	}
	k.j.mu.RLock()
	defer k.j.mu.RUnlock()
	return k.j.tail.end < k.j.tail.size/2
}

// recycle makes an unused segment the next one.
func (k *keeper) recycle(old *segment) error {
	if isSharedAt(k.j.fs, old.path) {
		return k.discardUnused(old)
	}
	tmp := filepath.Join(k.j.dir, nextName)
	if err := k.j.rename(old.path, tmp); err != nil {
		if old.freed { // it holds nothing, and its space is still to be given back
			k.giveBack(old)
		}
		return noSpace(fmt.Errorf("wal: recycling a segment: %w", err))
	}
	f, err := k.j.fs.Open(tmp)
	if err == nil && isShared(f) { // since then, or nobody could look
		_ = f.Close() // nothing was written
		return k.j.remove(tmp)
	}
	if err == nil {
		h := header{number: k.nextNumber(), identity: newIdentity(), size: old.size}
		err = k.install(newSegment(k.j.dir, h), f, tmp, false)
	}
	if err != nil {
		_ = k.j.remove(tmp) // the next attempt begins with that too
		return noSpace(fmt.Errorf("wal: recycling a segment: %w", err))
	}
	_ = k.retries.Note(stepRemove, old.number, nil)
	k.recycled.Add(1)
	return nil
}
