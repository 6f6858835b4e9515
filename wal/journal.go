package wal

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"sync"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/engine"
	"github.com/raft-ballast/ballast/internal/vfs"
)

// journal is one log on the disk, with the state that its records make.
type journal struct {
	dir      string
	opts     Options
	fs       vfs.FS
	lock     io.Closer
	readOnly bool

	gate   engine.Gate
	failed engine.Latch

	// mu guards the state. It is held for moments, never during I/O.
	mu       sync.RWMutex
	closed   bool
	groups   map[uint64]*group
	segments []*segment // with live entries, ascending, and the tail
	tail     *segment
	cache    cache

	streams streams
	handles handles
	loading sync.Mutex // one reads an index of a segment at a time

	queue  queue
	writer writer
	keeper keeper
}

const lockName = "LOCK"

// openJournal opens or creates the log in dir.
func openJournal(dir string, opts Options, readOnly bool) (j *journal, err error) {
	j = &journal{dir: dir, opts: opts, fs: opts.fs, readOnly: readOnly}
	j.handles.fs, j.handles.limit = opts.fs, opts.MaxOpenFiles
	j.cache.limit = int(opts.CacheBytes / cacheBlockBytes)
	j.writer.j = j
	if readOnly {
		return j, j.refresh()
	}
	if j.writer.compressor, err = newCompressor(opts.Compression); err != nil {
		return nil, err
	}
	if err := j.fs.MkdirAll(dir); err != nil {
		return nil, fmt.Errorf("wal: %w", err)
	}
	if j.lock, err = j.fs.Lock(filepath.Join(dir, lockName)); err != nil {
		if errors.Is(err, vfs.ErrLocked) {
			return nil, &ballast.LockedError{Path: dir, Err: err}
		}
		return nil, fmt.Errorf("wal: %w", err)
	}
	if err := j.begin(); err != nil {
		j.keeper.drop()
		j.handles.closeAll()
		return nil, errors.Join(err, j.lock.Close())
	}
	j.keeper.start(j)
	return j, nil
}

// begin brings the directory into a state in which the log can be written.
func (j *journal) begin() error {
	rec, err := recoverLog(j.fs, j.dir, true)
	if err != nil && !errors.Is(err, errEmpty) {
		return err
	}
	for _, name := range rec.garbage {
		if err := j.fs.Remove(filepath.Join(j.dir, name)); err != nil {
			return fmt.Errorf("wal: removing an unused file: %w", err)
		}
	}
	if seg := rec.unused; seg != nil && (rec.tail == nil || seg.size != j.opts.SegmentBytes) {
		if err := j.fs.Remove(seg.path); err != nil {
			return fmt.Errorf("wal: removing an unused segment: %w", err)
		}
		rec.unused = nil
	}
	if errors.Is(err, errEmpty) {
		return j.create()
	}
	return j.resume(rec)
}

// create makes the first segment and its first frame.
func (j *journal) create() error {
	j.groups = make(map[uint64]*group)
	k := &j.keeper
	k.j = j
	seg, err := k.takeNext(2*framesOffset, 0, false)
	if err != nil {
		return err
	}
	w := &j.writer
	w.take(seg)
	w.begin(frameHeaderBytes)
	if err := w.finish(); err != nil {
		return err
	}
	w.publish(nil)
	return nil
}

// adopt takes over the state that was recovered.
func (j *journal) adopt(rec *recovery) {
	j.groups, j.segments, j.tail = rec.groups, rec.order, rec.tail
}

// resume goes on behind what was recovered.
func (j *journal) resume(rec *recovery) error {
	j.adopt(rec)
	seg, w, k := rec.tail, &j.writer, &j.keeper
	k.j, k.last = j, seg.number
	k.published.Store(seg.number)
	seg.rw = rec.file
	w.take(seg)
	w.sequence = rec.sequence
	if m := rec.marker; m.end == seg.end && m.sequence == rec.sequence {
		w.indexOffset, w.indexLength = m.indexOffset, m.indexLength
		if m.indexOffset != 0 {
			w.indexed = seg.end
		}
	}
	if err := w.loadEnd(); err != nil {
		return err
	}
	seg.zeroed.Store(roundUp(seg.end, blockBytes))
	if rec.clean {
		seg.zeroed.Store(max(seg.zeroed.Load(), roundDown(rec.marker.zeroed, blockBytes)))
	} else {
		j.opts.Logger.Info("wal: the log was not closed; it was read to its end", "dir", j.dir,
			"segment", seg.number, "end", seg.end, "sequence", rec.sequence)
		// Without space nothing is zero beyond the last block, and the next write says so.
		if err := w.settle(rec.lastStart); err != nil && !errors.Is(err, ballast.ErrNoSpace) {
			return err
		}
	}
	if err := w.mark(markerOpen); err != nil {
		return err
	}
	if err := j.useNext(rec.unused, rec.clean); err != nil {
		return err
	}
	return j.sealBefore(rec)
}

