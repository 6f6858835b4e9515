package oracle

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast"
)

// Store is what is looked at: the two interfaces that raft.NewRaft takes.
type Store interface {
	raft.LogStore
	raft.StableStore
}

// Checker is a store that can say whether what it holds in memory is consistent. Read asks it.
type Checker interface{ Check() error }

// Read returns what a store holds. It fails with the first error, and where the calls contradict one another. Of a store that is no
// ballast.Inspector it looks at the values of the given keys, and at each index between the bounds.
func Read(s Store, keys ...string) (*Model, error) {
	if c, ok := s.(Checker); ok {
		if err := c.Check(); err != nil {
			return nil, err
		}
	}
	m := NewModel()
	first, err1 := s.FirstIndex()
	last, err2 := s.LastIndex()
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	if c, ok := s.(ballast.CommitTracker); ok {
		commit, err := c.GetCommitIndex()
		if err != nil {
			return nil, err
		}
		m.Commit = commit
	}
	if err := m.readStable(s, keys); err != nil {
		return nil, err
	}
	if err := m.readLogs(s, first, last); err != nil {
		return nil, err
	}
	if first != m.First() || last != m.Last() {
		return nil, fmt.Errorf("the bounds are said to be %d and %d, they are %d and %d", first, last, m.First(), m.Last())
	}
	if m.Commit > last {
		return nil, fmt.Errorf("the commit index is %d, the last index is %d", m.Commit, last)
	}
	return m, nil
}

func (m *Model) readStable(s Store, keys []string) error {
	inspector, knowsKeys := s.(ballast.Inspector)
	if knowsKeys {
		all, err := inspector.StableKeys()
		if err != nil {
			return err
		}
		keys = keys[:0]
		for _, key := range all {
			keys = append(keys, string(key))
		}
	}
	for _, key := range keys {
		value, err := s.Get([]byte(key))
		missing := err != nil && err.Error() == "not found" || err == nil && value == nil
		if missing && !knowsKeys {
			continue
		}
		if err != nil {
			return fmt.Errorf("Get(%q): %w", key, err)
		}
		m.Stable[key] = value
	}
	return nil
}

func (m *Model) readLogs(s Store, first, last uint64) error {
	inspector, skips := s.(ballast.Inspector)
	next := uint64(1)
	if !skips {
		next = max(first, 1)
	}
	for ; ; next++ {
		index := next
		if skips {
			var err error
			if index, err = inspector.NextIndex(next); err != nil {
				return err
			}
			if index != next { // nothing in between
				for _, missing := range []uint64{next, index - 1} {
					if err := s.GetLog(missing, new(raft.Log)); err != raft.ErrLogNotFound {
						return fmt.Errorf("GetLog(%d), which is not there: %w", missing, err)
					}
				}
			}
		}
		if index == 0 || !skips && index > last {
			return nil
		}
		l := new(raft.Log)
		err := s.GetLog(index, l)
		if err == raft.ErrLogNotFound && !skips {
			continue
		}
		if err != nil {
			return fmt.Errorf("GetLog(%d): %w", index, err)
		}
		m.Logs[index] = l
		if next = index; next == ^uint64(0) {
			return nil
		}
	}
}

// Find returns which of the models a store is like, the first of them. Otherwise it returns -1 and the error of reading
// the store, or how it differs from the first model (a *Difference) and from the last. The commit index counts where the store
// keeps one.
func Find(s Store, models ...*Model) (int, error) {
	keys := make(map[string]bool)
	for _, m := range models {
		for key := range m.Stable {
			keys[key] = true
		}
	}
	got, err := Read(s, slices.Sorted(maps.Keys(keys))...)
	if err != nil {
		return -1, err
	}
	_, tracks := s.(ballast.CommitTracker)
	var first, last error
	for i, m := range models {
		if !tracks {
			got.Commit = m.Commit
		}
		if last = m.Diff(got); last == nil {
			return i, nil
		}
		if first == nil {
			first = last
		}
	}
	if len(models) == 1 {
		return -1, first
	}
	return -1, fmt.Errorf("neither as before the call in progress (%w) nor as after it (%w)", first, last)
}
