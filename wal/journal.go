package wal

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/engine"
	"github.com/raft-ballast/ballast/internal/vfs"
)

// journal is one log on the disk, with the state that its records make.
type journal struct {
	dir      string // what paths begin with: absolute, without links; of a reader as it was given
	opts     Options
	held     *vfs.Dir // dir, whatever becomes of its name
	fs       vfs.FS   // that of held
	lock     io.Closer
	marked   bool // its file says that there is a log
	readOnly bool
	mended   bool // what was found in a damaged directory: reading it anew would find less

	gate   engine.Gate
	failed engine.Latch
	meter  engine.Meter
	watch  engine.Watch

	// mu guards the state. It is held for moments, never during I/O.
	mu       sync.RWMutex
	closed   bool
	groups   map[uint64]*group
	segments []*segment // with live entries, ascending, and the tail
	tail     *segment
	cache    cache

	streams    streams
	handles    handles
	refreshing sync.Mutex // one reads a log anew at a time
	readings   atomic.Uint64
	seen       string // at the reading; guarded by refreshing
	unreadable error  // what reading anew has found; guarded by refreshing

	names     names
	queue     queue
	writer    writer
	keeper    keeper
	reclaimer reclaimer
}

// openJournal opens or creates the log in dir.
func openJournal(dir string, opts Options, readOnly bool) (*journal, error) {
	if err := engine.CheckFinished(dir); err != nil {
		return nil, err
	}
	held, err := holdDir(opts.fs, dir, readOnly)
	if err != nil {
		return nil, err
	}
	j := newJournal(held, held, opts, readOnly)
	if readOnly {
		_, err = j.refresh(0)
	} else {
		err = j.lockAndBegin()
	}
	if err != nil {
		j.keeper.drop()
		return nil, errors.Join(err, j.letGo())
	}
	if !readOnly && !opts.still {
		j.keeper.start(j)
		j.reclaimer.start(j)
	}
	return j, nil
}

// newJournal returns one without state. It takes held over, whose folder it reaches through fsys.
func newJournal(held *vfs.Dir, fsys vfs.FS, opts Options, readOnly bool) *journal {
	j := &journal{dir: held.Path, opts: opts, held: held, fs: fsys, readOnly: readOnly}
	if readOnly { // by somebody who looks at it, under the name that he knows
		j.dir = held.Name
	}
	j.handles.fs, j.handles.limit = fsys, opts.MaxOpenFiles
	j.cache.limit = int(opts.CacheBytes / cacheBlockBytes)
	j.writer.j = j
	j.keeper.retries.Path, j.keeper.retries.Logger = j.dir, opts.Logger
	return j
}

func (j *journal) lockAndBegin() (err error) {
	if j.writer.compressor, err = newCompressor(j.opts.Compression); err != nil {
		return err
	}
	if err := j.takeLocks(); err != nil {
		return noSpace(err)
	}
	if err := j.begin(); err != nil {
		return noSpace(err)
	}
	j.markLock()
	return nil
}

// letGo closes what is open of the log.
func (j *journal) letGo() (err error) {
	j.handles.closeAll()
	if j.lock != nil {
		err = j.lock.Close()
	}
	if e := j.held.Close(); err == nil {
		err = e
	}
	if err != nil {
		return fmt.Errorf("wal: letting go of the lock: %w", err)
	}
	return nil
}

// holdDir holds the folder of a log. For writing it is made where it is missing, and gets a durable
// name: of one that holds a log confirmFolder sees to that.
func holdDir(fsys vfs.FS, dir string, readOnly bool) (*vfs.Dir, error) {
	held, err := fsys.Hold(dir)
	if errors.Is(err, vfs.ErrNotDir) {
		return nil, fmt.Errorf("wal: %w: %s is a file, and a log needs a directory of its own; choose one, "+
			"and move a store in that file with package migrate or `ballast migrate`", ballast.ErrForeign, dir)
	}
	if readOnly && err != nil {
		return nil, fmt.Errorf("wal: opening %s: %w", dir, err)
	}
	if readOnly {
		return held, nil
	}
	var names []string
	if err == nil {
		names, err = held.List(held.Path)
		if e := foreign(dir, names); err == nil && e != nil {
			return nil, errors.Join(e, held.Close())
		}
	}
	if err == nil && slices.ContainsFunc(names, isSegment) {
		return held, nil
	}
	if held != nil {
		_ = held.Close() // nothing was written
	}
	if err := makeDir(fsys, dir); err != nil {
		return nil, err
	}
	if held, err = fsys.Hold(dir); err != nil {
		return nil, fmt.Errorf("wal: opening %s: %w", dir, err)
	}
	return held, nil
}

