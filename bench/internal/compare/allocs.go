package compare

import (
	"errors"
	"runtime"
	"time"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast/bench/internal/report"
	"github.com/raft-ballast/ballast/bench/internal/stores"
)

const (
	aboutAllocs = "Allocations of a call in steady state, those of the store's goroutines with them: what is allocated once for many calls shows in the decimals."
	aboutHeap   = "Memory on the heap of an open store, after 50,000 entries with 256 B of Data were appended, and read."
)

// starter prepares a store for calls. ready goes before each of them and is not counted.
type starter func(k stores.Kind, s stores.Store) (ready func(), call func() error, err error)

// allocs counts allocations and what stays on the heap, in one store after the other.
func allocs(takes time.Duration) step {
	const heap = "heap with 50,000 entries"
	type counted struct {
		name  string
		start starter
	}
	calls := []counted{
		{"allocs StoreLogs 1x128 B", storing(1)},
		{"allocs StoreLogs 64x128 B", storing(64)},
		{"allocs GetLog", getting(0)},
		{"allocs GetLog with Extensions", getting(16)},
	}
	st := step{takes: takes, names: []string{heap}}
	for _, c := range calls {
		st.names = append(st.names, c.name)
	}
	st.measure = func(e *env) (list []report.Workload, err error) {
		for _, c := range calls {
			e.doing(c.name)
			w := report.Workload{Group: "allocs", Name: c.name, Unit: "a call", Better: "lower", About: aboutAllocs}
			for _, k := range e.kinds(plain) {
				w.Results = append(w.Results, e.figure(k, func(s stores.Store) (float64, error) { return countAllocs(k, s, c.start, e.count(1000, 20)) }))
			}
			list = append(list, w)
		}
		e.doing(heap)
		w := report.Workload{Group: "heap", Name: heap, Unit: "MiB", Better: "lower", About: aboutHeap}
		for _, k := range e.kinds(plain) {
			before := heapBytes()
			w.Results = append(w.Results, e.figure(k, func(s stores.Store) (float64, error) { return heapOf(k, s, before, uint64(e.count(readCount, 100))) }))
		}
		return append(list, w), nil
	}
	return st
}

// figure is one that is measured once on a new store.
func (e *env) figure(k stores.Kind, measure func(s stores.Store) (float64, error)) report.Result {
	dir, err := e.folder(k.Name)
	if err != nil {
		return failed(k.Name, err)
	}
	s, err := k.Open(dir, stores.Options{})
	if err != nil {
		return failed(k.Name, err)
	}
	v, err := measure(s)
	if err := errors.Join(err, s.Close()); err != nil {
		return failed(k.Name, err)
	}
	return single(k.Name, []float64{v})
}

func storing(n int) starter {
	return func(k stores.Kind, s stores.Store) (func(), func() error, error) {
		f := newFeed(k, 1, n, 128)
		var logs []*raft.Log
		return func() { logs = f.take() }, func() error { return s.StoreLogs(logs) }, nil
	}
}

// getting reads entries with Extensions of so many bytes.
func getting(extensions int) starter {
	return func(_ stores.Kind, s stores.Store) (func(), func() error, error) {
		const count = 1000
		logs := batch(1, count, readSize)
		for _, l := range logs {
			l.Extensions = make([]byte, extensions)
		}
		index := uint64(0)
		var l raft.Log
		return func() { index = index%count + 1 }, func() error { return s.GetLog(index, &l) }, s.StoreLogs(logs)
	}
}

func countAllocs(k stores.Kind, s stores.Store, start starter, calls int) (float64, error) {
	ready, call, err := start(k, s)
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

func heapBytes() uint64 {
	runtime.GC()
	runtime.GC() // what finalizers and pools still held
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func heapOf(k stores.Kind, s stores.Store, before, count uint64) (float64, error) {
	if err := newFeed(k, 1, 1000, readSize).fill(s, count); err != nil {
		return 0, err
	}
	for index := range count {
		if err := get(s, index+1, new(raft.Log)); err != nil {
			return 0, err
		}
	}
	after := heapBytes()
	runtime.KeepAlive(s)
	return max(float64(after)-float64(before), 0) / (1 << 20), nil
}
