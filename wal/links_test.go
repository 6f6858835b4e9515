package wal

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/raft-ballast/ballast/internal/engine"
	"github.com/raft-ballast/ballast/internal/oracle"
	"github.com/raft-ballast/ballast/internal/vfs"
)

const linkedDir = "/copy"

// linkAll makes a copy of hard links of what is in the log's folder, as cp -al does, but for LOCK: that one
// would let only one of the two be open.
func linkAll(mem *vfs.Mem, to string) {
	for _, path := range mem.Files() {
		if rest, ok := strings.CutPrefix(path, dataDir+"/"); ok && rest != engine.LockName {
			mem.Link(path, filepath.Join(to, rest))
		}
	}
}

// TestHardLinks makes a copy of hard links of a log that is closed, one that was killed, and one that is
// open, and goes on with the log: it is opened, filled through several segments, compacted so that
// segments are used again, and closed. The copy opens with what it held, of an open log with at most what
// was written to the shared tail since. What is written to the copy then is not seen in the log.
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

// sound opens the copy for reading, and for writing, and expects one of the states; of a log that was not
// open the first one.
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

// TestNoSharedFileIsWritten: nothing but what an open log goes on to write to its tail changes a file
// that a copy has.
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

// TestSharedSegmentIsRemovedLater: a segment that a copy has too holds nothing any more, and cannot be removed
// the first time. That is tried again.
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

// TestOwnTailCut cuts the power, and kills, in each call that opening a log with a shared tail makes, and
// behind the first call after that. Both logs hold what they held, and nothing acknowledged is lost.
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
				s, err := Open(dir, opts)
				must(t, err)
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

// TestHardLinksOfFiles is TestHardLinks on the real file system, where a LOCK may be shared, too.
func TestHardLinksOfFiles(t *testing.T) {
	for _, open := range []bool{false, true} {
		dir, copied := filepath.Join(t.TempDir(), "wal"), filepath.Join(t.TempDir(), "copy")
		opts := &Options{SegmentBytes: minSegmentBytes}
		s, err := Open(dir, opts)
		must(t, err)
		m, rng := oracle.NewModel(), oracle.Random(1)
		fill := func(n int) {
			t.Helper()
			logs := oracle.Entries(rng, m.Last()+1, n, 10<<10)
			must(t, s.StoreLogs(logs))
			m.Put(logs, 0)
		}
		fill(150)
		if !open {
			must(t, s.Close())
		}
		must(t, os.Mkdir(copied, 0o700))
		names, err := vfs.OS.List(dir)
		must(t, err)
		for _, name := range names {
			if err := os.Link(filepath.Join(dir, name), filepath.Join(copied, name)); err != nil {
				t.Skipf("no hard links here: %v", err)
			}
		}
		held := m.Clone()
		if open {
			_, err := Open(copied, opts)
			if err == nil || !strings.Contains(err.Error(), engine.LockName) || !strings.Contains(err.Error(), "hard link") {
				t.Errorf("the log is open, and its LOCK shared: %v", err)
			}
		} else if s, err = Open(dir, opts); err != nil {
			t.Fatal(err)
		}
		for range 6 {
			fill(60)
			must(t, s.DeleteRange(1, m.Last()-5))
			m.Delete(1, m.Last()-5)
		}
		must(t, check(m, s))
		must(t, s.Close())
		c, err := Open(copied, opts)
		must(t, err)
		for _, index := range held.Indexes() {
			got, err := oracle.Read(checkedStore{c})
			must(t, err)
			if got.Logs[index] == nil && !open {
				t.Fatalf("entry %d is not in the copy", index)
			}
			break
		}
		last, err := c.LastIndex()
		must(t, err)
		if last < held.Last() || !open && last != held.Last() {
			t.Errorf("the copy ends at %d, it held %d", last, held.Last())
		}
		must(t, c.Close())
	}
}
