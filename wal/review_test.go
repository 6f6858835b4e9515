package wal

import (
	"errors"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast/internal/vfs"
)

// A deletion whose sync failed is read from the page cache at the next opening. Files that it frees are removed before the frame is
// written again; then the power is cut.
func TestNothingIsRemovedBeforeTheEndIsDurable(t *testing.T) {
	for seed := range uint64(40) {
		mem := vfs.NewMem()
		l := newTestLog(t, mem, 1)
		l.rotate()
		l.rotate()
		first := l.j.segments[0]
		last := uint64(0)
		for _, r := range l.g.runs {
			if r.seg == first {
				last = r.last
			}
		}
		mem.SetHook(func(c *vfs.Call) error {
			if c.Op == vfs.OpWrite {
				return vfs.Late(syscall.EIO)
			}
			return nil
		})
		err := l.DeleteRange(1, last)
		mem.SetHook(nil)
		if err == nil {
			t.Fatal("no error")
		}
		l.abandon()
		removed := false
		mem.SetHook(func(c *vfs.Call) error {
			if removed {
				return vfs.ErrCrashed
			}
			removed = c.Op == vfs.OpRemove
			return nil
		})
		_, _ = Open(dataDir, memOptions(mem))
		after := mem.Crash(seed)
		s, err := Open(dataDir, memOptions(after))
		if err != nil {
			t.Fatalf("seed %d: open: %v", seed, err)
		}
		if _, err := readAll(s); err != nil {
			t.Fatalf("seed %d: read: %v", seed, err)
		}
		s.Close()
	}
}

func patch(t *testing.T, mem *vfs.Mem, path string, off int64, b []byte) {
	f, err := mem.Open(path)
	must(t, err)
	blk := vfs.AlignedBytes(blockBytes)
	_, err = f.ReadAt(blk, off/4096*4096)
	must(t, err)
	copy(blk[off%4096:], b)
	must(t, f.WriteBlocks([][]byte{blk}, off/4096*4096))
	must(t, f.Close())
}

// A marker with a checksum that matches, whose index has length 0.
func TestMarkerWithoutAnIndex(t *testing.T) {
	mem := vfs.NewMem()
	l := newTestLog(t, mem, 1)
	l.fill(2, 10)
	end, seq, seed, path := l.j.tail.end, l.j.tail.sequence, l.j.tail.seed, l.j.tail.path
	l.abandon()
	b := make([]byte, 64)
	off := frameStart(end)
	putMarker(b, marker{state: markerOpen, sequence: seq, end: off, indexOffset: off}, seed)
	patch(t, mem, path, markerOffset, b)
	done := make(chan error)
	go func() { _, err := Open(dataDir, memOptions(mem)); done <- err }()
	select {
	case err := <-done:
		t.Log(err)
	case <-time.After(3 * time.Second):
		t.Fatal("Open loops for ever")
	}
}

// Runs with a checksum that matches and more entries than there can be.
func TestRunsOfTooManyEntries(t *testing.T) {
	mem := vfs.NewMem()
	l := newTestLog(t, mem, 1)
	seed, path, end := l.j.tail.seed, l.j.tail.path, l.j.tail.end
	l.close()
	runs := appendLiveRun(nil, liveRun{1, 1, 1 << 60})
	off := frameStart(end)
	fr := encodeFrame([]record{{kind: recordRuns, second: runs, raw: uint32(len(runs))}}, 2, seed, off)
	patch(t, mem, path, off, fr)
	b := make([]byte, 64)
	putMarker(b, marker{state: markerClosed, sequence: 2, end: off + int64(len(fr)), checkpoint: off}, seed)
	patch(t, mem, path, markerOffset, b)
	defer func() {
		if r := recover(); r != nil {
			t.Fatal("panic: ", r)
		}
	}()
	s, err := Open(dataDir, memOptions(mem))
	must(t, err)
	t.Log(s.GetLog(1, new(raft.Log)))
}

