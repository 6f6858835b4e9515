package wal

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/oracle"
	"github.com/raft-ballast/ballast/internal/vfs"
)

// onNext is a rule by which calls on the file that becomes the next segment fail.
func onNext(op vfs.Op, err error) vfs.Rule {
	return func(o vfs.Op, path string, _ int) error {
		if o == op && strings.HasSuffix(path, nextName) {
			return err
		}
		return nil
	}
}

// TestFailedRotation has each step of preparing the next segment fail until the tail is full. A log whose rotation fails
// once must not need a restart.
func TestFailedRotation(t *testing.T) {
	for _, op := range []vfs.Op{vfs.OpCreate, vfs.OpTruncate, vfs.OpAllocate, vfs.OpWrite, vfs.OpSync, vfs.OpRename} {
		for _, fault := range []error{syscall.ENOSPC, syscall.EIO, vfs.Late(syscall.EIO), vfs.Short(syscall.ENOSPC)} {
			t.Run(fmt.Sprintf("%v, %v", op, fault), func(t *testing.T) {
				faults := vfs.NewFaults(vfs.NewMem())
				faults.SetRule(onNext(op, nil))
				l := newTestLog(t, faults, 1)
				l.fill(1, 10)
				l.close()
				must(t, faults.Remove(segmentPath(dataDir, 2))) // prepared already
				faults.SetRule(onNext(op, fault))
				l.open()
				err := l.fillUntilError()
				cause := errors.Unwrap(fault)
				if cause == nil {
					cause = fault
				}
				if !errors.Is(err, cause) {
					t.Fatalf("StoreLogs returns %v, the fault is %v", err, fault)
				}
				if errors.Is(cause, syscall.ENOSPC) && !errors.Is(err, ballast.ErrNoSpace) {
					t.Errorf("without space StoreLogs returns %v", err)
				}
				l.check()
				l.set("term", "7")
				l.remove(2, 3)
				l.check()
				if err := l.fillUntilError(); !errors.Is(err, cause) {
					t.Errorf("again StoreLogs returns %v, the fault is %v", err, fault)
				}

				faults.SetRule(nil)
				l.rotate()
				l.check()
				l.abandon()
				l.open()
				l.check()
			})
		}
	}
}

// fillUntilError appends until that fails, and returns the error.
func (l *testLog) fillUntilError() error {
	l.t.Helper()
	for range 10_000 {
		logs := oracle.Entries(l.rng, l.model.Last()+1, 4, 8<<10)
		if err := l.StoreLogs(logs); err != nil {
			return err
		}
		l.model.Put(logs, 0)
	}
	l.t.Fatal("appending never fails")
	return nil
}

// TestFailedFolderSync: after it nobody knows which names a power cut leaves, so there is no log that could go on safely. What
// was acknowledged is there when it is opened again.
func TestFailedFolderSync(t *testing.T) {
	mem := vfs.NewMem()
	faults := vfs.NewFaults(mem)
	l := newTestLog(t, faults, 1)
	l.fill(1, 10)
	faults.SetRule(func(op vfs.Op, _ string, _ int) error {
		if op == vfs.OpSyncDir {
			return syscall.EIO
		}
		return nil
	})
	err := l.fillUntilError()
	if !errors.Is(err, syscall.EIO) {
		t.Fatalf("StoreLogs returns %v", err)
	}
	faults.SetRule(nil)
	if err := l.Set([]byte("a"), nil); !errors.Is(err, syscall.EIO) {
		t.Errorf("the first cause is EIO, a later write returns %v", err)
	}
	l.check()
	_ = l.Close() // a log that failed
	for seed := range uint64(8) {
		checkReopened(t, l.model, mem.Crash(seed))
	}
	checkReopened(t, l.model, mem)
}

