package wal

import (
	"errors"
	"fmt"
	"slices"

	"github.com/raft-ballast/ballast"
)

// pass is one reading of a log from a checkpoint on.
type pass struct {
	*recovery
	s      *salvager
	base   int  // position in parts; -1 for none
	behind bool // what was stored behind what is missing is wanted, not what was before it

	missing      bool
	stableUnsure bool
	stale        map[string]bool
	reached      uint64
	damage       []*ballast.CorruptionError

	at       *part
	start    int64    // where to begin in it
	seg      *segment // that of at
	indexed  bool     // the last frame was an index, whose sequence number the next segment may have as well
	restarts bool     // nothing is known of the frame before
}

func (s *salvager) pass(base int, behind bool) *pass {
	return &pass{s: s, base: base, behind: behind, stale: make(map[string]bool),
		recovery: &recovery{fs: s.fs, dir: s.dir, groups: make(map[uint64]*group), segments: make(map[uint64]*segment)}}
}

// begin takes the state from the pass's checkpoint. It reports false when that cannot be read.
func (p *pass) begin() (ok bool, err error) {
	p.start = framesOffset
	if p.base < 0 {
		p.enter(0)
		p.tail = p.seg
		if p.seg.number == 1 { // whose first frame is before everything
			return true, nil
		}
		p.miss(framesOffset, errors.New("the checkpoint that the log begins with cannot be read"))
		return true, nil
	}
	p.enter(p.base)
	r := &reader{seg: p.seg, f: p.at.f}
	p.tail, p.marker = p.seg, p.at.m
	// It is there as well in a log that was closed once and written since.
	if m := p.marker; m.state != markerSealed && m.checkpoint != 0 && p.loadClosed(r) {
		p.start, p.seg.indexed = frameStart(m.end), m
		p.restoreOlder()
		return true, nil
	}
	p.groups, p.segments = make(map[uint64]*group), make(map[uint64]*segment)
	p.seg.live, p.seg.stored, p.seg.end, p.seg.sequence = 0, 0, framesOffset, 0
	p.sequence = 0
	v, h, frame, err := judgeFirst(r)
	if err != nil || v != isFrame || p.base > 0 && h.sequence <= p.s.parts[p.base-1].m.sequence {
		return false, err
	}
	if err := p.takeCheckpoint(h, frame); err != nil {
		return false, ignoreDamage(err)
	}
	p.sequence = h.sequence - 1 // its calls are still to come
	p.restoreOlder()
	return true, nil
}

// takeCheckpoint takes from a first frame where older entries are. Its stable values come with the calls behind them.
func (p *pass) takeCheckpoint(h frameHeader, frame []byte) error {
	err := walk(frame, h, p.seg.seed, framesOffset, func(q *record, at int64, whole bool) error {
		switch q.kind {
		case recordLink, recordSegment, recordRuns:
			if !whole {
				return p.seg.corrupt(at, "the checkpoint is damaged")
			}
			return p.checkpoint(q)
		}
		return nil
	})
	if err == errPayload {
		return nil
	}
	return err
}

func ignoreDamage(err error) error {
	if errors.Is(err, ballast.ErrCorrupt) || err == errStructure {
		return nil
	}
	return err
}

// restoreOlder puts back the damaged headers of segments that the checkpoint names, and knows what they said.
func (p *pass) restoreOlder() {
	for _, seg := range p.segments {
		known := slices.ContainsFunc(p.s.parts, func(o *part) bool { return o.number == seg.number && o.identity == seg.identity })
		damaged := slices.ContainsFunc(p.s.damage, func(d *ballast.CorruptionError) bool { return d.Path == seg.path && d.Offset == 0 })
		if !known && damaged {
			p.s.restore(p.s.fs.patch(seg.path), seg.header)
		}
	}
}

func (p *pass) enter(i int) {
	p.at = p.s.parts[i]
	p.seg = newSegment(p.dir, p.at.header)
	p.marker = p.at.m
}

// replayAll reads the frames behind the checkpoint, to the end of the log.
func (p *pass) replayAll() error {
	for i := max(p.base, 0); i < len(p.s.parts); i++ {
		if i > max(p.base, 0) {
			p.start = framesOffset
			p.enter(i)
			p.seg.sequence = p.sequence
			if why := p.at.lostBefore; why != nil {
				p.miss(-1, why)
			} else if p.at.number != p.s.parts[i-1].number+1 {
				p.missAt(&ballast.CorruptionError{Path: segmentPath(p.dir, p.at.number-1), Offset: -1, Err: errors.New("the segment's file is missing")})
			}
		}
		p.tail = p.seg
		if err := p.replaySegment(); err != nil {
			return err
		}
	}
	if p.s.lost != nil {
		p.miss(-1, p.s.lost)
	}
	p.finish(p.s.numbers)
	return nil
}

