package main

import (
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"time"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"

	"github.com/raft-ballast/ballast/boltstore"
)

// store is what the peers have in common.
type store interface {
	raft.LogStore
	raft.StableStore
	io.Closer
}

// opener opens a store in a folder.
type opener struct {
	name string
	open func(folder string) (store, error)
}

var (
	peer = opener{"raft-boltdb", func(folder string) (store, error) {
		return raftboltdb.NewBoltStore(filepath.Join(folder, "raft.db"))
	}}
	ours = opener{"boltstore", func(folder string) (store, error) {
		return boltstore.Open(filepath.Join(folder, "raft.db"), nil)
	}}
)

// workload is one figure: run returns the nanoseconds of a call, reach is the ratio to the peer that is promised.
type workload struct {
	name  string
	reach float64
	run   func(o opener, folder string) (float64, error)
}

var workloads = []workload{
	{"StoreLogs 1x128 B", 0.95, storeLogs(1, 128, 600)},
	{"StoreLogs 64x128 B", 0.95, storeLogs(64, 128, 400)},
	{"StoreLogs 64x4 KiB", 1.30, storeLogs(64, 4096, 200)},
	{"GetLog 256 B in order", 3.00, getLog(false)},
	{"GetLog 256 B at random", 3.00, getLog(true)},
	{"FirstIndex", 0.95, calls(200_000, func(s store, _ int) error { _, err := s.FirstIndex(); return err })},
	{"LastIndex", 0.95, calls(200_000, func(s store, _ int) error { _, err := s.LastIndex(); return err })},
	{"Set", 0.95, calls(500, func(s store, i int) error { return s.Set([]byte("LastVoteCand"), fmt.Appendf(nil, "127.0.0.1:%d", i)) })},
	{"SetUint64", 0.95, calls(500, func(s store, i int) error { return s.SetUint64([]byte("CurrentTerm"), uint64(i)) })},
	{"Get", 0.95, calls(100_000, func(s store, _ int) error { _, err := s.Get([]byte("k")); return err })},
	{"GetUint64", 0.95, calls(100_000, func(s store, _ int) error { _, err := s.GetUint64([]byte("n")); return err })},
	{"DeleteRange of 10 of 50,000", 0.95, deletePrefix(10, 200)},
	{"DeleteRange of 20,000 of 50,000", 0.95, deletePrefix(20_000, 2)},
	{"DeleteRange of the last 5", 0.95, deleteSuffix},
	{"Open with 50,000 entries", 0.95, reopen},
}

// batch makes n entries with Data of size bytes.
func batch(first uint64, n, size int) []*raft.Log {
	logs := make([]*raft.Log, n)
	for i := range logs {
		data := make([]byte, size)
		for j := range data {
			data[j] = byte(i + j)
		}
		logs[i] = &raft.Log{Index: first + uint64(i), Term: 3, Type: raft.LogCommand, Data: data, AppendedAt: time.Unix(1_700_000_000, 42)}
	}
	return logs
}

// advance gives the entries of a batch the next indexes.
func advance(logs []*raft.Log) {
	for _, l := range logs {
		l.Index += uint64(len(logs))
	}
}

// fill stores count entries of size bytes from index 1 on, and some stable values.
func fill(s store, count, size int) error {
	const step = 1000
	logs := batch(1, step, size)
	for range count / step {
		if err := s.StoreLogs(logs); err != nil {
			return err
		}
		advance(logs)
	}
	if err := s.SetUint64([]byte("n"), 7); err != nil {
		return err
	}
	return s.Set([]byte("k"), []byte("127.0.0.1:7001"))
}

// timed opens a store, fills it, and returns the time of a call of the n that f makes.
func timed(o opener, folder string, count, size, n int, f func(s store) error) (ns float64, err error) {
	s, err := o.open(folder)
	if err != nil {
		return 0, err
	}
	defer func() {
		if e := s.Close(); err == nil {
			err = e
		}
	}()
	if err := fill(s, count, size); err != nil {
		return 0, err
	}
	start := time.Now()
	if err := f(s); err != nil {
		return 0, err
	}
	return float64(time.Since(start)) / float64(n), nil
}

func storeLogs(n, size, iterations int) func(opener, string) (float64, error) {
	return func(o opener, folder string) (float64, error) {
		logs := batch(1001, n, size)
		return timed(o, folder, 1000, 128, iterations, func(s store) error {
			for range iterations {
				if err := s.StoreLogs(logs); err != nil {
					return err
				}
				advance(logs)
			}
			return nil
		})
	}
}

func getLog(random bool) func(opener, string) (float64, error) {
	const count, iterations = 100_000, 200_000
	return func(o opener, folder string) (float64, error) {
		rng := rand.New(rand.NewPCG(1, 2))
		return timed(o, folder, count, 256, iterations, func(s store) error {
			var l raft.Log
			for i := range uint64(iterations) {
				index := i%count + 1
				if random {
					index = rng.Uint64N(count) + 1
				}
				if err := s.GetLog(index, &l); err != nil {
					return err
				}
			}
			return nil
		})
	}
}

func calls(iterations int, call func(s store, i int) error) func(opener, string) (float64, error) {
	return func(o opener, folder string) (float64, error) {
		return timed(o, folder, 10_000, 128, iterations, func(s store) error {
			for i := range iterations {
				if err := call(s, i); err != nil {
					return err
				}
			}
			return nil
		})
	}
}

func deletePrefix(n, iterations uint64) func(opener, string) (float64, error) {
	return func(o opener, folder string) (float64, error) {
		return timed(o, folder, 50_000, 128, int(iterations), func(s store) error {
			for i := range iterations {
				if err := s.DeleteRange(i*n+1, (i+1)*n); err != nil {
					return err
				}
			}
			return nil
		})
	}
}

// deleteSuffix cuts five entries off and puts them back, as raft does at a conflict.
func deleteSuffix(o opener, folder string) (float64, error) {
	const iterations = 200
	logs := batch(9_996, 5, 128)
	return timed(o, folder, 10_000, 128, iterations, func(s store) error {
		for range iterations {
			if err := s.DeleteRange(9_996, 10_000); err != nil {
				return err
			}
			if err := s.StoreLogs(logs); err != nil {
				return err
			}
		}
		return nil
	})
}

func reopen(o opener, folder string) (float64, error) {
	if _, err := timed(o, folder, 50_000, 256, 1, func(store) error { return nil }); err != nil {
		return 0, err
	}
	const iterations = 20
	start := time.Now()
	for range iterations {
		s, err := o.open(folder)
		if err != nil {
			return 0, err
		}
		if err := s.Close(); err != nil {
			return 0, err
		}
	}
	return float64(time.Since(start)) / iterations, nil
}
