package wal

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/oracle"
	"github.com/raft-ballast/ballast/internal/vfs"
)

// doubtFS is a file system that remembers which blocks of a file a write or a sync that failed has left in doubt: they may be
// read, and a power cut may take them. Only writing a block again as a whole ends the doubt. A sync does not: the system may have
// dropped what it could not write, and then says nil.
//
// sound says what of that a log counts on, and repeated which syncs were tried again.
type doubtFS struct {
	vfs.FS
	below *vfs.Mem // the same files, and nothing fails there

	mu       sync.Mutex
	files    map[string]*doubtFile // by path
	names    bool                  // a sync of the folder failed, and no name has changed since
	failed   int                   // writes and syncs that left something in doubt
	repeated []string
}

// doubtFile is a file, whatever its name is. It is guarded by doubtFS.mu.
type doubtFile struct {
	doubt   map[int64]bool // blocks
	since   map[int64]bool // blocks that were written since the last sync that succeeded
	resized bool           // and so was the size
	refused map[int64]bool // blocks that a sync was to make durable and did not
	size    bool           // in doubt
}

func newDoubtFS(fsys vfs.FS, below *vfs.Mem) *doubtFS {
	return &doubtFS{FS: fsys, below: below, files: make(map[string]*doubtFile)}
}

func (d *doubtFS) Hold(dir string) (*vfs.Dir, error) { return holdThrough(d, d.FS, dir) }

func (d *doubtFS) file(path string) *doubtFile {
	f := d.files[path]
	if f == nil {
		f = &doubtFile{doubt: make(map[int64]bool), since: make(map[int64]bool), refused: make(map[int64]bool)}
		d.files[path] = f
	}
	return f
}

func (d *doubtFS) open(path string, f vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return &doubtHandle{f, d, d.file(path), path}, nil
}

func (d *doubtFS) Create(path string) (vfs.File, error) {
	f, err := d.FS.Create(path)
	d.mu.Lock()
	delete(d.files, path)
	d.names = false
	d.mu.Unlock()
	return d.open(path, f, err)
}

func (d *doubtFS) Open(path string) (vfs.File, error) {
	f, err := d.FS.Open(path)
	return d.open(path, f, err)
}

func (d *doubtFS) OpenRead(path string) (vfs.File, error) {
	f, err := d.FS.OpenRead(path)
	return d.open(path, f, err)
}

// Rename looks what has happened: that may be anything after an error.
func (d *doubtFS) Rename(from, to string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	err := d.FS.Rename(from, to)
	d.names = false
	if d.below.ReadFile(from) == nil {
		d.files[to] = d.file(from)
		delete(d.files, from)
	}
	return err
}

func (d *doubtFS) Remove(path string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	err := d.FS.Remove(path)
	if d.below.ReadFile(path) == nil {
		delete(d.files, path)
	}
	return err
}

// SyncDir may be called again when the name was given again.
func (d *doubtFS) SyncDir(dir string) error {
	err := d.FS.SyncDir(dir)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.names {
		d.repeated = append(d.repeated, fmt.Sprintf("the names in %s are synced again after a sync failed", dir))
	}
	d.names = err != nil
	return err
}

type doubtHandle struct {
	vfs.File
	fs   *doubtFS
	file *doubtFile
	path string
}

func (h *doubtHandle) WriteBlocks(bufs [][]byte, off int64) error {
	err := h.File.WriteBlocks(bufs, off)
	n := int64(0)
	for _, b := range bufs {
		n += int64(len(b))
	}
	h.fs.mu.Lock()
	defer h.fs.mu.Unlock()
	for block := off / blockBytes; block < (off+n)/blockBytes; block++ {
		h.file.since[block] = true
		delete(h.file.refused, block)
		if delete(h.file.doubt, block); err != nil {
			h.file.doubt[block] = true
		}
	}
	if err != nil {
		h.fs.failed++
	}
	return err
}

func (h *doubtHandle) Truncate(size int64) error {
	err := h.File.Truncate(size)
	h.fs.mu.Lock()
	defer h.fs.mu.Unlock()
	h.file.resized = true
	return err
}

func (h *doubtHandle) Sync() error {
	err := h.File.Sync()
	h.fs.mu.Lock()
	defer h.fs.mu.Unlock()
	f := h.file
	if n := len(f.refused); n > 0 || f.size {
		h.fs.repeated = append(h.fs.repeated,
			fmt.Sprintf("%s is synced again after a sync of it failed, with %d blocks of then, the size in doubt: %v", h.path, n, f.size))
	}
	if err != nil {
		for block := range f.since {
			f.doubt[block], f.refused[block] = true, true
		}
		f.size = f.size || f.resized
		h.fs.failed++
		return err
	}
	clear(f.since)
	f.resized = false
	return nil
}