// useNext goes on with the segment that was prepared to follow. In a log that was not closed what is left of a first
// write that did not end may be in it, so then it is made anew, from its own space.
func (j *journal) useNext(seg *segment, clean bool) (err error) {
	if seg == nil {
		return nil
	}
	if !clean {
		if err := j.keeper.recycle(seg); err != nil && !errors.Is(err, ballast.ErrNoSpace) {
			return err
		}
		return nil
	}
	if seg.rw, err = j.fs.Open(seg.path); err != nil {
		return fmt.Errorf("wal: opening a segment: %w", err)
	}
	seg.zeroed.Store(framesOffset + firstZeros) // at least, or it had no name
	j.keeper.next = seg
	return nil
}

// loadEnd reads the block that the next frame begins in.
func (w *writer) loadEnd() error {
	j, seg := w.j, w.seg
	start := roundDown(seg.end, cacheBlockBytes)
	b := j.cache.take()
	n := roundUp(seg.end-start, blockBytes)
	if err := readFull(seg, seg.rw, b.data[:n], start); err != nil {
		return err
	}
	clear(b.data[seg.end-start : n])
	j.cache.link(b, seg, start>>cacheBlockShift)
	b.writing = true
	w.cur = b
	return nil
}

// settle makes the end of a log that was not closed what it seems to be. Its last frame may have been read from a page cache
// whose sync had failed, so it is written again; and behind it may lie what is left of a write that did not end,
// so that becomes zeros before anything follows.
func (w *writer) settle(lastStart int64) error {
	seg := w.seg
	from, to := roundDown(lastStart, blockBytes), roundUp(seg.end, blockBytes)
	b := vfs.AlignedBytes(int(to - from))
	if err := readFull(seg, seg.rw, b[:seg.end-from], from); err != nil {
		return err
	}
	clear(b[seg.end-from:])
	if err := seg.rw.WriteBlocks([][]byte{b}, from); err != nil {
		return fmt.Errorf("wal: writing the end of %s again: %w", seg.path, err)
	}
	n := min(blockBytes+reserveBytes, seg.size-seg.zeroed.Load())
	if n == 0 {
		return nil
	}
	return w.j.keeper.zero(seg, n)
}

// sealBefore gives the segment before the tail its index, when there was no time for that.
func (j *journal) sealBefore(rec *recovery) error {
	seg := rec.segments[rec.before]
	if seg == nil || seg.live == 0 || seg.sealed || seg.bad != nil {
		return nil
	}
	if err := j.loadIndex(seg); err != nil {
		return nil // whoever reads its entries is told
	}
	f, err := j.fs.Open(seg.path)
	if err != nil {
		return fmt.Errorf("wal: opening a segment: %w", err)
	}
	seg.rw, seg.successor = f, rec.tail.identity
	j.handles.keep(seg, f)
	j.keeper.seal(seg)
	return nil
}

// loadIndex reads where the entries of a segment are.
func (j *journal) loadIndex(seg *segment) error {
	j.loading.Lock()
	defer j.loading.Unlock()
	if seg.bad != nil {
		return seg.bad
	}
	f, err := j.handles.pin(seg)
	if err != nil {
		return err
	}
	defer j.handles.unpin(seg)
	var b [framesOffset]byte
	if err := readFull(seg, f, b[:], 0); err != nil {
		return err
	}
	r := &reader{seg: seg, f: f}
	var runs []indexedRun
	if m := parseMarker(b[markerOffset:], seg.seed, seg.size); m.state == markerSealed {
		runs = readIndex(r, m) // another marker's is older than the segment's end
	}
	if runs == nil {
		if runs, err = scanIndex(r, seg.end); err != nil {
			return err
		}
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, run := range runs {
		if g := j.groups[run.group]; g != nil {
			assign(g, seg, run.first, run.offs)
		}
	}
	for _, g := range j.groups {
		for i := range g.runs {
			if r := &g.runs[i]; r.seg == seg && !r.loaded() {
				r.offs = make([]uint32, r.count())
			} else if r.seg == seg {
				r.pack()
			}
		}
	}
	return nil
}

// close waits for calls in progress and ends the log so that the next opening need not read it.
func (j *journal) close() error {
	if !j.gate.Close() {
		return nil
	}
	var err error
	if !j.readOnly {
		j.keeper.halt()
		if j.failed.Err() == nil {
			err = j.end()
		}
	}
	j.mu.Lock()
	j.closed = true
	j.mu.Unlock()
	j.handles.closeAll()
	if j.lock != nil {
		if e := j.lock.Close(); err == nil && e != nil {
			err = fmt.Errorf("wal: letting go of the lock: %w", e)
		}
	}
	return err
}

func (j *journal) end() error {
	if err := j.writer.index(); err != nil {
		return err
	}
	return j.writer.mark(markerClosed)
}
