package logcache_test

import (
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/memstore"
)

// What a store may have besides a log, as bits of the index into combinations.
const (
	commitBit = 1 << iota
	stableBit
	closerBit
	inspectorBit
)

// combinations are the stores with every combination of the optional interfaces, each of them memstore's.
var combinations = [16]func(s *memstore.Store) raft.LogStore{
	0: func(s *memstore.Store) raft.LogStore {
		return struct {
			raft.LogStore
		}{s}
	},
	commitBit: func(s *memstore.Store) raft.LogStore {
		return struct {
			raft.LogStore
			ballast.CommitTracker
		}{s, s}
	},
	stableBit: func(s *memstore.Store) raft.LogStore {
		return struct {
			raft.LogStore
			raft.StableStore
		}{s, s}
	},
	commitBit | stableBit: func(s *memstore.Store) raft.LogStore {
		return struct {
			raft.LogStore
			ballast.CommitTracker
			raft.StableStore
		}{s, s, s}
	},
	closerBit: func(s *memstore.Store) raft.LogStore {
		return struct {
			raft.LogStore
			io.Closer
		}{s, s}
	},
	commitBit | closerBit: func(s *memstore.Store) raft.LogStore {
		return struct {
			raft.LogStore
			ballast.CommitTracker
			io.Closer
		}{s, s, s}
	},
	stableBit | closerBit: func(s *memstore.Store) raft.LogStore {
		return struct {
			raft.LogStore
			raft.StableStore
			io.Closer
		}{s, s, s}
	},
	commitBit | stableBit | closerBit: func(s *memstore.Store) raft.LogStore {
		return struct {
			raft.LogStore
			ballast.CommitTracker
			raft.StableStore
			io.Closer
		}{s, s, s, s}
	},
	inspectorBit: func(s *memstore.Store) raft.LogStore {
		return struct {
			raft.LogStore
			ballast.Inspector
		}{s, s}
	},
	commitBit | inspectorBit: func(s *memstore.Store) raft.LogStore {
		return struct {
			raft.LogStore
			ballast.CommitTracker
			ballast.Inspector
		}{s, s, s}
	},
	stableBit | inspectorBit: func(s *memstore.Store) raft.LogStore {
		return struct {
			raft.LogStore
			raft.StableStore
			ballast.Inspector
		}{s, s, s}
	},
	commitBit | stableBit | inspectorBit: func(s *memstore.Store) raft.LogStore {
		return struct {
			raft.LogStore
			ballast.CommitTracker
			raft.StableStore
			ballast.Inspector
		}{s, s, s, s}
	},
	closerBit | inspectorBit: func(s *memstore.Store) raft.LogStore {
		return struct {
			raft.LogStore
			io.Closer
			ballast.Inspector
		}{s, s, s}
	},
	commitBit | closerBit | inspectorBit: func(s *memstore.Store) raft.LogStore {
		return struct {
			raft.LogStore
			ballast.CommitTracker
			io.Closer
			ballast.Inspector
		}{s, s, s, s}
	},
	stableBit | closerBit | inspectorBit: func(s *memstore.Store) raft.LogStore {
		return struct {
			raft.LogStore
			raft.StableStore
			io.Closer
			ballast.Inspector
		}{s, s, s, s}
	},
	commitBit | stableBit | closerBit | inspectorBit: func(s *memstore.Store) raft.LogStore {
		return struct {
			raft.LogStore
			ballast.CommitTracker
			raft.StableStore
			io.Closer
			ballast.Inspector
		}{s, s, s, s, s}
	},
}

func TestOptionalInterfaces(t *testing.T) {
	for have, build := range combinations {
		t.Run(fmt.Sprintf("%04b", have), func(t *testing.T) {
			mem := memstore.New()
			c := open(t, build(mem), nil)
			must(t, c.StoreLogs(batch(1, 1, 3)))
			wantTerm(t, c, 2, 1)
			wantHits(t, c, 1)

			tracker, hasTracker := c.(ballast.CommitTracker)
			stable, hasStable := c.(raft.StableStore)
			inspector, hasInspector := c.(ballast.Inspector)
			closer, hasCloser := c.(io.Closer)
			got := 0
			for bit, has := range map[int]bool{
				commitBit: hasTracker, stableBit: hasStable, inspectorBit: hasInspector, closerBit: hasCloser,
			} {
				if has {
					got |= bit
				}
			}
			if got != have {
				t.Fatalf("the store has %04b, the cache %04b", have, got)
			}
			if _, is := c.(ballast.Store); is != (have|inspectorBit == 15) {
				t.Errorf("the cache is a ballast.Store: %v", is)
			}
			if hasTracker {
				commitPassesThrough(t, tracker, c)
			}
			if hasStable {
				must(t, stable.Set([]byte("k"), []byte("v")))
				if v, err := mem.Get([]byte("k")); err != nil || string(v) != "v" {
					t.Errorf("the store's value is %q, %v", v, err)
				}
			}
			if hasInspector {
				if next, err := inspector.NextIndex(2); next != 2 || err != nil {
					t.Errorf("NextIndex = %d, %v", next, err)
				}
			}
			if hasCloser {
				must(t, closer.Close())
				if err := c.GetLog(2, new(raft.Log)); err != ballast.ErrClosed {
					t.Errorf("GetLog after Close: %v", err)
				}
			}
		})
	}
}

// damaged is a store that says that it is.
type damaged struct{ *memstore.Store }

var errDamaged = &ballast.CorruptionError{Path: "store", Offset: -1, Err: errors.New("a test's damage")}

func (damaged) Damaged() error { return errDamaged }

// The store is refused as a source, also behind a cache.
func TestDamagedPassesThrough(t *testing.T) {
	c := open(t, damaged{memstore.New()}, nil)
	must(t, c.StoreLogs(batch(1, 1, 3)))
	if _, err := ballast.Copy(t.Context(), memstore.New(), c.(ballast.Source), nil); !errors.Is(err, errDamaged) {
		t.Errorf("Copy: %v", err)
	}
	if err := open(t, memstore.New(), nil).Damaged(); err != nil {
		t.Errorf("a store that does not say: %v", err)
	}
}

func commitPassesThrough(t *testing.T, tracker ballast.CommitTracker, c raft.LogStore) {
	t.Helper()
	must(t, tracker.StageCommitIndex(2))
	must(t, c.StoreLog(entry(4, 1)))
	if commit, err := tracker.GetCommitIndex(); commit != 2 || err != nil {
		t.Errorf("GetCommitIndex = %d, %v", commit, err)
	}
}

// monotonic is a store that says whether it is.
type monotonic struct {
	raft.LogStore
	is bool
}

func (m monotonic) IsMonotonic() bool { return m.is }

func TestIsMonotonic(t *testing.T) {
	for name, tc := range map[string]struct {
		store raft.LogStore
		want  bool
	}{
		"the store does not say":  {raft.NewInmemStore(), false},
		"the store says it is":    {monotonic{nothing{}, true}, true},
		"the store says it isn't": {monotonic{nothing{}, false}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := open(t, tc.store, nil).IsMonotonic(); got != tc.want {
				t.Errorf("IsMonotonic = %v", got)
			}
		})
	}
}
