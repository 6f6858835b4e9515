package wal

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/oracle"
	"github.com/raft-ballast/ballast/internal/vfs"
)

// noted makes a log whose reclaimer does nothing by itself, and has it note the entries of the first segment: five of each of groups 1 to 4, and others.
func noted(t *testing.T, mem *vfs.Mem) (*testGroups, *reclaimer) {
	t.Helper()
	l := newTestGroups(t, mem, func(o *Options) { o.garbage = 1 << 40 })
	for id := range uint64(4) {
		l.append(1+id, 5, 100)
	}
	l.rotate()
	must(t, l.j.reclaimer.take(l.j.segments[0]))
	return l, &l.j.reclaimer
}

// rotate has group 9 append until the log goes on in the next segment.
func (l *testGroups) rotate() {
	l.t.Helper()
	for tail := l.j.tail; l.j.tail == tail; {
		l.append(9, 4, 32<<10)
	}
}

// moveAll moves what is noted.
func moveAll(t *testing.T, rc *reclaimer) {
	t.Helper()
	for len(rc.list) > 0 {
		must(t, rc.moveSome())
	}
	if rc.movedEntries.Load() == 0 {
		t.Fatal("nothing was moved")
	}
}

// crashes checks the log, and what a crash leaves of it.
func (l *testGroups) crashes(mem *vfs.Mem) {
	l.t.Helper()
	l.check()
	crashed := newTestGroups(l.t, mem.Crash(1), nil)
	crashed.models = l.models
	crashed.check()
	crashed.reopen()
}

func movedFiles(mem *vfs.Mem) (list []string) {
	for _, path := range mem.Files() {
		if strings.HasPrefix(path, dataDir+"/0001") {
			list = append(list, path)
		}
	}
	return list
}

// stale changes entries that were noted.
var stale = []func(l *testGroups){
	func(l *testGroups) { l.do(1, oracle.Call{Low: 1, High: 3}) },
	func(l *testGroups) { l.do(2, oracle.Call{Logs: oracle.Entries(oracle.Random(99), 2, 2, 50)}) },
	func(l *testGroups) { l.drop(3) },
	func(l *testGroups) { l.do(4, oracle.Call{Low: 2, High: 3}) },
}

// TestStaleMoves: what was deleted, stored again or dropped since the reclaimer has noted it, or since it was moved, does not come back.
func TestStaleMoves(t *testing.T) {
	for _, when := range []string{"before it moves", "before the rotation"} {
		t.Run(when, func(t *testing.T) {
			mem := vfs.NewMem()
			l, rc := noted(t, mem)
			if when == "before the rotation" {
				moveAll(t, rc)
			}
			for _, change := range stale {
				change(l)
			}
			l.append(3, 2, 70) // the id is used again
			moveAll(t, rc)
			l.crashes(mem)
			l.rotate()
			if l.j.segments[0].number != maxSegment+1 || l.j.segments[0].live == 0 {
				t.Errorf("the log does not refer to what was moved: %+v", l.j.segments[0].header)
			}
			l.crashes(mem)
			l.reopen()
		})
	}
}

// TestMovesInTheFrameOfChanges: the log refers to what was moved from the frame on in which it is deleted, stored again or dropped.
func TestMovesInTheFrameOfChanges(t *testing.T) {
	for i, change := range stale {
		w := newSlowWrites()
		l, rc := noted(t, w.mem)
		moveAll(t, rc)
		w.path = l.j.tail.path
		s := l.store(9)
		large := oracle.Call{Logs: oracle.Entries(oracle.Random(1), l.model(9).Last()+1, 1, minSegmentBytes-64<<10)}
		var calls sync.WaitGroup
		w.hold = func() {
			calls.Go(func() { change(l) })
			untilWaiting(s, 1)
			calls.Go(func() { must(t, large.Do(s)) })
			untilWaiting(s, 2)
		}
		tail := l.j.tail
		must(t, s.Set([]byte("k"), nil))
		calls.Wait()
		if l.j.tail == tail || !isMoved(l.j.segments[0].number) {
			t.Error("the log does not refer to what was moved")
		}
		large.Apply(l.models[9])
		l.models[9].Stable["k"] = []byte{}
		if l.crashes(w.mem); t.Failed() {
			t.Fatalf("change %d", i)
		}
		l.reopen()
	}
}

// TestWhatNobodyRefersTo: a file of moved entries that the log does not refer to is removed when the log is opened.
func TestWhatNobodyRefersTo(t *testing.T) {
	mem := vfs.NewMem()
	l, rc := noted(t, mem)
	moveAll(t, rc)
	crashed := mem.Crash(1)
	if n := len(movedFiles(crashed)); n != 1 {
		t.Fatalf("there are %d files of moved entries", n)
	}
	again := newTestGroups(t, crashed, nil)
	again.models = l.models
	again.check()
	if files := movedFiles(crashed); files != nil {
		t.Errorf("%v are still there", files)
	}
	must(t, l.Groups.Close())
	if files := movedFiles(mem); files != nil {
		t.Errorf("%v are still there when the log is closed", files)
	}
}

// TestMovedSegmentHasAnIndex: one that is full has its index, one that the log was closed with too, and one that a crash has interrupted gets it.
func TestMovedSegmentHasAnIndex(t *testing.T) {
	mem := vfs.NewMem()
	l, rc := noted(t, mem)
	moveAll(t, rc)
	l.rotate()
	crashed := mem.Crash(1)
	must(t, newTestGroups(t, crashed, nil).Groups.Close())
	must(t, l.Groups.Close())
	for name, mem := range map[string]*vfs.Mem{"closed": mem, "crashed": crashed} {
		seg, f, m, err := openSegment(mem, dataDir, maxSegment+1, false)
		must(t, err)
		if runs := readIndex(&reader{seg: seg, f: f}, m); m.state != markerSealed || len(runs) != 5 {
			t.Errorf("%s: the marker is %+v, the index has %d runs", name, m, len(runs))
		}
		must(t, f.Close())
	}
}

