package wal

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/engine"
	"github.com/raft-ballast/ballast/internal/vfs"
)

const (
	// firstZeros is how much of a new segment is zero before it is used. Two of them are what an empty log takes.
	firstZeros = 512 << 10 // less than the smallest segment

	// Zeros are written in steps. A small one holds up an append that comes meanwhile for about as long as the
	// append itself takes; a large one costs the disk less for each byte.
	smallStep = 256 << 10
	largeStep = 1 << 20

	// largeFrame is from when on a frame goes into allocated space as it is, when it finds no zeros: what the file system takes to note
	// that the space is written now is then less than writing zeros first. The two are even at about 200 KiB on ext4 and virtio.
	largeFrame = 256 << 10

	// reserveBytes of the zeros are for votes and deletions only, so that they work while the disk is full.
	reserveBytes = 128 << 10

	// idle is how long nothing is written before the keeper takes the disk for work that can wait.
	idle = time.Millisecond

	// again is how long the keeper waits for whoever reads from a segment that is to be removed.
	again = time.Second
)

// The steps of the keeper, as Stats calls them. Each that fails is tried again; until then the
// others go on.
const (
	stepPrepare = "preparing a segment"
	stepZero    = "writing zeros ahead"
	stepRecycle = "recycling a segment"
	stepSeal    = "writing the index of a segment"
	stepRemove  = "removing a segment"
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
	lastFrame     atomic.Int64  // bytes of it
	zeroBytes     atomic.Int64  // written by the keeper
	recycled      atomic.Int64  // segments that became the next one
	syncs         atomic.Int64  // durable writes, names and sizes

	least atomic.Int64 // size of a new segment, where the one of the options is too small for a checkpoint

	retries engine.Retries
	tight   atomic.Bool // the disk was full: space is taken as it is needed

	running bool          // there is a goroutine; whoever opens the log starts it, or the writer
	wake    chan struct{} // holds one
	stop    chan struct{}
	done    chan struct{}
}

func (k *keeper) start(j *journal) {
	k.j = j
	k.retries.Rounds = j.opts.inline
	k.wake, k.stop, k.done = make(chan struct{}, 1), make(chan struct{}), make(chan struct{})
	if j.opts.inline {
		k.all()
		return
	}
	// A log that was closed has what its first frames need, and nothing to be cleaned up. So the work begins with the first frame:
	// opening waits for no processor to wake up, and costs the disk nothing where nothing is written.
	if bytes, _ := k.ahead(); k.found == nil || bytes < k.goal()*3/4 {
		k.begin()
	}
}

// begin starts the goroutine, unless it runs.
func (k *keeper) begin() {
	if !k.running {
		k.running = true
		go k.run()
	}
}

func (k *keeper) run() {
	defer close(k.done)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		k.steps()
		timer.Reset(k.retries.Wait(k.rest()))
		select {
		case <-k.stop:
			return
		case <-k.wake:
		case <-timer.C:
		}
	}
}

// steps works until there is nothing to do at once.
func (k *keeper) steps() {
	for {
		select {
		case <-k.stop:
			return
		default:
		}
		before := k.appendedBytes.Load()
		if done, _ := k.step(false); done || k.enlarge() {
			continue
		}
		if !k.wants() {
			return
		}
		time.Sleep(idle)
		if !k.whileIdle(before) {
			return
		}
	}
}

// whileIdle does what can wait until that is done, when it returns false, or something is appended.
func (k *keeper) whileIdle(appended int64) bool {
	for k.appendedBytes.Load() == appended {
		select {
		case <-k.stop:
			return true
		default:
		}
		if done, _ := k.step(true); !done {
			return false
		}
	}
	return true
}

// rest is when to look again although nobody asks for anything.
func (k *keeper) rest() time.Duration {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.unused) > 0 {
		return again
	}
	return time.Hour
}

