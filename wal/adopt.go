package wal

import "slices"

// This file is how a rotation makes the log refer to where entries were moved to.

// adoption is what a rotation takes over.
type adoption struct {
	runs []movedRun
	from []*segment // of which all was moved
	full []*segment // moved segments that get no more
}

// movedRun is consecutive entries of a group that are durable in a moved segment.
type movedRun struct {
	group    *group
	from, to *segment
	first    uint64
	spots    []placed
	end      int64 // of their frame
	sequence uint64
}

// goesOn reports whether the entry of an index may join the run.
func (r *movedRun) goesOn(from, to *segment, index uint64) bool {
	return r.from == from && r.to == to && r.first+uint64(len(r.spots)) == index
}

// collect adds what was moved to what the writer takes over with its next rotation.
func (m *mover) collect(a *adoption) {
	m.mu.Lock()
	defer m.mu.Unlock()
	a.runs = append(a.runs, m.next.runs...)
	a.from = append(a.from, m.next.from...)
	a.full = append(a.full, m.next.full...)
	m.next = adoption{}
}

// giveBack takes back what a rotation could not take over.
func (m *mover) giveBack(a *adoption) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.next = adoption{append(a.runs, m.next.runs...), append(a.from, m.next.from...), append(a.full, m.next.full...)}
	*a = adoption{}
}

// bytes is at most what it adds to a checkpoint: a run may cut another one in three.
func (a *adoption) bytes() int64 {
	return 2*liveRunBytes*int64(len(a.runs)) + (recordHeaderBytes+segmentRefBytes)*int64(len(a.full)+1)
}

// apply makes the log refer to where entries were moved to. No segment is swept before the checkpoint that says so is durable.
func (a *adoption) apply(j *journal) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for i := range a.runs {
		r := &a.runs[i]
		if r.end > r.to.end {
			r.to.end, r.to.sequence = r.end, r.sequence
			j.cache.forget(r.to) // its last block may be in memory as it was
		}
		r.to.stored += int64(len(r.spots)) // also those that are stale by now
		if r.apply(); r.to.live > 0 {
			j.include(r.to)
		}
	}
	a.runs = nil
}

// apply replaces those entries that are still where they were moved from. In a segment that is written no more an entry of an index that
// is live is the one that was live when it was read.
func (r *movedRun) apply() {
	last := r.first + uint64(len(r.spots)) - 1
	for index := r.first; ; {
		i := r.group.at(index)
		if i == len(r.group.runs) || r.group.runs[i].first > last {
			return
		}
		old := r.group.runs[i]
		low, high := max(index, old.first), min(last, old.last)
		if old.seg == r.from {
			r.group.put(low, r.to, r.spots[low-r.first:high-r.first+1])
			r.to.stored -= int64(high - low + 1) // that counts them, and they count as moved already
		}
		if high == last {
			return
		}
		index = high + 1
	}
}

// include makes a moved segment one of the log's. The caller holds j.mu.
func (j *journal) include(seg *segment) {
	if i, found := slices.BinarySearchFunc(j.segments, seg, inOrder); !found {
		j.segments = slices.Insert(j.segments, i, seg)
	}
}

// adopted lets go of what was moved from, and of moved segments that get no more. What refers to the others is durable.
func (m *mover) adopted(a *adoption) {
	m.mu.Lock()
	for _, seg := range a.from {
		delete(m.taken, seg)
	}
	m.files = slices.DeleteFunc(m.files, func(seg *segment) bool { return slices.Contains(a.full, seg) })
	m.mu.Unlock()
	m.finish(a.full)
	*a = adoption{}
}

// finish gives to the keeper the segments that get no more, and those in which nothing is live any more.
func (m *mover) finish(full []*segment) {
	j := m.j
	j.mu.Lock()
	for _, seg := range full {
		seg.filling = false
		j.include(seg)
	}
	j.sweep()
	j.mu.Unlock()
	for _, seg := range full {
		j.keeper.seal(seg)
	}
}

// halt ends what is filled. What the log does not refer to stays where it was.
func (m *mover) halt() {
	m.mu.Lock()
	files := m.files
	m.files, m.next = nil, adoption{}
	m.mu.Unlock()
	if m.j.intact() {
		m.finish(files)
	}
}

// addFiles adds the paths of those files that the log may not know yet.
func (m *mover) addFiles(paths []string) []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, seg := range m.files {
		if !slices.Contains(paths, seg.path) {
			paths = append(paths, seg.path)
		}
	}
	return paths
}
