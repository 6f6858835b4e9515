package main

import (
	"errors"
	"runtime"

	"github.com/hashicorp/raft"
)

// storeAllocs counts the allocations of StoreLogs of n entries of 128 B.
func storeAllocs(n int, names ...string) func(e *env) (values, error) {
	return allocs(appender(n, 128), names)
}

// getAllocs counts the allocations of GetLog, of entries with Extensions of so many bytes.
func getAllocs(extensions int, names ...string) func(e *env) (values, error) {
	return allocs(func(s store) (func(), func() error, error) {
		const count = 1000
		logs := batch(1, count, readSize)
		for _, l := range logs {
			l.Extensions = make([]byte, extensions)
		}
		next := inOrder(nil, count)
		var l raft.Log
		return func() {}, func() error { return s.GetLog(next(), &l) }, s.StoreLogs(logs)
	}, names)
}

// allocs counts the allocations of a call in steady state, in one store after the other. Those that the store's goroutines make
// meanwhile count as well, so what a store allocates once for very many calls shows in the decimals.
func allocs(start starter, names []string) func(e *env) (values, error) {
	return func(e *env) (values, error) {
		v := values{}
		for _, k := range e.each(names...) {
			dir, err := e.folder(k.name)
			if err != nil {
				return nil, err
			}
			s, err := k.open(dir, options{})
			if err != nil {
				return nil, named(k, err)
			}
			v[k.name], err = countAllocs(s, start, e.count(2000, 20))
			if err := errors.Join(err, s.Close()); err != nil {
				return nil, named(k, err)
			}
		}
		return v, nil
	}
}

func countAllocs(s store, start starter, calls int) (float64, error) {
	ready, call, err := start(s)
	if err != nil {
		return 0, err
	}
	const warm = 200
	var before, after runtime.MemStats
	for i := range warm + calls {
		if i == warm {
			runtime.ReadMemStats(&before)
		}
		ready()
		if err := call(); err != nil {
			return 0, err
		}
	}
	runtime.ReadMemStats(&after)
	return float64(after.Mallocs-before.Mallocs) / float64(calls), nil
}
