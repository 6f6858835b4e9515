package wal

import (
	"cmp"
	"errors"
	"slices"
)

// weighing finds out what the live entries of a segment take: from where they are, and, where dead
// ones may lie between two of them, from the records. What it needs for that is gone afterwards.
type weighing struct {
	seg   *segment
	end   int64
	parts []weighedRun
	known []uint32 // offsets of entries, ascending, also of dead ones
	sizes []uint32 // of known
}

// weighedRun is a run as it was when the weighing began. Its offsets do not change.
type weighedRun struct {
	group   *group
	run     run
	upTo    []uint32 // what the entries up to each one take
	largest uint32
}

const (
	// A record is looked at where more than lookBytes lie between an entry and the next one,
	// whatever the segment is said to hold: large stable values may. It costs one read of the
	// disk's block.
	lookBytes = 64 << 10

	// windowBytes is what is read at once, where records lie less than nearRecords from one
	// another.
	windowBytes = 256 << 10
	nearRecords = 16 << 10

	// loneUnits is what the frame and the commit index of an entry take, at most.
	loneUnits = (frameHeaderBytes + recordHeaderBytes) >> 3
)

// weigh finds out what the live entries of a segment take. It holds no lock while it reads, and
// does nothing for one that is gone. Only entries that were put there before are weighed, so the
// tail may be written meanwhile.
func (j *journal) weigh(seg *segment) error {
	w := weighing{seg: seg}
	err := j.collect(&w)
	if err == nil {
		err = j.measureRecords(&w)
	}
	if errors.Is(err, errGone) {
		return nil
	}
	if err != nil {
		return err
	}
	for i := range w.parts {
		w.sum(&w.parts[i])
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	for i := range w.parts {
		w.parts[i].apply()
	}
	seg.doubt, seg.guessed = 0, false
	return nil
}

// weighGuessed weighs the segments of which nobody knows since the log was opened what is live. One
// that cannot be read stays as it is.
func (j *journal) weighGuessed() error {
	var guessed []*segment
	j.mu.RLock()
	for _, seg := range j.segments {
		if seg.guessed && !seg.filling && seg.bad == nil {
			guessed = append(guessed, seg)
		}
	}
	j.mu.RUnlock()
	for _, seg := range guessed {
		if err := j.weigh(seg); err != nil && !lasting(err) {
			return err
		}
	}
	return nil
}

// collect finds out where the entries are.
func (j *journal) collect(w *weighing) error {
	seg, unloaded := w.seg, false
	shadows := make(map[*group]*group) // of each group, its runs in the segment as they are now
	for _, g := range j.groupsIn(seg) {
		j.mu.RLock() // for each anew, so that no append waits for all of them
		shadow := newGroup(g.id)
		for _, r := range g.runs {
			if r.seg == seg {
				if seg == j.tail { // what is appended may take the place of what is cut off
					r.offs = slices.Clone(r.offs)
				}
				shadow.runs = append(shadow.runs, r)
				unloaded = unloaded || !r.loaded()
			}
		}
		w.end = seg.end
		j.mu.RUnlock()
		shadows[g] = shadow
	}
	if unloaded {
		index, err := j.readRuns(seg, true)
		if err != nil {
			return err
		}
		byGroup := make(map[uint64][]indexedRun)
		for _, part := range index {
			w.known = append(w.known, part.offs...)
			byGroup[part.group] = append(byGroup[part.group], part)
		}
		for _, shadow := range shadows {
			shadow.assign(seg, byGroup[shadow.id])
		}
	}
	for g, shadow := range shadows {
		for _, r := range shadow.runs {
			w.parts = append(w.parts, weighedRun{group: g, run: r})
			for i := range uint64(r.count()) {
				w.known = append(w.known, uint32(r.offset(i)>>3))
			}
		}
	}
	slices.Sort(w.known)
	w.known = slices.Compact(w.known)
	if len(w.known) > 0 && w.known[0] == 0 { // of entries that the index has not
		w.known = w.known[1:]
	}
	return nil
}

// measureRecords sets the sizes: what lies between an entry and the next one, or what the record
// says. Where fewer entries are known than were put into the segment the difference may be of dead
// ones, so that the records are looked at, those with the most behind them first, until the rest
// does not matter.
func (j *journal) measureRecords(w *weighing) error {
	w.sizes = make([]uint32, len(w.known))
	var look []int
	behind := int64(0) // all entries that are not looked at
	for i, off := range w.known {
		next := uint32(w.end >> 3)
		if i+1 < len(w.known) {
			next = w.known[i+1]
		}
		w.sizes[i] = next - min(off, next)
		behind += int64(w.sizes[i]) << 3
		look = append(look, i)
	}
	j.mu.RLock()
	missing := w.seg.stored - int64(len(w.known))
	j.mu.RUnlock()
	slices.SortFunc(look, func(a, b int) int { return cmp.Compare(w.sizes[b], w.sizes[a]) })
	most := w.end
	if missing > 0 {
		most = (w.end - framesOffset) / (2 * doubtShare)
	}
	n := 0
	for ; n < len(look) && (behind > most || w.sizes[look[n]] > lookBytes>>3); n++ {
		behind -= int64(w.sizes[look[n]]) << 3
	}
	look = look[:n]
	slices.Sort(look)
	return j.lookAt(w, look)
}

// lookAt reads the lengths of the records of entries.
func (j *journal) lookAt(w *weighing, look []int) error {
	if len(look) == 0 {
		return nil
	}
	buf := make([]byte, windowBytes)
	for len(look) > 0 {
		from := int64(w.known[look[0]]) << 3
		n, to := 0, from
		for n < len(look) {
			off := int64(w.known[look[n]]) << 3
			if n > 0 && off-to > nearRecords || off+recordHeaderBytes-from > windowBytes {
				break
			}
			to = off + recordHeaderBytes
			n++
		}
		if !within(framesOffset, from, w.end-recordHeaderBytes) || to > w.end { // a wrong index
			look = look[n:]
			continue
		}
		if err := j.gather(w.seg, from, buf[:to-from]); err != nil {
			return err
		}
		for _, i := range look[:n] {
			w.look(i, buf[int64(w.known[i])<<3-from:])
		}
		look = look[n:]
	}
	return nil
}

// look takes the size of an entry from its record. Its checksum does not matter here: whoever reads
// the entry verifies it.
func (w *weighing) look(i int, record []byte) {
	units := uint64(padded(recordLength(record))) >> 3
	gap := uint64(w.sizes[i])
	if units == 0 || units > gap {
		return
	}
	w.sizes[i] = uint32(units + min(gap-units, loneUnits))
}

// sum adds up what the entries of a run take.
func (w *weighing) sum(p *weighedRun) {
	units := uint32(0)
	p.upTo = make([]uint32, p.run.count())
	for i := range p.upTo {
		size := uint32(leastUnits) // of one that the index has not
		if at, found := slices.BinarySearch(w.known, uint32(p.run.offset(uint64(i))>>3)); found {
			size = w.sizes[at]
		}
		units += size
		p.upTo[i] = units
		p.largest = max(p.largest, size)
	}
}

// between returns what the entries of the run from first to last take.
func (p *weighedRun) between(first, last uint64) uint32 {
	units := p.upTo[last-p.run.first]
	if first > p.run.first {
		units -= p.upTo[first-p.run.first-1]
	}
	return units
}

// apply gives their weight to what is left of a run. Its entries may have been deleted meanwhile,
// or moved. The caller holds journal.mu.
func (p *weighedRun) apply() {
	g := p.group
	for i := g.at(p.run.first); i < len(g.runs) && g.runs[i].last <= p.run.last; i++ {
		r := &g.runs[i]
		if r.seg != p.run.seg || r.first < p.run.first {
			continue
		}
		was := r.units
		r.weight = weight{p.between(r.first, r.last), max(p.largest, 1)}
		r.seg.bytes += (int64(r.units) - int64(was)) << 3
	}
}
