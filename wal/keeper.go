package wal

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/vfs"
)

const (
	// firstZeros is how much of a new segment is zero before it is used. Two of them are what an empty log takes.
	firstZeros = 512 << 10 // less than the smallest segment

	// Zeros are written in steps. A small one holds up an append that comes meanwhile for about as long as the
	// append itself takes; a large one costs the disk less for each byte.
	smallStep = 256 << 10
	largeStep = 1 << 20

	// reserveBytes of the zeros are for votes and deletions only, so that they work while the disk is full.
	reserveBytes = 128 << 10

	// idle is how long nothing is written before the keeper takes the disk for work that can wait.
	idle = time.Millisecond

	// retry is how long the keeper waits after it failed, when nobody asks for what it does.
	retry = time.Second
)

// keeper prepares what appends need and cleans up behind them, so that no append pays for allocation, extension,
// rotation or deletion. Its work is cut in steps; whoever needs one at once may do it itself.
type keeper struct {
	j *journal

	// work is held during a step.
	work sync.Mutex

	mu       sync.Mutex
	next     *segment   // prepared, and unused
	last     uint64     // number of the newest segment that was taken
	found    *segment   // a next segment that was there when the log was opened; guarded by work
	unsealed []*segment // written no more, without their index
	unused   []*segment // nothing live in them

	published     atomic.Uint64 // number of the tail; behind last while a segment's first frame is written
	appendedBytes atomic.Int64  // since the log was opened
	zeroBytes     atomic.Int64  // written by the keeper
	recycled      atomic.Int64  // segments that became the next one
	syncs         atomic.Int64  // durable writes, names and sizes

	warned time.Time   // guarded by work: when the logger was told last
	tight  atomic.Bool // the disk was full: space is taken as it is needed

	wake chan struct{} // holds one
	stop chan struct{}
	done chan struct{}
}

func (k *keeper) start(j *journal) {
	k.j = j
	k.wake, k.stop, k.done = make(chan struct{}, 1), make(chan struct{}), make(chan struct{})
	if j.opts.inline {
		close(k.done)
		k.all()
		return
	}
	go k.run()
	k.wakeUp()
}

func (k *keeper) run() {
	defer close(k.done)
	timer := time.NewTimer(retry)
	defer timer.Stop()
	for {
		wait := k.steps()
		timer.Reset(wait)
		select {
		case <-k.stop:
			return
		case <-k.wake:
		case <-timer.C:
		}
	}
}

// steps works until there is nothing to do at once, and returns when to look again.
func (k *keeper) steps() time.Duration {
	for {
		select {
		case <-k.stop:
			return 0
		default:
		}
		before := k.appendedBytes.Load()
		done, err := k.step(false)
		switch {
		case err != nil:
			return retry
		case done:
			continue
		}
		if !k.wants() {
			return time.Hour
		}
		time.Sleep(idle)
		if k.appendedBytes.Load() != before {
			continue
		}
		if _, err := k.step(true); err != nil {
			return retry
		}
	}
}

// all does all there is to do.
func (k *keeper) all() {
	for {
		if done, err := k.step(true); !done || err != nil {
			return
		}
	}
}

