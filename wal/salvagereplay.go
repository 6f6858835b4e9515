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
	found        []*segment // that entries were moved to, as no checkpoint says that can be read

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

// restoreOlder puts back the damaged headers of segments that the checkpoint names, and knows what they said. Of a file that was cut off
// it leaves what is there.
func (p *pass) restoreOlder() {
	for _, seg := range p.segments {
		parts := slices.Concat(p.s.parts, p.s.moved)
		i := slices.IndexFunc(parts, func(o *part) bool { return o.number == seg.number && o.identity == seg.identity })
		damaged := slices.ContainsFunc(p.s.damage, func(d *ballast.CorruptionError) bool { return d.Path == seg.path && d.Offset == 0 })
		switch {
		case i >= 0:
			seg.size = min(seg.size, parts[i].size)
		case damaged:
			p.s.fs.patch(seg.path).show(&seg.header)
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
	if err := p.findMoved(); err != nil {
		return err
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
	hidden := p.s.fs.patch(p.seg.path).hides(off)
	switch {
	case v == isDamaged && !(sealed && p.seg.end >= p.marker.end) && hidden != nil:
		return hidden
	case v == isDamaged && !(sealed && p.seg.end >= p.marker.end):
		return fmt.Errorf("frame %d is damaged", p.sequence+1)
	case later != 0:
		return fmt.Errorf("frame %d is missing, there is a later one at %d", p.sequence+1, later)
	case p.seg.end < p.marker.end || p.sequence < p.marker.sequence:
		return fmt.Errorf("the segment ends with frame %d at %d, it had frame %d up to %d", p.sequence, p.seg.end, p.marker.sequence, p.marker.end)
	case p.marker.state == markerClosed && p.sequence == p.marker.sequence, sealed:
		return nil
	}
	return hidden
}