// sound returns what a log counts on that is in doubt. Nobody calls the log meanwhile.
func (d *doubtFS) sound(j *journal) error {
	j.keeper.work.Lock()
	defer j.keeper.work.Unlock()
	j.mu.RLock()
	defer j.mu.RUnlock()
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.repeated) > 0 {
		return fmt.Errorf("a sync was tried again: %s", strings.Join(d.repeated, "; "))
	}
	for _, seg := range j.segments {
		if err := d.durable(seg, seg.end); err != nil {
			return err
		}
	}
	if err := d.durable(j.tail, j.tail.zeroed.Load()); err != nil {
		return err
	}
	// That the log was closed may be lost, then all of it is read. That it was opened again may not.
	if d.file(j.tail.path).doubt[markerOffset/blockBytes] && j.writer.marked.state == markerOpen {
		return fmt.Errorf("the marker of %s is in doubt, and the log went on", j.tail.path)
	}
	if next := j.keeper.next; next != nil {
		return d.durable(next, next.zeroed.Load())
	}
	return nil
}

// durable returns what of a segment up to an offset is in doubt: its header, its frames and its size. The marker does not count.
func (d *doubtFS) durable(seg *segment, end int64) error {
	f := d.file(seg.path)
	if f.size {
		return fmt.Errorf("the size of %s is in doubt", seg.path)
	}
	for block := range roundUp(end, blockBytes) / blockBytes {
		if f.doubt[block] && block != markerOffset/blockBytes {
			return fmt.Errorf("the block at %d of %s is in doubt, and the log counts on it up to %d", block*blockBytes, seg.path, end)
		}
	}
	return nil
}

// TestDoubt: what watches over the log sees what it is there for.
func TestDoubt(t *testing.T) {
	mem := vfs.NewMem()
	faults := vfs.NewFaults(mem)
	d := newDoubtFS(faults, mem)
	seg := newSegment(".", header{number: 1, size: 1 << 20})
	f, err := d.Create(nextName)
	must(t, err)
	write := func(first, n int64) error {
		return f.WriteBlocks([][]byte{vfs.AlignedBytes(int(n * blockBytes))}, first*blockBytes)
	}
	fail := func(op vfs.Op, err error) {
		faults.SetRule(func(o vfs.Op, _ string, _ int) error {
			if o != op {
				return nil
			}
			return err
		})
	}
	must(t, f.Truncate(1<<20))
	must(t, write(2, 8))
	must(t, f.Sync())
	fail(vfs.OpWrite, vfs.Late(syscall.EIO))
	if write(4, 3) == nil {
		t.Fatal("nothing failed")
	}
	fail(vfs.OpRename, vfs.Late(syscall.EIO))
	_ = d.Rename(nextName, segmentPath(".", 1)) // fails, and has happened
	faults.SetRule(nil)
	expect := func(what string, end int64, sound bool) {
		t.Helper()
		if err := d.durable(seg, end*blockBytes); (err == nil) != sound {
			t.Errorf("%s: %v", what, err)
		}
	}
	expect("before the write that failed", 4, true)
	expect("a write that failed", 5, false)
	must(t, write(4, 2))
	expect("a part of it was written again", 6, true)
	expect("and a part was not", 7, false)
	must(t, f.Sync())
	expect("a sync does not help", 7, false)
	must(t, write(6, 1))
	expect("all of it was written again", 16, true)

	must(t, write(10, 2))
	fail(vfs.OpSync, syscall.EIO)
	if f.Sync() == nil {
		t.Fatal("nothing failed")
	}
	faults.SetRule(nil)
	expect("a sync that failed", 12, false)
	must(t, f.Sync())
	if len(d.repeated) != 1 {
		t.Errorf("a sync that was tried again: %q", d.repeated)
	}
	expect("another one does not help", 12, false)
	must(t, f.Close())

	fail(vfs.OpSyncDir, syscall.ENOSPC)
	_ = d.SyncDir(".") // fails
	faults.SetRule(nil)
	must(t, d.Rename(segmentPath(".", 1), nextName))
	must(t, d.SyncDir("."))
	fail(vfs.OpSyncDir, syscall.ENOSPC)
	_ = d.SyncDir(".") // fails
	faults.SetRule(nil)
	must(t, d.SyncDir("."))
	if len(d.repeated) != 2 {
		t.Errorf("a sync of the folder that was tried again: %q", d.repeated)
	}
}

