package wal

import (
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast/internal/oracle"
	"github.com/raft-ballast/ballast/internal/vfs"
)

// The marker that says open instead of closed: its sync fails, the next opening reads it from the page cache.
func TestMarkerOfAFailedSync(t *testing.T) {
	for seed := range uint64(20) {
		mem := vfs.NewMem()
		l := newTestLog(t, mem, 1)
		l.fill(10, 100)
		l.close()
		l.open() // clean
		mem.SetHook(func(c *vfs.Call) error {
			if c.Op == vfs.OpWrite && c.Off == markerOffset {
				return vfs.Late(syscall.EIO)
			}
			return nil
		})
		if l.Set([]byte("k"), []byte("refused")) == nil {
			t.Fatal("no error")
		}
		mem.SetHook(nil)
		_ = l.Close()
		l.open() // the same boot: the marker is read as open
		l.fill(5, 100)
		l.set("vote", "acknowledged")
		after := mem.Crash(seed)
		l.abandon()
		l.expect(seed, after)
	}
}

// expect opens what a power cut has left and finds everything that was acknowledged.
func (l *testLog) expect(seed uint64, after *vfs.Mem) {
	l.t.Helper()
	s, err := Open(dataDir, memOptions(after))
	if err != nil {
		l.t.Errorf("seed %d: open: %v", seed, err)
		return
	}
	if err := check(l.model, s); err != nil {
		l.t.Errorf("seed %d: lost: %v", seed, err)
	}
	s.Close()
}

// The process is killed between the renaming of the next segment and the sync of the folder, in a log that was opened
// clean and not written. The next opening takes the segment over.
func TestNameOfTheNextSegment(t *testing.T) {
	for seed := range uint64(20) {
		mem := vfs.NewMem()
		l := newTestLog(t, mem, 1)
		l.fill(10, 100)
		l.close()
		l.change = func(o *Options) { o.SegmentBytes = 2 << 20 } // so a next one is prepared anew
		mem.SetHook(func(c *vfs.Call) error {
			if c.Op == vfs.OpSyncDir {
				return syscall.EIO // the process is gone here
			}
			return nil
		})
		l.open()
		mem.SetHook(nil)
		l.abandon()
		l.open() // clean
		if l.j.keeper.next == nil {
			t.Fatal("no next segment")
		}
		synced := false
		mem.SetHook(func(c *vfs.Call) error {
			synced = synced || c.Op == vfs.OpSyncDir
			if l.j.tail.number == 2 { // what the keeper does next comes too late
				return vfs.ErrCrashed
			}
			return nil
		})
		l.rotate()
		if synced {
			t.Fatal("the folder was synced")
		}
		after := mem.Crash(seed)
		l.expect(seed, after)
	}
}

// The writer takes the next segment while the keeper recycles another one to replace it.
func TestRecyclingBesideRotation(t *testing.T) {
	mem := vfs.NewMem()
	l := newTestLog(t, mem, 1)
	l.rotate()
	k := &l.j.keeper
	// Nothing in segment 1 is live: it waits in unused. The keeper is at rest meanwhile.
	k.j.opts.inline = false
	k.wake = make(chan struct{}, 1)
	last := uint64(0)
	for _, r := range l.g.runs {
		if r.seg == l.j.segments[0] {
			last = r.last
		}
	}
	l.remove(1, last)
	for k.next == nil || k.next.zeroed.Load() > framesOffset+firstZeros {
		k.work.Lock()
		must(t, k.prepare(k.j.opts.SegmentBytes))
		k.work.Unlock()
	}
	tail := l.j.tail.number
	next := filepath.Join(dataDir, "x")
	_ = next
	var cut *vfs.Mem
	writer, atFrame, release := make(chan struct{}), make(chan struct{}), make(chan struct{})
	var once, once2 sync.Once
	path := segmentPath(dataDir, tail+1)
	mem.SetHook(func(c *vfs.Call) error {
		switch {
		case c.Op == vfs.OpRename && filepath.Base(c.To) == nextName:
			// The keeper is here. A rotation begins and comes up to its first frame.
			once.Do(func() {
				go func() {
					defer close(writer)
					for l.j.tail.number == tail {
						if err := l.StoreLogs(oracle.Entries(l.rng, l.model.Last()+1, 16, 4<<10)); err != nil {
							t.Error(err)
							return
						}
					}
				}()
				<-atFrame
			})
		case c.Op == vfs.OpWrite && c.Path == path && c.Off == framesOffset:
			once2.Do(func() {
				close(atFrame)
				<-release
			})
		}
		return nil
	})
	_, err := k.step(true)
	t.Log("step:", err)
	cut = mem.Clone().Crash(1) // before any of the first frame
	close(release)
	<-writer
	mem.SetHook(nil)
	t.Log(cut.Files())
	s, err := Open(dataDir, memOptions(cut))
	if err != nil {
		t.Fatalf("after a crash alone: %v", err)
	}
	s.Close()
}

type slowFS struct {
	vfs.FS
	after func(off int64, n int)
}

type slowFile struct {
	vfs.File
	s *slowFS
}

func (s *slowFS) wrap(f vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return &slowFile{f, s}, nil
}
func (s *slowFS) Hold(dir string) (*vfs.Dir, error)   { return holdThrough(s, s.FS, dir) }
func (s *slowFS) Open(p string) (vfs.File, error)     { return s.wrap(s.FS.Open(p)) }
func (s *slowFS) OpenRead(p string) (vfs.File, error) { return s.wrap(s.FS.OpenRead(p)) }
func (s *slowFS) Create(p string) (vfs.File, error)   { return s.wrap(s.FS.Create(p)) }
func (f *slowFile) ReadAt(b []byte, off int64) (int, error) {
	n, err := f.File.ReadAt(b, off)
	if f.s.after != nil {
		f.s.after(off, len(b))
	}
	return n, err
}

// A reader loads the block in which the log ended when it was opened, and is held up while the writer fills it.
func TestStaleBlock(t *testing.T) {
	sfs := &slowFS{FS: vfs.NewMem()}
	l := newTestLogWith(t, sfs, 1, func(o *Options) { o.SegmentBytes = 16 << 20 })
	l.fill(20, 4<<10)
	l.close()
	l.open()
	read, goOn := make(chan struct{}), make(chan struct{})
	var once sync.Once
	sfs.after = func(off int64, n int) {
		if n == cacheBlockBytes && off == 0 {
			once.Do(func() { close(read); <-goOn })
		}
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := uint64(1); i <= 20; i++ {
			if err := l.GetLog(i, new(raft.Log)); err != nil {
				t.Error(err)
			}
		}
	}()
	select {
	case <-read:
	case <-time.After(5 * time.Second):
		t.Fatal("no block was loaded")
	}
	for range 60 {
		l.fill(16, 4<<10)
	}
	if l.j.tail.blocks[0] != nil {
		t.Fatal("the block is still in memory")
	}
	close(goOn)
	<-done
	sfs.after = nil
	for i := uint64(1); i <= l.model.Last(); i++ {
		if err := l.GetLog(i, new(raft.Log)); err != nil {
			t.Fatalf("GetLog(%d): %v", i, err)
		}
	}
}
