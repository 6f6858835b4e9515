package wal

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/oracle"
	"github.com/raft-ballast/ballast/internal/vfs"
	"github.com/raft-ballast/ballast/storetest"
)

// testGroups is a log of several groups beside their models.
type testGroups struct {
	*Groups
	t      testing.TB
	fs     vfs.FS
	change func(*Options)
	models map[uint64]*model
	opened map[uint64]*Store
}

func newTestGroups(t testing.TB, fsys vfs.FS, change func(*Options)) *testGroups {
	t.Helper()
	l := &testGroups{t: t, fs: fsys, change: change, models: make(map[uint64]*model)}
	l.open()
	return l
}

func (l *testGroups) options(fsys vfs.FS) *Options {
	opts := memOptions(fsys)
	if l.change != nil {
		l.change(opts)
	}
	return opts
}

func (l *testGroups) open() {
	l.t.Helper()
	var err error
	l.Groups, err = OpenGroups(dataDir, l.options(l.fs))
	must(l.t, err)
	l.opened = make(map[uint64]*Store)
	l.t.Cleanup(func() { _ = l.Groups.Close() })
}

// store returns the store of a group, and opens it the first time.
func (l *testGroups) store(id uint64) *Store {
	l.t.Helper()
	if l.opened[id] == nil {
		s, err := l.Store(id)
		must(l.t, err)
		l.opened[id] = s
	}
	return l.opened[id]
}

func (l *testGroups) model(id uint64) *model {
	if l.models[id] == nil {
		l.models[id] = oracle.NewModel()
	}
	return l.models[id]
}

// do makes a call on a group and on its model.
func (l *testGroups) do(id uint64, c oracle.Call) {
	l.t.Helper()
	must(l.t, c.Do(l.store(id)))
	c.Apply(l.model(id))
}

func (l *testGroups) append(id uint64, n, size int) {
	l.t.Helper()
	next := l.model(id).Last() + 1
	l.do(id, oracle.Call{Logs: oracle.Entries(oracle.Random(id<<32+next), next, n, size)})
}

func (l *testGroups) drop(id uint64) {
	l.t.Helper()
	must(l.t, l.Drop(id))
	delete(l.models, id)
	delete(l.opened, id)
}

func (l *testGroups) check() {
	l.t.Helper()
	if err := checkGroups(l.Groups, l.opened, l.models); err != nil {
		l.t.Error(err)
	}
}

func (l *testGroups) reopen() {
	l.t.Helper()
	must(l.t, l.Groups.Close())
	l.open()
	l.check()
}

// checkGroups returns how a log differs from the models of its groups. Those without a model have nothing.
func checkGroups(gs *Groups, opened map[uint64]*Store, models map[uint64]*model) error {
	for _, id := range gs.IDs() {
		if m := models[id]; m == nil || len(m.Logs) == 0 && len(m.Stable) == 0 {
			return fmt.Errorf("there is a group %d", id)
		}
	}
	for id, m := range models {
		s := opened[id]
		if s == nil {
			var err error
			if s, err = gs.Store(id); err != nil {
				return err
			}
			opened[id] = s
		}
		if err := check(m, s); err != nil {
			return fmt.Errorf("group %d: %w", id, err)
		}
	}
	return nil
}

func TestGroups(t *testing.T) {
	l := newTestGroups(t, vfs.NewMem(), nil)
	if ids := l.IDs(); ids != nil {
		t.Errorf("a new log has groups %v", ids)
	}
	for _, id := range []uint64{0, 7, 1 << 63, 1<<64 - 1} {
		l.append(id, 10, 100)
		l.do(id, oracle.Call{Key: "CurrentTerm", Value: []byte{byte(id)}})
	}
	l.store(99) // nothing was written to it
	if ids, want := l.IDs(), []uint64{0, 7, 1 << 63, 1<<64 - 1}; !slices.Equal(ids, want) {
		t.Errorf("the groups are %v, not %v", ids, want)
	}
	if s, err := l.Store(7); !errors.Is(err, ballast.ErrLocked) {
		t.Errorf("a group that is open has a second store: %v, %v", s, err)
	}
	l.do(7, oracle.Call{Low: 3, High: 5})
	l.do(0, oracle.Call{Low: 1, High: 10})
	l.check()
	l.reopen()
}