// TestFailedRecycling has each step fail by which a segment without live entries becomes the next one. In the worst case the
// log goes on in a file that has lost its name, and everything in it is gone when it is opened again.
func TestFailedRecycling(t *testing.T) {
	for _, op := range []vfs.Op{vfs.OpRename, vfs.OpOpen, vfs.OpTruncate, vfs.OpAllocate, vfs.OpWrite, vfs.OpSync} {
		for _, fault := range []error{syscall.EIO, vfs.Late(syscall.EIO)} {
			for nth := 1; nth <= 2; nth++ {
				t.Run(fmt.Sprintf("%v %d, %v", op, nth, fault), func(t *testing.T) {
					mem := vfs.NewMem()
					faults := vfs.NewFaults(mem)
					l := newTestLog(t, faults, 1)
					l.rotate()
					n := 0
					if op == vfs.OpWrite {
						n = -1 // the deletion itself
					}
					faults.SetRule(func(o vfs.Op, path string, _ int) error {
						if o == op {
							n++
						}
						if o != op || n != nth {
							return nil
						}
						return fault
					})
					l.remove(1, l.model.Last()-1)
					if n <= 0 {
						t.Fatal("nothing was recycled")
					}
					faults.SetRule(nil)
					for range 3 {
						l.rotate()
						l.check()
					}
					l.abandon()
					l.open()
					l.check()
					l.rotate()
					checkAfterCuts(t, l.model, mem)
				})
			}
		}
	}
}

// checkAfterCuts compares what several power cuts may leave with the model.
func checkAfterCuts(t testing.TB, m *model, mem *vfs.Mem) {
	t.Helper()
	for seed := range uint64(4) {
		checkReopened(t, m, mem.Crash(seed))
	}
}

// TestFailedCall has the write of one call fail. What a caller must not see then: a later call that succeeds on top of
// what may not be there, another error than the first one, or a fate that changes from one opening to the next.
func TestFailedCall(t *testing.T) {
	calls := []struct {
		name   string
		call   func(*testLog) error
		change func(*model)
	}{
		{"StoreLogs", func(l *testLog) error { return l.StoreLogs(oracle.Entries(oracle.Random(9), 200, 20, 1000)) },
			func(m *model) { m.Put(oracle.Entries(oracle.Random(9), 200, 20, 1000), 0) }},
		{"StoreLogs in the middle", func(l *testLog) error { return l.StoreLogs(oracle.Entries(oracle.Random(9), 5, 2, 1000)) },
			func(m *model) { m.Put(oracle.Entries(oracle.Random(9), 5, 2, 1000), 0) }},
		{"DeleteRange", func(l *testLog) error { return l.DeleteRange(3, 40) }, func(m *model) { m.Delete(3, 40) }},
		{"DeleteRange of all", func(l *testLog) error { return l.DeleteRange(0, 1<<63) }, func(m *model) { m.Delete(0, 1<<63) }},
		{"Set", func(l *testLog) error { return l.Set([]byte("vote"), make([]byte, 2000)) },
			func(m *model) { m.Stable["vote"] = make([]byte, 2000) }},
	}
	faults := []error{syscall.EIO, vfs.Late(syscall.EIO), vfs.Late(syscall.ENOSPC), syscall.ENOSPC}
	for _, c := range calls {
		for _, fault := range faults {
			t.Run(fmt.Sprintf("%s, %v", c.name, fault), func(t *testing.T) {
				mem := vfs.NewMem()
				l := newTestLog(t, mem, 1)
				l.fill(20, 100)
				l.rotate()
				l.fill(20, 100)
				l.set("vote", "1")
				after := l.model.Clone()
				c.change(after)

				failOnce(mem, vfs.OpWrite, fault)
				first := c.call(l)
				if first == nil || !errors.Is(first, errors.Unwrap(fault)) && !errors.Is(first, fault) {
					t.Fatalf("the fault is %v, the call returns %v", fault, first)
				}
				for _, again := range []error{c.call(l), l.Set([]byte("a"), nil), l.DeleteRange(7, 7), l.StoreLog(oracle.EntryOf(7, nil))} {
					if !errors.Is(again, first) && (again == nil || !strings.Contains(again.Error(), first.Error())) {
						t.Errorf("a later write returns %v, the first cause is %v", again, first)
					}
				}
				l.check() // none of it is visible
				_ = l.Close()
				checkRecovery(t, mem.Clone(), l.model, after)
				for seed := range uint64(1 + 5/thin) {
					checkFate(t, mem.Clone(), seed, l.model, after)
				}
			})
		}
	}
}

