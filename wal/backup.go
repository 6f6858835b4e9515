package wal

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/engine"
	"github.com/raft-ballast/ballast/internal/vfs"
)

// BackupOptions are the options of Backup; nil stands for the zero value.
type BackupOptions struct {
	// Progress, when not nil, is called by Backup's goroutine after each MiB.
	Progress func(BackupProgress)

	fs vfs.FS // nil is the real one
}

// BackupProgress says how far a Backup is.
type BackupProgress struct {
	Bytes int64 // copied so far
	Total int64 // to be copied, as far as that is known; it may grow while the log is written
}

// BackupInfo says what a copy holds.
type BackupInfo struct {
	Groups      int    // that have an entry, a stable value or a commit index
	FirstIndex  uint64 // of group 0; 0 when it has no entries
	LastIndex   uint64
	CommitIndex uint64
	Entries     uint64 // of all groups
	Segments    int
	Bytes       int64 // that were copied
}

// isContent reports whether a name keeps a folder from being taken for an empty one.
func isContent(name string) bool { return !engine.Beside(name) }

// Backup copies the log in dir into dst, a directory that is empty or not there yet, while the log may be written, by this process or
// another. It takes no lock and changes nothing in dir. The copy is a log that Open opens, with the contents of one moment: all
// that was acknowledged before Backup was called is in it, and every entry of it was read from the copy. It is durable, but for the name of dst.
//
// A copy that returned an error, ctx's among them, is no log, and should be removed. So should one that a crash interrupted: make it under another name than
// the one that is used later.
//
// Both folders are held: when dir gets another name meanwhile it is still the same log that is
// copied, and when dst does a [*ballast.DisplacedError] says so.
//
// Errors are those of [OpenReadOnly]; a [*ballast.CorruptionError] names the damage in dir.
func Backup(ctx context.Context, dir, dst string, opts *BackupOptions) (BackupInfo, error) {
	fsys := vfs.OS
	b := &backup{ctx: ctx, settle: settle, progress: func(BackupProgress) {},
		done: make(map[uint64]*segment)}
	if opts != nil && opts.fs != nil {
		fsys, b.settle = opts.fs, nil
	}
	if opts != nil && opts.Progress != nil {
		b.progress = opts.Progress
	}
	if err := fsys.MkdirAll(dst); err != nil {
		return BackupInfo{}, noSpace(fmt.Errorf("wal: %w", err))
	}
	out, err := fsys.Hold(dst)
	if err != nil {
		return BackupInfo{}, fmt.Errorf("wal: opening %s: %w", dst, err)
	}
	defer out.Close() // all that was written is synced
	if names, err := out.List(out.Path); err != nil || slices.ContainsFunc(names, isContent) {
		return BackupInfo{}, errors.Join(err, fmt.Errorf("wal: %w: %s is not empty; give a directory that is", ballast.ErrNotEmpty, dst))
	}
	in, err := holdDir(fsys, dir, true)
	if err != nil {
		return BackupInfo{}, err
	}
	defer in.Close() // it was only read from
	b.in, b.dir, b.out, b.dst = in, in.Name, out, out.Name
	b.buf = vfs.AlignedBytes(backupBytes)
	info, err := b.run()
	if err == nil {
		err = engine.Displaced(out.Check())
	}
	return info, err
}

// run copies the log, again where it goes on meanwhile.
func (b *backup) run() (BackupInfo, error) {
	for {
		if info, err := b.try(); !errors.Is(err, errGone) {
			return info, err
		}
	}
}

// backup is one copy in the making.
type backup struct {
	ctx      context.Context
	in, out  vfs.FS // of dir and of dst
	settle   func()
	dir, dst string
	progress func(BackupProgress)
	buf      []byte

	done  map[uint64]*segment // older segments that are in dst, by number
	gone  *segment            // that had lost its file before it was copied; nil for none
	bytes int64               // copied
	total int64
}

const backupBytes = 1 << 20

// try copies what the log is now. The error matches errGone when the log went on meanwhile and a
// part of it was used again: then segments that are copied already are not copied again.
func (b *backup) try() (info BackupInfo, err error) {
	rec, err := readLog(b.in, b.dir, b.settle)
	if errors.Is(err, errEmpty) {
		return info, fmt.Errorf("wal: there is no log in %s: %w: %w", b.dir, errEmpty, fs.ErrNotExist)
	}
	if err != nil {
		return info, err
	}
	defer rec.closeFiles()
	if err := b.forget(rec); err != nil {
		return info, err
	}
	b.total = b.bytes
	for _, seg := range rec.order {
		if b.done[seg.number] == nil {
			b.total += seg.end - framesOffset
		}
	}
	for _, seg := range rec.order {
		if seg == rec.tail || b.done[seg.number] != nil {
			continue
		}
		if err := b.older(seg); err != nil {
			return info, err
		}
	}
	// The tail comes last: without it the copy is no log.
	m := rec.marker
	m.zeroed = m.end // what is zero behind it was never written, and takes no space
	if err := b.segment(rec.tail, rec.file, m, marker{}); err != nil {
		return info, err
	}
	if err := b.inPlace(rec.tail, nil); err != nil {
		return info, err
	}
	if err := b.out.SyncDir(b.dst); err != nil {
		return info, fmt.Errorf("wal: %w", err)
	}
	return b.check(rec)
}

