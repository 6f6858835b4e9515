package wal

import (
	"errors"
	"testing"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/oracle"
	"github.com/raft-ballast/ballast/internal/vfs"
)

// TestWhatHasNoIndexStays: the index of a segment is written of what the log refers to. Would entries move out of one that is still to get its index,
// that could be written without them before the checkpoint is durable that says where they are.
func TestWhatHasNoIndexStays(t *testing.T) {
	mem := vfs.NewMem()
	l := newTestGroups(t, mem, func(o *Options) { o.garbage = 1 << 40 })
	l.append(1, 5, 100)
	l.j.opts.asleep = func() bool { return true } // the keeper is late
	l.rotate()
	l.do(9, oracle.Call{Low: 1, High: l.model(9).Last() - 1})
	l.j.opts.garbage = 1
	if seg := l.j.reclaimer.choose(); seg != nil {
		t.Errorf("segment %d is chosen, which has no index yet", seg.number)
	}
	for done := true; done; {
		var err error
		done, err = l.j.keeper.clean()
		must(t, err)
	}
	if l.j.reclaimer.choose() == nil {
		t.Error("no segment is chosen")
	}
	l.j.opts.asleep = nil
}

// TestNumberOfAMissingFile: the file of a moved segment is missing. What moves next, which is whole, must not be lost with it.
func TestNumberOfAMissingFile(t *testing.T) {
	mem := vfs.NewMem()
	l, rc := noted(t, mem) // groups 1 to 4 in segment 1
	moveAll(t, rc)
	l.rotate() // they are in the first moved segment now
	l.append(5, 5, 100)
	l.rotate()
	must(t, l.Groups.Close())
	must(t, mem.Remove(movedFiles(mem)[0])) // somebody lost it: groups 1 to 4 are damaged, and told so
	for id := range uint64(4) {
		delete(l.models, 1+id)
	}
	delete(l.models, 9) // half of it was moved too
	l.open()
	rc = &l.j.reclaimer
	must(t, check(l.models[5], l.store(5)))
	seg := l.j.groups[5].runs[0].seg
	must(t, rc.take(seg))
	// group 5 alone is enough
	kept := rc.list[:0]
	for _, e := range rc.list {
		if e.group.id == 5 {
			kept = append(kept, e)
		}
	}
	rc.list = kept
	moveAll(t, rc)
	for tail := l.j.tail; l.j.tail == tail; {
		l.append(8, 4, 32<<10)
	}
	if err := check(l.models[5], l.store(5)); err != nil {
		t.Errorf("group 5 behind the move: %v", err)
	}
	must(t, l.Groups.Close())
	l.open()
	if _, err := oracle.Read(l.store(5)); err != nil {
		t.Errorf("group 5, which was never damaged, when the log is opened again: %v", err)
	}
}

// TestDensityOfWhatIsStale: most of what was moved is deleted before the rotation. What is left of the moved segment looks full.
func TestDensityOfWhatIsStale(t *testing.T) {
	mem := vfs.NewMem()
	l := newTestGroups(t, mem, func(o *Options) { o.garbage = 1 << 16 })
	rc := &l.j.reclaimer
	rc.j.opts.garbage = 1 << 40
	l.append(1, 12, 32<<10)
	l.rotate()
	must(t, rc.take(l.j.segments[0]))
	moveAll(t, rc)
	l.do(1, oracle.Call{Low: 1, High: 11}) // one is left, 32 KiB of nearly 400
	l.do(9, oracle.Call{Low: 1, High: l.model(9).Last() - 1})
	l.rotate()
	rc.mover.full()
	l.rotate()
	seg := l.j.segments[0]
	if !isMoved(seg.number) || seg.filling {
		t.Fatal("not moved")
	}
	t.Logf("live %d of stored %d, liveBytes %d of end %d, density %v", seg.live, seg.stored, seg.liveBytes(), seg.end, seg.density())
	if seg.density() >= 0.5 {
		t.Error("a segment of which an eighth is live is taken for one that is full, so it stays as it is for ever")
	}
}

