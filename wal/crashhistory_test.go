package wal

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/raft-ballast/ballast/internal/oracle"
	"github.com/raft-ballast/ballast/internal/vfs"
)

var crashHistories = flag.Int("crash.histories", 600, "how many power cuts and kills TestCrashHistories makes")

// history is what becomes of one log through many power cuts and kills. Between them it is opened
// with segments of one size and of another, closed, compacted, and written, so that segments are
// removed and used again while the names from before are not durable yet. A kill leaves all that is
// in the caches, for a later power cut to take.
type history struct {
	t             testing.TB
	seed          uint64
	rng           *rand.Rand
	mem           *vfs.Mem
	before, after *model // without and with the call in progress
	calls         uint64
	next          *vfs.Mem // what is there behind the cut, nil before it

	// Until the cut:
	lazy  bool // the background never comes to its work, so few names become durable
	quiet bool // nothing is written, and the power goes when a log was closed
	large bool // segments are twice as large
	small bool // so are entries
	stage int  // of debris; elsewhere when none of them is due

	stubborn bool // a segment is not removed at the first try, as when somebody looks into it

	cuts, kills, outcomes int
}

func newHistory(t testing.TB, seed uint64) *history {
	m := oracle.NewModel()
	return &history{t: t, seed: seed, stage: elsewhere, rng: oracle.Random(seed), mem: vfs.NewMem(), before: m, after: m}
}

// options are others each time. The background is at work at once, or later, or never.
func (h *history) options(fsys vfs.FS) *Options {
	o := memOptions(fsys)
	if h.large {
		o.SegmentBytes *= 2
	}
	o.busy = h.rng.IntN(2) == 0
	o.garbage = int64(h.rng.IntN(2)) // entries move, or do not
	share := max(0, h.rng.IntN(8)-3)
	o.asleep = func() bool { return h.lazy || h.rng.IntN(4) < share }
	return o
}

// anyCall, named and begun are calls of which one is cut: any that changes something, one that
// changes a name or makes it durable, and a write where the first frame of a segment is.
var (
	anyCall = func(*vfs.Call) bool { return true }
	named   = func(c *vfs.Call) bool {
		return c.Op == vfs.OpRename || c.Op == vfs.OpRemove || c.Op == vfs.OpSyncDir || c.Op == vfs.OpCreate
	}
	begun = func(c *vfs.Call) bool {
		return c.Op == vfs.OpWrite && c.Off == framesOffset && filepath.Ext(c.Path) == segmentSuffix
	}
)

// elsewhere is behind the stages of debris.
const elsewhere = 2

// debris says how it goes on behind a cut, which may have torn the first frame of a segment: about
// every second time with an opening for segments of another size, which takes away that segment and
// writes nothing, with the cut when the log was closed, and then with segments as before and a cut
// soon after one is begun. So what is back is written on, if anything is.
func (h *history) debris() (counts func(*vfs.Call) bool, left int) {
	h.stage++
	switch {
	case h.stage == 1 && h.rng.IntN(2) == 0: // behind one that was begun
		h.lazy, h.quiet, h.large = true, true, !h.large
	case h.stage == 2 && h.quiet:
		h.lazy, h.quiet, h.large, h.small = true, false, !h.large, true
		on := false
		return func(c *vfs.Call) bool { on = on || begun(c); return on }, 1 + h.rng.IntN(3)
	default:
		h.stage = elsewhere
		h.lazy, h.quiet = h.rng.IntN(2) == 0, h.rng.IntN(8) == 0
		h.large, h.small = h.rng.IntN(3) == 0, h.rng.IntN(4) == 0
	}
	switch h.rng.IntN(4) {
	case 0:
		return named, 1 + h.rng.IntN(15)
	case 1:
		if !h.quiet {
			h.stage = 0
		}
		return begun, 1 + h.rng.IntN(3)
	}
	return anyCall, 1 + h.rng.IntN(60)
}

// plan has the power go, or the process be killed, in one of the next calls, or when a log was
// closed.
func (h *history) plan() {
	counts, left := h.debris()
	kill := h.rng.IntN(4) == 0
	h.next, h.stubborn = nil, h.rng.IntN(4) == 0
	h.mem.SetHook(func(c *vfs.Call) error {
		if h.stubborn && c.Op == vfs.OpRemove && filepath.Ext(c.Path) == segmentSuffix && h.rng.IntN(2) == 0 {
			return syscall.EBUSY
		}
		if counts(c) {
			left--
		}
		if left > 0 || h.quiet {
			return nil
		}
		if kill {
			h.kills++
			h.next = h.mem.Clone()
			return vfs.ErrCrashed
		}
		h.cuts++
		cut := c.Cut()
		for range 2 {
			h.look(cut.Crash(h.rng.Uint64()))
		}
		h.next = cut.Crash(h.rng.Uint64())
		return vfs.ErrCrashed
	})
}