// failOnce has the next call of a kind fail.
func failOnce(mem *vfs.Mem, op vfs.Op, fault error) {
	mem.SetHook(func(c *vfs.Call) error {
		if c.Op != op {
			return nil
		}
		mem.SetHook(nil)
		return fault
	})
}

// checkRecovery opens a log after a write whose fate is unknown and cuts the power in each call of that. What the process sees
// is in memory of the system perhaps, and not on the disk yet: nothing may be done because of it that cannot be
// taken back.
func checkRecovery(t *testing.T, mem *vfs.Mem, before, after *model) {
	t.Helper()
	var cuts []*vfs.Mem
	mem.SetHook(func(c *vfs.Call) error {
		cuts = append(cuts, c.Cut())
		return nil
	})
	l := &testLog{t: t, fs: mem}
	l.open()
	for _, cut := range cuts {
		for seed := range uint64(1 + 2/thin) {
			checkEither(t, cut.Crash(seed), before, after)
		}
	}
}

// checkFate opens a log several times, with a power cut before some, and expects the same state each time.
func checkFate(t *testing.T, mem *vfs.Mem, seed uint64, before, after *model) {
	t.Helper()
	rng := oracle.Random(seed)
	if rng.IntN(2) == 0 {
		mem = mem.Crash(seed)
	}
	var found *model
	for round := range 4 {
		l := &testLog{t: t, fs: mem}
		l.open()
		got, err := readAll(l.Store)
		must(t, err)
		if found == nil {
			if found = before; after.Diff(got) == nil {
				found = after
			}
		}
		if err := found.Diff(got); err != nil {
			t.Fatalf("seed %d, opening %d: %v", seed, round+1, err)
		}
		if rng.IntN(2) == 0 {
			l.close()
		} else {
			l.abandon()
		}
		if rng.IntN(2) == 0 {
			mem = mem.Crash(rng.Uint64())
		}
	}
}

func checkEither(t *testing.T, mem *vfs.Mem, a, b *model) {
	t.Helper()
	l := &testLog{t: t, fs: mem}
	l.open()
	defer l.close()
	got, err := readAll(l.Store)
	must(t, err)
	if e := a.Diff(got); e != nil && b.Diff(got) != nil {
		t.Fatalf("neither all nor nothing: %v", e)
	}
}

// diskFull returns a log that has taken all entries for which its file system has space, and nothing is left there.
func diskFull(t *testing.T, capacity int64, entryBytes int) (*testLog, *vfs.Mem) {
	t.Helper()
	mem := vfs.NewMem()
	l := newTestLog(t, mem, 1)
	l.set("term", "1")
	mem.SetCapacity(capacity)
	for _, size := range []int{entryBytes, 100} {
		for l.append(4, size) == nil {
		}
		l.refuses(size)
	}
	mem.SetCapacity(mem.Usage()) // somebody else takes the rest
	return l, mem
}

// append stores n entries behind the last one. The model gets them when that succeeds.
func (l *testLog) append(n, size int) error {
	logs := oracle.Entries(l.rng, l.model.Last()+1, n, size)
	err := l.StoreLogs(logs)
	if err == nil {
		l.model.Put(logs, 0)
	}
	return err
}

// refuses expects that there is no space for entries, and that the log has not failed for that.
func (l *testLog) refuses(size int) {
	l.t.Helper()
	if err := l.append(4, size); !errors.Is(err, ballast.ErrNoSpace) {
		l.t.Errorf("StoreLogs on a full disk returns %v", err)
	}
	must(l.t, l.j.failed.Err())
}

