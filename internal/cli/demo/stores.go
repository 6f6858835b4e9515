package demo

import (
	"errors"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/wal"
)

// Stores say what the raft groups of a peer keep their logs in.
type Stores struct {
	Groups int // 1 or more, with ids from 0

	// Open opens the store of the only group, in the peer's folder.
	Open func(dir string) (ballast.Store, error)

	// OpenGroups opens what several share.
	OpenGroups func(dir string) (*wal.Groups, error)
}

// open returns the stores by group, and what closes them.
func (s Stores) open(dir string) (stores []ballast.Store, closeAll func() error, err error) {
	if s.Groups == 1 {
		store, err := s.Open(dir)
		if err != nil {
			return nil, nil, err
		}
		return []ballast.Store{store}, store.Close, nil
	}
	gs, err := s.OpenGroups(dir)
	if err != nil {
		return nil, nil, err
	}
	for g := range s.Groups {
		store, err := gs.Store(uint64(g))
		if err != nil {
			return nil, nil, errors.Join(err, gs.Close())
		}
		stores = append(stores, store)
	}
	return stores, gs.Close, nil
}
