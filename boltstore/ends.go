package boltstore

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/hashicorp/raft"
	"go.etcd.io/bbolt"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/logcodec"
)

var errEnds = errors.New("the key of the first or the last entry is damaged, so it is in doubt where the log begins or ends; `ballast repair` says what can be kept")

// bounds returns the lowest and the highest key in the file, 0 when there is none.
func (s *Store) bounds(tx *bbolt.Tx) (first, last uint64, err error) {
	logs := tx.Bucket(logsBucket)
	if logs == nil {
		return 0, 0, nil
	}
	c := logs.Cursor()
	if k, _ := c.Seek(key(1)); k != nil {
		if first, err = s.index(k); err != nil {
			return 0, 0, err
		}
		k, _ = c.Last()
		last, err = s.index(k)
	}
	return first, last, err
}

// ends is bounds of a file that was just opened. The first or the last key may be damaged, and others would seem not to be in the log, or entries to be that never were:
// what is written may not go on from there. For reading they are what the entry itself says, where that fits its neighbour; NextIndex and
// GetLog tell of the damage. It is for a transaction that has not deleted anything: bbolt's cursor does not always come back from a page that is empty.
func (s *Store) ends(tx *bbolt.Tx) (first, last uint64, err error) {
	logs := tx.Bucket(logsBucket)
	if logs == nil {
		return 0, 0, nil
	}
	c := logs.Cursor()
	k, v := c.Seek(key(1))
	if k == nil {
		return 0, 0, nil
	}
	beside, _ := c.Next()
	first, doubt, err := s.end(k, v, beside, 1)
	if err != nil {
		return 0, 0, err
	}
	k, v = c.Last()
	beside, _ = c.Prev()
	last, doubtLast, err := s.end(k, v, beside, -1)
	if err == nil && (doubt || doubtLast) && !s.opts.ReadOnly || first > last {
		err = &ballast.CorruptionError{Path: s.path, Offset: -1, Err: errEnds}
	}
	return first, last, err
}

// end returns the index of the first or the last entry, and whether its key is in doubt, or the one beside it, which is nil for none. Step is 1 at the begin of the log and
// -1 at its end.
func (s *Store) end(k, v, beside []byte, step int64) (index uint64, doubt bool, err error) {
	if index, err = s.index(k); err != nil || beside == nil {
		return index, false, err
	}
	next, err := s.index(beside)
	if err != nil {
		return index, false, err
	}
	inOrder := func(index uint64) bool { return step > 0 && index < next || step < 0 && index > next }
	says := said(k, v)
	switch {
	case says == index:
		return index, !inOrder(index), nil
	case says+uint64(step) == next, !inOrder(index) && inOrder(says):
		return says, true, nil
	case !inOrder(index):
		return next, true, nil
	}
	return index, false, nil // it is the entry that is damaged
}

// said returns the index that an entry says it has, and that of its key where it cannot be read.
func said(k, v []byte) uint64 {
	log := raft.Log{Index: binary.BigEndian.Uint64(k)}
	_ = logcodec.Decode(v, &log)
	return log.Index
}

// sound returns an error when an entry says that its key is damaged. nil is for none.
func (s *Store) sound(k, v []byte) error {
	if len(k) != 8 || said(k, v) == binary.BigEndian.Uint64(k) {
		return nil
	}
	return &ballast.CorruptionError{Path: s.path, Offset: -1,
		Err: fmt.Errorf("the key %d holds an entry of index %d", binary.BigEndian.Uint64(k), said(k, v))}
}
