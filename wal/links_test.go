package wal

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/engine"
	"github.com/raft-ballast/ballast/internal/oracle"
	"github.com/raft-ballast/ballast/internal/vfs"
)

const linkedDir = "/copy"

// linkAll makes a copy of hard links of what is in the log's folder, as cp -al does.
func linkAll(mem *vfs.Mem, to string) {
	for _, path := range mem.Files() {
		if rest, ok := strings.CutPrefix(path, dataDir+"/"); ok {
			mem.Link(path, filepath.Join(to, rest))
		}
	}
}

// TestHardLinks makes a copy of hard links of a log that is closed, one that was killed, and one
// that is open, and goes on with the log: it is opened, filled through several segments, compacted
// so that segments are used again, and closed. The copy opens with what it held, of an open log
// with at most what was written to the shared tail since. What is written to the copy then is not
// seen in the log.
func TestHardLinks(t *testing.T) {
	for _, state := range []string{"closed", "killed", "open"} {
		for _, after := range []int{0, 1, 3} { // rotations
			t.Run(fmt.Sprintf("%s, %d rotations", state, after), func(t *testing.T) {
				mem := vfs.NewMem()
				l := newTestLogWith(t, mem, 1, func(o *Options) { o.garbage = 1 })
				l.rotate()
				l.rotate()
				l.remove(1, l.model.Last()-40)
				l.fill(3, 5000)
				switch state {
				case "closed":
					l.close()
				case "killed":
					l.abandon()
				}
				linkAll(mem, linkedDir)
				states := []*model{l.model.Clone()}
				note := func() { states = append(states, l.model.Clone()) }
				if state != "open" {
					l.open()
					l.check()
				}
				for range after {
					for tail := l.j.tail; l.j.tail == tail; note() {
						l.fill(16, 4<<10)
					}
					l.remove(1, l.model.Last()-3)
					note()
				}
				l.set("vote", "later")
				note()
				sound(t, mem, linkedDir, state, states)
				l.close()
				sound(t, mem, linkedDir, state, states)
				goesOnAlone(t, mem, l)
			})
		}
	}
}

// sound opens the copy for reading, and for writing, and expects one of the states; of a log that
// was not open the first one.
func sound(t *testing.T, mem *vfs.Mem, dir, state string, states []*model) {
	t.Helper()
	if state != "open" {
		states = states[:1]
	}
	for name, open := range map[string]func(string, *Options) (*Store, error){"OpenReadOnly": OpenReadOnly, "Open": Open} {
		s, err := open(dir, memOptions(mem.Clone()))
		if err != nil {
			t.Fatalf("%s of the copy: %v", name, err)
		}
		if _, err := oracle.Find(checkedStore{s}, states...); err != nil {
			t.Errorf("%s of the copy: %v", name, err)
		}
		must(t, s.Close())
	}
}

// goesOnAlone writes to the copy, and then to the log. Neither sees anything of the other.
func goesOnAlone(t *testing.T, mem *vfs.Mem, l *testLog) {
	t.Helper()
	s, err := Open(linkedDir, memOptions(mem))
	must(t, err)
	held, err := readAll(s)
	must(t, err)
	write := func() {
		t.Helper()
		logs := oracle.Entries(l.rng, held.Last()+1, 100, 20<<10)
		must(t, s.StoreLogs(logs))
		held.Put(logs, 0)
	}
	write()
	must(t, s.Close())
	checkReopened(t, l.model, mem.Clone())
	l.open()
	l.rotate()
	l.remove(1, l.model.Last()-1)
	l.rotate()
	s, err = Open(linkedDir, memOptions(mem))
	must(t, err)
	must(t, check(held, s))
	write()
	must(t, check(held, s))
	must(t, s.Close())
	l.check()
	l.close()
	checkReopened(t, l.model, mem)
}

// TestNoSharedFileIsWritten: nothing but what an open log goes on to write to its tail changes a
// file that a copy has.
func TestNoSharedFileIsWritten(t *testing.T) {
	t.Run("", func(t *testing.T) { writeBeside(t, func(vfs.Op) error { return nil }) })
	t.Run("without descriptors to look", func(t *testing.T) {
		writeBeside(t, func(op vfs.Op) error {
			if op == vfs.OpOpenRead {
				return syscall.EMFILE
			}
			return nil
		})
	})
}