// makeDir sees to a folder with a durable name.
func makeDir(fsys vfs.FS, dir string) error {
	place := fsys.Place(dir)
	if _, err := fsys.List(place + engine.UnplacedSuffix); err == nil {
		return engine.UnplacedError(place)
	}
	if err := fsys.MkdirAll(dir); err != nil {
		return noSpace(fmt.Errorf("wal: %w", err))
	}
	return nil
}

// inPlace returns an error when the name that the log was opened by leads to another folder now, or
// to none. Then it takes no more writes.
func (j *journal) inPlace() error {
	err := j.held.Check()
	if err == nil {
		return nil
	}
	err = j.failed.Fail(engine.Displaced(err))
	j.opts.Logger.Error("wal: the log takes no more writes", "dir", j.dir, "err", err)
	return err
}

// intact reports whether it is known what is on the disk: no write has failed, though there may be
// no more of them.
func (j *journal) intact() bool {
	err := j.failed.Err()
	return err == nil || errors.Is(err, ballast.ErrDisplaced)
}

// begin brings the directory into a state in which the log can be written.
func (j *journal) begin() error {
	rec, err := j.recoverShared()
	if err != nil && !errors.Is(err, errEmpty) {
		return err
	}
	if rec.tail == nil {
		if rec.unused != nil { // a creation that did not end
			rec.garbage = append(rec.garbage, filepath.Base(rec.unused.path))
		}
		j.removeAll(rec.garbage)
		return j.create()
	}
	if seg := rec.unused; seg != nil && (seg.size != j.opts.SegmentBytes || isShared(rec.unusedFile)) {
		_ = rec.unusedFile.Close() // nothing was written
		rec.unused, rec.unusedFile, rec.garbage = nil, nil, append(rec.garbage, filepath.Base(seg.path))
	}
	if err := j.settle(rec); err != nil {
		rec.closeFiles()
		return err
	}
	if err := j.resume(rec); err != nil {
		return err
	}
	// Not before the end of the log is durable: it may hold the deletion that freed them.
	j.removeAll(rec.garbage)
	if rec.clean {
		return nil
	}
	return j.renew(rec)
}

// removeAll removes files that hold nothing. Where that fails the keeper tries again; the file of a
// name that is used again is replaced instead.
func (j *journal) removeAll(names []string) {
	for _, name := range names {
		err := j.remove(filepath.Join(j.dir, name))
		number, ok := segmentNumber(name)
		if err == nil || errors.Is(err, fs.ErrNotExist) || !ok {
			continue
		}
		if !isMoved(number) && (j.tail == nil || number > j.tail.number) {
			continue // its name is used again
		}
		seg := newSegment(j.dir, header{number: number})
		seg.freed = true
		j.keeper.giveBack(seg)
		err = fmt.Errorf("wal: removing a file that holds nothing: %w", err)
		_ = j.keeper.retries.Note(stepRemove, number, err)
	}
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
	j.reclaimer.mover.last = rec.moved
	k.published.Store(seg.number)
	seg.rw = rec.file
	w.take(seg)
	w.sequence = rec.sequence
	w.marked = rec.marker
	j.useNext(rec)
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
	return nil
}

// renew does what there was no time for when the log was not closed.
func (j *journal) renew(rec *recovery) error {
	if seg := rec.unused; seg != nil {
		if err := j.keeper.recycle(seg); err != nil && !errors.Is(err, ballast.ErrNoSpace) {
			return err
		}
	}
	return j.sealBefore(rec)
}