// TestDiskFull fills the disk. A peer on a full disk still votes, takes snapshots, compacts its log and restarts; otherwise
// nobody gets it out of there.
func TestDiskFull(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(l *testLog, mem *vfs.Mem)
	}{
		{"read", func(l *testLog, _ *vfs.Mem) { l.check() }},
		{"vote", func(l *testLog, _ *vfs.Mem) { l.vote(300) }},
		{"delete the suffix", func(l *testLog, _ *vfs.Mem) { l.remove(l.model.Last()-3, l.model.Last()) }},
		{"delete in the middle", func(l *testLog, _ *vfs.Mem) { l.remove(10, 12) }},
		{"close and open", func(l *testLog, _ *vfs.Mem) { l.close(); l.open() }},
		{"kill and open", func(l *testLog, _ *vfs.Mem) { l.abandon(); l.open() }},
		{"power cut", func(l *testLog, mem *vfs.Mem) { l.abandon(); l.fs = mem.Crash(1); l.open() }},
		{"votes, kill and open, votes", func(l *testLog, _ *vfs.Mem) {
			l.vote(300)
			l.abandon()
			l.open()
			l.vote(300)
		}},
		{"killed again and again", func(l *testLog, _ *vfs.Mem) {
			for range 5 {
				l.abandon()
				l.open()
				l.vote(10)
			}
		}},
		{"closed again and again", func(l *testLog, _ *vfs.Mem) {
			for range 5 {
				l.close()
				l.open()
				l.vote(10)
			}
		}},
	} {
		// The tail has a lot of room left, or none.
		for _, capacity := range []int64{4700 << 10, 5 << 20} {
			t.Run(fmt.Sprintf("%s, %d", c.name, capacity), func(t *testing.T) {
				l, mem := diskFull(t, capacity, 1<<10)
				c.do(l, mem)
				l.check()
				l.refuses(100 << 10)
				l.vote(1)
				mem = l.fs.(*vfs.Mem)
				mem.SetCapacity(2 * capacity)
				l.rotate() // without opening it again
				l.check()
				l.abandon()
				checkReopened(t, l.model, mem)
			})
		}
	}
}

// vote writes a stable value n times, as raft does in elections.
func (l *testLog) vote(n int) {
	l.t.Helper()
	for i := range n {
		l.set("term", fmt.Sprint(i))
	}
}

// TestDiskFullUntilDeletion: raft takes a snapshot when the log has grown, and then deletes what is in it. On a full disk
// that gives back the space that the log itself took.
func TestDiskFullUntilDeletion(t *testing.T) {
	for _, c := range []struct {
		name         string
		capacity     int64
		segmentBytes int64
		entryBytes   int
	}{
		{"small entries", 5 << 20, 1 << 20, 1 << 10},
		{"many segments", 12 << 20, 1 << 20, 20 << 10},
		{"each batch in a segment of its own", 20 << 20, 1 << 20, 700 << 10},
		{"larger segments", 20 << 20, 4 << 20, 20 << 10},
		{"larger segments, and batches that fit in none", 32 << 20, 4 << 20, 1500 << 10},
	} {
		t.Run(c.name, func(t *testing.T) {
			mem := vfs.NewMem()
			l := newTestLogWith(t, mem, 1, func(o *Options) { o.SegmentBytes = c.segmentBytes })
			for range 2 { // the second time there is no segment of the usual size any more
				mem.SetCapacity(c.capacity)
				for l.append(4, c.entryBytes) == nil {
				}
				l.refuses(c.entryBytes)
				mem.SetCapacity(mem.Usage()) // somebody else takes the rest
				l.remove(1, l.model.Last()-1)
				for range 3 {
					if err := l.append(4, c.entryBytes); err != nil {
						t.Fatalf("after a deletion of all but one: %v; %d bytes are used", err, mem.Usage())
					}
				}
				l.check()
			}
			l.abandon()
			l.open()
			l.check()
			l.remove(1, l.model.Last()-1)
			must(t, l.append(4, c.entryBytes))
		})
	}
}

