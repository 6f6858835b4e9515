package boltstore

import (
	"bytes"
	"encoding/binary"
	"errors"

	"github.com/raft-ballast/ballast"
)

// NextIndex implements [ballast.Inspector]. It returns a [*ballast.CorruptionError] where a damaged
// key or page hides entries. What it cannot see is a page that refers to a wrong one which is of
// the log too: the entries of the right one are as a gap.
func (s *Store) NextIndex(index uint64) (next uint64, err error) {
	if err := s.gate.Enter(); err != nil {
		return 0, err
	}
	defer s.gate.Leave()
	err = s.view(func(w *view) error {
		if w.logs == nil {
			return nil
		}
		next, err = s.seek(w, max(index, 1))
		return err
	})
	return next, err
}

var errOrder = errors.New("the keys are not in their order, so others cannot be found")

// seek returns the lowest index that is at least the one that is given, 0 for none. Where that one
// is not there the keys around it have to say so too: one that is damaged hides others, and they
// would be taken for a gap.
func (s *Store) seek(w *view, index uint64) (next uint64, err error) {
	if err := s.reach(w, index); err != nil {
		return 0, err
	}
	c := w.logs
	k, v := c.Seek(key(index))
	if next, err = s.index(k); err == nil && next == index {
		return next, nil
	}
	if err := s.reachBeside(w, index); err != nil {
		return 0, err
	}
	if k == nil {
		if err := s.reachEnds(w); err != nil {
			return 0, err
		}
		if k, _ = c.First(); k != nil { // Last does not return where all pages are empty
			k, v = c.Last()
		}
		return 0, errors.Join(s.ascending(k, key(index)), s.sound(k, v))
	}
	if next, err = s.index(k); err != nil || next == index {
		return next, err
	}
	err = s.sound(k, v)
	behind, _ := c.Next()
	_, _ = c.Seek(key(index))
	before, v := c.Prev()
	if len(before) == 8 { // the one before it may be in a page that was not looked at
		if err := s.reachBeside(w, binary.BigEndian.Uint64(before)); err != nil {
			return 0, err
		}
	}
	err = errors.Join(err, s.sound(before, v))
	first, _ := c.Prev()
	return next, errors.Join(s.ascending(first, before, key(index), k, behind), err)
}

// ascending returns an error unless each key comes before the next one. nil is for none.
func (s *Store) ascending(keys ...[]byte) error {
	var before []byte
	for _, k := range keys {
		if k == nil {
			continue
		}
		if _, err := s.index(k); err != nil {
			return err
		}
		if before != nil && bytes.Compare(before, k) >= 0 {
			return &ballast.CorruptionError{Path: s.path, Offset: -1, Err: errOrder}
		}
		before = k
	}
	return nil
}
