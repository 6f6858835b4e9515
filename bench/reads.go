package main

import (
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/hashicorp/raft"
)

// What is read: so many entries with Data of so many bytes.
const (
	readCount = 100_000
	readSize  = 256
)

// order makes the indexes that are read, of those from 1 to count.
type order func(rng *rand.Rand, count uint64) func() uint64

// inOrder reads as raft does.
func inOrder(_ *rand.Rand, count uint64) func() uint64 {
	last := uint64(0)
	return func() uint64 {
		last = last%count + 1
		return last
	}
}

func atRandom(rng *rand.Rand, count uint64) func() uint64 {
	return func() uint64 { return rng.Uint64N(count) + 1 }
}

// getLog measures GetLog on a store that was closed and opened again, after one pass in order over all of its entries.
func getLog(o order, names ...string) func(e *env) (values, error) {
	return func(e *env) (values, error) {
		count := e.count(readCount, 100)
		rivals, err := e.rivals(0, names, func(k kind, dir string) (rival, error) {
			s, err := openFilled(k, dir, count, readSize)
			if err != nil {
				return rival{}, err
			}
			pass := reader(k, s, inOrder(nil, uint64(count)))
			for range count {
				if err := pass.call(); err != nil {
					return rival{}, errors.Join(err, s.Close())
				}
			}
			return reader(k, s, o(e.rng, uint64(count))), nil
		})
		if err != nil {
			return nil, err
		}
		t := turns{rounds: e.count(readCount/10_000, 2), warm: 1, samples: 10, calls: e.count(1000, 10)}
		return t.compare(e, rivals, median)
	}
}

// firstGetLog measures GetLog of entries that were just written and were never read. Each is read once, so the mean of all counts:
// a median would not show what reading ahead costs.
func firstGetLog(names ...string) func(e *env) (values, error) {
	return func(e *env) (values, error) {
		count := e.count(readCount, 100)
		rivals, err := e.rivals(0, names, func(k kind, dir string) (rival, error) {
			s, err := k.open(dir, options{})
			if err != nil {
				return rival{}, err
			}
			if err := fill(s, count, 64, readSize); err != nil {
				return rival{}, errors.Join(err, s.Close())
			}
			return reader(k, s, inOrder(nil, uint64(count))), nil
		})
		if err != nil {
			return nil, err
		}
		calls := e.count(1000, 10)
		t := turns{rounds: count / calls, samples: 1, calls: calls}
		return t.compare(e, rivals, mean)
	}
}

// reader reads one entry after the other.
func reader(k kind, s store, next func() uint64) rival {
	var l raft.Log
	return rival{name: k.name, call: func() error {
		index := next()
		if err := s.GetLog(index, &l); err != nil {
			return err
		}
		if l.Index != index || len(l.Data) != readSize {
			return fmt.Errorf("asked for entry %d, got %d with %d bytes", index, l.Index, len(l.Data))
		}
		return nil
	}, close: s.Close}
}