// replaySegment reads the frames of a segment.
func (p *pass) replaySegment() error {
	r := &reader{seg: p.seg, f: p.at.f}
	for off := p.start; ; {
		if sequence, behind := p.marker.repeats(off); behind > 0 && sequence == p.sequence+1 {
			p.took(sequence, behind)
			off = frameStart(behind)
			continue
		}
		if p.marker.state == markerClosed && p.seg.end == p.marker.end && p.sequence == p.marker.sequence {
			return nil // nothing follows
		}
		v, h, frame, err := p.judge(r, off)
		if err != nil {
			return err
		}
		if v == isFrame {
			if err := p.frame(h, frame, off); err != nil {
				return err
			}
			off = frameStart(off + h.length)
			continue
		}
		later, err := p.later(r, off)
		if err != nil {
			return err
		}
		if why := p.why(v, off, later); why != nil {
			p.miss(off, why)
		}
		if later == 0 {
			return nil
		}
		off = later
	}
}

// judge is that of the frame that is to come. In a first frame, and behind what is missing, the number is its own.
func (p *pass) judge(r *reader, off int64) (v verdict, h frameHeader, frame []byte, err error) {
	if off != framesOffset && !p.restarts {
		return judge(r, off, p.sequence+1)
	}
	if off+frameHeaderBytes > p.seg.size {
		return isEnd, h, nil, nil
	}
	b, err := r.view(off, frameHeaderBytes)
	if err != nil {
		return isDamaged, h, nil, err
	}
	h, _ = parseFrameHeader(b, p.seg.seed, off, p.seg.size)
	return judge(r, off, h.sequence)
}

// later returns where the next frame is that can be read behind off, 0 for none. The index of a sealed segment is none.
func (p *pass) later(r *reader, off int64) (int64, error) {
	if p.marker.state == markerSealed && off >= p.marker.end {
		return 0, nil
	}
	for {
		next, err := search(r, off+8)
		if err != nil || next == 0 || next == p.marker.indexOffset && p.marker.state == markerSealed {
			return 0, err
		}
		b, err := r.view(next, frameHeaderBytes)
		if err != nil {
			return 0, err
		}
		h, _ := parseFrameHeader(b, p.seg.seed, next, p.seg.size)
		v, h, frame, err := judge(r, next, h.sequence)
		if err != nil {
			return 0, err
		}
		switch {
		case v == isFrame && next == roundUp(p.seg.end, blockBytes) && onlyIndex(h, frame):
			return 0, nil
		case v == isFrame && h.sequence > p.sequence:
			p.restarts = true
			return next, nil
		}
		off = next
	}
}

// onlyIndex reports whether a frame says where entries are and nothing else.
func onlyIndex(h frameHeader, frame []byte) bool {
	for pos := int64(frameHeaderBytes); pos < int64(len(frame)); pos += padded(recordLength(frame[pos:])) {
		if frame[pos+8] != recordIndex {
			return false
		}
	}
	return h.records > 0
}

// why returns why the log does not end at off, where no frame is; nil when it does.
func (p *pass) why(v verdict, off, later int64) error {
	sealed := p.marker.state == markerSealed
	switch {
	case v == isDamaged && !(sealed && p.seg.end >= p.marker.end):
		return fmt.Errorf("frame %d is damaged", p.sequence+1)
	case later != 0:
		return fmt.Errorf("frame %d is missing, there is a later one at %d", p.sequence+1, later)
	case p.seg.end < p.marker.end || p.sequence < p.marker.sequence:
		return fmt.Errorf("the segment ends with frame %d at %d, it had frame %d up to %d", p.sequence, p.seg.end, p.marker.sequence, p.marker.end)
	case p.marker.state == markerClosed && p.sequence == p.marker.sequence, sealed:
		return nil
	}
	return p.s.fs.patch(p.seg.path).hides(off)
}

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
			p.group(q.group).put(q.a, p.seg, []uint32{uint32(at >> 3)})
		}
	case q.kind == recordSet && !whole:
		key := q.first[:min(len(q.first), 64)]
		p.damage = append(p.damage, &ballast.CorruptionError{Path: p.seg.path, Offset: at, Err: fmt.Errorf("a stable value is damaged, its key reads %q", key)})
		p.unsure()
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
	case q.kind > recordMoved:
		return p.change(q)
	}
	return nil
}
