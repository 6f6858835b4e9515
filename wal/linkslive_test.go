package wal

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/raft-ballast/ballast/internal/oracle"
	"github.com/raft-ballast/ballast/internal/vfs"
)

// midCopies makes a copy of hard links of a log in the middle of each of its writes, and opens it
// for writing while the write is half done.
type midCopies struct {
	t      *testing.T
	mem    *vfs.Mem
	fsys   *tearing
	finish bool // the write ends while the copy waits for that

	mu     sync.Mutex
	states []*model // that were acknowledged, one after the other
	made   []madeCopy
}

type madeCopy struct {
	held  *model
	after int // states before it was made
}

func (m *midCopies) acknowledged(state *model) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.states = append(m.states, state.Clone())
}

func (m *midCopies) half(finish func() error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.t.Failed() {
		return
	}
	to := fmt.Sprint("/copy", len(m.made))
	linkAll(m.mem, to)
	opts := memOptions(m.mem)
	if m.finish {
		opts.settle = func() { must(m.t, finish()) }
	}
	s, err := Open(to, opts)
	if err != nil {
		m.t.Errorf("copy %d: %v", len(m.made), err)
		return
	}
	held, err := oracle.Read(checkedStore{s}, "vote")
	if err == nil {
		err = s.Set([]byte("copy"), []byte("alone"))
	}
	if err != nil {
		m.t.Errorf("copy %d: %v", len(m.made), err)
	}
	m.made = append(m.made, madeCopy{held, len(m.states)})
	must(m.t, s.Close())
	for _, path := range m.mem.Files() {
		if filepath.Dir(path) == to {
			must(m.t, m.mem.Remove(path))
		}
	}
}

// TestCopyInTheMiddleOfAnyWrite: a copy of hard links that is opened for writing while the log
// writes its tail holds what was acknowledged before, and the log is what it would be without it.
func TestCopyInTheMiddleOfAnyWrite(t *testing.T) {
	for name, tear := range tears {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mem := vfs.NewMem()
			m := &midCopies{t: t, mem: mem, fsys: &tearing{mem, &halves{torn: tear}}, finish: name == "bytes"}
			l := newTestLog(t, m.fsys, 1)
			l.set("vote", "0")
			m.acknowledged(l.model)
			m.fsys.half = m.half
			for n := range 12 / min(thin, 4) {
				l.set("vote", fmt.Sprint(n))
				m.acknowledged(l.model)
				for _, size := range []int{10, 3 << 10, 100 << 10} {
					l.fill(1+n%3, size)
					m.acknowledged(l.model)
				}
			}
			l.close()
			m.check(t)
			checkReopened(t, l.model, mem)
		})
	}
}

// check compares what the copies held with what was acknowledged before and behind them.
func (m *midCopies) check(t *testing.T) {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.made) < len(m.states) {
		t.Errorf("there were only %d copies", len(m.made))
	}
	for n, c := range m.made {
		var diffs []string
		for _, state := range m.states[c.after-1 : min(c.after+1, len(m.states))] {
			if err := state.Diff(c.held); err != nil {
				diffs = append(diffs, err.Error())
			}
		}
		if len(diffs) > 1 || c.after == len(m.states) && len(diffs) > 0 {
			t.Fatalf("copy %d: %s", n, strings.Join(slices.Compact(diffs), "; "))
		}
	}
}
