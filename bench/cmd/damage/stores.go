package main

import (
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime/debug"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	raftwal "github.com/hashicorp/raft-wal"

	"github.com/raft-ballast/ballast/badgerstore"
	"github.com/raft-ballast/ballast/boltstore"
	"github.com/raft-ballast/ballast/wal"
)

type store interface {
	raft.LogStore
	raft.StableStore
	io.Closer
}

// storeKind is a store to try.
type storeKind struct {
	name   string
	module string // whose version is printed; "" for Ballast's own
	checks bool   // whether it has checksums of all its data, so that nothing may be wrong or lost
	open   func(dir string) (store, error)
}

// Segments of all stores that have some are of one MiB.
const segmentBytes = 1 << 20

var stores = []storeKind{
	{name: "wal", checks: true, open: func(dir string) (store, error) {
		return wal.Open(dir, &wal.Options{SegmentBytes: segmentBytes})
	}},
	{name: "boltstore", open: func(dir string) (store, error) {
		return boltstore.Open(filepath.Join(dir, "raft.db"), nil)
	}},
	{name: "badgerstore", open: func(dir string) (store, error) { return badgerstore.Open(dir, nil) }},
	{name: "raft-boltdb", module: "github.com/hashicorp/raft-boltdb/v2", open: func(dir string) (store, error) {
		return raftboltdb.NewBoltStore(filepath.Join(dir, "raft.db"))
	}},
	{name: "raft-wal", module: "github.com/hashicorp/raft-wal", open: func(dir string) (store, error) {
		return raftwal.Open(dir, raftwal.WithSegmentSize(segmentBytes), raftwal.WithLogger(hclog.NewNullLogger()))
	}},
}

func byName(name string) storeKind {
	for _, s := range stores {
		if s.name == name {
			return s
		}
	}
	return storeKind{name: name, open: func(string) (store, error) { return nil, fmt.Errorf("there is no store %s", name) }}
}

// version returns that of a peer's module.
func (s storeKind) version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || s.module == "" {
		return ""
	}
	for _, m := range info.Deps {
		if m.Path == s.module {
			return m.Version
		}
	}
	return ""
}

// content is what is in each log.
type content struct {
	logs    []*raft.Log // from index 1 on
	values  map[string][]byte
	numbers map[string]uint64
}

const entries = 300

// contentOf draws it from a seed: entries of up to 400 bytes, of noise or of text, and what raft keeps of itself.
func contentOf(seed uint64) *content {
	rng := rand.New(rand.NewPCG(seed, 0))
	c := &content{values: map[string][]byte{"LastVoteCand": []byte("127.0.0.1:7001")},
		numbers: map[string]uint64{"CurrentTerm": 7, "LastVoteTerm": 7}}
	for i := range entries {
		data := make([]byte, 1+rng.IntN(400))
		for k := range data {
			if data[k] = "ballast "[k%8]; i%2 == 0 {
				data[k] = byte(rng.Uint32())
			}
		}
		c.logs = append(c.logs, &raft.Log{Index: uint64(i + 1), Term: 1 + uint64(i)/50, Type: raft.LogCommand, Data: data})
	}
	return c
}

// build makes a log in a folder, closes it and returns its files.
func build(k storeKind, seed uint64, dir string) (all files, err error) {
	dir = filepath.Join(dir, "whole")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	s, err := k.open(dir)
	if err != nil {
		return nil, err
	}
	if err := contentOf(seed).put(s); err != nil {
		return nil, err
	}
	if err := s.Close(); err != nil {
		return nil, err
	}
	return readFiles(dir)
}

// put stores the entries as raft would, a few at once.
func (c *content) put(s store) error {
	for rest := c.logs; len(rest) > 0; {
		n := min(len(rest), 1+len(rest)%5)
		if err := s.StoreLogs(rest[:n]); err != nil {
			return err
		}
		rest = rest[n:]
	}
	for key, value := range c.values {
		if err := s.Set([]byte(key), value); err != nil {
			return err
		}
	}
	for key, value := range c.numbers {
		if err := s.SetUint64([]byte(key), value); err != nil {
			return err
		}
	}
	return nil
}