func TestUnknownFlags(t *testing.T) {
	for _, rec := range []record{
		{kind: recordEntry, flags: 1 | 1<<5, a: 1, second: []byte("abc"), raw: 3},
		{kind: recordEntry, flags: 1 | 1<<5, a: 1, second: []byte("abc"), raw: 9},
		{kind: recordEntry, flags: 1 << 1, a: 1, second: []byte("abc"), raw: 3},
		{kind: recordSet, flags: 1 << 2, first: []byte("k"), second: []byte("abc"), raw: 9},
		{kind: recordMoved, flags: 1, a: 1, second: []byte("abc"), raw: 3},
	} {
		mem := vfs.NewMem()
		l := newTestLog(t, mem, 1)
		seed, path, end := l.j.tail.seed, l.j.tail.path, l.j.tail.end
		l.abandon()
		off := frameStart(end)
		fr := encodeFrame([]record{rec}, 2, seed, off)
		patch(t, mem, path, off, fr)
		s, err := Open(dataDir, memOptions(mem))
		if err != nil {
			t.Log(rec.kind, rec.flags, "Open:", err)
			continue
		}
		m, err := readAll(s)
		t.Log(rec.kind, rec.flags, m, err)
		s.Close()
	}
}

// After a closing frame that is damaged the entries of the tail are counted twice.
func TestDamagedCheckpointIsReadPast(t *testing.T) {
	mem := vfs.NewMem()
	l := newTestLog(t, mem, 1)
	l.fill(10, 10)
	l.close()
	b := mem.ReadFile(segmentPath(dataDir, 1))
	m := parseMarker(b[markerOffset:], l.j.tail.seed, int64(len(b)))
	last := m.end - 8
	patch(t, mem, segmentPath(dataDir, 1), last, []byte{b[last] ^ 1})
	l.open()
	if l.j.tail.live != 10 {
		t.Errorf("live %d", l.j.tail.live)
	}
	l.check()
}

func TestForeignFolder(t *testing.T) {
	mem := vfs.NewMem()
	must(t, mem.MkdirAll(dataDir))
	f, err := mem.Create(dataDir + "/wal-meta.db")
	must(t, err)
	f.Close()
	_, err = Open(dataDir, memOptions(mem))
	t.Log(err, mem.Files())
}

// An entry of a kind that this release does not know, in an older segment.
func TestUnknownKindInAnOlderSegment(t *testing.T) {
	mem := vfs.NewMem()
	l := newTestLog(t, mem, 1)
	l.rotate()
	seg := l.j.segments[0]
	off := l.g.runs[0].offset(0)
	l.close()
	raw := mem.ReadFile(seg.path)
	n := recordLength(raw[off:])
	rec := append([]byte{}, raw[off:off+n]...)
	rec[8] = recordMoved
	sealRecord(rec, seg.seed, off)
	patch(t, mem, seg.path, off, rec[:56])
	s, err := Open(dataDir, memOptions(mem))
	must(t, err)
	_, err = readAll(s)
	t.Log(err)
	s.Close()
}

var _ = errors.Is

// A closed log whose checkpoint ends where it begins.
func TestMarkerWithoutACheckpoint(t *testing.T) {
	mem := vfs.NewMem()
	l := newTestLog(t, mem, 1)
	l.fill(2, 10)
	end, seq, seed, path := l.j.tail.end, l.j.tail.sequence, l.j.tail.seed, l.j.tail.path
	l.abandon()
	b := make([]byte, 64)
	off := frameStart(end)
	putMarker(b, marker{state: markerOpen, sequence: seq, end: off, checkpoint: off}, seed)
	patch(t, mem, path, markerOffset, b)
	done := make(chan error)
	go func() { _, err := Open(dataDir, memOptions(mem)); done <- err }()
	select {
	case err := <-done:
		t.Log(err)
	case <-time.After(3 * time.Second):
		t.Fatal("Open loops for ever")
	}
}
