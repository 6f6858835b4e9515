// Package oracle says what a store must hold after a crash: a model of it, calls that a seed chooses, and how what was
// found is compared with what may be there. The crash simulator, the kills and the power cuts of real file systems share
// it, so that each of them asks for the same.
//
//	model.go      what a store should hold, and how two of them differ
//	read.go       what a store holds, and which of several models that is
//	workload.go   calls and entries chosen by a seed
package oracle

import (
	"bytes"
	"fmt"
	"maps"
	"slices"

	"github.com/hashicorp/raft"
)

// Model is what a store should hold. Entries and values in it are never changed, so copies share them. It is not for several
// goroutines at once.
type Model struct {
	Logs   map[uint64]*raft.Log
	Stable map[string][]byte
	Commit uint64 // the commit index, 0 for none
}

// NewModel returns the model of an empty store.
func NewModel() *Model {
	return &Model{Logs: make(map[uint64]*raft.Log), Stable: make(map[string][]byte)}
}

// Clone returns a copy.
func (m *Model) Clone() *Model {
	return &Model{Logs: maps.Clone(m.Logs), Stable: maps.Clone(m.Stable), Commit: m.Commit}
}

// Indexes returns those of all entries, ascending.
func (m *Model) Indexes() []uint64 { return slices.Sorted(maps.Keys(m.Logs)) }

// First returns the lowest index, 0 for none.
func (m *Model) First() uint64 {
	first := uint64(0)
	for index := range m.Logs {
		if first == 0 || index < first {
			first = index
		}
	}
	return first
}

// Last returns the highest index, 0 for none.
func (m *Model) Last() uint64 {
	last := uint64(0)
	for index := range m.Logs {
		last = max(last, index)
	}
	return last
}

// Put stores entries, with a commit index when staged is above 0.
func (m *Model) Put(logs []*raft.Log, staged uint64) {
	for _, l := range logs {
		m.Logs[l.Index] = l
	}
	if staged > 0 {
		m.Commit = min(staged, m.Last())
	}
}

// Delete deletes the entries from low to high.
func (m *Model) Delete(low, high uint64) {
	maps.DeleteFunc(m.Logs, func(index uint64, _ *raft.Log) bool { return low <= index && index <= high })
	m.Commit = min(m.Commit, m.Last())
}

// Kind says in which way a store is not what it should be.
type Kind uint8

const (
	Missing Kind = iota // an entry or a value is not there
	Wrong               // an entry or a value is another one
	Extra               // there is more than there should be
)

func (k Kind) String() string { return [...]string{"missing", "wrong", "extra"}[k] }

// Difference is how a store differs from a model.
type Difference struct {
	Kind Kind
	Lost int // entries that should be there and are not
	text string
}

func (d *Difference) Error() string { return d.text }

// Diff returns how what there is differs from what should be, nil or a *Difference.
func (m *Model) Diff(got *Model) error {
	for _, index := range m.Indexes() {
		l := got.Logs[index]
		if l == nil {
			return m.differ(Missing, got, "entry %d is missing; there are %s, should be %s", index, got, m)
		}
		if err := DiffEntry(m.Logs[index], l); err != nil {
			return m.differ(Wrong, got, "%w", err)
		}
	}
	for _, index := range got.Indexes() {
		if m.Logs[index] == nil {
			return m.differ(Extra, got, "entry %d should not be there; there are %s, should be %s", index, got, m)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(m.Stable)) {
		value, ok := got.Stable[key]
		if !ok {
			return m.differ(Missing, got, "there is no value of %q, it should be %.40q", key, m.Stable[key])
		}
		if !bytes.Equal(value, m.Stable[key]) {
			return m.differ(Wrong, got, "the value of %q is %.40q, should be %.40q", key, value, m.Stable[key])
		}
	}
	if len(got.Stable) != len(m.Stable) {
		return m.differ(Extra, got, "there are %d keys, should be %d", len(got.Stable), len(m.Stable))
	}
	if m.Commit != got.Commit {
		return m.differ(Wrong, got, "the commit index is %d, should be %d", got.Commit, m.Commit)
	}
	return nil
}

func (m *Model) differ(kind Kind, got *Model, format string, args ...any) error {
	d := &Difference{Kind: kind, text: fmt.Errorf(format, args...).Error()}
	for index := range m.Logs {
		if got.Logs[index] == nil {
			d.Lost++
		}
	}
	return d
}

// DiffEntry returns how an entry differs from what was stored. Whether an empty slice is nil is all the same, as it is to raft.
func DiffEntry(want, got *raft.Log) error {
	if got.Index != want.Index || got.Term != want.Term || got.Type != want.Type || !bytes.Equal(got.Data, want.Data) ||
		!bytes.Equal(got.Extensions, want.Extensions) || !got.AppendedAt.Equal(want.AppendedAt) {
		return fmt.Errorf("entry %d is %s, should be %s", want.Index, entryString(got), entryString(want))
	}
	return nil
}

func entryString(l *raft.Log) string {
	return fmt.Sprintf("{index %d, term %d, type %d, %d bytes %.16x, extensions %.16x, at %v}",
		l.Index, l.Term, l.Type, len(l.Data), l.Data, l.Extensions, l.AppendedAt)
}

// String lists the ranges of indexes.
func (m *Model) String() string {
	var b bytes.Buffer
	indexes := m.Indexes()
	for i := 0; i < len(indexes); {
		j := i
		for j+1 < len(indexes) && indexes[j+1] == indexes[j]+1 {
			j++
		}
		fmt.Fprintf(&b, "%d-%d ", indexes[i], indexes[j])
		i = j + 1
	}
	return fmt.Sprintf("entries [%s] commit %d", bytes.TrimSpace(b.Bytes()), m.Commit)
}
