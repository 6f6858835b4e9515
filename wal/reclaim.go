package wal

import (
	"cmp"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/raft-ballast/ballast/internal/engine"
)

// The reclaimer keeps a group that lags from pinning old segments for ever: it moves the live entries of segments in which little else is live into
// segments of their own (moved.go). It is bounded in two ways: it begins only when more is dead than live, and it moves one byte for each moveShare that
// were appended. No append waits for it, but that the disk may have a write of moveBytes to do.
type reclaimer struct {
	j     *journal
	mover mover

	working sync.Mutex   // held by who moves
	credit  int64        // bytes that may be moved
	seen    int64        // of keeper.appendedBytes, as far as credit has it
	seg     *segment     // that is being emptied
	list    []entryPlace // of its entries that are still to be moved
	retries engine.Retries

	movedEntries atomic.Uint64
	movedBytes   atomic.Int64 // of records
	died         int64        // bytes of entries that were deleted or replaced since; the writer's
	woken        int64        // keeper.appendedBytes then, -1 before; the writer's

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

	// wakeBytes is for how much that was appended, or has died, it is woken.
	wakeBytes = 4 * moveBytes * moveShare

	// cheapShare is the share of a segment that may be read to find out what is live in it,
	// although nothing depends on that but figures.
	cheapShare = 4

	// maxCredit is for how much moving a phase without any is good.
	maxCredit = 16 << 20
)

// The steps of the reclaimer, as Stats calls them. Their items are segments; 0 is what is written.
const (
	stepWeigh = "looking what is live in a segment"
	stepMove  = "moving entries out of a segment"
)

func (rc *reclaimer) start(j *journal) {
	rc.j, rc.mover.j = j, j
	rc.mover.taken, rc.mover.newest = make(map[*segment]bool), make(map[*group]uint64)
	rc.woken, rc.retries.Rounds = -1, j.opts.inline
	rc.retries.Path, rc.retries.Logger = j.dir, j.opts.Logger
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
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		select {
		case <-rc.stop:
			return
		case <-rc.wake:
		case <-timer.C: // something has failed
		}
		rc.work()
		timer.Reset(rc.retries.Wait(time.Hour))
	}
}

