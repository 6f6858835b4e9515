package wal

import (
	"bytes"
	"slices"
	"testing"

	"github.com/raft-ballast/ballast/internal/engine"
	"github.com/raft-ballast/ballast/internal/oracle"
	"github.com/raft-ballast/ballast/internal/vfs"
)

// imageKind is how a small log was made that is damaged in turn.
type imageKind struct {
	name        string
	compression Compression
	ending      ending
	single      bool // its first segment is the tail
}

type ending int

const (
	isClosed   ending = iota
	isLeft            // by a process that was killed
	isReopened        // was closed once, and then written by a process that was killed
)

var imageKinds = []imageKind{
	{name: "plain, closed"},
	{name: "plain, not closed", ending: isLeft},
	{name: "plain, closed and written", ending: isReopened},
	{name: "s2, closed", compression: S2},
	{name: "s2, not closed", compression: S2, ending: isLeft},
	{name: "zstd, closed", compression: Zstd},
	{name: "zstd, not closed", compression: Zstd, ending: isLeft},
	{name: "one segment, closed", single: true},
	{name: "one segment, not closed", single: true, ending: isLeft},
}

// image is such a log, with what it was while it was written.
type image struct {
	imageKind
	mem   *vfs.Mem // without the segment that was prepared: that is large, and most trials do not need it
	full  *vfs.Mem
	model *model

	sealed, tail, next, lock string            // paths; sealed is "" where there is one segment only
	contents                 map[string][]byte // of the segments

	// states[i] is what the log was after frame i of the tail, which ends at ends[i] and begins at starts[i]. What a marker
	// vouches for ends with frame floor.
	states       []*model
	starts, ends []int64
	floor        int

	older []*model // what the log was before the tail began
}

const (
	// Segments as small as these open fast enough to be damaged at every bit.
	sealedBytes = 20 << 10
	tailBytes   = 64 << 10
)

// newImage makes the log.
func newImage(t testing.TB, kind imageKind) *image {
	mem := vfs.NewMem()
	l := newTestLogWith(t, mem, 1, func(o *Options) { o.Compression = kind.compression })
	im := &image{imageKind: kind, full: mem, lock: dataDir + "/" + engine.LockName}
	if !kind.single {
		im.sealed = l.j.tail.path
		shrink(l, mem, sealedBytes)
		im.older = append(im.older, l.model.Clone())
		l.fill(2, 40)
		im.older = append(im.older, l.model.Clone())
		l.set("term", "1")
		im.older = append(im.older, l.model.Clone())
		l.fill(1, 400)
		for l.j.tail.number == 1 {
			im.older = append(im.older, l.model.Clone())
			l.fill(1, 2000)
		}
	}
	shrink(l, mem, tailBytes)
	im.note(l)
	im.write(l)
	if kind.ending == isReopened {
		l.close()
		l.open()
		im.floor = len(im.states) - 1
		im.write(l)
	}
	im.tail, im.next = l.j.tail.path, segmentPath(dataDir, l.j.tail.number+1)
	if kind.ending == isClosed {
		l.close()
	} else {
		l.abandon()
	}
	mem.WriteFile(im.lock, nil) // which makes the folder durable
	im.model, im.contents = l.model, make(map[string][]byte)
	for _, path := range append(im.segments(), im.next) {
		im.contents[path] = mem.ReadFile(path)
	}
	im.mem = mem.Clone()
	must(t, im.mem.Remove(im.next))
	im.mem.WriteFile(im.lock, nil)
	return im
}

// write makes calls of each kind, each of them a frame.
func (im *image) write(l *testLog) {
	for _, call := range []func(){
		func() { l.set("vote", "somebody") },
		func() { l.fill(1, 600) }, // over a sector
		func() { l.fill(3, 90) },
		func() { l.remove(2, 3) },
		func() { l.fill(1, 100) },
		func() { l.remove(l.model.Last(), l.model.Last()) },
		func() {
			logs := oracle.Entries(l.rng, l.model.Last(), 2, 200) // replaces one
			must(l.t, l.StageCommitIndex(5))
			must(l.t, l.StoreLogs(logs))
			l.model.Put(logs, 5)
		},
		func() { l.fill(1, 700) },
	} {
		call()
		im.note(l)
	}
}

func (im *image) note(l *testLog) {
	if n := len(im.ends); n > 0 && im.ends[n-1] == l.j.tail.end {
		return // the call had nothing to do
	}
	im.states = append(im.states, l.model.Clone())
	im.ends = append(im.ends, l.j.tail.end)
	im.starts = append(im.starts, l.j.writer.start)
}