// TestForgedLink: the first frame says that the log comes from a moved segment, which the checkpoint names. It is sealed twice.
func TestForgedLink(t *testing.T) {
	mem := vfs.NewMem()
	l, rc := noted(t, mem)
	moveAll(t, rc)
	l.rotate()
	tail := l.j.tail
	l.j.gate.Close()
	l.j.closed = true
	l.j.handles.closeAll()
	must(t, errors.Join(l.j.lock.Close(), l.j.held.Close()))
	data := append([]byte{}, mem.ReadFile(tail.path)...)
	h, _ := parseFrameHeader(data[framesOffset:], tail.seed, framesOffset, tail.size)
	var forged []record
	must(t, walk(data[framesOffset:][:h.length], h, tail.seed, framesOffset, func(r *record, _ int64, _ bool) error {
		if r.kind == recordLink {
			r.a = maxSegment + 1
		}
		if r.kind != recordEntry {
			forged = append(forged, *r)
		}
		return nil
	}))
	fresh := make([]byte, len(data))
	copy(fresh, data[:framesOffset])
	copy(fresh[framesOffset:], encodeFrame(forged, h.sequence, tail.seed, framesOffset))
	mem.WriteFile(tail.path, fresh)
	if _, err := OpenGroups(dataDir, memOptions(mem)); !errors.Is(err, ballast.ErrCorrupt) {
		t.Errorf("OpenGroups returns %v", err)
	}
}

// TestListedBeforeItWasThere: whoever reads a log that is written lists its files, then the owner makes a moved segment and goes on in the
// prepared one, whose checkpoint names it. It is there, and said to be missing.
func TestListedBeforeItWasThere(t *testing.T) {
	mem := vfs.NewMem()
	l, rc := noted(t, mem)
	rec := &recovery{fs: mem, dir: dataDir, groups: make(map[uint64]*group), segments: make(map[uint64]*segment)}
	numbers, err := rec.list() // the steps of recoverLog
	must(t, err)
	moveAll(t, rc)
	l.rotate()
	ofLog, err := rec.ofLog(numbers)
	must(t, err)
	must(t, rec.findTail(ofLog))
	defer rec.closeFiles()
	must(t, rec.load())
	rec.finish(numbers)
	for _, seg := range rec.order {
		if seg.bad != nil {
			t.Errorf("Segments of a read-only store, and `ballast segments` with exit code 2, say of a whole log: %v", seg.bad)
		}
	}
}

// TestMovedSegmentsOfManyOpenings: each opening begins a moved segment, and those of before are never put together.
func TestMovedSegmentsOfManyOpenings(t *testing.T) {
	mem := vfs.NewMem()
	l := newTestGroups(t, mem, func(o *Options) { o.garbage = 1 << 16 })
	for range 20 {
		l.append(1, 1, 100)
		for range 4 {
			l.append(2, 16, 32<<10)
			l.do(2, oracle.Call{Low: 1, High: l.model(2).Last() - 1})
		}
		l.reopen()
	}
	st := l.Stats()
	t.Logf("%d files of moved entries, %d bytes live, %d on the disk", len(movedFiles(mem)), st.LiveBytes, st.DiskBytes)
	if n := len(movedFiles(mem)); n > 5 {
		t.Errorf("%d files for 20 entries of 100 bytes", n)
	}
}