// TestGroupClosed closes one group of several and has it again.
func TestGroupClosed(t *testing.T) {
	l := newTestGroups(t, vfs.NewMem(), nil)
	l.append(1, 5, 10)
	l.append(2, 5, 10)
	s := l.store(1)
	must(t, s.Close())
	must(t, s.Close())
	for what, err := range map[string]error{
		"GetLog": s.GetLog(1, new(raft.Log)), "StoreLog": s.StoreLog(oracle.EntryOf(6, nil)), "Set": s.Set([]byte("k"), nil),
		"DeleteRange": s.DeleteRange(1, 2), "DeleteKey": s.DeleteKey([]byte("k")),
	} {
		if err != ballast.ErrClosed {
			t.Errorf("%s of a closed group returns %v", what, err)
		}
	}
	delete(l.opened, 1)
	l.append(1, 5, 10)
	l.append(2, 5, 10)
	l.check()
	two := l.store(2)
	must(t, l.Groups.Close())
	must(t, l.Groups.Close())
	if err := two.GetLog(1, new(raft.Log)); err != ballast.ErrClosed {
		t.Errorf("GetLog behind Close of the log returns %v", err)
	}
	if _, err := l.Store(2); err != ballast.ErrClosed {
		t.Errorf("Store behind Close returns %v", err)
	}
	if err := l.Drop(2); err != ballast.ErrClosed {
		t.Errorf("Drop behind Close returns %v", err)
	}
	if l.IDs() != nil {
		t.Error("there are groups behind Close")
	}
	l.open()
	l.check()
}

// TestDrop drops groups and uses their ids again, with reopening in between and after a kill.
func TestDrop(t *testing.T) {
	mem := vfs.NewMem()
	l := newTestGroups(t, mem, nil)
	for id := range uint64(4) {
		l.append(id, 20, 1000)
		l.do(id, oracle.Call{Key: "LastVoteCand", Value: []byte("somebody")})
		must(t, l.store(id).StageCommitIndex(7))
		l.append(id, 1, 1)
		l.models[id].Commit = 7
	}
	held := l.store(2)
	l.drop(2)
	if err := held.StoreLog(oracle.EntryOf(1, nil)); err != ballast.ErrClosed {
		t.Errorf("a store of a group that was dropped returns %v", err)
	}
	l.drop(2)
	l.drop(1000)
	l.check()
	if s := l.store(2); check(oracle.NewModel(), s) != nil {
		t.Errorf("what was dropped is there again: %v", check(oracle.NewModel(), s))
	}
	crashed := newTestGroups(t, mem.Crash(1), nil)
	crashed.models = l.models
	crashed.check()
	l.append(2, 3, 10)
	crashed = newTestGroups(t, mem.Crash(2), nil)
	crashed.models = l.models
	crashed.check()
	l.reopen()
	l.drop(3)
	l.reopen()
	if ids := l.IDs(); !slices.Equal(ids, []uint64{0, 1, 2}) {
		t.Errorf("the groups are %v", ids)
	}
}

// TestDropRefused keeps a group whose deletion could not be written.
func TestDropRefused(t *testing.T) {
	mem := vfs.NewMem()
	l := newTestGroups(t, mem, nil)
	l.append(1, 5, 10)
	l.append(2, 5, 10)
	failOnce(mem, vfs.OpWrite, errors.New("no more"))
	if err := l.Drop(1); err == nil {
		t.Error("a deletion that was not written is no error")
	}
	if err := l.Drop(2); err == nil {
		t.Error("a log that has failed drops a group")
	}
	clear(l.opened) // they are closed, and the groups are there
	l.check()
	must(t, l.Groups.Close())
	gs, err := OpenGroupsReadOnly(dataDir, memOptions(mem))
	must(t, err)
	defer gs.Close()
	if err := gs.Drop(2); err != ballast.ErrReadOnly {
		t.Errorf("a log for reading drops a group: %v", err)
	}
}

