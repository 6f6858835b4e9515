package wal

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/vfs"
)

// forgetfulFS is a file system that takes a folder for clean after a sync of it that failed: until a name changes, the next sync does
// nothing and returns nil.
type forgetfulFS struct {
	vfs.FS
	fail   error // of each sync of the folder
	forgot bool
	full   bool // no file can be made
}

func (f *forgetfulFS) Hold(dir string) (*vfs.Dir, error) { return holdThrough(f, f.FS, dir) }

func (f *forgetfulFS) SyncDir(dir string) error {
	if f.fail != nil {
		f.forgot = true
		return f.fail
	}
	if f.forgot {
		return nil
	}
	return f.FS.SyncDir(dir)
}

func (f *forgetfulFS) Create(path string) (vfs.File, error) {
	if f.full {
		return nil, syscall.ENOSPC
	}
	f.forgot = false
	return f.FS.Create(path)
}

func (f *forgetfulFS) Rename(from, to string) error {
	f.forgot = false
	return f.FS.Rename(from, to)
}

func (f *forgetfulFS) Remove(path string) error {
	err := f.FS.Remove(path)
	f.forgot = f.forgot && err != nil
	return err
}

// TestFailedNameAcrossOpenings: the name of the next segment could not be synced, the log is closed and opened, and that segment is
// found. A sync alone would not make its name durable.
func TestFailedNameAcrossOpenings(t *testing.T) {
	mem := vfs.NewMem()
	names := &forgetfulFS{FS: mem}
	l := newTestLog(t, names, 1)
	l.fill(10, 100)
	l.close()
	must(t, mem.Remove(segmentPath(dataDir, 2))) // as when it was closed before one was prepared
	must(t, mem.SyncDir(dataDir))
	names.fail = syscall.EIO
	l.open()
	_ = l.Close() // a log that failed
	names.fail = nil
	l.open()
	names.full = true
	l.fillUntil(func() bool { return l.j.tail.number == 2 })
	l.fill(10, 100)
	l.check()
	checkAfterCuts(t, l.model, mem)
}

// TestOpenWithoutSpace opens a log that was not closed, and one call after the other finds no space: it opens, or the error says so.
func TestOpenWithoutSpace(t *testing.T) {
	for k := 1; ; k++ {
		mem := vfs.NewMem()
		faults, fired, n := vfs.NewFaults(mem), "", 0
		l := newTestLog(t, faults, 1)
		l.rotate()
		l.rotate()
		l.remove(1, l.model.Last()-3)
		l.fill(3, 1000)
		l.abandon()
		faults.SetRule(func(op vfs.Op, path string, _ int) error {
			switch op {
			case vfs.OpList, vfs.OpOpen, vfs.OpOpenRead, vfs.OpRead, vfs.OpSize, vfs.OpClose:
				return nil // never for want of space
			}
			if n++; n != k {
				return nil
			}
			fired = fmt.Sprintf("%v of %s", op, path)
			return syscall.ENOSPC
		})
		s, err := Open(dataDir, memOptions(faults))
		if err == nil {
			_ = s.Close() // the fault may have come late
		} else if !errors.Is(err, ballast.ErrNoSpace) {
			t.Errorf("no space in %s: %v", fired, err)
		}
		if fired == "" {
			return
		}
		faults.SetRule(nil)
		checkReopened(t, l.model, mem)
	}
}

// TestRecyclingWithoutSpace: a segment that was to be used again and could not be renamed is not forgotten, for its space is just what
// is missing.
func TestRecyclingWithoutSpace(t *testing.T) {
	mem := vfs.NewMem()
	faults := vfs.NewFaults(mem)
	l := newTestLog(t, faults, 1)
	l.rotate()
	faults.SetRule(func(op vfs.Op, path string, _ int) error {
		if op == vfs.OpRename && strings.HasSuffix(path, ".wal") {
			return syscall.ENOSPC
		}
		return nil
	})
	for range 2 {
		l.remove(1, l.model.Last()-1)
		l.rotate()
	}
	faults.SetRule(nil)
	l.rotate()
	l.rotate()
	l.remove(1, l.model.Last()-1)
	if files := mem.Files(); len(files) > 4 { // the lock, the tail, the next one, and one that waits
		t.Errorf("there are %v", files)
	}
	l.check()
}
