package wal

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/engine"
	"github.com/raft-ballast/ballast/internal/vfs"
)

// recovery finds out what a directory holds. It writes nothing.
type recovery struct {
	fs       vfs.FS
	dir      string
	writable bool // files are opened for that

	// live is set where the log may be written meanwhile, see live.go.
	live   bool
	glance bool   // only the tail is looked for
	settle func() // waits for as long as what seems damaged may be a write in progress; nil where it cannot be
	seen   string // of the look that the state is from

	groups   map[uint64]*group
	segments map[uint64]*segment // that some group has entries in, or had when the tail began
	order    []*segment          // those with live entries, ascending, and the tail

	tail      *segment
	file      vfs.File // of the tail
	marker    marker
	clean     bool // the log was closed, and nothing was written since
	sequence  uint64
	lastStart int64  // where the last frame begins, when the tail was read
	before    uint64 // number of the segment that the tail's first frame names, 0 for none

	unused     *segment // prepared to follow the tail, holds no frame; nil when there is none
	unusedFile vfs.File
	garbage    []string // names of files that hold nothing
	moved      uint64   // highest number of a segment of moved entries, 0 for none
}

// errEmpty is returned for a directory without a log, or with one whose creation did not end.
var errEmpty = errors.New("wal: there is no log")

func newRecovery(fsys vfs.FS, dir string) *recovery {
	return &recovery{fs: fsys, dir: dir, groups: make(map[uint64]*group), segments: make(map[uint64]*segment)}
}

// recoverLog reads what is in the directory, of which the caller has the lock. The caller closes
// rec.file and rec.unusedFile, which are nil after an error.
func recoverLog(fsys vfs.FS, dir string) (rec *recovery, err error) {
	rec = newRecovery(fsys, dir)
	rec.writable = true
	defer func() {
		if err != nil {
			rec.closeFiles()
		}
	}()
	numbers, err := rec.find()
	if err != nil {
		return rec, err
	}
	if err := rec.load(); err != nil {
		return rec, err
	}
	rec.finish(numbers)
	return rec, nil
}

// find finds the tail, and returns the numbers of the segments, ascending.
func (rec *recovery) find() (numbers []uint64, err error) {
	numbers, err = rec.list()
	if err != nil {
		return nil, err
	}
	ofLog, err := rec.ofLog(numbers)
	if err != nil {
		return numbers, err
	}
	return numbers, rec.findTail(ofLog)
}

func (rec *recovery) closeFiles() {
	for _, f := range []*vfs.File{&rec.file, &rec.unusedFile} {
		if *f != nil {
			_ = (*f).Close() // nothing was written
			*f = nil
		}
	}
}

// list returns the numbers of the segments, ascending.
func (rec *recovery) list() (numbers []uint64, err error) {
	names, err := rec.fs.List(rec.dir)
	if err != nil {
		return nil, fmt.Errorf("wal: listing %s: %w", rec.dir, err)
	}
	for _, name := range names {
		if number, ok := segmentNumber(name); ok {
			numbers = append(numbers, number)
		} else if name == nextName || name == newLockName {
			rec.garbage = append(rec.garbage, name)
		}
	}
	if err := foreign(rec.dir, names); err != nil {
		return nil, err
	}
	slices.Sort(numbers)
	return numbers, nil
}

// foreign returns an error for the folder of another store, and of one that is not finished. A
// bbolt file beside a log of ours is nobody's mistake, but one where a log would be created is most
// likely raft-boltdb's, and an empty log beside it would make the peer forget its vote.
func foreign(dir string, names []string) error {
	if err := engine.CheckNames(dir, names); err != nil {
		return fmt.Errorf("wal: %w", err)
	}
	ours := slices.ContainsFunc(names, isSegment)
	for _, name := range names {
		if !ours && engine.BadgerFile(name) && !slices.Contains(names, "MANIFEST") {
			return fmt.Errorf("wal: %w: %s holds %s, and is part of a badger directory; restore that from a copy, or choose a directory of its own", ballast.ErrForeign, dir, name)
		}
		if name == "wal-meta.db" || name == "MANIFEST" || !ours && strings.HasSuffix(name, ".db") {
			return fmt.Errorf("wal: %w: %s holds %s, of another store; choose a directory of its own, and move what is in there with package migrate or `ballast migrate`", ballast.ErrForeign, dir, name)
		}
	}
	return nil
}

// ofLog returns those of the numbers that the log goes through.
func (rec *recovery) ofLog(numbers []uint64) ([]uint64, error) {
	i, _ := slices.BinarySearch(numbers, maxSegment+1)
	if i < len(numbers) {
		rec.moved = numbers[len(numbers)-1]
	}
	if rec.moved > maxMovedSegment {
		return nil, &ballast.CorruptionError{Path: segmentPath(rec.dir, rec.moved), Offset: -1, Err: errors.New("no segment has such a number")}
	}
	return numbers[:i], nil
}

