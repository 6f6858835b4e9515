package wal

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/oracle"
	"github.com/raft-ballast/ballast/internal/vfs"
)

// callsOf is one call of each method of Groups, of two of its stores, and of what works on the same
// folder.
func callsOf(gs *Groups, stores []*Store, opts *Options, to *atomic.Int64) map[string]func() error {
	calls := map[string]func() error{
		"Close":    gs.Close,
		"Drop":     func() error { return gs.Drop(1) },
		"Stats":    func() error { gs.Stats(); return nil },
		"Segments": func() error { _, err := gs.Segments(); return err },
		"IDs":      func() error { gs.IDs(); return nil },
		"List":     func() error { gs.List(); return nil },
		"Store": func() error {
			s, err := gs.Store(3)
			if err == nil {
				err = s.Close()
			}
			return err
		},
		"Backup": func() error {
			copied := fmt.Sprint("/copy", to.Add(1))
			_, err := Backup(context.Background(), dataDir, copied, &BackupOptions{fs: opts.fs})
			return err
		},
		"Compact": func() error { return Compact(dataDir, opts) },
		"OpenGroupsReadOnly": func() error {
			r, err := OpenGroupsReadOnly(dataDir, opts)
			return closed(r, err)
		},
	}
	for i, s := range stores {
		index := atomic.Uint64{}
		index.Store(100)
		for name, call := range map[string]func() error{
			"StoreLogs": func() error {
				return s.StoreLogs(oracle.Entries(oracle.Random(1), index.Add(2), 2, 300))
			},
			"GetLog":           func() error { return s.GetLog(5, new(raft.Log)) },
			"DeleteRange":      func() error { return s.DeleteRange(1, 3) },
			"Set":              func() error { return s.Set([]byte("k"), []byte("v")) },
			"Get":              func() error { _, err := s.Get([]byte("k")); return err },
			"DeleteKey":        func() error { return s.DeleteKey([]byte("other")) },
			"StageCommitIndex": func() error { return s.StageCommitIndex(7) },
			"GetCommitIndex":   func() error { _, err := s.GetCommitIndex(); return err },
			"FirstIndex":       func() error { _, err := s.FirstIndex(); return err },
			"LastIndex":        func() error { _, err := s.LastIndex(); return err },
			"NextIndex":        func() error { _, err := s.NextIndex(3); return err },
			"StableKeys":       func() error { _, err := s.StableKeys(); return err },
			"Stats":            func() error { s.Stats(); return nil },
			"Segments":         func() error { _, err := s.Segments(); return err },
			"Close":            s.Close,
		} {
			calls[fmt.Sprintf("%s of group %d", name, i+1)] = call
		}
	}
	return calls
}

// rightly reports whether a call may return that error when others are made at the same time: what
// it needs was closed, dropped, or is in use.
func rightly(err error) bool {
	return err == nil || errors.Is(err, ballast.ErrClosed) || errors.Is(err, ballast.ErrLocked) ||
		errors.Is(err, raft.ErrLogNotFound) || errors.Is(err, ballast.ErrKeyNotFound)
}

// TestPairsOfCalls makes each call of a log of groups at the same time as each other one. Each
// returns what is right; none panics, and under the race detector none races. When a Close has
// returned the log opens, and has what it had.
func TestPairsOfCalls(t *testing.T) {
	t.Parallel()
	base := vfs.NewMem()
	l := newTestGroups(t, base, nil)
	for id := range uint64(2) {
		l.append(1+id, 20, 500)
		l.set(1+id, "k", []byte("v"))
	}
	must(t, l.Groups.Close())
	names := slices.Sorted(func(yield func(string) bool) {
		for name := range callsOf(l.Groups, make([]*Store, 2), l.options(base), nil) {
			if !yield(name) {
				return
			}
		}
	})
	for i, one := range names {
		for k, other := range names[i:] {
			if thin > 1 && k > 0 && one != "Close" && (i+k)%thin != 0 { // of the others only some
				continue
			}
			if testPair(t, base.Clone(), one, other); t.Failed() {
				return
			}
		}
	}
}

func testPair(t *testing.T, mem *vfs.Mem, one, other string) {
	opts := memOptions(mem)
	opts.inline = false
	gs, err := OpenGroups(dataDir, opts)
	must(t, err)
	var stores []*Store
	for id := range uint64(2) {
		s, err := gs.Store(1 + id)
		must(t, err)
		stores = append(stores, s)
	}
	calls := callsOf(gs, stores, opts, new(atomic.Int64))
	var ready atomic.Int32
	var wg sync.WaitGroup
	for _, name := range []string{one, other} {
		wg.Go(func() {
			for ready.Add(1); ready.Load() < 2; runtime.Gosched() { // a lock orders them
			}
			for range 3 {
				if err := calls[name](); !rightly(err) {
					t.Errorf("%s, of %s beside %s: %v", name, one, other, err)
				}
			}
			if name != "Close" {
				return
			}
			again, err := OpenGroups(dataDir, opts)
			err = closed(again, err)
			if !rightly(err) || err != nil && other != one && other != "Compact" {
				t.Errorf("opening behind a Close, %s beside %s: %v", one, other, err)
			}
		})
	}
	wg.Wait()
	must(t, gs.Close())
	gs, err = OpenGroups(dataDir, opts)
	must(t, err)
	for _, id := range gs.IDs() {
		s, err := gs.Store(id)
		must(t, err)
		if _, err := oracle.Read(s); err != nil {
			t.Errorf("%s beside %s: group %d: %v", one, other, id, err)
		}
	}
	must(t, gs.Close())
}

// TestSecondCloseOfGroups: the second Close comes while a call of a store is in progress, for which
// the first one waits. It waits too: the call is durable, and neither Close has closed the log
// under it.
func TestSecondCloseOfGroups(t *testing.T) {
	w := newSlowWrites()
	l := newTestGroups(t, w.mem, nil)
	l.append(1, 5, 10)
	w.path = l.j.tail.path
	holding, release := make(chan struct{}), make(chan struct{})
	w.hold = func() { close(holding); <-release }
	var calls sync.WaitGroup
	calls.Go(func() { l.append(1, 1, 10) })
	<-holding
	s := l.store(1)
	calls.Go(func() { must(t, l.Groups.Close()) })
	for !s.closed.Load() {
		runtime.Gosched()
	}
	begun, second := make(chan struct{}), make(chan error, 1)
	calls.Go(func() { close(begun); second <- l.Groups.Close() })
	<-begun
	for range 1000 {
		runtime.Gosched()
	}
	l.j.mu.RLock()
	if l.j.closed || len(second) > 0 {
		t.Error("the log is closed while a call is in progress")
	}
	l.j.mu.RUnlock()
	close(release)
	calls.Wait()
	must(t, <-second)
	l.open()
	l.check()
}