// TestLogOfMovedEntriesAlone: without its segments a log is damaged, and not a new one.
func TestLogOfMovedEntriesAlone(t *testing.T) {
	mem := vfs.NewMem()
	l, rc := noted(t, mem)
	moveAll(t, rc)
	l.rotate()
	must(t, l.Groups.Close())
	for _, path := range mem.Files() {
		if !slices.Contains(movedFiles(mem), path) {
			must(t, mem.Remove(path))
		}
	}
	if _, err := OpenGroups(dataDir, memOptions(mem)); !errors.Is(err, ballast.ErrCorrupt) {
		t.Errorf("OpenGroups returns %v", err)
	}
}

// TestBackupOfMovedEntries copies a log while entries are being moved.
func TestBackupOfMovedEntries(t *testing.T) {
	mem := vfs.NewMem()
	l, rc := noted(t, mem)
	moveAll(t, rc)
	l.rotate()
	info, err := Backup(context.Background(), dataDir, "/copy", &BackupOptions{fs: mem})
	must(t, err)
	if info.Segments != len(l.j.segments) {
		t.Errorf("%d segments were copied, of %d", info.Segments, len(l.j.segments))
	}
	gs, err := OpenGroups("/copy", memOptions(mem))
	must(t, err)
	defer gs.Close()
	must(t, checkGroups(gs, make(map[uint64]*Store), l.models))
}

// TestDiskOfALaggard: what is kept for ever is moved about once, however long it is kept, and what lies on the disk is bounded by what is live.
func TestDiskOfALaggard(t *testing.T) {
	l := newTestGroups(t, vfs.NewMem(), func(o *Options) { o.garbage = 2 << 20 })
	kept := int64(0)
	for range 200 {
		l.append(1, 1, 16<<10)
		kept += 16 << 10
		for range 4 {
			l.append(2, 16, 8<<10)
			l.do(2, oracle.Call{Low: 1, High: l.model(2).Last() - 4})
		}
	}
	st := l.Stats()
	t.Logf("kept %d bytes of %d, moved %d; %d bytes live, %d on the disk", kept, st.FrameBytes, st.MovedBytes, st.LiveBytes, st.DiskBytes)
	if st.MovedBytes == 0 || st.MovedBytes > kept*3/2 {
		t.Errorf("%d bytes were moved for %d that are kept", st.MovedBytes, kept)
	}
	if most := 2*max(st.LiveBytes, 2<<20) + 5*minSegmentBytes; st.DiskBytes > most {
		t.Errorf("%d bytes are on the disk, at most %d should be", st.DiskBytes, most)
	}
	l.check()
	l.reopen()
}

// TestFaultOfAMove: a write of moved entries that fails stops the moves, and nothing else, until it
// succeeds.
func TestFaultOfAMove(t *testing.T) {
	for _, fault := range []error{syscall.EIO, syscall.ENOSPC} {
		t.Run(fmt.Sprint(fault), func(t *testing.T) {
			mem := vfs.NewMem()
			l := newTestGroups(t, mem, eagerly)
			var failing bool
			mem.SetHook(func(c *vfs.Call) error {
				if failing && c.Op == vfs.OpWrite && strings.HasPrefix(c.Path, dataDir+"/0001") {
					return fault
				}
				return nil
			})
			failing = true
			fill := func() {
				for range 8 {
					l.append(1, 1, 100)
					l.do(2, oracle.Call{Low: 1, High: l.model(2).Last()})
					l.append(2, 16, 32<<10)
				}
			}
			l.append(2, 1, 1)
			fill()
			if n := l.j.reclaimer.movedEntries.Load(); n != 0 {
				t.Fatalf("%d entries moved", n)
			}
			failing = false
			fill()
			if l.j.reclaimer.movedEntries.Load() == 0 {
				t.Error("no entries are moved behind the fault")
			}
			l.crashes(mem)
			l.reopen()
			fill()
			if l.j.reclaimer.movedEntries.Load() == 0 {
				t.Error("no entries are moved when the log is opened again")
			}
			l.check()
		})
	}
}

// TestSalvageOfMovedEntries: the checkpoint that says where entries were moved to is damaged, and the segment that they were in is gone.
func TestSalvageOfMovedEntries(t *testing.T) {
	mem := vfs.NewMem()
	l := newTestLog(t, mem, 1)
	l.fill(5, 100)
	l.rotate()
	must(t, l.DeleteRange(6, 1<<40))
	must(t, l.j.reclaimer.take(l.j.segments[0]))
	moveAll(t, &l.j.reclaimer)
	l.rotate()
	if seg := l.j.segments[0]; !isMoved(seg.number) || seg.live != 5 || slices.Contains(mem.Files(), segmentPath(dataDir, 1)) {
		t.Fatalf("nothing was moved: %+v", seg.header)
	}
	must(t, l.Close())
	mem.Flip(l.j.tail.path, framesOffset+100, 1)
	if path := movedFiles(mem); len(path) != 1 {
		t.Fatalf("there are %v", path)
	}
	for _, headless := range []bool{false, true} {
		if headless {
			mem.Flip(movedFiles(mem)[0], 24, 1)
		}
		s, err := Salvage(dataDir, memOptions(mem))
		must(t, err)
		for index := range uint64(5) {
			if err := s.Log.GetLog(1+index, new(raft.Log)); err != nil {
				t.Errorf("GetLog(%d) of what was salvaged: %v", 1+index, err)
			}
		}
		must(t, s.Close())
	}
}
