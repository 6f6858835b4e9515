package wal

import "math"

// This file is how a segment knows what its live entries take, so that the reclaimer moves what is
// worth it. Nothing is kept of an entry but its offset: a run has the sum of its entries, and the
// largest. When a run loses some of them, these and the offsets bound what they took; what is not
// certain is in doubt, and weigh looks at the records where that matters.

// placed is where the record of an entry is, and what the entry takes: the record, and what of its
// frame was written for it alone. Both are in units of 8 bytes.
type placed struct{ off, size uint32 }

// spot returns where the record of an entry is, when it is at an offset of a segment.
func (r *record) spot(off int64) placed { return placed{uint32(off >> 3), uint32(r.size() >> 3)} }

// weight is what the entries of a run take, in units of 8 bytes.
type weight struct {
	units   uint32
	largest uint32 // of one entry, at least; 0 where nobody has looked, and units is an estimate
}

// leastUnits is what an entry takes at least.
const leastUnits = recordHeaderBytes >> 3

func weightOf(spots []placed) (w weight) {
	for _, s := range spots {
		w.units += s.size
		w.largest = max(w.largest, s.size)
	}
	return w
}

func (w *weight) add(v weight) {
	w.units += v.units
	w.largest = max(w.largest, v.largest)
}

func (w *weight) weighed() bool { return w.largest != 0 }

func appendOffsets(offs []uint32, spots []placed) []uint32 {
	for _, s := range spots {
		offs = append(offs, s.off)
	}
	return offs
}

// part estimates what n of the entries take, and by how much that may be wrong. There are others
// beside them; span is what lies between the begin of the first of the n and the end of the last
// one, beside the same of the others.
func (w *weight) part(n, others, span, beside uint64) (units, doubt uint32) {
	all, largest := uint64(w.units), uint64(w.largest)
	if others == 0 {
		return w.units, 0
	}
	share := uint64(float64(all) * float64(n) / float64(n+others))
	if !w.weighed() {
		return uint32(share), 0 // all of it is in doubt already
	}
	most := min(all-min(all, others*leastUnits), n*largest, span)
	least := min(max(n*leastUnits, all-min(all, others*largest, beside)), all)
	switch {
	case least > most:
		return uint32(share), w.units // the offsets do not ascend
	case span < all: // it is what bounds them best
		share = span
	}
	return uint32(min(max(share, least), most)), uint32(most - least)
}

// lose takes the entries at positions from to to-1 of a run out of what is live in its segment, and
// returns how many bytes they took, at least 1. The run has them still.
func (r *run) lose(from, to uint64) (died int64) {
	n := uint64(r.count())
	units, doubt := r.part(to-from, n-(to-from), r.span(from, to), r.span(0, from)+r.span(to, n))
	r.units -= units
	r.seg.live -= int64(to - from)
	r.seg.bytes -= int64(units) << 3
	r.seg.doubt += int64(doubt) << 3
	return max(int64(units)<<3, 1)
}

// split estimates what the entries from position to on take, of a run that has lost those from from
// to to-1.
func (r *run) split(from, to uint64) uint32 {
	n := uint64(r.count())
	units, doubt := r.part(n-to, from, r.span(to, n), r.span(0, from))
	r.seg.doubt += int64(doubt) << 3
	return units
}

// span returns how many units lie between the begin of the entry at position from and that of the
// one at to, or the end of the segment: more than those between take, but for the header of a
// frame.
func (r *run) span(from, to uint64) uint64 {
	if from == to {
		return 0
	}
	if !r.loaded() {
		return math.MaxUint32
	}
	end := r.seg.end
	if to < uint64(r.count()) {
		end = r.offset(to)
	}
	if begin := r.offset(from); begin != 0 && begin < end {
		return uint64(end-begin+frameHeaderBytes) >> 3
	}
	return math.MaxUint32
}

// used is what was written into the segment. The caller holds journal.mu, as for all that follows.
func (s *segment) used() int64 { return s.end - framesOffset }

// liveBytes is what the live entries take.
func (s *segment) liveBytes() int64 { return min(s.bytes, s.used()) }

// density is the share of what was written that is live.
func (s *segment) density() float64 { return float64(s.liveBytes()) / float64(max(s.used(), 1)) }

// doubtful returns by how much liveBytes may be wrong; 0 for what is not worth a look.
func (s *segment) doubtful() int64 {
	switch d := min(s.doubt, s.bytes); {
	case s.guessed:
		return s.used()
	case d > s.used()/doubtShare:
		return d
	}
	return 0
}

// doubtShare is the share of a segment that may be in doubt.
const doubtShare = 8

// estimate sets the weight of the entries of which only the number is known, when a log is opened:
// they take what the average of all that were ever put into their segment took.
func (g *group) estimate() {
	for i := range g.runs {
		if r := &g.runs[i]; !r.weighed() {
			s := r.seg
			each := float64(s.used()) / float64(max(s.stored, s.live, 1))
			r.units = uint32(each * float64(r.count()) / 8)
			s.bytes += int64(r.units) << 3
			s.guessed = true
		}
	}
}