// useNext goes on with the segment that was prepared to follow. In a log that was not closed what is left of a first
// write that did not end may be in it, so then it is made anew later, from its own space.
func (j *journal) useNext(rec *recovery) {
	seg, f := rec.unused, rec.unusedFile
	switch {
	case seg == nil:
	case rec.clean:
		seg.rw = f
		seg.zeroed.Store(framesOffset + firstZeros) // at least, or it had no name
		j.keeper.found = seg
	default:
		_ = f.Close() // nothing was written
	}
}

// loadEnd reads what was written of the block of the disk that the next frame begins in, for endBlock.
func (w *writer) loadEnd() error {
	from := roundDown(w.seg.end, blockBytes)
	w.end = make([]byte, w.seg.end-from)
	return readFull(w.seg, w.seg.rw, w.end, from)
}

// endBlock returns the block of the cache that the last frame ended in, for the first frame since the log was opened: a log that is only read
// needs no such memory. It returns nil where the frame begins in another block.
func (w *writer) endBlock() *cacheBlock {
	j, seg := w.j, w.seg
	no := seg.end >> cacheBlockShift
	if no != w.base {
		return nil
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	b := seg.blocks[no]
	if b == nil { // otherwise somebody has read it
		b = j.cache.take()
		b.from = int(seg.end&cacheBlockMask) - len(w.end)
		copy(b.data[b.from:], w.end)
		j.cache.link(b, seg, no)
	}
	b.writing = true
	w.end = nil
	return b
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
	if err := seg.rw.WriteBlocks([][]byte{b}, from); err != nil {
		return fmt.Errorf("wal: writing the end of %s again: %w", seg.path, err)
	}
	// So may the marker: on the disk it may still say that the log was closed.
	if w.marked.state == markerOpen {
		if err := writeMarker(seg.rw, seg, w.marked); err != nil {
			return err
		}
	}
	n := min(blockBytes+reserveBytes, seg.size-seg.zeroed.Load())
	if n == 0 {
		return nil
	}
	return w.j.keeper.zero(seg, n)
}

// sealBefore gives the segment before the tail its index, when there was no time for that, and the newest ones of moved entries: one that was
// filled, and those that had just become full.
func (j *journal) sealBefore(rec *recovery) error {
	for _, number := range []uint64{rec.before, rec.moved - 2, rec.moved - 1, rec.moved} {
		if err := j.sealOne(rec, rec.segments[number]); err != nil {
			return err
		}
	}
	return nil
}

func (j *journal) sealOne(rec *recovery, seg *segment) error {
	if seg == nil || seg.live == 0 || seg.bad != nil {
		return nil
	}
	_, f, m, err := openSegment(j.fs, j.dir, seg.number, true)
	if lasting(err) {
		return nil // whoever reads its entries is told
	}
	if err == nil && m.state == markerSealed {
		return f.Close()
	}
	if !isMoved(seg.number) {
		seg.successor = rec.tail.identity
	}
	if err == nil { // otherwise the keeper opens it
		seg.rw = f
		j.handles.keep(seg, f)
	}
	j.keeper.seal(seg)
	return nil
}

// close waits for calls in progress and ends the log so that the next opening need not read it.
func (j *journal) close() error {
	if !j.gate.Close() {
		return nil
	}
	var err error
	if !j.readOnly {
		j.reclaimer.halt()
		j.watch.Begin()
		j.keeper.halt()
		if j.intact() {
			err = j.writer.conclude()
		}
		if e := j.held.Check(); e != nil {
			j.opts.Logger.Warn("wal: the log that is closed is not at its name any more",
				"dir", j.dir, "err", engine.Displaced(e))
		}
		j.watch.End(errors.Join(err, j.failed.Err()))
		j.watch.Stop()
	}
	j.meter.Detach()
	j.mu.Lock()
	j.closed = true
	j.mu.Unlock()
	if e := j.letGo(); err == nil {
		err = e
	}
	return err
}