// findTail finds the newest segment that holds a frame. Only one that is newer may be there: the one prepared to
// follow it.
func (rec *recovery) findTail(numbers []uint64) error {
	var debris error // that only a log that was closed may have behind it
	for _, number := range slices.Backward(numbers) {
		seg, f, m, err := openSegment(rec.fs, rec.dir, number, rec.writable)
		if err != nil {
			return err
		}
		// A marker is written behind the first frame.
		used := m.state != markerNone
		if !used {
			used, err = rec.beginsWithFrame(seg, f)
		}
		if errors.Is(err, ballast.ErrCorrupt) && rec.unused == nil {
			debris, err = err, nil
		}
		if used {
			rec.tail, rec.file, rec.marker = seg, f, m
			break
		}
		if err == nil && rec.unused != nil {
			err = seg.corrupt(framesOffset, "neither this segment nor the next one holds a frame")
		}
		if err != nil {
			f.Close()
			return err
		}
		rec.unused, rec.unusedFile = seg, f
	}
	if debris != nil && (rec.tail == nil || rec.marker.state != markerClosed) {
		return debris
	}
	if err := rec.checkUnused(); err != nil {
		return err
	}
	switch {
	case rec.tail == nil && rec.moved != 0:
		return onlyMoved(rec.dir)
	case rec.tail == nil && (rec.unused == nil || rec.unused.number == 1):
		return cmp.Or(lostLog(rec.fs, rec.dir), errEmpty)
	case rec.tail == nil:
		return rec.unused.corrupt(framesOffset, "the segments before it are missing")
	case rec.marker.state == markerSealed:
		path := segmentPath(rec.dir, rec.tail.number+1)
		return &ballast.CorruptionError{Path: path, Offset: -1, Err: errors.New("the log goes on in this segment, and none of it is there")}
	case rec.unused != nil && rec.unused.number != rec.tail.number+1:
		return rec.unused.corrupt(-1, "the segment before it is missing")
	}
	return nil
}

// onlyMoved is the error for a folder in which moved entries are all that is left of a log.
func onlyMoved(dir string) error {
	return &ballast.CorruptionError{Path: dir, Offset: -1, Err: errors.New("there are entries that were moved, and the segments of the log are missing")}
}

// beginsWithFrame reports whether a segment was written to. A first write that was cut off does not count.
func (rec *recovery) beginsWithFrame(seg *segment, f vfs.File) (bool, error) {
	r := &reader{seg: seg, f: f}
	v, _, _, err := rec.settled(r, framesOffset, func() (verdict, frameHeader, []byte, error) { return judgeFirst(r) })
	if err == nil && v == isDamaged {
		err = seg.corrupt(framesOffset, "the first frame is damaged")
	}
	return v == isFrame, err
}

// checkUnused returns an error when there is a frame in a segment whose first one is not there. A log that was
// closed is known to end before it.
func (rec *recovery) checkUnused() error {
	if rec.unused == nil || rec.glance || rec.tail != nil && rec.marker.state == markerClosed {
		return nil
	}
	later, err := search(&reader{seg: rec.unused, f: rec.unusedFile}, framesOffset+8)
	if err != nil || later == 0 {
		return err
	}
	if begun, err := rec.begunMeanwhile(); begun || err != nil {
		return err
	}
	return rec.unused.corrupt(framesOffset, "the first frame is missing, there is another at %d", later)
}

// judgeFirst judges the first frame of a segment, whose sequence number is its own.
func judgeFirst(r *reader) (v verdict, h frameHeader, frame []byte, err error) {
	b, err := r.view(framesOffset, frameHeaderBytes)
	if err != nil {
		return isDamaged, h, nil, err
	}
	h, _ = parseFrameHeader(b, r.seg.seed, framesOffset, r.seg.size)
	return judge(r, framesOffset, h.sequence)
}

// load rebuilds the state: from the checkpoint at the end of a log that was closed, otherwise from the one at the beginning
// of the tail and all frames behind it.
func (rec *recovery) load() error {
	r := &reader{seg: rec.tail, f: rec.file}
	m := rec.marker
	if m.state == markerClosed && m.checkpoint != 0 && rec.loadClosed(r) {
		rec.clean = true
		return nil
	}
	rec.groups, rec.segments = make(map[uint64]*group), make(map[uint64]*segment)
	rec.tail.live, rec.tail.stored, rec.tail.bytes, rec.tail.doubt = 0, 0, 0, 0
	end, err := rec.replay(r)
	if err != nil {
		return err
	}
	rec.tail.end, rec.tail.sequence = end, rec.sequence
	if end < m.end || rec.sequence < m.sequence {
		return rec.tail.corrupt(end, "the segment ends with frame %d at %d, it had frame %d up to %d", rec.sequence, end, m.sequence, m.end)
	}
	rec.clean = m.state == markerClosed && end == m.end
	return nil
}

