package wal

import (
	"math"
	"slices"
	"sort"
	"sync/atomic"
)

// run is a range of consecutive entries that one segment holds.
type run struct {
	first, last uint64
	seg         *segment

	// Where the entries are in seg, in units of 8 bytes: offs[i] is that of entry first+i, or packed has it, at
	// position skip+i. Both are nil until the index of a segment that was there when the log was opened is needed.
	offs   []uint32
	packed *packedOffsets
	skip   uint64

	weight // of its entries
}

func (r *run) count() int64 { return int64(r.last - r.first + 1) }

// loaded reports whether it is known where the entries are.
func (r *run) loaded() bool { return r.offs != nil || r.packed != nil }

// offset returns the offset of entry first+i in bytes; 0 where the segment's index has none.
func (r *run) offset(i uint64) int64 {
	if r.packed != nil {
		return int64(r.packed.at(r.skip+i)) << 3
	}
	return int64(r.offs[i]) << 3
}

// pack makes offsets that grow no more take about half the memory.
func (r *run) pack() {
	if r.offs == nil {
		return
	}
	if p := pack(r.offs); p != nil {
		r.offs, r.packed, r.skip = nil, p, 0
		return
	}
	r.offs = slices.Clone(r.offs)
}

// packedOffsets are offsets of which each is close behind the first one of its group. They are never changed.
type packedOffsets struct {
	bases  []uint32 // of each group of packedGroup
	deltas []uint16 // from the base
}

const packedGroup = 32

// pack returns nil for offsets that lie too far apart, which are few, or in no order.
func pack(offs []uint32) *packedOffsets {
	p := &packedOffsets{
		bases:  make([]uint32, 0, (len(offs)+packedGroup-1)/packedGroup),
		deltas: make([]uint16, len(offs)),
	}
	for i, off := range offs {
		if i%packedGroup == 0 {
			p.bases = append(p.bases, off)
		}
		base := p.bases[i/packedGroup]
		if off < base || off-base > math.MaxUint16 {
			return nil
		}
		p.deltas[i] = uint16(off - base)
	}
	return p
}

func (p *packedOffsets) at(i uint64) uint32 { return p.bases[i/packedGroup] + uint32(p.deltas[i]) }

// group is the state of one raft group.
type group struct {
	id uint64

	// All of these are guarded by journal.mu.
	runs   []run // ascending, without overlap
	commit uint64
	stable stableValues

	// What the bounds calls return, so that they wait for nobody. Written under journal.mu.
	firstIndex, lastIndex, commitIndex atomic.Uint64
}

func newGroup(id uint64) *group { return &group{id: id} }

// at returns the position in g.runs of the first run that ends at index or behind it.
func (g *group) at(index uint64) int {
	n := len(g.runs)
	if n == 0 || g.runs[n-1].last < index {
		return n
	}
	if g.runs[n-1].first <= index { // almost always
		return n - 1
	}
	return sort.Search(n, func(i int) bool { return g.runs[i].last >= index })
}

// find returns the run that holds index, nil when there is no such entry. It is valid while journal.mu is held.
func (g *group) find(index uint64) *run {
	i := g.at(index)
	if i == len(g.runs) || g.runs[i].first > index {
		return nil
	}
	return &g.runs[i]
}

// put makes the entries from first on those that seg holds at spots, and replaces what was there.
// It returns how many bytes that took, 0 where nothing was. spots is copied.
func (g *group) put(first uint64, seg *segment, spots []placed) (died int64) {
	last := first + uint64(len(spots)) - 1
	w := weightOf(spots)
	seg.live += int64(len(spots))
	seg.stored += int64(len(spots))
	seg.bytes += int64(w.units) << 3
	if n := len(g.runs); n > 0 && g.runs[n-1].last >= first {
		died = g.remove(first, last)
	}
	i := g.at(first)
	if i > 0 {
		if r := &g.runs[i-1]; r.seg == seg && r.last+1 == first && r.offs != nil && r.weighed() {
			r.offs = appendOffsets(r.offs, spots)
			r.last = last
			r.add(w)
			return died
		}
	}
	offs := appendOffsets(make([]uint32, 0, len(spots)), spots)
	r := run{first: first, last: last, seg: seg, offs: offs, weight: w}
	g.runs = slices.Insert(g.runs, i, r)
	return died
}

// remove takes the entries from low to high out of the runs, and returns how many bytes they took;
// 0 where there are none.
func (g *group) remove(low, high uint64) (died int64) {
	i := g.at(low)
	if i < len(g.runs) && g.runs[i].first < low { // its beginning stays
		r := &g.runs[i]
		if r.last > high {
			return g.split(i, low, high)
		}
		died += r.lose(low-r.first, uint64(r.count()))
		// What is appended next may take the place of what is cut off here.
		r.cut(0, low-r.first)
		i++
	}
	j := i
	for j < len(g.runs) && g.runs[j].last <= high {
		died += g.runs[j].lose(0, uint64(g.runs[j].count()))
		j++
	}
	if j < len(g.runs) && g.runs[j].first <= high { // its end stays
		r := &g.runs[j]
		died += r.lose(0, high+1-r.first)
		r.cut(high+1-r.first, uint64(r.count()))
	}
	g.runs = slices.Delete(g.runs, i, j)
	return died
}

// split takes the entries from low to high out of the middle of a run.
func (g *group) split(i int, low, high uint64) (died int64) {
	r := &g.runs[i]
	died = r.lose(low-r.first, high+1-r.first)
	right := *r
	right.units = r.split(low-r.first, high+1-r.first)
	r.units -= right.units
	right.cut(high+1-r.first, uint64(r.count()))
	r.cut(0, low-r.first)
	r.offs = slices.Clip(r.offs) // or an append would write into the right half
	g.runs = slices.Insert(g.runs, i+1, right)
	return died
}

// cut leaves the entries at positions from to to-1 of a run.
func (r *run) cut(from, to uint64) {
	r.first, r.last = r.first+from, r.first+to-1
	if r.offs != nil {
		r.offs = r.offs[from:to]
	}
	r.skip += from
}

// lowerCommit keeps the commit index at or below the last index.
func (g *group) lowerCommit() { g.commit = min(g.commit, g.last()) }

// entries returns how many there are.
func (g *group) entries() (n uint64) {
	for i := range g.runs {
		n += uint64(g.runs[i].count())
	}
	return n
}

func (g *group) first() uint64 {
	if len(g.runs) == 0 {
		return 0
	}
	return g.runs[0].first
}

func (g *group) last() uint64 {
	if len(g.runs) == 0 {
		return 0
	}
	return g.runs[len(g.runs)-1].last
}

// publish makes the bounds visible. The commit index is never seen above the last index.
func (g *group) publish() {
	if g.commit < g.commitIndex.Load() {
		g.commitIndex.Store(g.commit)
	}
	g.firstIndex.Store(g.first())
	g.lastIndex.Store(g.last())
	g.commitIndex.Store(g.commit)
}
