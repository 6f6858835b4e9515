// Package memstore keeps a raft peer's log and stable state in memory, for tests.
//
//	store := memstore.New()
//	r, err := raft.NewRaft(config, fsm, store, store, raft.NewInmemSnapshotStore(), transport)
//
// It is for what raft.InmemStore is for, and keeps the whole contract of [ballast.Store] except that
// nothing outlives the process: entries and values are copied in both directions, bytes and uint64
// share one key space, a missing key is [ballast.ErrKeyNotFound], and DeleteRange takes any range in
// the time of what it deletes, so that FirstIndex and LastIndex are always entries that exist.
//
// The log is one slice of entries in ascending order of index; a lock guards everything.
package memstore

import (
	"cmp"
	"maps"
	"slices"
	"sync"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/engine"
)

var (
	_ ballast.Store      = (*Store)(nil)
	_ ballast.Inspector  = (*Store)(nil)
	_ ballast.KeyDeleter = (*Store)(nil)
)

// Store is a [ballast.Store] in memory. Its limit for an entry is ballast.DefaultMaxEntryBytes.
type Store struct {
	staged engine.CommitStage

	mu     sync.RWMutex
	closed bool
	logs   []raft.Log        // ascending by Index, each Data and Extensions its own
	stable map[string][]byte // no value is nil
	commit uint64            // at most the last index of logs
}

// New returns an empty store.
func New() *Store { return &Store{stable: make(map[string][]byte)} }

// IsMonotonic returns false: gaps are legal.
func (s *Store) IsMonotonic() bool { return false }

// read calls f with the store locked for reading.
func (s *Store) read(f func() error) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return ballast.ErrClosed
	}
	return f()
}

// write calls f with the store locked for writing.
func (s *Store) write(f func() error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ballast.ErrClosed
	}
	return f()
}

// search returns the position of the first entry at or above index, and whether it is index's own.
func (s *Store) search(index uint64) (at int, found bool) {
	return slices.BinarySearchFunc(s.logs, index, func(l raft.Log, index uint64) int {
		return cmp.Compare(l.Index, index)
	})
}

// lastIndex returns 0 when the log is empty.
func (s *Store) lastIndex() uint64 {
	if len(s.logs) == 0 {
		return 0
	}
	return s.logs[len(s.logs)-1].Index
}

// FirstIndex implements raft.LogStore.
func (s *Store) FirstIndex() (first uint64, err error) {
	err = s.read(func() error {
		if len(s.logs) > 0 {
			first = s.logs[0].Index
		}
		return nil
	})
	return first, err
}

// LastIndex implements raft.LogStore.
func (s *Store) LastIndex() (last uint64, err error) {
	err = s.read(func() error {
		last = s.lastIndex()
		return nil
	})
	return last, err
}

// NextIndex implements [ballast.Inspector].
func (s *Store) NextIndex(index uint64) (next uint64, err error) {
	err = s.read(func() error {
		if at, _ := s.search(index); at < len(s.logs) {
			next = s.logs[at].Index
		}
		return nil
	})
	return next, err
}

// GetLog implements raft.LogStore.
func (s *Store) GetLog(index uint64, log *raft.Log) error {
	return s.read(func() error {
		at, found := s.search(index)
		if !found {
			return raft.ErrLogNotFound
		}
		*log = clone(&s.logs[at])
		return nil
	})
}

// StoreLog implements raft.LogStore.
func (s *Store) StoreLog(log *raft.Log) error { return s.StoreLogs([]*raft.Log{log}) }

// StoreLogs implements raft.LogStore.
func (s *Store) StoreLogs(logs []*raft.Log) error {
	if len(logs) == 0 {
		return s.read(func() error { return nil })
	}
	return s.write(func() error {
		commit := s.staged.Take(s.commit, ^uint64(0))
		if err := engine.CheckBatch(logs, ballast.DefaultMaxEntryBytes); err != nil {
			return err
		}
		for _, l := range logs {
			s.put(clone(l))
		}
		s.commit = min(commit, s.lastIndex())
		return nil
	})
}

// put is cheap for an entry behind the last one, which is what raft stores nearly always.
func (s *Store) put(l raft.Log) {
	if l.Index > s.lastIndex() {
		s.logs = append(s.logs, l)
		return
	}
	at, found := s.search(l.Index)
	if found {
		s.logs[at] = l
		return
	}
	s.logs = slices.Insert(s.logs, at, l)
}

// DeleteRange implements raft.LogStore.
func (s *Store) DeleteRange(min, max uint64) error {
	return s.write(func() error {
		if min > max {
			return nil
		}
		from, _ := s.search(min)
		to, found := s.search(max)
		if found {
			to++
		}
		s.logs = slices.Delete(s.logs, from, to)
		if last := s.lastIndex(); s.commit > last {
			s.commit = last
		}
		return nil
	})
}

// Set implements raft.StableStore.
func (s *Store) Set(key, value []byte) error {
	return s.write(func() error {
		s.stable[string(key)] = append([]byte{}, value...)
		return nil
	})
}

// DeleteKey implements [ballast.KeyDeleter].
func (s *Store) DeleteKey(key []byte) error {
	return s.write(func() error {
		delete(s.stable, string(key))
		return nil
	})
}

// Get implements raft.StableStore.
func (s *Store) Get(key []byte) (value []byte, err error) {
	err = s.read(func() error {
		v, ok := s.stable[string(key)]
		if !ok {
			return ballast.ErrKeyNotFound
		}
		value = append([]byte{}, v...)
		return nil
	})
	return value, err
}

// SetUint64 implements raft.StableStore.
func (s *Store) SetUint64(key []byte, value uint64) error {
	return s.Set(key, engine.Uint64Bytes(value))
}

// GetUint64 implements raft.StableStore.
func (s *Store) GetUint64(key []byte) (uint64, error) {
	value, err := s.Get(key)
	if err != nil {
		return 0, err
	}
	return engine.Uint64(key, value)
}

// StableKeys implements [ballast.Inspector].
func (s *Store) StableKeys() (keys [][]byte, err error) {
	err = s.read(func() error {
		for _, key := range slices.Sorted(maps.Keys(s.stable)) {
			keys = append(keys, []byte(key))
		}
		return nil
	})
	return keys, err
}

// StageCommitIndex implements [ballast.CommitTracker].
func (s *Store) StageCommitIndex(index uint64) error {
	return s.read(func() error {
		s.staged.Stage(index)
		return nil
	})
}

// GetCommitIndex implements [ballast.CommitTracker].
func (s *Store) GetCommitIndex() (commit uint64, err error) {
	err = s.read(func() error {
		commit = s.commit
		return nil
	})
	return commit, err
}

// Close lets go of everything that was stored.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed, s.logs, s.stable = true, nil, nil
	return nil
}

// clone returns a log that shares nothing with l. Nil stays nil.
func clone(l *raft.Log) raft.Log {
	out := *l
	out.Data, out.Extensions = slices.Clone(l.Data), slices.Clone(l.Extensions)
	return out
}
