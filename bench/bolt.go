package main

import (
	"errors"
	"fmt"
)

// bolts are the stores of the figures of boltstore.
var bolts = []string{"boltstore", "raft-boltdb"}

// boltFigures is what package boltstore has to reach beside raft-boltdb.
var boltFigures = []figure{
	boltFigure("StoreLogs 1x128 B", 0.95, storeLogs(1, 128, 60, 10, bolts...)),
	boltFigure("StoreLogs 64x128 B", 0.95, storeLogs(64, 128, 60, 8, bolts...)),
	boltFigure("StoreLogs 64x4 KiB", 1.30, storeLogs(64, 4096, 60, 4, bolts...)),
	boltFigure("GetLog 256 B in order", 3.00, getLog(inOrder, bolts...)),
	boltFigure("GetLog 256 B at random", 0, getLog(atRandom, bolts...)), // both wait for memory most of the time
	boltFigure("FirstIndex", 0.95, boltCalls(turns{rounds: 50, samples: 1, calls: 4000}, 10_000, func(s store, _ uint64) error {
		_, err := s.FirstIndex()
		return err
	})),
	boltFigure("LastIndex", 0.95, boltCalls(turns{rounds: 50, samples: 1, calls: 4000}, 10_000, func(s store, _ uint64) error {
		_, err := s.LastIndex()
		return err
	})),
	boltFigure("Set", 0.95, boltCalls(turns{rounds: 60, samples: 10, calls: 1}, 10_000, func(s store, i uint64) error {
		return s.Set([]byte("LastVoteCand"), fmt.Appendf(nil, "127.0.0.1:%d", i))
	})),
	boltFigure("SetUint64", 0.95, setUint64(bolts...)),
	boltFigure("Get", 0.95, boltCalls(turns{rounds: 50, samples: 1, calls: 2000}, 10_000, func(s store, _ uint64) error {
		_, err := s.Get([]byte("k"))
		return err
	})),
	boltFigure("GetUint64", 0.95, boltCalls(turns{rounds: 50, samples: 1, calls: 2000}, 10_000, func(s store, _ uint64) error {
		_, err := s.GetUint64([]byte("n"))
		return err
	})),
	boltFigure("DeleteRange of 10 of 50,000", 0.95, boltCalls(turns{rounds: 60, samples: 8, calls: 1}, 50_000, deletePrefix(10))),
	boltFigure("DeleteRange of 5,000 of 50,000", 0.95, boltCalls(turns{rounds: 9, samples: 1, calls: 1}, 50_000, deletePrefix(5000))),
	boltFigure("DeleteRange of 45,000 of 50,000", 0.95, boltCalls(turns{rounds: 1, samples: 1, calls: 1}, 50_000, deletePrefix(45_000))),
	boltFigure("DeleteRange and StoreLogs of the last 5", 0.95, replaceSuffix),
	boltFigure("Open and Close with 50,000 entries", 0.95, reopen),
}

// boltFigure has the ratio of raft-boltdb's time to boltstore's reach so much, 0 for any.
func boltFigure(name string, reach float64, measure func(e *env) (values, error)) figure {
	g := ratio("raft-boltdb", "boltstore")
	if reach > 0 {
		g = least("raft-boltdb", "boltstore", reach)
	}
	return figure{name, "µs", []goal{g}, measure}
}

// boltRivals starts both stores with count entries of 128 B and a stable value of each kind.
func boltRivals(e *env, count int, call func(s store, i uint64) error) ([]rival, error) {
	return e.rivals(0, bolts, func(k kind, dir string) (rival, error) {
		s, err := openFilled(k, dir, e.count(count, 100), 128)
		if err != nil {
			return rival{}, err
		}
		if err := errors.Join(s.SetUint64([]byte("n"), 7), s.Set([]byte("k"), []byte("127.0.0.1:7001"))); err != nil {
			return rival{}, errors.Join(err, s.Close())
		}
		i := uint64(0)
		return rival{name: k.name, call: func() error {
			defer func() { i++ }()
			return call(s, i)
		}, close: s.Close}, nil
	})
}

// boltCalls measures the i-th call on each, i from 0 on.
func boltCalls(t turns, count int, call func(s store, i uint64) error) func(e *env) (values, error) {
	return func(e *env) (values, error) {
		rivals, err := boltRivals(e, count, call)
		if err != nil {
			return nil, err
		}
		t.rounds, t.calls = e.count(t.rounds, 1), e.count(t.calls, 1)
		return t.compare(e, rivals, median)
	}
}

// deletePrefix compacts n entries more with each call.
func deletePrefix(n uint64) func(s store, i uint64) error {
	return func(s store, i uint64) error { return s.DeleteRange(i*n+1, i*n+n) }
}

// replaceSuffix cuts five entries off and puts others there, as raft does at a conflict.
func replaceSuffix(e *env) (values, error) {
	const count = 10_000
	f := newFeed(count-4, 5, 128)
	logs := f.take()
	return boltCalls(turns{rounds: 60, samples: 8, calls: 1}, count, func(s store, _ uint64) error {
		if err := s.DeleteRange(count-4, count); err != nil {
			return err
		}
		return s.StoreLogs(logs)
	})(e)
}

// reopen measures Open and Close together.
func reopen(e *env) (values, error) {
	rivals, err := e.rivals(0, bolts, func(k kind, dir string) (rival, error) {
		if err := fillClosed(k, dir, e.count(50_000, 100), 256); err != nil {
			return rival{}, err
		}
		return rival{name: k.name, call: func() error {
			s, err := k.open(dir, options{})
			if err != nil {
				return err
			}
			return s.Close()
		}, close: func() error { return nil }}, nil
	})
	if err != nil {
		return nil, err
	}
	return turns{rounds: e.count(20, 1), samples: 3, calls: 1}.compare(e, rivals, median)
}