// look opens what may be there, in each way there is to do that.
func (h *history) look(mem *vfs.Mem) {
	h.outcomes++
	if h.rng.IntN(4) == 0 {
		h.lookOnly(mem)
	}
	s, err := Open(dataDir, memOptions(mem))
	if err == nil {
		_, err = oracle.Find(checkedStore{s}, h.before, h.after)
		_ = s.Close()
	}
	h.must("opening what the cut may leave", err)
}

// lookOnly reads, salvages and copies what may be there: nothing of it may seem damaged.
func (h *history) lookOnly(mem *vfs.Mem) {
	s, err := OpenReadOnly(dataDir, memOptions(mem))
	if err != nil && len(h.before.Logs) == 0 && len(h.before.Stable) == 0 {
		return // there is no log yet
	}
	h.must("opening for reading", err)
	_, err = oracle.Find(checkedStore{s}, h.before, h.after)
	h.must("reading", err)
	_ = s.Close()
	rescued, err := Salvage(dataDir, memOptions(mem))
	h.must("Salvage", err)
	if rescued.Missing() || len(rescued.Damage) > 0 || rescued.StableUnsure {
		h.must("Salvage", fmt.Errorf("something is missing or damaged: %v", rescued.Damage))
	}
	_ = rescued.Close()
	_, err = Backup(context.Background(), dataDir, "/copy", &BackupOptions{fs: mem})
	h.must("Backup", err)
}

func (h *history) must(doing string, err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatalf("history %d, behind %d power cuts, %d kills and %d calls: %s: %v", h.seed, h.cuts, h.kills, h.calls, doing, err)
	}
}

// live makes sessions until the cut.
func (h *history) live() {
	h.plan()
	for h.next == nil {
		if err := h.session(); err != nil && h.next == nil {
			h.must("a session", err)
		}
		if h.quiet {
			h.cuts++
			h.next = h.mem.Crash(h.rng.Uint64())
		}
	}
	h.mem = h.next
}

// session opens the log, makes some calls, and closes it.
func (h *history) session() error {
	if h.rng.IntN(6) == 0 && len(h.before.Logs) > 0 {
		if err := Compact(dataDir, h.options(h.mem)); err != nil && !(h.stubborn && errors.Is(err, syscall.EBUSY)) {
			return err
		}
	}
	s, err := Open(dataDir, h.options(h.mem))
	if err != nil {
		return err
	}
	found, err := oracle.Find(checkedStore{s}, h.before, h.after)
	if err != nil {
		return err
	}
	h.before = []*model{h.before, h.after}[found]
	h.after = h.before
	work := oracle.Workload{Seed: h.seed, MaxBytes: 150 << 10}
	if h.small {
		work.MaxBytes = 10 << 10
	}
	calls := h.rng.IntN(8)
	switch {
	case h.quiet:
		calls = 0
	case h.small:
		calls *= 8
	}
	for range calls {
		call := work.Call(h.calls, h.before)
		h.calls++
		h.after = h.before.Clone()
		call.Apply(h.after)
		if err := call.Do(s); err != nil {
			return err
		}
		h.before = h.after
	}
	return s.Close()
}

// TestCrashHistories: a power cut is followed by others, and what one of them has left by an
// opening with another size, a clean close, a kill. No such history ends with damage, or without
// something that was acknowledged.
func TestCrashHistories(t *testing.T) {
	outcomes, cuts, kills := 0, 0, 0
	for seed := *crashSeed; outcomes < *crashHistories/thin; seed++ {
		h := newHistory(t, seed)
		for range 12 {
			h.live()
			h.outcomes++
		}
		h.must("opening at the end", func() error {
			s, err := Open(dataDir, memOptions(h.mem))
			if err != nil {
				return err
			}
			_, err = oracle.Find(checkedStore{s}, h.before, h.after)
			_ = s.Close()
			return err
		}())
		outcomes, cuts, kills = outcomes+h.outcomes, cuts+h.cuts, kills+h.kills
	}
	t.Logf("%d outcomes of %d power cuts and %d kills", outcomes, cuts, kills)
}