// TestDiskFullOfLargeSegments: the only space that a deletion frees is that of segments which no other can be made of.
// They have to be removed before anything is prepared, not behind it.
func TestDiskFullOfLargeSegments(t *testing.T) {
	mem := vfs.NewMem()
	l := newTestLog(t, mem, 1)
	for range 4 {
		must(t, l.append(2, 700<<10))
	}
	l.remove(1, 2)
	mem.SetCapacity(mem.Usage())
	for l.append(4, 1<<10) == nil {
	}
	l.refuses(1 << 10)
	l.remove(1, l.model.Last()-1)
	must(t, l.append(2, 700<<10))
	l.rotate()
	l.check()
}

// TestNoSpaceAtRotation: the disk is full just when the log goes on in the next segment.
func TestNoSpaceAtRotation(t *testing.T) {
	for _, spare := range []int64{0, 4 << 10, 100 << 10, firstZeros, firstZeros + framesOffset, 700 << 10} {
		t.Run(fmt.Sprintf("%d bytes left", spare), func(t *testing.T) {
			mem := vfs.NewMem()
			l := newTestLog(t, mem, 1)
			for l.j.tail.zeroed.Load() < l.j.tail.size {
				l.fill(4, 20<<10)
			}
			mem.SetCapacity(mem.Usage() + spare)
			tail := l.j.tail.number
			err := l.fillUntilError()
			if !errors.Is(err, ballast.ErrNoSpace) {
				t.Fatalf("StoreLogs returns %v", err)
			}
			if l.j.tail.number == tail {
				t.Error("the segment that was prepared is not used")
			}
			l.check()
			l.vote(10)
			mem.SetCapacity(0)
			l.rotate()
			l.check()
			checkAfterCuts(t, l.model, mem)
		})
	}
}

// countingFS counts the files that are open.
type countingFS struct {
	vfs.FS
	open atomic.Int64
}

type countingFile struct {
	vfs.File
	fs *countingFS
}

func (c *countingFS) count(f vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	c.open.Add(1)
	return &countingFile{f, c}, nil
}

func (c *countingFS) Hold(dir string) (*vfs.Dir, error)      { return holdThrough(c, c.FS, dir) }
func (c *countingFS) Create(path string) (vfs.File, error)   { return c.count(c.FS.Create(path)) }
func (c *countingFS) Open(path string) (vfs.File, error)     { return c.count(c.FS.Open(path)) }
func (c *countingFS) OpenRead(path string) (vfs.File, error) { return c.count(c.FS.OpenRead(path)) }

func (f *countingFile) Close() error {
	f.fs.open.Add(-1)
	return f.File.Close()
}

// faulty is a log on a file system in which one call fails, once.
type faulty struct {
	*testLog
	files *countingFS
	opts  *Options
}

// reopen opens the log, twice when the first time fails, and expects what is in one of the models.
func (l *faulty) reopen(models ...*model) {
	l.t.Helper()
	if l.Store != nil {
		_ = l.Close() // whatever failed, nothing that was acknowledged is lost
		if n := l.files.open.Load(); n != 0 {
			l.t.Fatalf("%d files are open after Close", n)
		}
	}
	s, err := Open(dataDir, l.opts)
	if err != nil {
		if n := l.files.open.Load(); n != 0 {
			l.t.Fatalf("%d files are open after an Open that failed: %v", n, err)
		}
		if s, err = Open(dataDir, l.opts); err != nil {
			l.t.Fatalf("nothing fails any more, and yet: %v", err)
		}
	}
	l.Store = s
	l.adopt(models)
}

// adopt takes the model that the store is like.
func (l *faulty) adopt(models []*model) {
	l.t.Helper()
	got, err := readAll(l.Store)
	if err != nil {
		got, err = readAll(l.Store) // a read may fail, once
	}
	must(l.t, err)
	for _, m := range models {
		if err = m.Diff(got); err == nil {
			l.model = m
			return
		}
	}
	l.t.Fatal(err)
}

