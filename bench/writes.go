package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/hashicorp/raft"
)

// A starter prepares a store for calls. ready goes before each of them and is not measured.
type starter func(s store) (ready func(), call func() error, err error)

// opened starts rivals that make the same call on a new store.
func opened(o options, start starter) func(k kind, dir string) (rival, error) {
	return func(k kind, dir string) (rival, error) {
		s, err := k.open(dir, o)
		if err != nil {
			return rival{}, err
		}
		ready, call, err := start(s)
		if err != nil {
			return rival{}, errors.Join(err, s.Close())
		}
		return rival{name: k.name, ready: ready, call: call, close: s.Close}, nil
	}
}

// appender stores one batch after the other.
func appender(n, size int) starter {
	return func(s store) (ready func(), call func() error, err error) {
		f := newFeed(1, n, size)
		var logs []*raft.Log
		return func() { logs = f.take() }, func() error { return s.StoreLogs(logs) }, nil
	}
}

// pause is between turns of durable calls.
const pause = 10 * time.Millisecond

// storeLogs measures StoreLogs of n entries of size bytes, as the median of so many samples in turns of so many.
func storeLogs(n, size, rounds, samples int, names ...string) func(e *env) (values, error) {
	return func(e *env) (values, error) {
		rivals, err := e.rivals(n*size, names, opened(options{}, appender(n, size)))
		if err != nil {
			return nil, err
		}
		t := turns{rounds: e.count(rounds, 2), warm: e.count(samples/10, 1), samples: e.count(samples, 2), calls: 1, pause: pause}
		return t.compare(e, rivals, median)
	}
}

// setUint64 measures what raft does when a term begins.
func setUint64(names ...string) func(e *env) (values, error) {
	return func(e *env) (values, error) {
		rivals, err := e.rivals(8, names, opened(options{}, func(s store) (func(), func() error, error) {
			term := uint64(0)
			return func() { term++ }, func() error { return s.SetUint64([]byte("CurrentTerm"), term) }, nil
		}))
		if err != nil {
			return nil, err
		}
		t := turns{rounds: e.count(30, 2), warm: e.count(5, 1), samples: e.count(50, 2), calls: 1, pause: pause}
		return t.compare(e, rivals, median)
	}
}

// sustained measures StoreLogs of n entries of size bytes without any break, for so many bytes of Data, as the mean, in one
// rival after the other. What a store does in the background has to be done meanwhile, and counts.
func sustained(n, size, bytes int, names ...string) func(e *env) (values, error) {
	return func(e *env) (values, error) {
		rivals, err := e.rivals(n*size, names, opened(options{}, appender(n, size)))
		if err != nil {
			return nil, err
		}
		t := turns{rounds: 1, samples: max(e.count(bytes, 1)/(n*size), 2), calls: 1, pause: 10 * pause}
		return t.compare(e, rivals, mean)
	}
}

// rotations is how often wal has to go on to a new segment in the course of tailLatency.
const rotations = 20

// tailLatency measures the 99.9th percentile of 100,000 appends with segments of 1 MiB. The turns are long, so that what a store
// does in the background meets its own appends.
func tailLatency(names ...string) func(e *env) (values, error) {
	return func(e *env) (values, error) {
		o := options{segmentBytes: 1 << 20}
		rivals, err := e.rivals(128, names, opened(o, appender(1, 128)))
		if err != nil {
			return nil, err
		}
		t := turns{rounds: e.count(200, 2), samples: e.count(500, 50), calls: 1, pause: pause}
		v, err := t.compare(e, rivals, p999)
		if err != nil {
			return nil, err
		}
		for _, k := range e.each(names...) {
			files, err := filepath.Glob(filepath.Join(e.dir, k.name, k.segments))
			if err != nil {
				return nil, err
			}
			v[k.name+" segments"] = float64(len(files))
		}
		// Of the segments one is the first, and one may be prepared for later.
		if n, ok := v["wal segments"]; ok && e.shrink == 1 && n < rotations+2 {
			return nil, fmt.Errorf("wal has %v segments after %d appends; there have to be %d rotations", n, t.rounds*t.samples, rotations)
		}
		return v, nil
	}
}