// shrink makes the tail's file as small as a test wants it.
func shrink(l *testLog, mem *vfs.Mem, size int64) {
	seg := l.j.tail
	seg.size = size
	seg.zeroed.Store(min(seg.zeroed.Load(), size))
	data := mem.ReadFile(seg.path)[:size]
	putHeader(data, seg.header)
	mem.WriteFile(seg.path, data)
}

// segments returns the paths of those that hold something.
func (im *image) segments() []string {
	if im.sealed == "" {
		return []string{im.tail}
	}
	return []string{im.sealed, im.tail}
}

// used returns a file's content up to the last byte that is not zero.
func (im *image) used(path string) []byte { return bytes.TrimRight(im.contents[path], "\x00") }

// indistinguishable returns the states that a damaged log may have gone back to because nobody can tell: what there is of the
// tail of a log that was not closed is what a write leaves that was cut off, and so was never acknowledged. Either the sector
// with its header was not written, and then nobody knows how long it was, so anything but another frame may lie behind; or the
// header is there, other sectors are as they were before, zero, and so is all behind the frame.
func (im *image) indistinguishable(mem *vfs.Mem) (allowed []*model) {
	was, now := im.contents[im.tail], mem.ReadFile(im.tail)
	if im.ending == isClosed || len(now) < len(was) {
		return nil
	}
	for i := len(im.starts) - 1; i > im.floor; i-- {
		start, end := im.starts[i], im.ends[i]
		if bytes.Equal(now[start:start+frameHeaderBytes], was[start:start+frameHeaderBytes]) {
			behind := now[end:min(roundUp(end, blockBytes)+blockBytes, int64(len(now)))]
			if zeroSlices(now[start:end], start) > zeroSlices(was[start:end], start) && isZero(behind) {
				allowed = append(allowed, im.states[i-1])
			}
			return allowed // the header says that everything before it was written
		}
		if isZero(now[start : roundDown(start, sectorBytes)+sectorBytes]) {
			allowed = append(allowed, im.states[i-1])
		}
	}
	return allowed
}

// kind says what a byte of a segment is for.
type kind byte

const (
	isPadding    kind = iota // between the parts, and payloads of what was deleted
	isHeader                 // of the segment
	isMarker                 // or the zeros behind it
	isFrameHead              // of a frame
	isRecordHead             // of a record
	isPayload                // of something live
	isIndex                  // offsets
	isCheckpoint             // runs and segments
)

// spot is the kind of a byte and which byte of such a part it is.
type spot struct {
	kind   kind
	record byte // the record's kind, in one
	field  int  // offset in a header
}

// spots returns the spot of each byte of a segment, up to the last one that is not zero.
func (im *image) spots(t testing.TB, path string) []spot {
	number, _ := segmentNumber(path[len(dataDir)+1:])
	seg, f, m, err := openSegment(im.full, dataDir, number, false)
	must(t, err)
	defer f.Close()
	spots := make([]spot, seg.size)
	mark := func(k kind, record byte, from, n int64) {
		for i := range n {
			spots[from+i] = spot{k, record, int(i)}
			if k >= isPayload {
				spots[from+i].field = 0
			}
		}
	}
	mark(isHeader, 0, 0, headerBytes)
	mark(isMarker, 0, markerOffset, markerBytes)
	r := &reader{seg: seg, f: f}
	v, h, frame, err := judgeFirst(r)
	must(t, err)
	off := int64(framesOffset)
	for v == isFrame || m.state == markerSealed && off < m.indexOffset {
		if v != isFrame { // the index is the last frame of a sealed segment, at a block of its own
			off = m.indexOffset
		} else {
			mark(isFrameHead, 0, off, frameHeaderBytes)
			must(t, walk(bytes.Clone(frame), h, seg.seed, off, func(q *record, at int64, _ bool) error {
				mark(isRecordHead, q.kind, at, recordHeaderBytes)
				mark(im.partKind(q), q.kind, at+recordHeaderBytes, int64(len(q.first)+len(q.second)))
				return nil
			}))
			off = frameStart(off + h.length)
		}
		v, h, frame, err = judge(r, off, h.sequence+1)
		must(t, err)
	}
	return spots[:len(im.used(path))]
}

// partKind returns the kind of a record's parts.
func (im *image) partKind(q *record) kind {
	switch q.kind {
	case recordEntry:
		data := q.second
		if q.flags&(flagS2|flagZstd) != 0 {
			data, _ = decompress(q)
		}
		if l := im.model.Logs[q.a]; l == nil || !bytes.Equal(l.Data, data) {
			return isPadding
		}
	case recordIndex:
		return isIndex
	case recordSegment, recordRuns:
		return isCheckpoint
	}
	return isPayload
}

// files returns the paths of all files of the log.
func (im *image) files() []string {
	return slices.DeleteFunc([]string{im.sealed, im.tail, im.next, im.lock}, func(path string) bool { return path == "" })
}