// TestSalvageOfAnOlderVersion: the newest checkpoint is damaged. The one before says that entry 5 is in a moved segment, in which a later version of
// it lies behind that, and a moved entry of a segment that is gone behind that one.
func TestSalvageOfAnOlderVersion(t *testing.T) {
	for _, closed := range []bool{false, true} {
		mem := vfs.NewMem()
		l := newTestLogWith(t, mem, 1, func(o *Options) { o.garbage = 1 << 40 })
		rc := &l.j.reclaimer
		move := func(number uint64) {
			for _, seg := range l.j.segments {
				if seg.number == number {
					must(t, rc.take(seg))
					moveAll(t, rc)
					return
				}
			}
			t.Fatalf("no segment %d", number)
		}
		l.fill(5, 100) // 1 to 5 in segment 1
		l.rotate()
		l.remove(6, 1<<40)
		l.fill(1, 100) // 6 in segment 2
		l.rotate()
		l.remove(7, 1<<40)
		move(1)
		l.rotate() // segment 4: its checkpoint has 1 to 5 in the moved segment
		l.remove(7, 1<<40)
		l.fill(1, 100) // 7 in segment 4
		want := l.model.Clone()
		l.rotate()
		l.remove(8, 1<<40)
		second := oracle.Entries(oracle.Random(4711), 5, 1, 60)
		must(t, l.StoreLogs(second)) // 5 once more, in segment 5
		l.model.Put(second, 0)
		l.rotate()
		l.remove(8, 1<<40)
		move(5)
		move(2)
		l.rotate() // segment 7
		l.remove(8, 1<<40)
		l.check()
		t.Log(mem.Files())
		tail := l.j.tail.path
		if closed {
			must(t, l.Close())
			patch(t, mem, tail, markerOffset, make([]byte, markerBytes))
		}
		mem.Flip(tail, framesOffset+9, 1)
		s, err := Salvage(dataDir, memOptions(mem))
		must(t, err)
		got, err := oracle.Read(s.Log)
		t.Log(err, s.Missing())
		if err == nil {
			for index := range uint64(7) {
				if d := string(want.Logs[1+index].Data); d != string(got.Logs[1+index].Data) {
					t.Errorf("closed %v: entry %d of Log is another than it was before what is missing (it is the later one: %v)", closed, 1+index,
						string(got.Logs[1+index].Data) == string(second[0].Data))
				}
			}
		}
		must(t, s.Close())
	}
}

// TestIndexOfManyGroups: a moved segment that is filled with single entries of many groups has no room for its index.
func TestIndexOfManyGroups(t *testing.T) {
	mem := vfs.NewMem()
	l := newTestGroups(t, mem, func(o *Options) { o.garbage = 1 << 40 })
	rc := &l.j.reclaimer
	for id := uint64(0); l.j.reclaimer.mover.last < maxSegment+2; id++ {
		if l.j.mu.RLock(); len(l.j.segments) > 1 {
			l.j.mu.RUnlock()
			for _, seg := range l.j.segments {
				if seg != l.j.tail && !isMoved(seg.number) && seg.live > 0 && !rc.mover.taken[seg] {
					must(t, rc.take(seg))
					moveAll(t, rc)
				}
			}
		} else {
			l.j.mu.RUnlock()
		}
		l.append(1000+id, 1, 350)
	}
	l.rotate()
	must(t, l.Groups.Close())
	seg, f, m, err := openSegment(mem, dataDir, maxSegment+1, false)
	must(t, err)
	defer f.Close()
	t.Logf("end %d of %d", m.end, seg.size)
	if m.state != markerSealed || m.indexLength == 0 {
		t.Errorf("it has no index: %+v", m)
	}
}

// TestSourcesStayUntilTheCheckpointIsDurable: while the frame is written that says where entries are now, the keeper removes all that it may, and the
// power is cut. What they were moved from is still there.
func TestSourcesStayUntilTheCheckpointIsDurable(t *testing.T) {
	mem := vfs.NewMem()
	l, rc := noted(t, mem)
	moveAll(t, rc)
	l.do(9, oracle.Call{Low: 1, High: l.model(9).Last()}) // the rest of segment 1
	tail := l.j.tail
	var left *vfs.Mem
	busy := false
	mem.SetHook(func(c *vfs.Call) error {
		if busy || c.Op != vfs.OpWrite || c.Path != segmentPath(dataDir, tail.number+1) || c.Off != framesOffset {
			return nil
		}
		busy = true
		if l.j.groups[1].runs[0].seg.number != maxSegment+1 {
			t.Error("what was moved is not part of the log yet")
		}
		for done := true; done; {
			var err error
			done, err = l.j.keeper.clean()
			must(t, err)
		}
		left = c.Cut().Crash(1)
		return nil
	})
	models := make(map[uint64]*model)
	for id := range uint64(4) {
		models[1+id] = l.model(1 + id).Clone()
	}
	l.rotate()
	mem.SetHook(nil)
	if left == nil {
		t.Fatal("there was no such frame")
	}
	gs, err := OpenGroups(dataDir, memOptions(left))
	must(t, err)
	defer gs.Close()
	for id, m := range models {
		s, err := gs.Store(id)
		must(t, err)
		if err := check(m, s); err != nil {
			t.Errorf("group %d: %v", id, err)
		}
	}
}
