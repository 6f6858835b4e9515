package wal

import (
	"cmp"
	"slices"
)

// GroupsStats are figures of a log that groups share. What counts from opening begins at 0 then.
type GroupsStats struct {
	// Stats are those of the log as a whole. The indexes are 0, and Entries are those of all groups.
	Stats

	Groups int // that have an entry, a stable value or a commit index

	// Pinning are the groups whose entries keep the most bytes of segments from being used again, ten at most, the one with the most first.
	Pinning []GroupPin
}

// GroupPin is what the entries of a group keep from being used again.
type GroupPin struct {
	ID         uint64
	FirstIndex uint64
	Entries    uint64
	Bytes      int64 // of the files of segments that hold at least one of its entries, and are written no more
}

// maxPinning is how many groups are named.
const maxPinning = 10

// Stats returns figures of the log, zeros after Close. It may be called by any goroutine and waits for no write; it asks the file system about
// each file.
func (gs *Groups) Stats() (st GroupsStats) {
	if gs.j.gate.Enter() != nil {
		return GroupsStats{}
	}
	defer gs.j.gate.Leave()
	st.Stats = gs.j.stats()
	st.Groups, st.Pinning = gs.j.pinning()
	return st
}

// pinning returns how many groups are known, and those that pin the most.
func (j *journal) pinning() (known int, pins []GroupPin) {
	j.mu.RLock()
	for _, g := range j.groups {
		if !g.known() {
			continue
		}
		known++
		if n := g.pinned(j.tail); n > 0 {
			pins = append(pins, GroupPin{ID: g.id, FirstIndex: g.first(), Entries: g.entries(), Bytes: n})
		}
	}
	j.mu.RUnlock()
	slices.SortFunc(pins, func(a, b GroupPin) int {
		return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), cmp.Compare(a.ID, b.ID))
	})
	return known, slices.Clip(pins[:min(len(pins), maxPinning)])
}

// pinned returns the bytes of the segments, but for the tail, in which the group has entries. The caller holds journal.mu.
func (g *group) pinned(tail *segment) (bytes int64) {
	seen := make([]*segment, 0, 8) // mostly few, and mostly in order
	for i := range g.runs {
		if seg := g.runs[i].seg; seg != tail && !slices.Contains(seen, seg) {
			seen = append(seen, seg)
			bytes += seg.size
		}
	}
	return bytes
}