// forget removes from dst what is no part of the log any more, and the tail of a try before.
func (b *backup) forget(rec *recovery) error {
	names, err := b.out.List(b.dst)
	if err != nil {
		return fmt.Errorf("wal: %w", err)
	}
	for _, name := range names {
		if !isContent(name) {
			continue
		}
		number, ok := segmentNumber(name)
		if have := b.done[number]; ok && have != nil && slices.ContainsFunc(rec.order, func(s *segment) bool {
			return s != rec.tail && s.number == number && s.identity == have.identity && s.end == have.end
		}) {
			continue
		}
		delete(b.done, number)
		if err := b.out.Remove(filepath.Join(b.dst, name)); err != nil {
			return fmt.Errorf("wal: %w", err)
		}
	}
	return nil
}

// older copies a segment that is written no more.
func (b *backup) older(seg *segment) error {
	if seg.bad != nil {
		return b.inPlace(seg, seg.bad)
	}
	found, f, m, err := openSegment(b.in, b.dir, seg.number, false)
	if errors.Is(err, fs.ErrNotExist) {
		err = seg.corrupt(-1, "the segment's file is missing: %w", err)
	}
	if err != nil {
		return b.inPlace(seg, err)
	}
	defer f.Close() // it was only read from
	if found.header != seg.header {
		return b.inPlace(seg, seg.corrupt(24, "this is another segment than the checkpoint names"))
	}
	if m.state != markerSealed { // it is about to get its index, and can do without
		m = marker{}
	}
	if err := b.inPlace(seg, b.segment(seg, f, m, m)); err != nil {
		return err
	}
	b.done[seg.number] = seg
	return nil
}

// inPlace is called when a segment was read, and returns what came of that when the segment has its
// file still, and errGone when it was used for something else meanwhile. One that the log refers to
// when it is read anew, and has no file, has lost it.
func (b *backup) inPlace(seg *segment, err error) error {
	if err != nil && !errors.Is(err, ballast.ErrCorrupt) {
		return err
	}
	there, unknown := inPlace(b.in, seg)
	if there || unknown != nil {
		return cmp.Or(unknown, err)
	}
	if b.gone != nil && b.gone.header == seg.header {
		return cmp.Or(err, seg.corrupt(-1, "the segment's file is missing"))
	}
	b.gone = seg
	return errGone
}

// segment copies the frames of a segment, the index that a marker names, and at last the header, with a marker.
func (b *backup) segment(seg *segment, f vfs.File, m, index marker) (err error) {
	out, err := b.out.Create(segmentPath(b.dst, seg.number))
	if err != nil {
		return noSpace(fmt.Errorf("wal: %w", err))
	}
	defer func() { err = noSpace(errors.Join(err, out.Close())) }()
	if err := out.Truncate(seg.size); err != nil {
		return err
	}
	if err := b.copy(seg, f, out, framesOffset, seg.end); err != nil {
		return err
	}
	if index.indexLength > 0 {
		if err := b.copy(seg, f, out, index.indexOffset, index.indexOffset+index.indexLength); err != nil {
			return err
		}
	}
	head := vfs.AlignedBytes(framesOffset)
	putHeader(head, seg.header)
	if m.state != markerNone {
		putMarker(head[markerOffset:], m, seg.seed)
	}
	if err := out.WriteBlocks([][]byte{head}, 0); err != nil {
		return err
	}
	return out.Sync()
}

// copy copies bytes from a block on. What follows them in their last block is zero.
func (b *backup) copy(seg *segment, f, out vfs.File, from, to int64) error {
	for from < to {
		if err := b.ctx.Err(); err != nil {
			return fmt.Errorf("wal: the copy of %s was interrupted: %w", b.dir, err)
		}
		part := b.buf[:min(backupBytes, roundUp(to-from, blockBytes))]
		n := min(int64(len(part)), to-from)
		if err := readFull(seg, f, part[:n], from); err != nil {
			return err
		}
		clear(part[n:])
		if err := out.WriteBlocks([][]byte{part}, from); err != nil {
			return err
		}
		from += int64(len(part))
		b.bytes += n
		b.progress(BackupProgress{Bytes: b.bytes, Total: max(b.total, b.bytes)})
	}
	return nil
}

// check opens the copy and reads every entry. What is damaged in it is damaged in the log: nothing
// was used again before it was copied.
func (b *backup) check(rec *recovery) (info BackupInfo, err error) {
	gs, err := OpenGroupsReadOnly(b.dst, &Options{fs: b.out})
	if err != nil {
		return info, b.inSource(err)
	}
	defer func() { err = errors.Join(err, gs.Close()) }()
	j := gs.j
	if j.tail.sequence != rec.sequence || j.tail.end != rec.tail.end {
		return info, rec.tail.corrupt(rec.tail.end, "the copy ends with frame %d at %d, the log with frame %d", j.tail.sequence, j.tail.end, rec.sequence)
	}
	info = BackupInfo{Groups: len(j.ids()), Segments: len(rec.order), Bytes: b.bytes}
	if g := j.groups[0]; g != nil {
		info.FirstIndex, info.LastIndex, info.CommitIndex = g.first(), g.last(), g.commit
	}
	for _, g := range j.groups {
		info.Entries += g.entries()
		for _, r := range g.runs { // nobody changes them
			for i := range uint64(r.count()) {
				if err := j.get(g, r.first+i, new(raft.Log)); err != nil {
					return info, b.inSource(err)
				}
				if err := b.ctx.Err(); err != nil {
					return info, fmt.Errorf("wal: the copy of %s was interrupted: %w", b.dir, err)
				}
			}
		}
	}
	return info, nil
}

// inSource makes an error of damage in the copy one of what was copied.
func (b *backup) inSource(err error) error {
	c, ok := errors.AsType[*ballast.CorruptionError](err)
	if !ok {
		return err
	}
	return &ballast.CorruptionError{Path: filepath.Join(b.dir, filepath.Base(c.Path)), Offset: c.Offset, Index: c.Index, Err: c.Err}
}
