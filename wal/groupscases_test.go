package wal

import (
	"errors"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/engine"
	"github.com/raft-ballast/ballast/internal/oracle"
	"github.com/raft-ballast/ballast/internal/vfs"
)

// TestUnfinishedGroups: what a migration has begun opens in no way.
func TestUnfinishedGroups(t *testing.T) {
	dir := dataDir + engine.UnfinishedSuffix
	opts := memOptions(vfs.NewMem())
	for name, open := range map[string]func() error{
		"OpenGroups":         func() error { gs, err := OpenGroups(dir, opts); return closed(gs, err) },
		"OpenGroupsReadOnly": func() error { gs, err := OpenGroupsReadOnly(dir, opts); return closed(gs, err) },
		"Open":               func() error { _, err := Open(dir, opts); return err },
		"OpenReadOnly":       func() error { _, err := OpenReadOnly(dir, opts); return err },
	} {
		if err := open(); !errors.Is(err, ballast.ErrUnfinished) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func closed(gs *Groups, err error) error {
	if err != nil {
		return err
	}
	return gs.Close()
}

// TestDropWhileClosing: Close waits for a call of a group, and somebody drops that group. The call was first, and what it has stored is
// there.
func TestDropWhileClosing(t *testing.T) {
	w := newSlowWrites()
	l := newTestGroups(t, w.mem, nil)
	l.append(1, 5, 10)
	s := l.store(1)
	w.path = l.j.tail.path
	holding, release := make(chan struct{}), make(chan struct{})
	w.hold = func() { close(holding); <-release }
	var calls sync.WaitGroup
	calls.Go(func() { l.append(1, 1, 10) })
	<-holding
	calls.Go(func() { must(t, l.Groups.Close()) })
	for !s.closed.Load() {
		runtime.Gosched()
	}
	dropped := make(chan error, 1)
	calls.Go(func() { dropped <- l.Drop(1) })
	for waits := 0; waits == 0 && len(dropped) == 0; runtime.Gosched() {
		l.j.queue.mu.Lock()
		waits = len(l.j.queue.waiting)
		l.j.queue.mu.Unlock()
	}
	close(release)
	calls.Wait()
	if err := <-dropped; err != ballast.ErrClosed {
		t.Errorf("Drop returns %v", err)
	}
	l.open()
	l.check()
}

// TestBackupOfGroups copies a log of groups of which none is group 0, while it is open.
func TestBackupOfGroups(t *testing.T) {
	mem := vfs.NewMem()
	l := newTestGroups(t, mem, nil)
	for id := range uint64(3) {
		l.append(7+id, 10, 50<<10)
	}
	l.do(8, oracle.Call{Key: "CurrentTerm", Value: []byte("1")})
	info, err := Backup(t.Context(), dataDir, copyDir, &BackupOptions{fs: mem})
	must(t, err)
	if info.Groups != 3 || info.Entries != 30 || info.LastIndex != 0 {
		t.Errorf("the copy: %+v", info)
	}
	gs, err := OpenGroups(copyDir, memOptions(mem))
	must(t, err)
	if err := checkGroups(gs, make(map[uint64]*Store), l.models); err != nil {
		t.Error(err)
	}
	must(t, gs.Close())
	must(t, Compact(copyDir, memOptions(mem)))
	gs, err = OpenGroups(copyDir, memOptions(mem))
	must(t, err)
	if err := checkGroups(gs, make(map[uint64]*Store), l.models); err != nil {
		t.Errorf("behind Compact: %v", err)
	}
	must(t, gs.Close())
}

// TestSalvageOfGroups: a log of several groups is refused, also when all of one group lies behind what is missing.
func TestSalvageOfGroups(t *testing.T) {
	mem := vfs.NewMem()
	l := newTestGroups(t, mem, nil)
	l.append(0, 3, 100)
	l.append(0, 1, 100)
	lost := l.j.writer.start
	l.append(5, 1, 100)
	mem.Flip(l.j.tail.path, lost+9, 1)
	if s, err := Salvage(dataDir, memOptions(mem)); err == nil {
		t.Errorf("entries of group 5 are passed over: %+v", s)
	}
}

// TestSalvageBehindDrop: what was before the missing calls is there though the group was dropped behind them, and so are no stable values
// but those that were set since.
func TestSalvageBehindDrop(t *testing.T) {
	mem := vfs.NewMem()
	l := newTestGroups(t, mem, nil)
	l.append(0, 3, 100)
	l.do(0, oracle.Call{Key: "CurrentTerm", Value: []byte("1")})
	l.do(0, oracle.Call{Key: "LastVoteTerm", Value: []byte("1")})
	l.append(0, 1, 100)
	lost := l.j.writer.start
	l.drop(0)
	l.do(0, oracle.Call{Key: "CurrentTerm", Value: []byte("2")})
	l.append(0, 2, 100)
	mem.Flip(l.j.tail.path, lost+9, 1)
	s, err := Salvage(dataDir, memOptions(mem))
	must(t, err)
	defer s.Close()
	first, err := entriesOf(s.Log)
	must(t, err)
	later, err := entriesOf(s.Later)
	must(t, err)
	if len(first) != 3 || len(later) != 2 {
		t.Errorf("%d entries, and %d behind what is missing", len(first), len(later))
	}
	if len(s.Stable) != 1 || string(s.Stable["CurrentTerm"]) != "2" || len(s.Stale) != 0 {
		t.Errorf("the stable values are %q, of which %q may be stale", s.Stable, s.Stale)
	}
}

// lagging makes a log of two groups of which one lags, so that its entries move with the next call that is worth it.
func lagging(t *testing.T, mem *vfs.Mem) *testGroups {
	t.Helper()
	l := newTestGroups(t, mem, eagerly)
	for range 4 {
		l.append(1, 1, 100)
		l.append(2, 16, 32<<10)
	}
	return l
}

// TestMovesAreNoCalls: nobody called what moves, and what moves is read as before, also from a log that was opened before.
func TestMovesAreNoCalls(t *testing.T) {
	mem := vfs.NewMem()
	l := lagging(t, mem)
	reader, err := OpenGroupsReadOnly(dataDir, memOptions(mem))
	must(t, err)
	defer reader.Close()
	old, err := reader.Store(1)
	must(t, err)
	before := l.store(1).Stats()
	for range 8 {
		l.do(2, oracle.Call{Low: 1, High: l.model(2).Last()})
		l.append(2, 16, 32<<10)
	}
	st := l.store(1).Stats()
	if st.Moved == 0 || st.Calls-before.Calls != 16 {
		t.Errorf("%d entries moved, and of 16 calls there are %d", st.Moved, st.Calls-before.Calls)
	}
	l.check()
	if path := segmentPath(dataDir, 1); l.j.segments[0].path == path {
		t.Fatalf("%s is still part of the log", path)
	}
	for index := range uint64(4) {
		if err := old.GetLog(1+index, new(raft.Log)); err != nil {
			t.Errorf("GetLog(%d) of a log that was opened before: %v", 1+index, err)
		}
	}
}

// TestFairness: one group writes huge batches, one behind the other, and whoever else comes meanwhile waits for one of them at most.
func TestFairness(t *testing.T) {
	const others = 20
	w := newSlowWrites()
	l := newTestGroups(t, w.mem, func(o *Options) { o.SegmentBytes = 128 << 20 })
	l.append(0, 1, 10)
	w.path = l.j.tail.path
	huge := func(index uint64) []*raft.Log {
		return []*raft.Log{oracle.EntryOf(index, make([]byte, maxGroupBytes+1))}
	}
	for id := range uint64(others + 2) {
		l.store(id)
	}
	var calls sync.WaitGroup
	call := func(id uint64, logs []*raft.Log) {
		calls.Go(func() {
			if err := l.opened[id].StoreLogs(logs); err != nil {
				t.Error(err)
			}
		})
	}
	w.hold = func() { // the first huge one is being written
		for id := range uint64(3) { // three more, of groups 0 to 2, are first in the queue
			call(id, huge(100+id))
			untilWaiting(l.opened[0], int(id)+1)
		}
		for id := range uint64(others - 1) {
			call(3+id, oracle.Entries(oracle.Random(id), 1, 1, 100))
		}
		untilWaiting(l.opened[0], 3+others-1)
	}
	call(0, huge(2))
	calls.Wait()
	frames := slices.DeleteFunc(w.lens, func(n int64) bool { return n == smallStep || n == largeStep }) // of zeros ahead
	if len(frames) != 5 {
		t.Fatalf("%d frames, of %d bytes", len(frames), frames)
	}
	if frames[0] <= maxGroupBytes || frames[1] > maxGroupBytes {
		t.Errorf("frames of %d bytes: those who wait should come behind the first huge one, all at once", frames)
	}
}

// TestGroupsStats: those that pin the most are named, the largest first.
func TestGroupsStats(t *testing.T) {
	l := newTestGroups(t, vfs.NewMem(), nil)
	for id := range uint64(12) {
		l.append(1+id, 1, 100)
	}
	for range 2 { // more than a segment each
		l.append(20, 40, 32<<10)
		l.append(5, 1, 100)
	}
	l.append(30, 1, 100)
	l.do(30, oracle.Call{Low: 1, High: 1}) // has nothing now
	st := l.Groups.Stats()
	tail := l.j.tail
	if st.Groups != 13 || st.Entries != 12+2*41 || st.FirstIndex != 0 || len(st.Pinning) != maxPinning {
		t.Errorf("%+v", st)
	}
	for i, p := range st.Pinning {
		want := int64(0)
		for _, seg := range l.j.segments {
			if seg != tail && slices.ContainsFunc(l.j.groups[p.ID].runs, func(r run) bool { return r.seg == seg }) {
				want += seg.size
			}
		}
		if p.Bytes != want || p.FirstIndex != 1 || p.Entries != uint64(len(l.model(p.ID).Logs)) {
			t.Errorf("group %d pins %+v, should be %d bytes", p.ID, p, want)
		}
		if i > 0 && p.Bytes > st.Pinning[i-1].Bytes {
			t.Errorf("the largest is not first: %+v", st.Pinning)
		}
	}
	if st.Pinning[0].ID != 5 && st.Pinning[0].ID != 20 {
		t.Errorf("group %d pins the most", st.Pinning[0].ID)
	}
	must(t, l.Groups.Close())
	if st := l.Groups.Stats(); st.Groups != 0 || st.Pinning != nil {
		t.Errorf("behind Close: %+v", st)
	}
}

// TestDropsShareASync: groups that are dropped at once cost one sync, and while that is under way other groups can be had, but not those.
func TestDropsShareASync(t *testing.T) {
	w := newSlowWrites()
	l := newTestGroups(t, w.mem, nil)
	for id := range uint64(6) {
		l.append(id, 1, 10)
	}
	w.path = l.j.tail.path
	s := l.store(0)
	var calls sync.WaitGroup
	var again atomic.Bool
	w.hold = func() {
		for id := range uint64(4) {
			calls.Go(func() { must(t, l.Drop(1+id)) })
		}
		untilWaiting(s, 4)
		if _, err := l.Store(99); err != nil {
			t.Error(err)
		}
		calls.Go(func() {
			s, err := l.Store(1)
			again.Store(true)
			if err != nil || s.Stats().Entries != 0 {
				t.Errorf("Store of a group that is being dropped: %v", err)
			}
		})
		runtime.Gosched()
		if again.Load() {
			t.Error("a group that is being dropped can be had")
		}
	}
	before := l.Stats().Frames
	must(t, s.Set([]byte("k"), nil))
	calls.Wait()
	if n := l.Stats().Frames - before; n != 2 {
		t.Errorf("a call and four drops behind it are %d frames", n)
	}
	if ids := l.IDs(); !slices.Equal(ids, []uint64{0, 5}) {
		t.Errorf("there are groups %v", ids)
	}
}
