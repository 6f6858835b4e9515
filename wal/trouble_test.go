package wal

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/oracle"
	"github.com/raft-ballast/ballast/internal/vfs"
)

// allTroubles has each operation fail in each way.
var allTroubles = flag.Bool("troubles", false, "each operation of the background fails in each way")

// told counts what a logger is told of steps of the background, by step.
type told struct {
	mu          sync.Mutex
	began, over map[string]int
}

func (h *told) Enabled(context.Context, slog.Level) bool { return true }
func (h *told) WithAttrs([]slog.Attr) slog.Handler       { return h }
func (h *told) WithGroup(string) slog.Handler            { return h }

func (h *told) Handle(_ context.Context, r slog.Record) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	r.Attrs(func(a slog.Attr) bool {
		if a.Key != "step" {
			return true
		}
		if r.Level == slog.LevelWarn {
			h.began[a.Value.String()]++
		} else {
			h.over[a.Value.String()]++
		}
		return false
	})
	return nil
}

// troubled is a log of groups whose background is about to fail: group 1 lags beside group 2, which
// deletes what it stores.
type troubled struct {
	*testGroups
	faults *vfs.Faults
	mem    *vfs.Mem
	told   *told
	failed int // calls of the background that did
}

func newTroubled(t *testing.T) *troubled {
	t.Helper()
	l := &troubled{mem: vfs.NewMem(), told: new(told)}
	l.told.began, l.told.over = make(map[string]int), make(map[string]int)
	l.faults = vfs.NewFaults(l.mem)
	l.testGroups = newTestGroups(t, l.faults, func(o *Options) {
		o.garbage, o.Logger, o.MaxOpenFiles = 1<<20, slog.New(l.told), 2
	})
	return l
}

// rounds goes on, whatever fails, and applies to the models what did not.
func (l *troubled) rounds(n int) {
	l.t.Helper()
	rng := oracle.Random(1)
	for range n {
		for _, c := range []struct {
			id   uint64
			call oracle.Call
		}{
			{1, oracle.Call{Logs: oracle.Entries(rng, l.model(1).Last()+1, 4, 100)}},
			{2, oracle.Call{Logs: oracle.Entries(rng, l.model(2).Last()+1, 1, 100<<10)}},
			{2, oracle.Call{Low: 1, High: l.model(2).Last()}},
		} {
			if err := c.call.Do(l.store(c.id)); err == nil {
				c.call.Apply(l.model(c.id))
			}
			if err := l.j.failed.Err(); err != nil {
				l.t.Fatalf("the log has failed: %v", err)
			}
		}
	}
}

// background returns a rule by which a call of the background fails, on any file but the one that
// the log is written to: what fails there is the log's.
func (l *troubled) background(op vfs.Op, fault error, times int) vfs.Rule {
	return func(o vfs.Op, path string, _ int) error {
		if o != op || times == 0 || op == vfs.OpWrite && path == l.j.writer.seg.path {
			return nil
		}
		times--
		l.failed++
		return fault
	}
}

// TestTroublePasses has each operation of the background fail, once and for a while, in each way
// that may pass. Afterwards the space comes back, nothing is lost, and the log can be written. It
// is told once that a step fails, and once that it goes on.
func TestTroublePasses(t *testing.T) {
	ways := []error{syscall.EMFILE, syscall.EBUSY, syscall.EIO, syscall.ENOMEM, syscall.ENOSPC,
		syscall.EAGAIN, syscall.EINTR, syscall.EACCES, syscall.ENFILE, syscall.EDQUOT}
	ops := []vfs.Op{vfs.OpOpenRead, vfs.OpOpen, vfs.OpCreate, vfs.OpRemove, vfs.OpRename,
		vfs.OpTruncate, vfs.OpAllocate, vfs.OpRead, vfs.OpWrite, vfs.OpSync}
	for i, op := range ops {
		for k, times := range []int{1, 1 << 30} {
			for n, fault := range ways {
				if !*allTroubles && n%5 != (i+k)%5 { // each way with some operation
					continue
				}
				t.Run(fmt.Sprintf("%v, %v, %d times", op, fault, times), func(t *testing.T) {
					t.Parallel()
					testTrouble(t, op, fault, times)
				})
			}
		}
	}
	t.Run("no descriptor to sync the folder with", func(t *testing.T) {
		testTrouble(t, vfs.OpSyncDir, syscall.EMFILE, 3)
	})
}

func testTrouble(t *testing.T, op vfs.Op, fault error, times int) {
	l := newTroubled(t)
	l.rounds(20)
	l.reopen() // nobody has the segments open for reading
	l.faults.SetRule(l.background(op, fault, times))
	l.rounds(40)
	during := l.Stats()
	l.faults.SetRule(nil)
	if l.failed == 0 {
		t.Skip("nothing has failed")
	}
	if times > 3 && op != vfs.OpOpenRead && op != vfs.OpRead && during.Troubles == 0 {
		t.Errorf("%d calls have failed, and Stats says nothing", l.failed)
	}
	if st := during.Trouble; during.Troubles > 0 &&
		(st.Step == "" || st.Tries == 0 || !errors.Is(st.Err, fault)) {
		t.Errorf("Stats says %+v", st)
	}
	l.rounds(50)
	if st := l.Stats(); st.Troubles != 0 || st.Trouble != (ballast.Trouble{}) {
		t.Errorf("it is over, and Stats says %+v", st.Trouble)
	}
	for step, n := range l.told.began {
		if n != l.told.over[step] || n > 2 && times > 1 {
			t.Errorf("%s: %d times it is told to fail, %d times to go on; %d calls failed",
				step, n, l.told.over[step], l.failed)
		}
	}
	l.checkSpace("afterwards", 0)
	if left := strings.Join(l.mem.Files(), " "); len(l.mem.Files()) > 9 {
		t.Errorf("there are %s", left)
	}
	l.check()
	l.reopen()
}

// TestRemovalTriedAgain: segments that cannot be removed at first, or by whoever opens the log, are
// removed later.
func TestRemovalTriedAgain(t *testing.T) {
	for _, fault := range []error{syscall.EBUSY, vfs.Late(syscall.EIO), syscall.EACCES} {
		for _, opening := range []bool{false, true} {
			l := newTroubled(t)
			for range 60 {
				l.append(1, 1, 100<<10)
			}
			rule := l.background(vfs.OpRemove, fault, 1<<30)
			l.faults.SetRule(func(op vfs.Op, path string, n int) error {
				if !isSegment(strings.TrimPrefix(path, dataDir+"/")) {
					return nil
				}
				return rule(op, path, n)
			})
			l.keepLast(1, 1)
			st, stays := l.Stats(), errors.Unwrap(fault) == nil
			if st.Trouble.Step != stepRemove || st.Trouble.Tries < 3 || stays && st.DiskBytes < 4*minSegmentBytes {
				t.Errorf("%v: Stats says %d bytes and %+v", fault, st.DiskBytes, st.Trouble)
			}
			if opening {
				_ = l.Groups.Close()
				l.open()
				if st := l.Stats(); stays && st.Trouble.Step != stepRemove || st.Troubles > 1 {
					t.Errorf("%v: opened again, Stats says %+v", fault, st.Trouble)
				}
			}
			l.faults.SetRule(nil)
			l.append(1, 1, 10)
			if files := l.mem.Files(); len(files) > 3 || l.Stats().Troubles != 0 {
				t.Errorf("%v, opening %v: there are %v, Stats says %+v",
					fault, opening, files, l.Stats().Trouble)
			}
			l.check()
			must(t, l.Groups.Close())
		}
	}
}
