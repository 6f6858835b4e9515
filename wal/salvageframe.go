package wal

import (
	"errors"
	"fmt"
	"slices"

	"github.com/raft-ballast/ballast"
)

// This file is what a pass does with a frame, and with one that is missing.

// miss notes that calls are missing from here on.
func (p *pass) miss(off int64, why error) {
	damage, ok := errors.AsType[*ballast.CorruptionError](why)
	if !ok {
		damage = &ballast.CorruptionError{Path: p.seg.path, Offset: off, Err: why}
	}
	p.missAt(damage)
}

func (p *pass) missAt(damage *ballast.CorruptionError) {
	if !slices.Contains(p.s.damage, damage) {
		p.damage = append(p.damage, damage)
	}
	p.missing, p.restarts = true, true
	p.unsure()
	if p.behind {
		for _, g := range p.groups {
			g.runs, g.commit = nil, 0
		}
	}
}

// unsure notes that a stable value may be missing.
func (p *pass) unsure() {
	p.stableUnsure = true
	for key := range p.group(0).stable.all() {
		p.stale[key] = true
	}
}

// frame does what a frame says.
func (p *pass) frame(h frameHeader, frame []byte, off int64) error {
	first := off == framesOffset
	follows := h.sequence == p.sequence+1 || p.indexed && h.sequence == p.sequence || p.restarts
	if !follows {
		p.miss(off, fmt.Errorf("frames %d to %d are missing", p.sequence+1, h.sequence-1))
	}
	p.restarts = false
	err := walk(frame, h, p.seg.seed, off, func(q *record, at int64, whole bool) error {
		return p.record(q, at, whole, first)
	})
	if err != nil && err != errPayload {
		return err
	}
	p.indexed = off%blockBytes == 0 && onlyIndex(h, frame)
	p.took(h.sequence, off+h.length)
	return nil
}

func (p *pass) took(sequence uint64, end int64) {
	p.sequence, p.seg.sequence, p.seg.end = sequence, sequence, end
}

// record does what a record says. Stable values are taken from all frames, entries only from those on the side that is wanted.
func (p *pass) record(q *record, at int64, whole, first bool) error {
	wanted := !p.missing || p.behind
	switch {
	case q.kind == recordEntry && q.a == 0:
		p.damage = append(p.damage, &ballast.CorruptionError{Path: p.seg.path, Offset: at, Err: errors.New("an entry of index 0")})
	case q.kind == recordEntry:
		p.reached = max(p.reached, q.a)
		if wanted {
			p.group(q.group).put(q.a, p.seg, []placed{q.spot(at)})
		}
	case !whole:
		p.doubtful(q, at)
	case q.kind == recordSet:
		p.group(q.group).stable.set(q.first, q.second)
		if q.group == 0 {
			delete(p.stale, string(q.first))
		}
	case q.kind == recordDelete || q.kind == recordCommit:
		if wanted {
			return p.change(q)
		}
	case q.kind == recordDrop:
		g := p.group(q.group)
		g.stable = nil
		if q.group == 0 {
			clear(p.stale)
		}
		if wanted {
			g.runs, g.commit = nil, 0
		}
	case q.kind == recordUnset:
		p.group(q.group).stable.remove(q.first)
		if q.group == 0 {
			delete(p.stale, string(q.first))
		}
	case q.kind > recordMoved:
		return p.change(q)
	}
	return nil
}

// doubtful notes a record, none of an entry, whose checksum does not match. Open refuses each of
// them, so it is told, and nothing that it says is done.
func (p *pass) doubtful(q *record, at int64) {
	tell := func(format string, args ...any) *ballast.CorruptionError {
		return &ballast.CorruptionError{Path: p.seg.path, Offset: at, Err: fmt.Errorf(format, args...)}
	}
	key := q.first[:min(len(q.first), 64)]
	switch q.kind {
	case recordSet:
		p.damage = append(p.damage, tell("a stable value is damaged, its key reads %q", key))
		p.unsure()
	case recordUnset:
		p.damage = append(p.damage, tell("the removal of a stable value is damaged, its key reads %q", key))
		p.unsure()
	case recordLink, recordSegment, recordRuns, recordIndex, recordMoved:
		// They repeat what is known here.
		p.damage = append(p.damage, tell("a record of kind %d is damaged, which repeats others", q.kind))
	default:
		p.missAt(tell("a record of kind %d is damaged", q.kind))
	}
}
