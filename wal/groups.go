package wal

import (
	"fmt"
	"math"
	"slices"
	"sync"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/engine"
)

// Groups is one log that many raft groups share: each has the contract of [ballast.Store] for itself, and all of them the syncs. What
// arrives while a sync is under way goes with the next one, so that a thousand groups cost the disk about what one does, and one group
// alone waits for nothing.
//
// A log with one group, of id 0, is the one that [Open] opens, and the other way round; one with others is refused there. All methods may be called by any goroutine.
type Groups struct {
	j *journal

	mu       sync.Mutex
	stores   map[uint64]*Store        // that are open
	dropping map[uint64]chan struct{} // closed when the group is gone, or could not be dropped
	closed   bool

	ending sync.Once
}

// OpenGroups opens the log in dir, or creates one there. nil options are the defaults. Errors are those of [Open].
//
// Shut down every raft and then close the Groups; that closes the stores. raft panics when its store is closed under it.
func OpenGroups(dir string, opts *Options) (*Groups, error) { return openGroups(dir, opts, false) }

// OpenGroupsReadOnly opens the log in dir for reading, as [OpenReadOnly] does. Groups that were added since are not seen.
func OpenGroupsReadOnly(dir string, opts *Options) (*Groups, error) {
	return openGroups(dir, opts, true)
}

func openGroups(dir string, opts *Options, readOnly bool) (*Groups, error) {
	o, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	j, err := openJournal(dir, o, readOnly)
	if err != nil {
		return nil, err
	}
	j.observe()
	return &Groups{j: j, stores: make(map[uint64]*Store), dropping: make(map[uint64]chan struct{})}, nil
}

// Store returns the store of a group, which hashicorp/raft takes as its log and its stable store. Any id will do; one that the
// log does not know is an empty store, and is known when something was written to it. A group has one store at a time: until that is closed
// another call returns an error that matches [ballast.ErrLocked], a *[ballast.LockedError].
//
// The error matches [ballast.ErrUnfinished] for a group that a migration has begun and not finished: migrate again, or drop it. After Close of
// the Groups it is [ballast.ErrClosed].
func (gs *Groups) Store(id uint64) (*Store, error) {
	gs.lockFor(id)
	defer gs.mu.Unlock()
	if gs.closed {
		return nil, ballast.ErrClosed
	}
	if gs.stores[id] != nil {
		return nil, &ballast.LockedError{Path: gs.j.dir, Err: fmt.Errorf("the store of group %d is open", id)}
	}
	g := gs.j.group(id)
	if err := gs.j.finished(g); err != nil {
		return nil, err
	}
	s := &Store{j: gs.j, g: g, groups: gs}
	gs.stores[id] = s
	return s, nil
}

// IDs returns the ids of the groups that have an entry, a stable value or a commit index, ascending; nil after Close.
func (gs *Groups) IDs() []uint64 {
	if gs.j.gate.Enter() != nil {
		return nil
	}
	defer gs.j.gate.Leave()
	return gs.j.ids()
}

// Drop deletes all that a group has: entries, stable values and commit index, durably and at once when nil is returned, with one sync however much
// it is. Shut its raft down first: the store, if it is open, is closed, after the calls in progress, and raft panics when its store is closed under it. The peer
// has forgotten its vote then, so it may join that group again only as a new server, with another ID.
//
// The id may be used again, and is then that of an empty group; Store waits until the old one is gone. A group that the log does not know is dropped already.
//
// It returns [ballast.ErrClosed], [ballast.ErrReadOnly], an error that matches [ballast.ErrNoSpace], or the first cause of a log that has
// failed. The group is there as before then, and its store is closed all the same.
func (gs *Groups) Drop(id uint64) error {
	j := gs.j
	if err := j.gate.Enter(); err != nil {
		return err
	}
	defer j.gate.Leave()
	if j.readOnly {
		return ballast.ErrReadOnly
	}
	s, err := gs.beginDrop(id)
	if err != nil {
		return err
	}
	defer gs.endDrop(id)
	if s != nil {
		s.shut()
	}
	if err := j.failed.Err(); err != nil {
		return err
	}
	j.mu.Lock()
	g := j.groups[id]
	known := g != nil && g.known()
	if !known {
		delete(j.groups, id)
	}
	j.mu.Unlock()
	if !known {
		return nil
	}
	r := requests.Get().(*request)
	defer r.release()
	r.kind, r.group, r.high = recordDrop, g, math.MaxUint64
	return j.submit(r)
}

// lockFor takes gs.mu when the group of an id is not being dropped.
func (gs *Groups) lockFor(id uint64) {
	gs.mu.Lock()
	for gs.dropping[id] != nil {
		gone := gs.dropping[id]
		gs.mu.Unlock()
		<-gone
		gs.mu.Lock()
	}
}

// beginDrop takes the store of a group, nil where none is open, and lets nobody have another one until endDrop.
func (gs *Groups) beginDrop(id uint64) (*Store, error) {
	gs.lockFor(id)
	defer gs.mu.Unlock()
	if gs.closed { // calls of its store may still be in progress
		return nil, ballast.ErrClosed
	}
	s := gs.stores[id]
	delete(gs.stores, id)
	gs.dropping[id] = make(chan struct{})
	return s, nil
}

func (gs *Groups) endDrop(id uint64) {
	gs.mu.Lock()
	defer gs.mu.Unlock()
	close(gs.dropping[id])
	delete(gs.dropping, id)
}

// Close closes every store, and ends the log so that it opens without being read. Closing again
// does nothing, and returns when the log is closed: calls of a store that the first Close waits for
// still use it.
func (gs *Groups) Close() (err error) {
	gs.ending.Do(func() { err = gs.end() })
	return err
}

func (gs *Groups) end() error {
	gs.mu.Lock()
	gs.closed = true
	stores := gs.stores
	gs.stores = nil
	gs.mu.Unlock()
	for _, s := range stores {
		s.shut()
	}
	return gs.j.close()
}

// forget lets go of a store that was closed. What its group has stays; a group that has nothing is forgotten, too.
func (gs *Groups) forget(s *Store) {
	gs.mu.Lock()
	defer gs.mu.Unlock()
	if gs.stores[s.g.id] != s {
		return
	}
	delete(gs.stores, s.g.id)
	gs.j.mu.Lock()
	defer gs.j.mu.Unlock()
	if !s.g.known() {
		delete(gs.j.groups, s.g.id)
	}
}

// ids returns the groups that are known, ascending.
func (j *journal) ids() (ids []uint64) {
	j.mu.RLock()
	for id, g := range j.groups {
		if g.known() {
			ids = append(ids, id)
		}
	}
	j.mu.RUnlock()
	slices.Sort(ids)
	return ids
}

// finished returns an error for a group that a migration has begun and not finished.
func (j *journal) finished(g *group) error {
	j.mu.RLock()
	_, marked := g.stable.get([]byte(engine.UnfinishedKey))
	j.mu.RUnlock()
	if !marked {
		return nil
	}
	return engine.CheckFinishedGroup(j.dir, g.id)
}

// known reports whether the group has anything that is durable. The caller holds journal.mu.
func (g *group) known() bool { return len(g.runs) > 0 || len(g.stable) > 0 || g.commit > 0 }
