package wal

import (
	"context"
	"errors"
	"io/fs"
	"testing"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/vfs"
)

const copyDir = "/copy"

// checkCopied compares a copy with the model, also after it was opened for writing.
func checkCopied(t *testing.T, mem *vfs.Mem, m *model) {
	t.Helper()
	for range 2 {
		s, err := Open(copyDir, memOptions(mem))
		must(t, err)
		must(t, check(m, s))
		must(t, s.Close())
	}
}

// TestBackup copies logs that were closed, left, and are open.
func TestBackup(t *testing.T) {
	for _, kind := range imageKinds {
		im := newImage(t, kind)
		mem := im.full.Clone()
		before := mem.Clone()
		info, err := Backup(t.Context(), dataDir, copyDir, &BackupOptions{fs: mem})
		must(t, err)
		if info.LastIndex != im.model.Last() || info.Entries != uint64(len(im.model.Logs)) || info.CommitIndex != im.model.Commit {
			t.Errorf("%s: %+v, should be %s", kind.name, info, im.model)
		}
		for _, path := range append(im.segments(), im.next) {
			if string(mem.ReadFile(path)) != string(before.ReadFile(path)) {
				t.Errorf("%s: %s was changed", kind.name, path)
			}
		}
		checkCopied(t, mem, im.model)
	}
}

// TestBackupOfRecycledSegments: while a log is copied, entries are deleted and their segments used again. The copy is the log of a
// later moment.
func TestBackupOfRecycledSegments(t *testing.T) {
	mem := vfs.NewMem()
	l := newTestLog(t, mem, 1)
	for range 4 {
		l.rotate()
	}
	turns := 0
	info, err := Backup(t.Context(), dataDir, copyDir, &BackupOptions{fs: mem, Progress: func(BackupProgress) {
		if turns++; turns > 2 {
			return
		}
		second := l.j.segments[1]
		l.remove(1, l.model.Last()-20)
		l.rotate()
		l.rotate()
		if second.freed == false {
			t.Error("the segment was not freed")
		}
	}})
	must(t, err)
	if turns < 3 {
		t.Errorf("it was called %d times", turns)
	}
	if info.FirstIndex != l.model.First() || info.LastIndex != l.model.Last() {
		t.Errorf("%+v, should be %s", info, l.model)
	}
	l.check()
	checkCopied(t, mem, l.model)
}

// TestBackupWhileASegmentIsUsedAgain: the segment that is just being copied is used again. The copy
// is the log of a later moment, and no damage is seen.
func TestBackupWhileASegmentIsUsedAgain(t *testing.T) {
	mem := vfs.NewMem()
	l := newTestLog(t, mem, 1)
	for range 3 {
		l.rotate()
	}
	first, reads := l.j.segments[0], 0
	fsys := &vfs.Watch{FS: mem, Before: func(op vfs.Op, path string) {
		if op != vfs.OpRead || path != first.path {
			return
		}
		if reads++; reads == 2 { // its header was read, and its frames come next
			l.remove(1, l.g.runs[0].last) // the others stay
			l.rotate()
		}
	}}
	info, err := Backup(t.Context(), dataDir, copyDir, &BackupOptions{fs: fsys})
	must(t, err)
	if l.Stats().Recycled == 0 || info.FirstIndex != l.model.First() || info.LastIndex != l.model.Last() {
		t.Errorf("%+v, should be %s", info, l.model)
	}
	checkCopied(t, mem, l.model)
}

// TestBackupRefuses: what is damaged, not there, or in the way.
func TestBackupRefuses(t *testing.T) {
	mem := vfs.NewMem()
	l := newTestLog(t, mem, 1)
	l.fill(20, 100)
	l.close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Backup(ctx, dataDir, copyDir, &BackupOptions{fs: mem}); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
	if _, err := Backup(t.Context(), dataDir, copyDir, &BackupOptions{fs: mem}); !errors.Is(err, ballast.ErrNotEmpty) {
		t.Errorf("what an interrupted one has left: %v", err)
	}
	if _, err := Open(copyDir, memOptions(mem)); !errors.Is(err, ballast.ErrCorrupt) {
		t.Errorf("half a copy opens: %v", err)
	}
	if _, err := Backup(t.Context(), "/nowhere", "/copy2", &BackupOptions{fs: mem}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no log: %v", err)
	}
	at := int64(l.g.find(7).offs[6]) << 3
	mem.Flip(l.j.tail.path, at+recordHeaderBytes+3, 1)
	_, err := Backup(t.Context(), dataDir, "/copy3", &BackupOptions{fs: mem})
	if c := corruption(t, err); c.Path != l.j.tail.path || c.Offset != at || c.Index != 7 {
		t.Errorf("%v; the damage is at %d", err, at)
	}
}
