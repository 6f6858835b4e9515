package main

import (
	"slices"
	"sync"

	"github.com/raft-ballast/ballast"
)

// generation says that the entries from an index on have a term, up to where the next generation begins.
type generation struct{ from, term uint64 }

// view is what is there at a moment.
type view struct {
	store       ballast.Store
	changes     uint64       // of the suffix or of the store, begun and ended: odd during one
	first, last uint64       // all entries between them are there; last is first-1 for none
	gone        uint64       // up to this one none is
	generations []generation // never changed; ascending, the first begins at or below first
	live        int64        // bytes of the entries
}

// term returns the term of an index.
func (v *view) term(index uint64) uint64 {
	for _, g := range slices.Backward(v.generations) {
		if g.from <= index {
			return g.term
		}
	}
	return 0
}

// model is what the store should hold. Readers compare what they read with the views before and after.
type model struct {
	src *source
	mu  sync.Mutex
	now view
}

func newModel(src *source, store ballast.Store) *model {
	return &model{src: src, now: view{store: store, first: 1, generations: []generation{{1, 1}}}}
}

func (m *model) view() view {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.now
}

func (m *model) update(change func(v *view)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change(&m.now)
}

// change begins or ends a change after which a read that began before may find anything.
func (m *model) change() { m.update(func(v *view) { v.changes++ }) }

// truncate notes that the entries from an index on are deleted, and that those which come next have another term.
func (m *model) truncate(from uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	v := &m.now
	for index := from; index <= v.last; index++ {
		v.live -= m.src.bytes(index, v.term(index))
	}
	next := generation{from, v.generations[len(v.generations)-1].term + 1}
	kept := slices.DeleteFunc(slices.Clone(v.generations), func(g generation) bool { return g.from >= from })
	v.generations, v.last = append(kept, next), from-1
}

// compact notes that the entries below first are about to be deleted: from now on they need not be there.
func (m *model) compact(first uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	v := &m.now
	for index := v.first; index < first; index++ {
		v.live -= m.src.bytes(index, v.term(index))
	}
	v.first = first
	for len(v.generations) > 1 && v.generations[1].from <= first {
		v.generations = v.generations[1:]
	}
}