func (k *keeper) wakeUp() {
	if k.j.opts.inline {
		return
	}
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// halt ends the background and then finishes what must not be left: the index of each segment and the removal of
// unused ones.
func (k *keeper) halt() {
	if k.j == nil {
		return
	}
	close(k.stop)
	<-k.done
	for k.j.failed.Err() == nil {
		if done, err := k.clean(); !done || err != nil {
			break
		}
	}
	k.drop()
}

// adopt makes the segment that was found the next one. Whoever named it may have died before the name was durable.
func (k *keeper) adopt() error {
	seg := k.found
	if seg == nil {
		return nil
	}
	if err := k.j.fs.SyncDir(k.j.dir); err != nil {
		return k.j.failed.Fail(fmt.Errorf("wal: syncing the name of a segment: %w", err))
	}
	k.syncs.Add(1)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.next, k.found = seg, nil
	return nil
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

// appended notes a frame.
func (k *keeper) appended(bytes int64) {
	k.appendedBytes.Add(bytes)
	if k.j.opts.inline {
		k.all()
		return
	}
	if k.low() {
		k.wakeUp()
	}
}

func (k *keeper) seal(seg *segment) {
	k.mu.Lock()
	k.unsealed = append(k.unsealed, seg)
	k.mu.Unlock()
	k.wakeUp()
}

func (k *keeper) free(seg *segment) {
	k.mu.Lock()
	k.unused = append(k.unused, seg)
	k.mu.Unlock()
	k.wakeUp()
}

// goal is how many zeros there should be ahead of the tail's end: as many as were appended since opening, twice, and
// at most a segment. While the disk is full somebody else, like raft's snapshots, needs what gets free.
func (k *keeper) goal() int64 {
	if k.tight.Load() {
		return firstZeros
	}
	return min(max(2*k.appendedBytes.Load(), firstZeros), k.j.opts.SegmentBytes)
}

// ahead is how many zeros there are, and which segment gets the next ones, nil for none.
func (k *keeper) ahead() (bytes int64, grow *segment) {
	j := k.j
	j.mu.RLock()
	tail := j.tail
	bytes = tail.zeroed.Load() - tail.end
	j.mu.RUnlock()
	if tail.zeroed.Load() < tail.size {
		grow = tail
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.next != nil {
		bytes += k.next.zeroed.Load() - framesOffset
		if grow == nil && k.next.zeroed.Load() < k.next.size {
			grow = k.next
		}
	}
	return bytes, grow
}

// low reports whether an append may soon have to wait.
func (k *keeper) low() bool {
	bytes, grow := k.ahead()
	return grow != nil && bytes < k.goal()*3/4
}

// wants reports whether there is work for when the log is idle.
func (k *keeper) wants() bool {
	bytes, grow := k.ahead()
	return grow != nil && bytes < k.goal()
}

// step does one piece of work, the most urgent one, and reports whether there was any. Work that can wait is done when
// nothing else uses the disk.
func (k *keeper) step(isIdle bool) (done bool, err error) {
	k.work.Lock()
	defer k.work.Unlock()
	if k.j.failed.Err() != nil {
		return false, nil // the log is written no more
	}
	defer func() { k.report(err) }()
	if k.found != nil {
		return true, k.adopt()
	}
	if old := k.recyclable(); old != nil {
		return true, k.recycle(old)
	}
	if k.settled() && !k.hasNext() && !k.mayRecycle() {
		return true, k.prepare(k.j.opts.SegmentBytes)
	}
	bytes, grow := k.ahead()
	if grow != nil && bytes < k.goal()/2 {
		return true, k.zero(grow, k.stepBytes(bytes))
	}
	if done, err := k.clean(); done || err != nil {
		return done, err
	}
	if grow != nil && bytes < k.goal() && isIdle {
		return true, k.zero(grow, k.stepBytes(bytes))
	}
	return false, nil
}

// warnEvery is how often the logger is told of what fails again and again.
const warnEvery = time.Minute

// report tells the logger of a failure.
func (k *keeper) report(err error) {
	if errors.Is(err, ballast.ErrNoSpace) {
		k.tight.Store(true)
	}
	if err != nil && time.Since(k.warned) > warnEvery {
		k.warned = time.Now()
		k.j.opts.Logger.Warn("wal: preparing space failed; it will be tried again", "dir", k.j.dir, "err", err)
	}
}

func (k *keeper) stepBytes(ahead int64) int64 {
	if k.goal()-ahead > 4*largeStep {
		return largeStep
	}
	return smallStep
}

var zeros = sync.OnceValue(func() []byte { return vfs.AlignedBytes(largeStep) })

// zero makes the n bytes behind seg.zeroed allocated, written and zero; fewer where there is space for some. The caller
// holds k.work.
func (k *keeper) zero(seg *segment, n int64) error {
	from := seg.zeroed.Load()
	n = min(n, seg.size-from)
	err := seg.rw.Allocate(from, n)
	for n > blockBytes && vfs.IsNoSpace(err) { // some may have been allocated before a crash
		n = roundDown(n/2, blockBytes)
		err = seg.rw.Allocate(from, n)
	}
	if err != nil {
		return noSpace(fmt.Errorf("wal: allocating %d bytes at %d of %s: %w", n, from, seg.path, err))
	}
	for n > 0 {
		step := min(n, largeStep)
		if err := seg.rw.WriteBlocks([][]byte{zeros()[:step]}, from); err != nil {
			return noSpace(fmt.Errorf("wal: writing zeros at %d of %s: %w", from, seg.path, err))
		}
		k.zeroBytes.Add(step)
		k.syncs.Add(1)
		from, n = from+step, n-step
		seg.zeroed.Store(from)
	}
	return nil
}

// ready sees to it that a frame which ends at end can be written: that the space is there up to the block behind
// it, and for entries also what is kept back. It waits only where the keeper could not keep up.
func (k *keeper) ready(seg *segment, end int64, entries bool) error {
	need := min(roundUp(end, blockBytes)+blockBytes, seg.size)
	want := need
	if entries {
		want += reserveBytes
	}
	if seg.zeroed.Load() >= want {
		return nil
	}
	if want > seg.size { // what is kept back is in the next segment then
		if seg.zeroed.Load() == seg.size && k.hasNext() {
			return nil
		}
		want = seg.size
	}
	k.work.Lock()
	defer k.work.Unlock()
	for missing := want - seg.zeroed.Load(); missing > 0; missing = want - seg.zeroed.Load() {
		err := k.zero(seg, min(max(missing, smallStep), largeStep))
		if err != nil && !(errors.Is(err, ballast.ErrNoSpace) && k.removeUnused()) {
			return err
		}
	}
	if entries && need+reserveBytes > seg.size && !k.hasNext() {
		return k.prepare(k.j.opts.SegmentBytes)
	}
	return nil
}

func (k *keeper) hasNext() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.next != nil
}

// takeNext returns the segment to go on in, ready for a frame that ends at end and with room bytes behind that.
func (k *keeper) takeNext(end, room int64, entries bool) (*segment, error) {
	size := max(k.j.opts.SegmentBytes, roundUp(end+room+reserveBytes+blockBytes, blockBytes))
	if size > maxSegmentBytes {
		return nil, fmt.Errorf("wal: a batch needs a segment of %d bytes, the most is %d; split it", size, maxSegmentBytes)
	}
	for {
		next, err := k.atLeast(size)
		if err != nil {
			return nil, err
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
	tmp := filepath.Join(k.j.dir, nextName)
	if err := k.j.fs.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("wal: removing what an earlier attempt left: %w", err)
	}
	f, err := k.j.fs.Create(tmp)
	if err != nil {
		return noSpace(fmt.Errorf("wal: creating a segment: %w", err))
	}
	seg := newSegment(k.j.dir, header{number: k.nextNumber(), identity: newIdentity(), size: size})
	err = k.install(seg, f, tmp, size > k.j.opts.SegmentBytes)
	if err == nil {
		return nil
	}
	_ = k.j.fs.Remove(tmp) // the next attempt begins with that too
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
		err = fmt.Errorf("wal: closing a segment: %w", e)
	}
	if err != nil {
		return err
	}
	k.mu.Lock()
	if seg.number != k.last+1 || k.published.Load() != k.last {
		k.mu.Unlock()
		return errors.New("wal: the log went on meanwhile")
	}
	// It could be taken just when its file is replaced.
	k.drop()
	k.mu.Unlock()
	if err := k.rename(tmp, seg.path); err != nil {
		return err
	}
	if seg.rw, err = k.j.fs.Open(seg.path); err != nil {
		return fmt.Errorf("wal: opening a segment: %w", err)
	}
	k.mu.Lock()
	k.next = seg
	k.mu.Unlock()
	return nil
}

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
		if err := k.zero(seg, n-seg.zeroed.Load()); err != nil {
			return err
		}
	}
	// The header comes after the zeros: its identity must not meet what another one left behind.
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

// rename gives a segment its name, durably. After a folder's sync has failed nobody knows which names are
// there, so the log takes no more writes then.
func (k *keeper) rename(from, to string) error {
	if err := k.j.fs.Rename(from, to); err != nil {
		return noSpace(fmt.Errorf("wal: naming a segment: %w", err))
	}
	if err := k.j.fs.SyncDir(k.j.dir); err != nil {
		return k.j.failed.Fail(fmt.Errorf("wal: syncing the name of a segment: %w", err))
	}
	k.syncs.Add(1)
	return nil
}

// recyclable takes an unused segment that is worth more than the next one, which has few zeros yet. Its blocks
// are on the disk already, so writing to them changes nothing in the file system.
func (k *keeper) recyclable() *segment {
	if !k.settled() {
		return nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.next != nil && (k.next.zeroed.Load() > framesOffset+firstZeros || k.next.size != k.j.opts.SegmentBytes) {
		return nil
	}
	for i, seg := range k.unused {
		if seg.size == k.j.opts.SegmentBytes && seg.rw == nil && k.j.handles.retire(seg) {
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
	tmp := filepath.Join(k.j.dir, nextName)
	err := k.j.fs.Rename(old.path, tmp)
	if err != nil {
		return fmt.Errorf("wal: recycling a segment: %w", err)
	}
	f, err := k.j.fs.Open(tmp)
	if err != nil {
		return fmt.Errorf("wal: recycling a segment: %w", err)
	}
	if err := k.install(newSegment(k.j.dir, header{number: k.nextNumber(), identity: newIdentity(), size: old.size}), f, tmp, false); err != nil {
		return err
	}
	k.recycled.Add(1)
	return nil
}

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
	if err := k.j.fs.Remove(seg.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("wal: removing a segment: %w", err)
	}
	return nil
}

// writeIndex ends a segment that is written no more: its index, then a marker that says where that is. Without
// room, or when that fails, the index is found by reading the segment.
func (k *keeper) writeIndex(seg *segment) error {
	defer k.release(seg)
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
	k.j.mu.Lock()
	defer k.j.mu.Unlock()
	for _, g := range k.j.groups {
		for i := range g.runs {
			if r := &g.runs[i]; r.seg == seg {
				r.pack()
			}
		}
	}
}

// noSpace makes an error for want of space match ballast.ErrNoSpace.
func noSpace(err error) error {
	if vfs.IsNoSpace(err) {
		return fmt.Errorf("%w: %w", ballast.ErrNoSpace, err)
	}
	return err
}