// all does all there is to do.
func (k *keeper) all() {
	if asleep := k.j.opts.asleep; asleep != nil && asleep() {
		return
	}
	k.retries.NextRound()
	for done := true; done; {
		done, _ = k.step(!k.j.opts.busy) // what fails is not due again in this round
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
	if k.running {
		<-k.done
	}
	k.retries.NextRound()
	for done := true; done && k.j.intact(); {
		done, _ = k.clean() // what fails is told, and whoever opens the log removes it
	}
	k.mu.Lock() // somebody may ask for figures
	defer k.mu.Unlock()
	k.drop()
}

// appended notes a frame. What it looks at takes two locks that nobody holds during I/O, well below a microsecond beside
// a write.
func (k *keeper) appended(bytes int64) {
	k.lastFrame.Store(bytes)
	k.appendedBytes.Add(bytes)
	if k.j.opts.inline {
		k.all()
		return
	}
	k.begin()
	if k.low() {
		k.wakeUp()
	}
}

func (k *keeper) seal(seg *segment) {
	k.mu.Lock()
	seg.unsealed = true
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

// segmentBytes is the size of a new segment: that of the options, or more where the checkpoint of many groups would be a large
// part of one.
func (k *keeper) segmentBytes() int64 { return max(k.j.opts.SegmentBytes, k.least.Load()) }

// checkpointIs notes the size of a checkpoint. It is at most an eighth of a segment; powers of two, so that segments can be used again.
func (k *keeper) checkpointIs(n int64) {
	size := int64(minSegmentBytes)
	for size < 8*n && size < maxSegmentBytes/2 {
		size *= 2
	}
	k.least.Store(size)
}

// goal is how many zeros there should be ahead of the tail's end: as many as were appended since opening, twice, and
// at most a segment. While the disk is full somebody else, like raft's snapshots, needs what gets free.
func (k *keeper) goal() int64 {
	if k.tight.Load() {
		return firstZeros
	}
	return min(max(2*k.appendedBytes.Load(), firstZeros), k.segmentBytes())
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

// step does one piece of work, the most urgent one, and reports whether there was any, and its
// error. Work that can wait is done when nothing else uses the disk, and what has failed when it is
// due again.
func (k *keeper) step(isIdle bool) (done bool, err error) {
	k.work.Lock()
	defer k.work.Unlock()
	if k.j.failed.Err() != nil {
		return false, nil // the log is written no more
	}
	if k.found != nil {
		return true, k.note(stepPrepare, k.adopt())
	}
	if old := k.recyclable(); old != nil {
		return true, k.note(stepRecycle, k.recycle(old))
	}
	if !k.settled() || k.hasNext() {
		_ = k.note(stepPrepare, nil)
		_ = k.note(stepRecycle, nil)
	} else if !k.mayRecycle() && k.retries.Due(stepPrepare, 0) {
		return true, k.note(stepPrepare, k.prepare(k.segmentBytes()))
	}
	bytes, grow := k.ahead()
	missing := grow != nil && bytes < k.goal()
	if !missing {
		_ = k.note(stepZero, nil)
	}
	missing = missing && k.retries.Due(stepZero, 0)
	if missing && bytes < k.goal()/2 && !grow.asItIs(k.lastFrame.Load()) {
		return true, k.note(stepZero, k.extend(grow, bytes))
	}
	// An index can wait on a full disk, the next segment cannot.
	full := k.tight.Load() && k.retries.Tries(stepPrepare, 0) > 0
	if done, err := k.cleanUp(!full); done {
		k.tighten(err)
		return true, err
	}
	if missing && isIdle {
		return true, k.note(stepZero, k.extend(grow, bytes))
	}
	return false, nil
}

// extend writes the next zeros. A next segment that a copy has too is made anew instead.
func (k *keeper) extend(seg *segment, ahead int64) error {
	if seg.number == k.nextNumber() && isShared(seg.rw) {
		return k.prepare(k.segmentBytes())
	}
	return k.zero(seg, k.stepBytes(ahead))
}

// enlarge moves blocks of the cache into huge pages of memory, and reports whether there were any. It takes milliseconds, in which nobody waits for it.
func (k *keeper) enlarge() bool {
	j := k.j
	j.mu.Lock()
	n := len(j.cache.small)
	if n == 0 {
		j.mu.Unlock()
		return false
	}
	s := j.cache.small[n-1]
	j.cache.small = j.cache.small[:n-1]
	j.mu.Unlock()
	if s.tries++; vfs.HugePages(s.data) && s.tries < slabTries {
		j.mu.Lock()
		j.cache.small = slices.Insert(j.cache.small, 0, s)
		j.mu.Unlock()
	}
	return true
}

// note notes what became of a step, and returns err.
func (k *keeper) note(step string, err error) error {
	if errors.Is(err, errWentOn) {
		return nil
	}
	k.tighten(err)
	return k.retries.Note(step, 0, err)
}

// tighten looks what an error means: space is taken as it is needed, once there was none.
func (k *keeper) tighten(err error) {
	if errors.Is(err, ballast.ErrNoSpace) {
		k.tight.Store(true)
	}
	// Where there are no handles of folders.
	if _, ok := errors.AsType[*vfs.DisplacedError](err); ok {
		_ = k.j.inPlace()
	}
}

func (k *keeper) stepBytes(ahead int64) int64 {
	if k.goal()-ahead > 4*largeStep {
		return largeStep
	}
	return smallStep
}

var zeros = sync.OnceValue(func() []byte { return vfs.AlignedBytes(largeStep) })

// asItIs reports whether a frame of so many bytes needs no zeros: it is large, and what is allocated reads as zeros.
func (s *segment) asItIs(frame int64) bool {
	return s.fresh && frame >= largeFrame
}

// allocate takes the space of the n bytes behind seg.zeroed, where they read as zeros; of fewer where there is space for some. The frame
// that is written there makes it durable. The caller holds k.work.
func (k *keeper) allocate(seg *segment, n int64) error {
	n, err := k.take(seg, n)
	if err == nil {
		seg.zeroed.Add(n)
	}
	return err
}

// zero makes the n bytes behind seg.zeroed allocated, written and zero; fewer where there is space for some. The caller
// holds k.work.
func (k *keeper) zero(seg *segment, n int64) error {
	n, err := k.take(seg, n)
	if err != nil {
		return err
	}
	for from := seg.zeroed.Load(); n > 0; {
		step := min(n, largeStep)
		if err := seg.rw.WriteBlocks([][]byte{zeros()[:step]}, from); err != nil {
			seg.fresh = false // a write that failed is in doubt until there is another one
			return noSpace(fmt.Errorf("wal: writing zeros at %d of %s: %w", from, seg.path, err))
		}
		k.zeroBytes.Add(step)
		k.syncs.Add(1)
		from, n = from+step, n-step
		seg.zeroed.Store(from)
	}
	return nil
}

// take allocates the n bytes behind seg.zeroed, or fewer, and returns how many.
func (k *keeper) take(seg *segment, n int64) (int64, error) {
	from := seg.zeroed.Load()
	n = min(n, seg.size-from)
	err := seg.rw.Allocate(from, n)
	for n > blockBytes && vfs.IsNoSpace(err) { // some may have been allocated before a crash
		n = roundDown(n/2, blockBytes)
		err = seg.rw.Allocate(from, n)
	}
	if err != nil {
		return 0, noSpace(fmt.Errorf("wal: allocating %d bytes at %d of %s: %w", n, from, seg.path, err))
	}
	return n, nil
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
		var err error
		if n := max(missing, smallStep); seg.asItIs(end - seg.end) {
			err = k.allocate(seg, n)
		} else {
			err = k.zero(seg, min(n, largeStep))
		}
		if err != nil && !(errors.Is(err, ballast.ErrNoSpace) && k.removeUnused()) {
			return err
		}
	}
	if entries && need+reserveBytes > seg.size && !k.hasNext() {
		return k.prepare(k.segmentBytes())
	}
	return nil
}

func (k *keeper) hasNext() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.next != nil
}

// noSpace makes an error for want of space match ballast.ErrNoSpace.
func noSpace(err error) error {
	if vfs.IsNoSpace(err) {
		return fmt.Errorf("%w: %w", ballast.ErrNoSpace, err)
	}
	return err
}