// TestNoSyncTwice has each sync and each write of a log fail, once or from then on, so that all that is there could tempt somebody to
// try it again. It is the table of what may be done then.
func TestNoSyncTwice(t *testing.T) {
	counts := newFaultCounts()
	for _, op := range []vfs.Op{vfs.OpWrite, vfs.OpSync, vfs.OpSyncDir} {
		for _, kind := range []string{"EIO", "EIO torn", "ENOSPC torn", "EIO from then on"} {
			step := thin
			if op == vfs.OpWrite && !*faultsAll {
				step *= 17
			}
			for nth := 1; ; nth += step {
				r := newFaultRun(t, faultKindOf(kind), 1+uint64(nth%3), counts)
				r.plan.only, r.plan.k = &op, nth
				if !r.run(30) {
					break
				}
			}
		}
	}
	counts.print(t)
}

// TestFolderSyncWithoutSpace: a folder's sync that fails for want of space fails nothing, whoever asked for it. The segment whose name it
// was is prepared anew.
func TestFolderSyncWithoutSpace(t *testing.T) {
	for _, fault := range []error{syscall.ENOSPC, syscall.EDQUOT, vfs.Late(syscall.ENOSPC)} {
		for _, closed := range []bool{false, true} {
			t.Run(fmt.Sprintf("%v, opened with a next segment: %v", fault, closed), func(t *testing.T) {
				mem := vfs.NewMem()
				faults := vfs.NewFaults(mem)
				l := newTestLog(t, faults, 1)
				l.fill(10, 100)
				fired := 0
				rule := func(op vfs.Op, _ string, _ int) error {
					if op != vfs.OpSyncDir {
						return nil
					}
					fired++
					return fault
				}
				if closed {
					l.close()
					faults.SetRule(rule)
					l.open()
				}
				faults.SetRule(rule)
				l.refusesAfter(l.fillUntilError())
				if fired < 2 {
					t.Errorf("%d syncs of the folder failed, it was to be tried again", fired)
				}
				l.vote(3)
				l.remove(2, 3)
				l.check()
				checkAfterCuts(t, l.model, mem)
				l.abandon()
				l.open() // with the fault
				l.check()
				faults.SetRule(nil)
				l.rotate()
				l.rotate()
				l.check()
				l.abandon()
				l.open()
				l.check()
				checkAfterCuts(t, l.model, mem)
			})
		}
	}
}

// refusesAfter expects that an append was refused for want of space, and that the log has not failed.
func (l *testLog) refusesAfter(err error) {
	l.t.Helper()
	if !vfs.IsNoSpace(err) {
		l.t.Fatalf("StoreLogs returns %v", err)
	}
	l.refuses(100 << 10)
}

// TestUnknownEnd is what makes a log that was opened again whole: its last frame may be one whose write failed, and
// that is still read. The doubt ends only by writing it again.
func TestUnknownEnd(t *testing.T) {
	mem := vfs.NewMem()
	d := newDoubtFS(mem, mem)
	l := newTestLog(t, d, 1)
	l.fill(10, 3000)
	failOnce(mem, vfs.OpWrite, vfs.Late(syscall.EIO))
	logs := oracle.Entries(l.rng, 11, 10, 3000)
	if err := l.StoreLogs(logs); err == nil {
		t.Fatal("the write failed, StoreLogs did not")
	}
	if d.failed != 1 {
		t.Fatalf("%d writes failed", d.failed)
	}
	_ = l.Close() // a log that failed
	l.open()
	l.model.Put(logs, 0) // it is read, so it has to stay
	l.check()
	must(t, d.sound(l.j))
	checkAfterCuts(t, l.model, mem)
}

// TestNewLogWithoutSpace: whatever it is that finds no space when a log is created, the error says so, and nothing is left that
// would not be opened later.
func TestNewLogWithoutSpace(t *testing.T) {
	for k := 1; ; k++ {
		faults, fired := vfs.NewFaults(vfs.NewMem()), ""
		faults.SetRule(func(op vfs.Op, path string, n int) error {
			if n != k {
				return nil
			}
			fired = fmt.Sprintf("%v of %s", op, path)
			switch op {
			case vfs.OpList, vfs.OpHold, vfs.OpOpen, vfs.OpOpenRead, vfs.OpRead, vfs.OpSize:
				return nil // never for want of space
			}
			return syscall.ENOSPC
		})
		s, err := Open(dataDir, memOptions(faults))
		if fired == "" {
			must(t, errors.Join(err, s.Close()))
			return
		}
		if err == nil {
			must(t, s.Close())
		} else if !errors.Is(err, ballast.ErrNoSpace) {
			t.Errorf("no space in %s: %v", fired, err)
		}
		faults.SetRule(nil)
		checkReopened(t, oracle.NewModel(), faults)
	}
}
