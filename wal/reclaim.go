package wal

import (
	"cmp"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
)

// The reclaimer keeps a group that lags from pinning old segments for ever: it moves the live entries of segments in which little else is live into
// segments of their own (moved.go). It is bounded in two ways: it begins only when more is dead than live, and it moves one byte for each moveShare that
// were appended. No append waits for it, but that the disk may have a write of moveBytes to do.
type reclaimer struct {
	j     *journal
	mover mover

	working sync.Mutex      // held by who moves
	credit  int64           // bytes that may be moved
	seen    int64           // of keeper.appendedBytes, as far as credit has it
	seg     *segment        // that is being emptied
	list    []entryPlace    // of its entries that are still to be moved
	failed  map[uint64]bool // numbers of segments that hold something that cannot be read

	movedEntries atomic.Uint64
	movedBytes   atomic.Int64 // of records
	woken        atomic.Int64 // keeper.appendedBytes then

	running bool          // there is a goroutine; the writer starts it
	wake    chan struct{} // holds one
	stop    chan struct{}
	done    chan struct{}
}

const (
	// idleGarbage is how many segments of dead entries are left alone, so that a log with little in it is not moved about.
	idleGarbage = 4

	// moveShare bounds the write amplification: entries move at 1/moveShare of the rate of appends.
	moveShare = 4

	// moveBytes is what is moved with one frame, about; a larger entry alone.
	moveBytes = 128 << 10

	// takeMost is how many entries are noted in one go: an append may wait for that.
	takeMost = 4096

	// mostSmall is how many moved segments may be less than half full: each opening of the log begins one.
	mostSmall = 2

	// maxCredit is for how much moving a phase without any is good.
	maxCredit = 16 << 20
)

func (rc *reclaimer) start(j *journal) {
	rc.j, rc.mover.j = j, j
	rc.mover.taken, rc.mover.newest = make(map[*segment]bool), make(map[*group]uint64)
	rc.failed = make(map[uint64]bool)
	rc.wake, rc.stop, rc.done = make(chan struct{}, 1), make(chan struct{}), make(chan struct{})
}

func (rc *reclaimer) halt() {
	if rc.j == nil {
		return
	}
	close(rc.stop)
	if rc.running {
		<-rc.done
	}
	rc.mover.halt()
}

func (rc *reclaimer) run() {
	defer close(rc.done)
	for {
		select {
		case <-rc.stop:
			return
		case <-rc.wake:
			rc.work()
		}
	}
}

// appended wakes the reclaimer when what was appended is worth some moves.
func (rc *reclaimer) appended() {
	now := rc.j.keeper.appendedBytes.Load()
	if now-rc.woken.Load() < 4*moveBytes*moveShare || rc.j.opts.inline {
		return
	}
	rc.woken.Store(now)
	if !rc.running {
		rc.running = true
		go rc.run()
	}
	select {
	case rc.wake <- struct{}{}:
	default:
	}
}

// stopped reports whether the log is being closed.
func (rc *reclaimer) stopped() bool {
	select {
	case <-rc.stop:
		return true
	default:
		return false
	}
}

// work moves as much as it may.
func (rc *reclaimer) work() {
	if !rc.working.TryLock() {
		return
	}
	defer rc.working.Unlock()
	for !rc.stopped() && !rc.mover.broken && rc.j.failed.Err() == nil {
		if rc.earn(); rc.credit < moveBytes || rc.mover.waits() {
			return
		}
		if len(rc.list) == 0 {
			seg := rc.choose()
			if seg == nil {
				return
			}
			if err := rc.take(seg); err != nil {
				rc.giveUp(seg, err)
				continue
			}
			if len(rc.list) == 0 { // all was deleted just now
				return
			}
		}
		if err := rc.moveSome(); err != nil {
			return // without space there is nothing to be done
		}
	}
}

// earn turns what was appended into credit.
func (rc *reclaimer) earn() {
	now := rc.j.keeper.appendedBytes.Load()
	rc.credit = min(rc.credit+(now-rc.seen)/moveShare, maxCredit)
	rc.seen = now
}