// appended wakes the reclaimer when what was appended, or has died, is worth some moves, and with
// the first frame.
func (rc *reclaimer) appended() {
	now := rc.j.keeper.appendedBytes.Load()
	if rc.j.opts.inline || rc.woken >= 0 && now-rc.woken+rc.died < wakeBytes {
		return
	}
	rc.woken, rc.died = now, 0
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
	if rc.j.opts.inline {
		rc.retries.NextRound()
	}
	rc.forget()
	for !rc.stopped() && rc.j.failed.Err() == nil {
		if len(rc.list) == 0 {
			seg := rc.choose()
			if rc.earn(); seg == nil || !rc.mayMove() {
				rc.adoptSoon()
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
		if rc.earn(); !rc.mayMove() || rc.moveSome() != nil {
			return
		}
	}
}

// mayMove reports whether there is something to be moved for, and nothing that has to come first.
func (rc *reclaimer) mayMove() bool {
	return rc.credit >= moveBytes && !rc.mover.waits() && rc.retries.Due(stepMove, 0)
}

// adoptSoon has the log go on in its next segment where much waits for that, so that the space
// comes back although nobody appends.
func (rc *reclaimer) adoptSoon() {
	m, waiting := &rc.mover, int64(0)
	m.mu.Lock()
	for _, seg := range m.next.from {
		waiting += seg.size
	}
	enough := max(idleGarbage*rc.j.keeper.segmentBytes(), rc.j.opts.garbage)
	due := len(m.next.runs) > 0 && waiting >= enough && !m.urgent.Swap(true)
	var g *group
	if due {
		g = m.next.runs[0].group
	}
	m.mu.Unlock()
	if !due {
		return
	}
	r := requests.Get().(*request)
	defer r.release()
	r.kind, r.group, r.low = recordDelete, g, 1 // up to 0, which is nothing
	_ = rc.j.enqueue(r)                         // what fails here fails for whoever appends next
	m.urgent.Store(false)
}

// earn turns what was appended into credit.
func (rc *reclaimer) earn() {
	now := rc.j.keeper.appendedBytes.Load()
	rc.credit = min(rc.credit+(now-rc.seen)/moveShare, maxCredit)
	rc.seen = now
}

// choose returns the segment in which the least is live, when there is enough to be gained. It
// looks first what is live where that has to be known.
func (rc *reclaimer) choose() *segment {
	for !rc.stopped() {
		doubted, least := rc.survey()
		if doubted == nil {
			return least
		}
		_ = rc.retries.Note(stepWeigh, doubted.number, rc.j.weigh(doubted))
	}
	return nil
}

// survey returns the segment in which the least is live, when there is enough to be gained, or one
// of which it has to be known first what is live: where nobody has looked since the log was opened,
// and where the decision may depend on it.
func (rc *reclaimer) survey() (doubted, least *segment) {
	j := rc.j
	j.mu.RLock()
	defer j.mu.RUnlock()
	rc.mover.mu.Lock()
	defer rc.mover.mu.Unlock()
	j.keeper.mu.Lock()
	defer j.keeper.mu.Unlock()
	live, dead, doubt := int64(0), int64(0), int64(0)
	var small []*segment
	for _, seg := range j.segments {
		n := seg.liveBytes()
		live += n
		// One without its index gets that soon, of what the log refers to then: an index without what has moved must not be there before the
		// checkpoint that says so.
		if seg == j.tail || seg.filling || seg.unsealed || rc.mover.taken[seg] {
			continue
		}
		dead += seg.used() - n
		if seg.bad != nil {
			continue
		}
		if d := seg.doubtful(); d > 0 && rc.retries.Due(stepWeigh, seg.number) {
			if doubt += d; doubted == nil || d > doubted.doubtful() {
				doubted = seg
			}
			if seg.guessed || seg.live*blockBytes <= seg.used()/cheapShare {
				return seg, nil
			}
		}
		if rc.waits(seg) {
			continue
		}
		if isMoved(seg.number) && seg.end < j.keeper.segmentBytes()/2 {
			small = append(small, seg)
		}
		if seg.density() < 0.5 && (least == nil || seg.density() < least.density()) {
			least = seg
		}
	}
	enough := cmp.Or(j.opts.garbage, idleGarbage*j.keeper.segmentBytes())
	switch {
	case doubted != nil && dead+doubt > max(live-doubt, enough):
		return doubted, nil
	case len(small) > mostSmall:
		return nil, small[0]
	case dead <= max(live, enough):
		return nil, nil
	}
	return nil, least
}

// waits reports whether nothing is to be moved out of a segment now: that has failed, or what was
// moved before it failed is not part of the log yet, and would be moved again. The caller holds
// mover.mu.
func (rc *reclaimer) waits(seg *segment) bool {
	if rc.retries.Tries(stepMove, seg.number) == 0 {
		return false
	}
	return !rc.retries.Due(stepMove, seg.number) ||
		slices.ContainsFunc(rc.mover.next.runs, func(r movedRun) bool { return r.from == seg })
}

// forget lets go of failures of segments that are gone.
func (rc *reclaimer) forget() {
	there := func(number uint64) bool {
		rc.j.mu.RLock()
		defer rc.j.mu.RUnlock()
		return number == 0 ||
			slices.ContainsFunc(rc.j.segments, func(seg *segment) bool { return seg.number == number })
	}
	rc.retries.Keep(stepWeigh, there)
	rc.retries.Keep(stepMove, there)
}

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
	whole := last && rc.retries.Tries(stepMove, seg.number) == 0
	if err := rc.retries.Note(stepMove, 0, rc.mover.write(seg, list, whole)); err != nil {
		rc.list, rc.seg = nil, nil // it is made anew
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

// giveUp leaves a segment alone for a while: until what cannot be read now is deleted, or can be
// read again. What is gone meanwhile is no failure.
func (rc *reclaimer) giveUp(seg *segment, err error) {
	if !errors.Is(err, errGone) {
		_ = rc.retries.Note(stepMove, seg.number, err)
	}
}