// do makes a call that may meet the fault. One that fails is made again: at once, or when the log was opened again after
// it has failed.
func (l *faulty) do(call func(*Store) error, change func(*model)) {
	l.t.Helper()
	before, after := l.model, l.model.Clone()
	change(after)
	err := call(l.Store)
	if err == nil {
		l.model = after
		return
	}
	l.adopt([]*model{before})
	if l.j.failed.Err() != nil {
		if again := call(l.Store); !errors.Is(again, l.j.failed.Err()) && again.Error() != l.j.failed.Err().Error() {
			l.t.Fatalf("the first cause is %v, the next call returns %v", err, again)
		}
		l.reopen(before, after)
	}
	must(l.t, call(l.Store))
	l.adopt([]*model{after})
}

func (l *faulty) put(n, size int) {
	l.t.Helper()
	logs := oracle.Entries(l.rng, l.model.Last()+1, n, size)
	l.do(func(s *Store) error { return s.StoreLogs(logs) }, func(m *model) { m.Put(logs, 0) })
}

func (l *faulty) delete(low, high uint64) {
	l.t.Helper()
	l.do(func(s *Store) error { return s.DeleteRange(low, high) }, func(m *model) { m.Delete(low, high) })
}

// work is what the fault comes into: rotation, recycling, removal, opening and closing.
func (l *faulty) work() {
	l.t.Helper()
	l.reopen(oracle.NewModel())
	l.put(3, 200<<10)
	l.do(func(s *Store) error { return s.Set([]byte("vote"), []byte("1")) },
		func(m *model) { m.Stable["vote"] = []byte("1") })
	l.put(2, 200<<10)
	l.reopen(l.model)
	l.put(2, 250<<10)
	l.delete(5, 5)
	l.delete(1, 4)
	l.put(4, 200<<10)
	l.delete(1, l.model.Last()-1)
	l.put(1, 1200<<10)
	l.reopen(l.model)
	l.put(1, 1<<10)
	l.reopen(l.model)
	_ = l.Close()
}

// TestEveryFault has each call to the file system fail once, in several ways. Nothing that was acknowledged is lost, no
// call is done by halves, and no file stays open.
func TestEveryFault(t *testing.T) {
	kinds := []error{syscall.EIO, vfs.Late(syscall.EIO), vfs.Short(syscall.ENOSPC), syscall.ENOSPC}
	for kind, fault := range kinds {
		t.Run(fault.Error(), func(t *testing.T) {
			t.Parallel()
			calls := 1 << 20
			for k := 1 + kind; k <= calls; k += thin * len(kinds) { // over all kinds each call fails in one
				calls = faultAt(t, k, fault)
			}
		})
	}
}

// faultAt does the work with call k failing, and returns how many calls there were.
func faultAt(t *testing.T, k int, fault error) int {
	what := ""
	defer func() {
		if t.Failed() {
			t.Logf("that was with a fault in call %d, %s", k, what)
		}
	}()
	faults := vfs.NewFaults(vfs.NewMem())
	l := &faulty{testLog: &testLog{t: t, rng: oracle.Random(1), model: oracle.NewModel()}, files: &countingFS{FS: faults}}
	l.opts = memOptions(l.files)
	faults.SetRule(func(op vfs.Op, path string, n int) error {
		if n != k {
			return nil
		}
		what = fmt.Sprintf("%v of %s", op, path)
		return fault
	})
	l.work()
	return faults.Count()
}

// TestUnknownMarker: a log that was closed is to go on, and the write fails that takes back the mark of its end. The next
// opening may read that write and yet it is not on the disk. Were it believed, the mark would come back in a power cut, and
// everything behind it would be gone.
func TestUnknownMarker(t *testing.T) {
	mem := vfs.NewMem()
	l := newTestLog(t, mem, 1)
	l.fill(10, 100)
	l.close()
	l.open()
	failOnce(mem, vfs.OpWrite, vfs.Late(syscall.EIO))
	if err := l.append(1, 100); !errors.Is(err, syscall.EIO) {
		t.Fatalf("StoreLogs returns %v", err)
	}
	_ = l.Close() // a log that failed
	l.open()
	l.check()
	l.fill(3, 100)
	l.remove(1, 2)
	for seed := range uint64(16) {
		checkReopened(t, l.model, mem.Crash(seed))
	}
}
