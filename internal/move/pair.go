package move

import (
	"errors"
	"fmt"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/place"
)

// old is one of the stores that a peer has had.
type old struct {
	path string
	open func(path string) (Source, error)
}

// olds are the store with the log, which may be all there is, and the one with the stable state.
func (j *Job) olds() []old {
	olds := []old{{j.Source, j.Open}}
	if j.Stable != "" {
		olds = append(olds, old{j.Stable, j.OpenStable})
	}
	return olds
}

// state is what there is of an old store at its own name.
type state int

const (
	gone  state = iota // nothing
	grave              // what a migration has left there
	empty              // a folder without anything in it
	whole
)

func (j *Job) lookOld(o old) (state, error) {
	kind, names, err := j.look(o.path)
	if err != nil || kind == nothing {
		return gone, err
	}
	if kind == folder && len(place.Content(names)) == 0 {
		return empty, nil
	}
	if is, err := j.isGrave(o.path, kind, names); err != nil || is {
		return grave, err
	}
	return whole, nil
}

// openOld opens the old stores, each at the path where it is now, as one.
func (j *Job) openOld(paths []string) (Source, error) {
	log, err := j.Open(paths[0])
	if err != nil || j.Stable == "" {
		return log, err
	}
	stable, err := j.OpenStable(paths[1])
	if err != nil {
		return nil, errors.Join(fmt.Errorf("the store with the stable state: %w", err), log.Close())
	}
	p := &pair{LogStore: log, StableStore: stable, log: log, stable: stable}
	if err := p.check(j); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	listing, ok1 := log.(ballast.Inspector)
	keys, ok2 := stable.(ballast.Inspector)
	if ok1 && ok2 {
		return &listedPair{p, listing, keys}, nil
	}
	return p, nil
}

// OpenOld opens the old store, or both, as one.
func (j *Job) OpenOld() (Source, error) { return j.openOld(j.paths()) }

// pair is the log of one store and the stable state of another.
type pair struct {
	raft.LogStore
	raft.StableStore
	log, stable Source
}

// check returns an error unless one of them has the entries and the other one the stable state.
func (p *pair) check(j *Job) error {
	last, err := p.stable.LastIndex()
	if err != nil {
		return fmt.Errorf("the store with the stable state: %w", err)
	}
	mine, err := p.log.LastIndex()
	if err != nil {
		return err
	}
	switch {
	case last != 0 && mine == 0:
		return fmt.Errorf("%w: %s has the entries, up to %d, and was given as the store with the stable state; give the two the other way round",
			ErrHalfPeer, j.Stable, last)
	case last != 0:
		return fmt.Errorf("%w: both %s and %s have entries, up to %d and %d; give the one alone on which the peer ran last, if it has the stable state too",
			ErrHalfPeer, j.Source, j.Stable, mine, last)
	}
	key, err := j.stableKey(p.log)
	if err != nil || key == "" {
		return err
	}
	return fmt.Errorf("%w: %s has stable values too, %q is one, and %s would take their place; give %s alone if the peer has run on it last, "+
		"and otherwise remove them with `ballast stable delete`", ErrHalfPeer, j.Source, key, j.Stable, j.Source)
}

// stableKey returns a key of which a store has a value, "" for none.
func (j *Job) stableKey(s Source) (string, error) {
	if i, ok := s.(ballast.Inspector); ok {
		keys, err := i.StableKeys()
		if err != nil || len(keys) == 0 {
			return "", err
		}
		return string(keys[0]), nil
	}
	for _, key := range j.knownKeys() {
		if value, err := s.Get(key); err == nil && len(value) > 0 {
			return string(key), nil
		}
		if n, err := s.GetUint64(key); err == nil && n != 0 {
			return string(key), nil
		}
	}
	return "", nil
}

// knownKeys are the stable keys that a store is asked for which cannot list them.
func (j *Job) knownKeys() [][]byte {
	keys := append([][]byte{[]byte("LastVoteCand")}, j.StableKeys...)
	for _, key := range raftNumbers {
		keys = append(keys, []byte(key))
	}
	return keys
}

// Close closes both.
func (p *pair) Close() error { return errors.Join(p.log.Close(), p.stable.Close()) }

// IsMonotonic implements raft.MonotonicLogStore.
func (p *pair) IsMonotonic() bool {
	m, ok := p.log.(raft.MonotonicLogStore)
	return ok && m.IsMonotonic()
}

// GetCommitIndex implements ballast.CommitTracker.
func (p *pair) GetCommitIndex() (uint64, error) {
	if t, ok := p.log.(ballast.CommitTracker); ok {
		return t.GetCommitIndex()
	}
	return 0, nil
}

// StageCommitIndex implements ballast.CommitTracker; nobody writes to an old store.
func (p *pair) StageCommitIndex(uint64) error { return ballast.ErrReadOnly }

// Damaged implements ballast.DamageReporter.
func (p *pair) Damaged() error {
	var errs []error
	for _, s := range []Source{p.log, p.stable} {
		if r, ok := s.(ballast.DamageReporter); ok {
			errs = append(errs, r.Damaged())
		}
	}
	return errors.Join(errs...)
}

// Dropped is what raft-wal's log leaves out.
func (p *pair) Dropped() error {
	if d, ok := p.log.(interface{ Dropped() error }); ok {
		return d.Dropped()
	}
	return nil
}

// listedPair is a pair that knows what it has.
type listedPair struct {
	*pair
	listing, keys ballast.Inspector
}

// NextIndex implements ballast.Inspector.
func (p *listedPair) NextIndex(index uint64) (uint64, error) { return p.listing.NextIndex(index) }

// StableKeys implements ballast.Inspector.
func (p *listedPair) StableKeys() ([][]byte, error) { return p.keys.StableKeys() }
