package wal

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"time"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/vfs"
)

// This file is how a log is read that somebody else may be writing, so that no damage is seen that
// is not there, and none is passed over.
//
// Whoever reads has no lock, and does not ask for one either: trying it would turn away a writer
// that is just starting, and not every platform tells who has it. The log itself has all the
// evidence, because a writer does what it does in an order:
//
//   - A frame is durable before the next one is written. So where a frame is missing and a later
//     one is seen, what is read again in the place of the first is that frame, or damage.
//   - The first frame of a segment is durable before anything but frames is written into the one
//     before, and before another segment gets a name.
//   - Numbers of segments only grow, a file has its header before it gets the name of a segment,
//     and loses that name before anything in it is written over. So what was read of a segment's
//     file was the segment's when afterwards the file still has its name and its header.
//   - What was in a segment when a checkpoint named it is never written again.
//
// So nothing is read again because it seems damaged, but because the log has moved since it was
// read, and that once for the log. What seems damaged in a file that has its name, and in a log
// that has not moved, is.

// settleTime is how long it takes at most until all that was written with one call can be read. A
// reader sees sectors of a direct write one by one, which tells from damage; of one through the
// page cache, and of one to a virtual disk, it may see half a sector.
const settleTime = 10 * time.Millisecond

func settle() { time.Sleep(settleTime) }

// readLog is recoverLog for whoever has no lock. The files are opened for reading.
func readLog(fsys vfs.FS, dir string, settle func()) (*recovery, error) {
	for {
		rec, numbers, err := look(fsys, dir, settle, false)
		if err != nil {
			return rec, err
		}
		if err = rec.load(); err == nil {
			rec.finish(numbers)
			rec.seen = rec.sight(numbers, nil)
		}
		// A segment that is used again begins with zeros before it has another header, and zeros
		// look like the end of a log.
		there, unknown := inPlace(fsys, rec.tail)
		if there && err == nil {
			return rec, nil
		}
		rec.closeFiles()
		switch {
		case unknown != nil:
			return rec, unknown
		case there && err != errBegun:
			return rec, err
		}
	}
}

// errBegun is returned by recovery.load when the next segment has begun while the tail was read.
var errBegun = errors.New("wal: the log goes on in the next segment")

// look finds the tail. Names are not listed in one moment, and may be others before the files are
// opened. What is wrong with them is wrong when it is the same at a second look.
func look(fsys vfs.FS, dir string, settle func(), glance bool) (*recovery, []uint64, error) {
	for before := ""; ; {
		rec := newRecovery(fsys, dir)
		rec.live, rec.glance, rec.settle = true, glance, settle
		numbers, err := rec.find()
		if err == nil {
			return rec, numbers, nil
		}
		rec.closeFiles()
		now := rec.sight(numbers, err)
		if now == before || !mayBeLive(err) {
			return rec, numbers, err
		}
		before = now
	}
}

// mayBeLive reports whether an error can come of a log that moves while it is looked at.
func mayBeLive(err error) bool {
	return errors.Is(err, ballast.ErrCorrupt) || errors.Is(err, fs.ErrNotExist) || errors.Is(err, errEmpty)
}

// sight is what tells a look at a log from another one, when the log has moved in between: but for
// what follows the end of the tail.
func (rec *recovery) sight(numbers []uint64, err error) string {
	text := fmt.Sprint(numbers, rec.marker, err)
	for _, seg := range []*segment{rec.tail, rec.unused} {
		if seg != nil {
			text += fmt.Sprint(seg.header)
		}
	}
	return text
}

// inPlace reports whether a segment's file still has its name, or that of a segment whose header is
// damaged: then what was read of it before was the segment's.
func inPlace(fsys vfs.FS, seg *segment) (bool, error) {
	f, err := fsys.OpenRead(seg.path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("wal: opening a segment: %w", err)
	}
	defer f.Close() // it was only read from
	var b [headerBytes]byte
	err = readFull(seg, f, b[:], 0)
	if errors.Is(err, ballast.ErrCorrupt) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	h, err := parseHeader(b[:])
	return err != nil || h == seg.header, nil
}

// settled judges what is at an offset, and looks again where that is damaged: it may be a write in
// progress, or pieces of it that were read at different moments. It is damage when another frame
// follows, or when it stays as it is for the time that a write takes. What looks like the end, or
// like a write that was cut off, was so at a moment of the opening, and is not looked at again: a
// fast writer would be ahead each time.
func (rec *recovery) settled(r *reader, off int64, judge judgement) (v verdict, h frameHeader,
	frame []byte, err error) {
	v, h, frame, err = judge()
	waited := rec.settle == nil
	for again := false; rec.live && err == nil; again = true {
		if v != isDamaged && (v != isFrame || !r.flawed) {
			break
		}
		if v == isFrame {
			if follows, err := r.isFrame(off+h.length, h.sequence+1); follows || err != nil {
				return judge() // it has lost its bytes
			}
		}
		before, err := r.sum(off)
		if err != nil {
			return isDamaged, h, nil, err
		}
		r.forget()
		now, err := r.sum(off)
		if err != nil {
			return isDamaged, h, nil, err
		}
		same := again && now == before
		if v, h, frame, err = judge(); err != nil || same && waited {
			return v, h, frame, err
		}
		if same {
			rec.settle()
			waited = true
		}
	}
	return v, h, frame, err
}

// isFrame reports whether the frame of a sequence number is there behind the end of another one.
func (r *reader) isFrame(end int64, sequence uint64) (bool, error) {
	v, _, _, err := judge(r, frameStart(end), sequence)
	return v == isFrame, err
}

// judgement is judge for one place.
type judgement func() (v verdict, h frameHeader, frame []byte, err error)

// sum is the checksum of what a frame's header says to be there, or else of the rest of the sector.
func (r *reader) sum(off int64) (uint32, error) {
	b, err := r.view(off, min(sectorBytes-off%sectorBytes, r.seg.size-off))
	if err != nil || len(b) < frameHeaderBytes {
		return 0, err
	}
	if h, ok := parseFrameHeader(b, r.seg.seed, off, r.seg.size); ok {
		b, err = r.view(off, h.length)
	}
	return crc32.Checksum(b, castagnoli), err
}

// wentOn reports whether the log only went on, where a later frame was seen and the next one was
// not: it is there now. It returns errBegun when what was seen may be the index of the segment,
// because the next one has begun.
func (rec *recovery) wentOn(r *reader, next judgement) (bool, error) {
	if !rec.live {
		return false, nil
	}
	r.forget()
	if v, _, _, err := next(); v == isFrame || err != nil {
		return err == nil, err
	}
	now, _, err := look(rec.fs, rec.dir, rec.settle, true)
	if errors.Is(err, ballast.ErrCorrupt) {
		return false, nil // there is damage, and this is some
	}
	if err != nil {
		return false, err
	}
	defer now.closeFiles()
	if now.tail.number > rec.tail.number {
		return false, errBegun
	}
	return false, nil
}

// begunMeanwhile reports whether the next segment, in which a later frame was seen, has its first
// one by now, or is gone.
func (rec *recovery) begunMeanwhile() (bool, error) {
	if !rec.live {
		return false, nil
	}
	begun, err := rec.beginsWithFrame(rec.unused, rec.unusedFile)
	if begun || err != nil {
		return begun, err
	}
	there, err := inPlace(rec.fs, rec.unused)
	return !there, err
}
