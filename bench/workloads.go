package main

import (
	"errors"
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

// workload is one figure. start opens and fills a store and returns the call that is measured; the two stores take
// turns for so many blocks of so many calls. reach is the ratio to the peer that is promised, 0 for none.
type workload struct {
	name   string
	reach  float64
	blocks int
	calls  int
	start  func(o opener, folder string) (call, closeStore func() error, err error)
}

var workloads = []workload{
	{"StoreLogs 1x128 B", 0.95, 60, 10, storeLogs(1, 128)},
	{"StoreLogs 64x128 B", 0.95, 60, 8, storeLogs(64, 128)},
	{"StoreLogs 64x4 KiB", 1.30, 60, 4, storeLogs(64, 4096)},
	{"GetLog 256 B in order", 3.00, 50, 4000, getLog(false)},
	{"GetLog 256 B at random", 0, 50, // raft reads in order; here both wait for memory most of the time
		4000, getLog(true)},
	{"FirstIndex", 0.95, 50, 4000, filled(func(s store, _ int) error { _, err := s.FirstIndex(); return err })},
	{"LastIndex", 0.95, 50, 4000, filled(func(s store, _ int) error { _, err := s.LastIndex(); return err })},
	{"Set", 0.95, 60, 10, filled(func(s store, i int) error { return s.Set([]byte("LastVoteCand"), fmt.Appendf(nil, "127.0.0.1:%d", i)) })},
	{"SetUint64", 0.95, 60, 10, filled(func(s store, i int) error { return s.SetUint64([]byte("CurrentTerm"), uint64(i)) })},
	{"Get", 0.95, 50, 2000, filled(func(s store, _ int) error { _, err := s.Get([]byte("k")); return err })},
	{"GetUint64", 0.95, 50, 2000, filled(func(s store, _ int) error { _, err := s.GetUint64([]byte("n")); return err })},
	{"DeleteRange of 10 of 50,000", 0.95, 60, 8, deletePrefix(10)},
	{"DeleteRange of 5,000 of 50,000", 0.95, 9, 1, deletePrefix(5000)},
	{"DeleteRange of 45,000 of 50,000", 0.95, 1, 1, deletePrefix(45_000)},
	{"DeleteRange and StoreLogs of the last 5", 0.95, 60, 8, replaceSuffix},
	{"Open and Close with 50,000 entries", 0.95, 20, 3, reopen},
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

// open opens a store and fills it.
func open(o opener, folder string, count, size int) (store, error) {
	s, err := o.open(folder)
	if err != nil {
		return nil, err
	}
	if err := fill(s, count, size); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func storeLogs(n, size int) func(opener, string) (call, closeStore func() error, err error) {
	return func(o opener, folder string) (call, closeStore func() error, err error) {
		s, err := open(o, folder, 1000, 128)
		if err != nil {
			return nil, nil, err
		}
		logs := batch(1001, n, size)
		return func() error {
			defer advance(logs)
			return s.StoreLogs(logs)
		}, s.Close, nil
	}
}

func getLog(random bool) func(opener, string) (call, closeStore func() error, err error) {
	const count = 100_000
	return func(o opener, folder string) (call, closeStore func() error, err error) {
		s, err := open(o, folder, count, 256)
		if err != nil {
			return nil, nil, err
		}
		rng := rand.New(rand.NewPCG(1, 2))
		var l raft.Log
		var last uint64
		return func() error {
			last = last%count + 1
			if random {
				last = rng.Uint64N(count) + 1
			}
			return s.GetLog(last, &l)
		}, s.Close, nil
	}
}

// filled makes the same call on a store of 10,000 entries.
func filled(call func(s store, i int) error) func(opener, string) (func() error, func() error, error) {
	return func(o opener, folder string) (func() error, func() error, error) {
		s, err := open(o, folder, 10_000, 128)
		if err != nil {
			return nil, nil, err
		}
		i := 0
		return func() error {
			i++
			return call(s, i)
		}, s.Close, nil
	}
}

// deletePrefix compacts n entries more with each call.
func deletePrefix(n uint64) func(opener, string) (call, closeStore func() error, err error) {
	return func(o opener, folder string) (call, closeStore func() error, err error) {
		s, err := open(o, folder, 50_000, 128)
		if err != nil {
			return nil, nil, err
		}
		first := uint64(1)
		return func() error {
			defer func() { first += n }()
			return s.DeleteRange(first, first+n-1)
		}, s.Close, nil
	}
}

// replaceSuffix cuts five entries off and puts others there, as raft does at a conflict.
func replaceSuffix(o opener, folder string) (call, closeStore func() error, err error) {
	s, err := open(o, folder, 10_000, 128)
	if err != nil {
		return nil, nil, err
	}
	logs := batch(9_996, 5, 128)
	return func() error {
		if err := s.DeleteRange(9_996, 10_000); err != nil {
			return err
		}
		return s.StoreLogs(logs)
	}, s.Close, nil
}

func reopen(o opener, folder string) (call, closeStore func() error, err error) {
	s, err := open(o, folder, 50_000, 256)
	if err != nil {
		return nil, nil, err
	}
	return func() error {
		s, err := o.open(folder)
		if err != nil {
			return err
		}
		return s.Close()
	}, func() error { return nil }, s.Close()
}