// choose returns the segment in which the least is live, when there is enough to be gained.
func (rc *reclaimer) choose() (least *segment) {
	j := rc.j
	j.mu.RLock()
	defer j.mu.RUnlock()
	rc.mover.mu.Lock()
	defer rc.mover.mu.Unlock()
	j.keeper.mu.Lock()
	defer j.keeper.mu.Unlock()
	live, dead := int64(0), int64(0)
	var small []*segment
	for _, seg := range j.segments {
		n := seg.liveBytes()
		live += n
		// One without its index gets that soon, of what the log refers to then: an index without what has moved must not be there before the
		// checkpoint that says so.
		if seg == j.tail || seg.filling || seg.rw != nil || rc.mover.taken[seg] {
			continue
		}
		dead += seg.end - framesOffset - n
		if rc.failed[seg.number] || seg.bad != nil {
			continue
		}
		if isMoved(seg.number) && seg.end < j.keeper.segmentBytes()/2 {
			small = append(small, seg)
		}
		if seg.density() < 0.5 && (least == nil || seg.density() < least.density()) {
			least = seg
		}
	}
	if len(small) > mostSmall {
		return small[0]
	}
	if dead <= max(live, cmp.Or(j.opts.garbage, idleGarbage*j.keeper.segmentBytes())) {
		return nil
	}
	return least
}

// density returns the share of its entries that are live. The caller holds journal.mu.
func (s *segment) density() float64 { return float64(s.live) / float64(max(s.stored, 1)) }

// take makes the list of the live entries of a segment, in the order in which they lie there.
func (rc *reclaimer) take(seg *segment) error {
	if err := rc.j.loadIndex(seg); err != nil {
		return err
	}
	rc.seg = seg
	for _, g := range rc.j.groupsIn(seg) {
		for from := uint64(1); from != 0; {
			from = rc.takeOf(g, from)
		}
	}
	slices.SortFunc(rc.list, func(a, b entryPlace) int { return cmp.Compare(a.off, b.off) })
	return nil
}

// entryPlace is an entry and where it is in its segment. There may be many.
type entryPlace struct {
	group *group
	index uint64
	off   int64
}

// takeOf adds entries of a group to the list, from an index on, and returns where to go on; 0 for nowhere.
func (rc *reclaimer) takeOf(g *group, from uint64) (next uint64) {
	rc.j.mu.RLock()
	defer rc.j.mu.RUnlock()
	left := takeMost
	for i := g.at(from); i < len(g.runs); i++ {
		r := &g.runs[i]
		if r.seg != rc.seg || !r.loaded() {
			continue
		}
		for index := max(from, r.first); index-1 < r.last; index++ { // the last one may be the last number there is
			if left--; left < 0 {
				return index
			}
			rc.list = append(rc.list, entryPlace{group: g, index: index, off: r.offset(index - r.first)})
		}
	}
	return 0
}

// moveSome moves the first entries of the list.
func (rc *reclaimer) moveSome() error {
	var list []movedEntry
	seg, bytes := rc.seg, int64(0)
	for len(rc.list) > 0 && bytes < moveBytes {
		m := movedEntry{entryPlace: rc.list[0]}
		rc.list = rc.list[1:]
		if err := rc.read(&m); err != nil {
			rc.giveUp(seg, err)
			continue
		}
		bytes += m.rec.size()
		list = append(list, m)
	}
	last := len(rc.list) == 0
	if last {
		rc.list, rc.seg = nil, nil
	}
	if err := rc.mover.write(seg, list, last && !rc.failed[seg.number]); err != nil {
		rc.list, rc.seg = nil, nil // it is made anew
		rc.mover.report(err)
		return err
	}
	rc.movedEntries.Add(uint64(len(list)))
	rc.movedBytes.Add(bytes)
	rc.credit -= bytes
	return nil
}

// read reads and verifies the record of an entry.
func (rc *reclaimer) read(m *movedEntry) error {
	at := location{seg: rc.seg, off: m.off}
	rc.j.mu.RLock()
	at.end = at.seg.end
	rc.j.mu.RUnlock()
	if err := at.readable(); err != nil {
		return err
	}
	return rc.j.view(at, func(b []byte) (err error) {
		m.rec, err = entryRecord(at.seg, m.off, slices.Clone(b), m.group.id, m.index)
		return err
	})
}

// giveUp leaves a segment alone from now on: it stays until what cannot be read is deleted. What is gone meanwhile is no failure.
func (rc *reclaimer) giveUp(seg *segment, err error) {
	if errors.Is(err, errGone) || rc.failed[seg.number] {
		return
	}
	rc.failed[seg.number] = true
	rc.j.opts.Logger.Warn("wal: entries of a segment cannot be moved, so it stays until they are deleted", "segment", seg.path, "err", err)
}