// loadClosed takes the state from the last frame of a log that was closed. It reports false when that frame cannot
// be read; then everything is found by reading the tail.
func (rec *recovery) loadClosed(r *reader) bool {
	m := rec.marker
	frame := make([]byte, m.end-m.checkpoint) // and no piece of what is behind it, as r would
	if err := readFull(r.seg, r.f, frame, m.checkpoint); err != nil || len(frame) < frameHeaderBytes {
		return false
	}
	h, ok := parseFrameHeader(frame, r.seg.seed, m.checkpoint, r.seg.size)
	if !ok || h.length != int64(len(frame)) || h.sequence != m.sequence || h.sequence > maxSequence {
		return false
	}
	rec.sequence, rec.lastStart = m.sequence, m.checkpoint
	rec.tail.end, rec.tail.sequence = m.end, m.sequence
	err := walk(frame, h, r.seg.seed, m.checkpoint, func(q *record, _ int64, _ bool) error {
		return rec.checkpoint(q)
	})
	// The checkpoint has those that are live, and only the marker the others. It serves estimates, so what cannot be is passed over.
	if within(rec.tail.stored, m.stored, (m.end-framesOffset)/recordHeaderBytes) {
		rec.tail.stored = m.stored
	}
	return err == nil
}

// replay reads the frames of the tail and returns where the last one ends.
func (rec *recovery) replay(r *reader) (end int64, err error) {
	seg, off := r.seg, int64(framesOffset)
	next := func() (verdict, frameHeader, []byte, error) {
		if off == framesOffset {
			return judgeFirst(r)
		}
		return judge(r, off, rec.sequence+1)
	}
	for ; ; off = frameStart(end) {
		if sequence, behind := rec.marker.repeats(off); behind > 0 && sequence == rec.sequence+1 {
			rec.sequence, rec.lastStart, end = sequence, off, behind
			continue
		}
		v, h, frame, err := rec.settled(r, off, next)
		switch {
		case err != nil:
			return end, err
		case v == isDamaged:
			return end, seg.corrupt(off, "frame %d is damaged", rec.sequence+1)
		case v == isEnd || v == isTorn:
			return end, rec.nothingBehind(r, off, next)
		}
		if err := rec.replayFrame(frame, h, seg, off, off == framesOffset); err != nil {
			return end, err
		}
		rec.sequence, rec.lastStart, end = h.sequence, off, off+h.length
	}
}

// repeats reports where a frame ends, and its sequence number, that only says again what the frames before it said; 0 when
// the one at off is another. Nothing is lost when it is damaged.
func (m *marker) repeats(off int64) (sequence uint64, end int64) {
	switch {
	case m.state == markerNone || m.state == markerSealed || m.checkpoint == 0:
	case off == m.checkpoint:
		return m.sequence, m.end
	case off == m.indexOffset:
		return m.sequence - 1, m.indexOffset + m.indexLength
	}
	return 0, 0
}

// nothingBehind returns an error when there is a frame behind the end of the log: then it is not the end.
func (rec *recovery) nothingBehind(r *reader, off int64, next judgement) error {
	later, err := search(r, off+8)
	if err != nil || later == 0 {
		return err
	}
	if on, err := rec.wentOn(r, next); on || err != nil {
		return err
	}
	return r.seg.corrupt(off, "frame %d is missing, there is a later one at %d", rec.sequence+1, later)
}

func (rec *recovery) replayFrame(frame []byte, h frameHeader, seg *segment, off int64, first bool) error {
	err := walk(frame, h, seg.seed, off, func(q *record, at int64, whole bool) error {
		switch {
		case q.kind == recordEntry:
			// One with damaged data is still at its index: its header is covered by the frame's.
			if q.a == 0 {
				return seg.corrupt(at, "an entry of index 0")
			}
			rec.group(q.group).put(q.a, seg, []placed{q.spot(at)})
			return nil
		case !whole:
			return seg.corrupt(at, "a record of frame %d is damaged", h.sequence)
		case first:
			return rec.checkpoint(q)
		}
		return rec.change(q)
	})
	switch err {
	case errPayload:
		return nil
	case errStructure:
		return seg.corrupt(off, "%w", err)
	}
	return err
}

// change does what a record says.
func (rec *recovery) change(q *record) error {
	g := rec.group(q.group)
	switch q.kind {
	case recordSet:
		g.stable.set(q.first, q.second)
	case recordUnset:
		g.stable.remove(q.first)
	case recordDrop:
		g.remove(0, math.MaxUint64)
		delete(rec.groups, q.group)
	case recordDelete:
		if q.a <= q.b {
			g.remove(q.a, q.b)
		}
		g.lowerCommit()
	case recordCommit:
		g.commit = min(q.a, g.last())
	case recordLink, recordSegment, recordRuns, recordIndex:
		// They repeat what is known here.
	default:
		return fmt.Errorf("wal: %w: a record of kind %d; use a newer release", ballast.ErrUnknownVersion, q.kind)
	}
	return nil
}

