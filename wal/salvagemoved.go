package wal

import "slices"

// This file finds entries that have moved when the checkpoint that says so cannot be read: the older one that is used instead names
// segments that are gone.

// openMoved opens a segment of moved entries.
func (s *salvager) openMoved(number uint64) error {
	p, err := s.open(number)
	if err == nil {
		s.moved = append(s.moved, p)
	}
	return ignoreDamage(err) // it was noted
}

// findMoved has the entries of segments that are not there be read from where they were moved to.
func (p *pass) findMoved() error {
	gone := make(map[uint64]*segment)
	for number, seg := range p.segments {
		if _, found := slices.BinarySearch(p.s.numbers, number); !found {
			gone[number] = seg
		}
	}
	if len(gone) == 0 {
		return nil
	}
	for _, part := range p.s.moved {
		if err := p.findMovedIn(part, gone); err != nil {
			return err
		}
	}
	return nil
}

func (p *pass) findMovedIn(part *part, gone map[uint64]*segment) error {
	// Not the one that the checkpoint names, if it does: that ends earlier, before what was moved later.
	to := newSegment(p.dir, part.header)
	p.found = append(p.found, to)
	r := &reader{seg: to, f: part.f}
	off, err := search(r, framesOffset)
	for ; off != 0 && err == nil; off, err = search(r, off+8) {
		b, err := r.view(off, frameHeaderBytes)
		if err != nil {
			return err
		}
		h, _ := parseFrameHeader(b, to.seed, off, to.size)
		frame, err := r.view(off, h.length)
		if err != nil {
			return err
		}
		var from *segment
		err = walk(frame, h, to.seed, off, func(q *record, at int64, whole bool) error {
			switch {
			case q.kind == recordMoved && whole:
				if from = gone[q.a]; from != nil && from.identity != q.b {
					from = nil
				}
			case q.kind == recordEntry && from != nil && p.groups[q.group] != nil:
				to.end = max(to.end, off+h.length)
				run := movedRun{group: p.groups[q.group], from: from, to: to, first: q.a}
				run.spots = []placed{q.spot(at)}
				run.apply()
			}
			return nil
		})
		if err != nil && err != errPayload && err != errStructure {
			return err
		}
	}
	return err
}
