// Package intowal makes the jobs of package move that add a raft group to a wal. Package move itself knows no engine: the tests of wal use it.
package intowal

import (
	"errors"

	"github.com/raft-ballast/ballast/internal/move"
	"github.com/raft-ballast/ballast/wal"
)

// Group returns the job that adds a group to a log that was opened with dir. Its source is still to be given.
func Group(log *wal.Groups, dir string, id uint64) *move.GroupJob {
	return &move.GroupJob{
		Log: log, Dir: dir, ID: id,
		Open: func() (move.GroupStore, error) { return opened(log.Store(id)) },
		Read: func() (move.GroupStore, error) { return read(dir, id) },
	}
}

// opened keeps a nil pointer from becoming a store that is not nil.
func opened(s *wal.Store, err error) (move.GroupStore, error) {
	if err != nil {
		return nil, err
	}
	return s, nil
}

// alone is a group of a log that is open for it.
type alone struct {
	*wal.Store
	log *wal.Groups
}

func (a alone) Close() error { return errors.Join(a.Store.Close(), a.log.Close()) }

// read opens a group a second time, for reading.
func read(dir string, id uint64) (move.GroupStore, error) {
	log, err := wal.OpenGroupsReadOnly(dir, nil)
	if err != nil {
		return nil, err
	}
	s, err := log.Store(id)
	if err != nil {
		return nil, errors.Join(err, log.Close())
	}
	return alone{s, log}, nil
}
