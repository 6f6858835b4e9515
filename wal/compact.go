package wal

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"

	"github.com/raft-ballast/ballast/internal/vfs"
)

// Compact gives back what the log in dir has taken of the disk for writes to come: the segment that is prepared to follow, and the zeros
// ahead of the end of the newest one. The log takes as much again when it is opened and written. Segments with entries that are live stay;
// those without are removed. A log that was not closed is closed by it. nil options are the defaults.
//
// Errors are those of [Open], and fs.ErrNotExist for a directory without a log. After one, and after a crash at any moment, the log is what
// it was.
func Compact(dir string, opts *Options) error {
	o, err := opts.withDefaults()
	if err != nil {
		return err
	}
	held, err := o.fs.Hold(dir)
	if err != nil {
		return fmt.Errorf("wal: opening %s: %w", dir, err)
	}
	defer held.Close() // the log says what fails
	names, err := held.List(held.Path)
	if err != nil {
		return fmt.Errorf("wal: listing %s: %w", dir, err)
	}
	if !slices.ContainsFunc(names, isSegment) {
		return cmp.Or(lostLog(held, held.Path), fmt.Errorf("wal: there is no log in %s: %w", dir, fs.ErrNotExist))
	}
	o.still, o.fs = true, held
	j, err := openJournal(held.Path, o, false)
	if err != nil {
		return err
	}
	err = j.compact()
	if e := j.letGo(); err == nil {
		err = e
	}
	return err
}

// compact does what Compact says to a log without a keeper.
func (j *journal) compact() error {
	for {
		if done, err := j.keeper.clean(); err != nil {
			return err
		} else if !done {
			break
		}
	}
	if err := j.keeper.discard(); err != nil {
		return err
	}
	if err := j.writer.conclude(); err != nil {
		return err
	}
	return j.trim()
}

// discard removes the next segment, which holds nothing.
func (k *keeper) discard() error {
	for _, seg := range []*segment{k.found, k.next} {
		if seg == nil {
			continue
		}
		k.drop()
		if err := k.remove(seg); err != nil {
			return err
		}
	}
	return nil
}

// A file is written anew when there is that much to give back, in bytes and as a share of what has to be written for it.
const (
	worthTrimming  = 64 << 10
	worthTrimShare = 16
)

// trim replaces the file of the tail by one with the same frames and nothing reserved behind them. The log is closed.
func (j *journal) trim() error {
	seg, m := j.tail, j.writer.marked
	end := roundUp(seg.end, blockBytes)
	used, err := j.fs.DiskUsage(seg.path)
	if err != nil || used-end < max(worthTrimming, end/worthTrimShare) {
		return err
	}
	m.zeroed = end
	tmp := filepath.Join(j.dir, nextName) // whoever opens the log removes it
	err = j.copyTail(seg, seg.rw, tmp, m, end)
	if err == nil {
		j.handles.closeAll() // no platform minds the renaming of a closed file
		err = j.rename(tmp, seg.path)
	}
	if err != nil {
		err = noSpace(fmt.Errorf("wal: writing %s anew: %w", seg.path, err))
		if e := j.remove(tmp); e != nil && !errors.Is(e, fs.ErrNotExist) {
			err = errors.Join(err, e)
		}
		return err
	}
	if err := j.syncNames(); err != nil {
		return fmt.Errorf("wal: syncing the name of %s: %w", seg.path, err)
	}
	return nil
}

// copyTail writes the tail, open as from, up to end into a new file, with a marker of its own.
func (j *journal) copyTail(seg *segment, from vfs.File, path string, m marker, end int64) (err error) {
	if err := j.remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := j.fs.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := f.Truncate(seg.size); err != nil {
		return err
	}
	for off := int64(0); off < end; off += largeStep {
		b := vfs.AlignedBytes(int(min(largeStep, end-off)))
		n := min(int64(len(b)), seg.end-off) // behind the last frame there are zeros in the new file
		if err := readFull(seg, from, b[:n], off); err != nil {
			return err
		}
		if off == 0 {
			putMarker(b[markerOffset:], m, seg.seed)
		}
		if err := f.WriteBlocks([][]byte{b}, off); err != nil {
			return err
		}
	}
	return f.Sync()
}