// checkpoint takes a record of a checkpoint, or of the request that came with it.
func (rec *recovery) checkpoint(q *record) error {
	bad := func(err error) error { return rec.tail.corrupt(-1, "the checkpoint: %w", err) }
	switch q.kind {
	case recordLink:
		if q.a >= rec.tail.number {
			return bad(fmt.Errorf("segment %d before segment %d", q.a, rec.tail.number))
		}
		rec.before = q.a
	case recordSegment:
		if len(q.second) != segmentRefBytes {
			return bad(fmt.Errorf("a segment in %d bytes", len(q.second)))
		}
		// One that is not older would be freed, file and all, when these entries are deleted, while the log goes on in it.
		if q.a == 0 || q.a >= rec.tail.number && !isMoved(q.a) || q.a > maxMovedSegment || q.b > maxSequence || rec.segments[q.a] != nil {
			return bad(fmt.Errorf("segment %d up to frame %d before segment %d", q.a, q.b, rec.tail.number))
		}
		h := header{number: q.a, identity: binary.LittleEndian.Uint64(q.second), size: int64(binary.LittleEndian.Uint64(q.second[16:]))}
		if !within(framesOffset, h.size, maxSegmentBytes) || !within(framesOffset, int64(q.c), h.size) {
			return bad(fmt.Errorf("a segment of %d bytes with %d in use", h.size, q.c))
		}
		seg := newSegment(rec.dir, h)
		seg.sequence, seg.end = q.b, int64(q.c)
		seg.stored = int64(binary.LittleEndian.Uint64(q.second[8:]))
		rec.segments[q.a] = seg
		if isMoved(q.a) {
			rec.moved = max(rec.moved, q.a) // also where its file is missing
		}
	case recordRuns:
		runs, err := parseLiveRuns(q.second)
		if err != nil {
			return bad(err)
		}
		g := rec.group(q.group)
		if len(g.runs) > 0 {
			return bad(fmt.Errorf("the entries of group %d for a second time", q.group))
		}
		for _, r := range runs {
			seg := rec.segments[r.segment]
			if r.segment == rec.tail.number {
				seg = rec.tail
			}
			if seg == nil {
				return bad(fmt.Errorf("entries in segment %d, which it does not name", r.segment))
			}
			if uint64(seg.live)+(r.last-r.first) >= uint64(seg.size/recordHeaderBytes) || r.last-r.first > math.MaxInt64/2 {
				return bad(fmt.Errorf("entries %d to %d in a segment of %d bytes", r.first, r.last, seg.size))
			}
			g.runs = append(g.runs, run{first: r.first, last: r.last, seg: seg})
			seg.live += int64(r.last - r.first + 1)
			if seg == rec.tail {
				seg.stored += int64(r.last - r.first + 1)
			}
		}
		g.commit = q.a
	default:
		return rec.change(q)
	}
	return nil
}

func (rec *recovery) group(id uint64) *group {
	g := rec.groups[id]
	if g == nil {
		g = newGroup(id)
		rec.groups[id] = g
	}
	return g
}

// isThere reports whether a segment that may be younger than the list of names has a file: one of
// moved entries, or any where names are given while they are listed.
func (rec *recovery) isThere(seg *segment) bool {
	if !isMoved(seg.number) && !rec.live {
		return false
	}
	_, err := rec.fs.DiskUsage(seg.path)
	return err == nil
}

// finish notes which older segments hold live entries, and names the files that hold nothing. Of an older segment
// nothing is read until somebody asks for its entries; damage there concerns only them.
func (rec *recovery) finish(numbers []uint64) {
	for _, g := range rec.groups {
		g.estimate()
		g.lowerCommit()
		g.publish()
	}
	for _, seg := range rec.segments {
		if seg.live == 0 || seg == rec.tail {
			continue
		}
		if _, found := slices.BinarySearch(numbers, seg.number); !found && !rec.isThere(seg) {
			seg.bad = seg.corrupt(-1, "the segment's file is missing")
		}
		rec.order = append(rec.order, seg)
	}
	slices.SortFunc(rec.order, inOrder)
	for _, number := range numbers {
		if seg := rec.segments[number]; (number < rec.tail.number || isMoved(number)) && (seg == nil || seg.live == 0) {
			rec.garbage = append(rec.garbage, segmentPath("", number))
		}
	}
	rec.order = append(rec.order, rec.tail)
	if rec.clean {
		rec.tail.indexed = rec.marker
	}
}