// TestSharedSegmentIsRemovedLater: a segment that a copy has too holds nothing any more, and cannot
// be removed the first time. That is tried again.
func TestSharedSegmentIsRemovedLater(t *testing.T) {
	mem := vfs.NewMem()
	faults := vfs.NewFaults(mem)
	l := newTestLog(t, faults, 1)
	for range 3 {
		l.rotate()
	}
	linkAll(mem, linkedDir)
	path, tries := l.j.segments[0].path, 0
	faults.SetRule(func(op vfs.Op, at string, _ int) error {
		if op != vfs.OpRemove || at != path {
			return nil
		}
		if tries++; tries == 1 {
			return syscall.EBUSY
		}
		return nil
	})
	l.remove(1, l.model.Last()-1)
	l.rotate()
	if tries < 2 || mem.ReadFile(path) != nil {
		t.Errorf("%s is still there after %d tries", path, tries)
	}
	if n, trouble := engine.Oldest(&l.j.keeper.retries); n != 0 {
		t.Errorf("%d steps fail: %v", n, trouble)
	}
}

// writeBeside writes a log of which there is a copy of hard links, while calls of the log fail.
func writeBeside(t *testing.T, fail func(vfs.Op) error) {
	t.Helper()
	mem := vfs.NewMem()
	faults := vfs.NewFaults(mem)
	l := newTestLog(t, faults, 1)
	for range 3 {
		l.rotate()
	}
	linkAll(mem, linkedDir)
	shared := l.j.tail.path
	before := make(map[string][]byte)
	for _, path := range mem.Files() {
		if dir, name := filepath.Split(path); filepath.Clean(dir) == linkedDir && name != filepath.Base(shared) {
			before[path] = mem.ReadFile(path)
		}
	}
	faults.SetRule(func(op vfs.Op, _ string, _ int) error { return fail(op) })
	for range 4 {
		l.remove(1, l.model.Last()-1)
		l.rotate()
	}
	l.close()
	for path, content := range before {
		if !slices.Equal(content, mem.ReadFile(path)) {
			t.Errorf("%s has changed", path)
		}
	}
}

// TestOwnTailCut cuts the power, and kills, in each call that opening a log with a shared tail
// makes, and behind the first call after that. Both logs hold what they held, and nothing
// acknowledged is lost.
func TestOwnTailCut(t *testing.T) {
	for _, closed := range []bool{true, false} {
		start := vfs.NewMem()
		l := newTestLog(t, start, 1)
		l.rotate()
		l.set("vote", "me")
		if closed {
			l.close()
		} else {
			l.abandon()
		}
		linkAll(start, linkedDir)
		var states []*vfs.Mem
		start.SetHook(func(c *vfs.Call) error {
			states = append(states, start.Clone())
			for seed := range uint64(3) {
				states = append(states, c.Cut().Crash(seed))
			}
			return nil
		})
		l.open()
		l.set("vote", "you")
		start.SetHook(nil)
		before := l.model.Clone()
		before.Stable["vote"] = []byte("me")
		for n, mem := range states {
			for _, dir := range []string{dataDir, linkedDir} {
				opts := memOptions(mem.Clone())
				asleep(opts)
				if was, err := engine.WasLog(opts.fs, dir); !was || err != nil {
					t.Fatalf("closed %v, state %d of %s: LOCK does not say any more that there was a log (%v)", closed, n, dir, err)
				}
				s, err := Open(dir, opts)
				must(t, err)
				if names, err := opts.fs.List(dir); err != nil || slices.Contains(names, newLockName) {
					t.Fatalf("closed %v, state %d of %s: there is %q (%v)", closed, n, dir, names, err)
				}
				_, err = oracle.Find(checkedStore{s}, before, l.model)
				must(t, err)
				must(t, s.Set([]byte("term"), []byte("5")))
				s, err = Open(dir, memOptions(opts.fs.(*vfs.Mem).Crash(uint64(n))))
				must(t, err)
				if _, err := s.Get([]byte("term")); err != nil {
					t.Fatalf("closed %v, state %d of %s: what was acknowledged is lost: %v", closed, n, dir, err)
				}
				must(t, s.Close())
			}
		}
	}
}