// TestOneGroup opens the log of one peer as groups, and the other way round. The log of many is not that of one.
func TestOneGroup(t *testing.T) {
	mem := vfs.NewMem()
	one := newTestLog(t, mem, 1)
	one.fill(10, 100)
	must(t, one.Set([]byte("CurrentTerm"), []byte("3")))
	one.model.Stable["CurrentTerm"] = []byte("3")
	must(t, one.Close())
	l := newTestGroups(t, mem, nil)
	l.models[0] = one.model
	l.check()
	l.append(0, 10, 100)
	must(t, l.Groups.Close())
	one.open()
	one.check()
	must(t, one.Close())
	l.open()
	l.append(5, 1, 1)
	must(t, l.Groups.Close())
	refused := func(why string) {
		for _, open := range []func(string, *Options) (*Store, error){Open, OpenReadOnly} {
			if s, err := open(dataDir, memOptions(mem)); !errors.Is(err, ballast.ErrForeign) {
				t.Errorf("%s is opened as that of one peer: %v, %v", why, s, err)
			}
		}
	}
	refused("the log of groups 0 and 5")
	l.open()
	l.drop(0)
	must(t, l.Groups.Close())
	refused("the log of group 5")
	l.open() // nothing is locked
	l.check()
}

// TestGroupsContract runs the suite on one group while 63 others are busy.
func TestGroupsContract(t *testing.T) {
	gs, err := OpenGroups(t.TempDir(), &Options{SegmentBytes: minSegmentBytes, garbage: minSegmentBytes})
	must(t, err)
	stop, neighbours := make(chan struct{}), sync.WaitGroup{}
	for id := range uint64(63) {
		s, err := gs.Store(id + 1)
		must(t, err)
		neighbours.Go(func() { beBusy(t, s, id, stop) })
	}
	var mu sync.Mutex
	ids := make(map[string]uint64) // of the suite's folders
	storetest.Run(t, func(t *testing.T, dir string) (storetest.Store, error) {
		mu.Lock()
		if ids[dir] == 0 {
			ids[dir] = 1000 + uint64(len(ids))
		}
		id := ids[dir]
		mu.Unlock()
		return gs.Store(id)
	})
	close(stop)
	neighbours.Wait()
	st := gs.Stats()
	if t.Logf("%d calls in %d frames, %d entries moved, %d segments used again", st.Calls, st.Frames, st.Moved, st.Recycled); st.Moved == 0 {
		t.Error("nothing was moved")
	}
	must(t, gs.Close())
}

// beBusy appends and compacts until stop. The entries of one group in eight stay, so that there is something to move.
func beBusy(t *testing.T, s *Store, id uint64, stop chan struct{}) {
	logs := oracle.Entries(oracle.Random(id), 1, 4, 500)
	for next := uint64(1); ; next += 4 {
		select {
		case <-stop:
			return
		default:
		}
		for i, l := range logs {
			l.Index = next + uint64(i)
		}
		err := s.StoreLogs(logs)
		if err == nil && next%64 == 1 && id%8 != 0 {
			err = s.DeleteRange(1, next)
		}
		if err != nil {
			t.Errorf("group %d: %v", id, err)
			return
		}
	}
}

// TestGroupMemory measures what a group that does nothing takes.
func TestGroupMemory(t *testing.T) {
	const groups = 500
	gs, err := OpenGroups(t.TempDir(), &Options{CacheBytes: minCacheBytes})
	must(t, err)
	defer gs.Close()
	var before, after runtime.MemStats
	fill := func(from, to uint64) {
		for id := from; id < to; id++ {
			s, err := gs.Store(id)
			must(t, err)
			must(t, s.SetUint64([]byte("CurrentTerm"), 1))
			must(t, s.SetUint64([]byte("LastVoteTerm"), 1))
			must(t, s.Set([]byte("LastVoteCand"), []byte("127.0.0.1:8300")))
			must(t, s.StoreLogs(oracle.Entries(oracle.Random(id), 1, 3, 10)))
		}
	}
	fill(0, groups) // the cache has its size then
	runtime.GC()
	runtime.ReadMemStats(&before)
	fill(groups, 2*groups)
	runtime.GC()
	runtime.ReadMemStats(&after)
	each := (int64(after.HeapAlloc) - int64(before.HeapAlloc)) / groups
	t.Logf("%d bytes a group", each)
	if each > 1<<10 {
		t.Errorf("a group that does nothing takes %d bytes, more than 1 KiB", each)
	}
}
