package wal

import (
	"cmp"
	"errors"
	"io/fs"
	"slices"

	"github.com/raft-ballast/ballast"
)

// loadIndex finds out where the entries of a segment are, as far as that is not known yet.
func (j *journal) loadIndex(seg *segment) error {
	seg.loading.Lock()
	defer seg.loading.Unlock()
	if !slices.ContainsFunc(j.groupsIn(seg), func(g *group) bool { return j.unloaded(g, seg) }) {
		return nil
	}
	runs, err := j.readRuns(seg, true)
	if err == nil && j.readOnly && !j.hasAll(seg, runs) {
		// The segment may have got its index since the log was read, without what was deleted
		// meanwhile. That is in its frames.
		runs, err = j.readRuns(seg, false)
	}
	if errors.Is(err, fs.ErrNotExist) && !errors.Is(err, ballast.ErrCorrupt) {
		err = seg.corrupt(-1, "the segment's file is missing: %w", err)
	}
	if errors.Is(err, ballast.ErrCorrupt) {
		j.mu.Lock()
		seg.bad = err
		j.mu.Unlock()
	}
	if err != nil {
		return err
	}
	parts := make(map[uint64][]indexedRun)
	for _, part := range runs {
		parts[part.group] = append(parts[part.group], part)
	}
	for _, g := range j.groupsIn(seg) {
		j.mu.Lock() // for each anew, so that no append waits for all of them
		g.assign(seg, parts[g.id])
		j.mu.Unlock()
	}
	return nil
}

// groupsIn returns the groups that have entries in a segment, by their ids.
func (j *journal) groupsIn(seg *segment) (list []*group) {
	j.mu.RLock()
	defer j.mu.RUnlock()
	for _, g := range j.groups {
		if slices.ContainsFunc(g.runs, func(r run) bool { return r.seg == seg }) {
			list = append(list, g)
		}
	}
	slices.SortFunc(list, func(a, b *group) int { return cmp.Compare(a.id, b.id) })
	return list
}

// unloaded reports whether a group has entries in a segment of which nobody knows yet where they are.
func (j *journal) unloaded(g *group, seg *segment) bool {
	j.mu.RLock()
	defer j.mu.RUnlock()
	return slices.ContainsFunc(g.runs, func(r run) bool { return r.seg == seg && !r.loaded() })
}

// hasAll reports whether an index has each entry of which nobody knows yet where it is in the
// segment.
func (j *journal) hasAll(seg *segment, index []indexedRun) bool {
	j.mu.RLock()
	defer j.mu.RUnlock()
	missing := int64(0)
	for _, g := range j.groups {
		for i := range g.runs {
			if r := &g.runs[i]; r.seg == seg && !r.loaded() {
				missing += r.count()
			}
		}
	}
	for _, part := range index {
		g := j.groups[part.group]
		if g == nil {
			continue
		}
		last := part.first + uint64(len(part.offs)) - 1
		for i := g.at(part.first); i < len(g.runs) && g.runs[i].first <= last; i++ {
			if r := &g.runs[i]; r.seg == seg && !r.loaded() {
				missing -= int64(min(last, r.last) - max(part.first, r.first) + 1)
			}
		}
	}
	return missing <= 0
}

// readRuns returns the index of a segment, from where it was written, when that is believed, or
// from the frames.
func (j *journal) readRuns(seg *segment, believed bool) ([]indexedRun, error) {
	f, err := j.handles.pin(seg)
	if err != nil {
		return nil, err
	}
	defer j.handles.unpin(seg)
	r := &reader{seg: seg, f: f}
	m, end := seg.indexed, seg.indexed.end
	index := m
	if m.state == markerNone {
		var found *segment
		if found, m, err = readHeader(f, j.dir, seg.number); err != nil {
			return nil, err
		}
		if found.identity != seg.identity || found.size != seg.size {
			return nil, seg.corrupt(24, "this is another segment than the checkpoint names")
		}
		j.mu.RLock()
		end = seg.end
		j.mu.RUnlock()
		// What another marker says is older than the segment's end. A segment of moved entries goes on behind an end that a checkpoint names.
		if m.state == markerSealed && m.end == end {
			index = m
		}
	}
	if believed {
		if runs := readIndex(r, index); runs != nil {
			return runs, nil
		}
	}
	return scanIndex(r, end, m)
}

// assign gives the group's runs in a segment that have no offsets those of its part of the index, which is given up to it. What the index has not is
// at offset 0, and reading it says so.
func (g *group) assign(seg *segment, index []indexedRun) {
	fresh := make(map[uint64]bool) // by first entry
	for i := range g.runs {
		if r := &g.runs[i]; r.seg == seg && !r.loaded() {
			fresh[r.first] = true
		}
	}
	for _, part := range index {
		last := part.first + uint64(len(part.offs)) - 1
		for i := g.at(part.first); i < len(g.runs) && g.runs[i].first <= last; i++ {
			if r := &g.runs[i]; fresh[r.first] {
				r.fill(part.offs, part.first, last)
			}
		}
	}
	for i := range g.runs {
		if r := &g.runs[i]; fresh[r.first] {
			r.fill(nil, 0, 0)
			r.pack()
		}
	}
}

// fill takes those of the offsets of entries first to last that are its own.
func (r *run) fill(offs []uint32, first, last uint64) {
	if r.offs == nil && first <= r.first && r.last <= last {
		r.offs = offs[r.first-first : r.last-first+1] // almost always; no copy, since pack makes one
		return
	}
	if r.offs == nil {
		r.offs = make([]uint32, r.count())
	}
	if from, to := max(first, r.first), min(last, r.last); from <= to {
		copy(r.offs[from-r.first:], offs[from-first:to-first+1])
	}
}