// TestLinkedLock: a log and a copy of hard links of it are open for writing at once, whichever was
// first and whichever made the links, and neither is open twice.
func TestLinkedLock(t *testing.T) {
	for _, first := range []string{dataDir, linkedDir} {
		for _, open := range []bool{false, true} {
			if open && first == linkedDir {
				continue // the log is open first
			}
			mem := vfs.NewMem()
			l := newTestLog(t, mem, 1)
			l.set("vote", "me")
			second := dataDir
			if first == dataDir {
				second = linkedDir
			}
			stores := []*Store{l.Store}
			if !open {
				l.close()
			}
			linkAll(mem, linkedDir)
			if !open {
				s, err := Open(first, memOptions(mem))
				must(t, err)
				stores[0] = s
				if n := linksOf(t, mem, filepath.Join(first, engine.LockName)); n != 1 {
					t.Errorf("%s is open, and its LOCK has %d links", first, n)
				}
			}
			s, err := Open(second, memOptions(mem))
			if err != nil {
				t.Fatalf("%s first, open %v: %v", first, open, err)
			}
			stores = append(stores, s)
			for _, dir := range []string{first, second} {
				if s, err := Open(dir, memOptions(mem)); !errors.Is(err, ballast.ErrLocked) {
					t.Errorf("%s first, open %v: %s is open twice (%v, %v)", first, open, dir, s, err)
				}
			}
			for i, s := range stores {
				must(t, s.Set([]byte("vote"), fmt.Appendf(nil, "of %d", i)))
				must(t, s.Close())
			}
			for i, dir := range []string{first, second} {
				s, err := Open(dir, memOptions(mem))
				must(t, err)
				if vote, err := s.Get([]byte("vote")); err != nil || string(vote) != fmt.Sprintf("of %d", i) {
					t.Errorf("%s has the vote %q (%v)", dir, vote, err)
				}
				must(t, s.Close())
			}
		}
	}
}

// TestLinkedLockThatCounts: a shared LOCK that is held by somebody who does not lock the folder, as
// a release before, may be that of a log in this folder, and so may any where folders cannot be
// locked.
func TestLinkedLockThatCounts(t *testing.T) {
	refused := func(mem *vfs.Mem, dir, text string) {
		t.Helper()
		if _, err := Open(dir, memOptions(mem)); !errors.Is(err, ballast.ErrLocked) || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: %v", dir, err)
		}
		if links := linksOf(t, mem, filepath.Join(dir, engine.LockName)); links != 2 {
			t.Errorf("%s: LOCK has %d links", dir, links)
		}
	}
	for _, holder := range []string{dataDir, linkedDir} {
		mem := vfs.NewMem()
		l := newTestLog(t, mem, 1)
		l.close()
		linkAll(mem, linkedDir)
		lock, err := mem.Lock(filepath.Join(holder, engine.LockName))
		must(t, err)
		refused(mem, dataDir, "remove LOCK from this one")
		refused(mem, linkedDir, "remove LOCK from this one")
		must(t, lock.Close())
		checkReopened(t, l.model, mem)
	}
	mem := vfs.NewMem()
	mem.NoFolderLocks()
	l := newTestLog(t, mem, 1)
	linkAll(mem, linkedDir)
	refused(mem, linkedDir, "remove LOCK from this one")
	refused(mem, dataDir, "the lock is held")
	must(t, mem.Remove(filepath.Join(linkedDir, engine.LockName)))
	s, err := Open(linkedDir, memOptions(mem))
	must(t, err)
	must(t, s.Close())
	l.close()
	checkReopened(t, l.model, mem)
}

func linksOf(t *testing.T, fsys vfs.FS, path string) int {
	t.Helper()
	f, err := fsys.OpenRead(path)
	must(t, err)
	n, err := f.Links()
	must(t, errors.Join(err, f.Close()))
	return n
}

// TestFolderLocked: somebody else who has locked the folder is no reason to go on without its lock.
func TestFolderLocked(t *testing.T) {
	mem := vfs.NewMem()
	l := newTestLog(t, mem, 1)
	l.close()
	held, err := mem.Hold(dataDir)
	must(t, err)
	lock, err := held.LockFolder()
	must(t, err)
	if _, err := Open(dataDir, memOptions(mem)); !errors.Is(err, ballast.ErrLocked) {
		t.Errorf("the folder is locked: %v", err)
	}
	must(t, lock.Close())
	checkReopened(t, l.model, mem)
}

// linkFolder is cp -al of a log's folder. It reports whether the log has begun a segment meanwhile,
// of which the copy may have the end and not the beginning, or the other way round.
func linkFolder(t *testing.T, s *Store, from, to string) (rotated bool) {
	t.Helper()
	tail := func() uint64 {
		s.j.mu.RLock()
		defer s.j.mu.RUnlock()
		return s.j.tail.number
	}
	before := tail()
	must(t, os.Mkdir(to, 0o700))
	names, err := vfs.OS.List(from)
	must(t, err)
	for _, name := range names {
		err := os.Link(filepath.Join(from, name), filepath.Join(to, name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // next.tmp may have got its name
			t.Skipf("no hard links here: %v", err)
		}
	}
	return tail() != before
}

// holdsUpTo expects a store to hold all entries up to one, and those behind it to be what was
// written.
func holdsUpTo(t *testing.T, what string, s *Store, acknowledged uint64) {
	t.Helper()
	last, err := s.LastIndex()
	must(t, err)
	if last < acknowledged {
		t.Fatalf("%s ends at %d, and %d were acknowledged", what, last, acknowledged)
	}
	var log raft.Log
	for index := uint64(1); index <= last; index++ {
		if err := s.GetLog(index, &log); err != nil || !slices.Equal(log.Data, linkedData(index)) {
			t.Fatalf("%s: entry %d of %d is %d bytes (%v)", what, index, acknowledged, len(log.Data), err)
		}
	}
}

// linkedData is what an entry of an index holds in TestHardLinksOfFiles.
func linkedData(index uint64) []byte {
	return bytes.Repeat(fmt.Appendf(nil, "%d ", index), 1+int(index*7%90))
}

// TestHardLinksOfFiles makes copies of hard links on the real file system of a log that is open,
// while it is written without a pause. Each is opened for reading and writing meanwhile, and holds
// all that was acknowledged before it was made.
func TestHardLinksOfFiles(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "wal")
	if held, err := vfs.OS.Hold(root); err != nil {
		t.Fatal(err)
	} else if lock, err := held.LockFolder(); err != nil {
		t.Skipf("a folder cannot be locked here: %v", err)
	} else {
		must(t, errors.Join(lock.Close(), held.Close()))
	}
	opts := &Options{SegmentBytes: 4 << 20}
	s, err := Open(dir, opts)
	must(t, err)
	var acknowledged atomic.Uint64
	stop, done := make(chan struct{}), make(chan error, 1)
	go func() {
		var err error
		for index := uint64(1); err == nil; index++ {
			select {
			case <-stop:
				done <- nil
				return
			default:
			}
			err = s.StoreLog(&raft.Log{Index: index, Term: 1, Data: linkedData(index)})
			acknowledged.Store(index)
		}
		done <- err
	}()
	refused := 0
	for n := range *linkedCopies / min(thin, 4) {
		to := filepath.Join(root, fmt.Sprint("copy", n))
		before := acknowledged.Load()
		rotated := linkFolder(t, s, dir, to)
		r, err := OpenReadOnly(to, opts)
		if rotated && errors.Is(err, ballast.ErrCorrupt) {
			refused++
			continue
		}
		must(t, err)
		holdsUpTo(t, "the copy that is read", r, before)
		must(t, r.Close())
		c, err := Open(to, opts)
		must(t, err)
		holdsUpTo(t, "the copy", c, before)
		last, err := c.LastIndex()
		must(t, err)
		must(t, c.StoreLog(&raft.Log{Index: last + 1, Term: 1, Data: linkedData(last + 1)}))
		must(t, c.Close())
		c, err = Open(to, opts)
		must(t, err)
		holdsUpTo(t, "the copy that was closed", c, last+1)
		must(t, c.Close())
		must(t, os.RemoveAll(to))
	}
	close(stop)
	must(t, <-done)
	t.Logf("%d entries, %d copies across a rotation refused", acknowledged.Load(), refused)
	holdsUpTo(t, "the log", s, acknowledged.Load())
	must(t, s.Close())
	s, err = Open(dir, opts)
	must(t, err)
	holdsUpTo(t, "the log that was closed", s, acknowledged.Load())
	must(t, s.Close())
}

var linkedCopies = flag.Int("copies", 12, "how many copies of hard links TestHardLinksOfFiles makes")
