package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast/bench/internal/stores"
)

// storeKind is a store to try.
type storeKind struct {
	stores.Kind
	checks bool // whether it has checksums of all its data, so that nothing may be wrong or lost
}

// open has segments of one MiB, where a store has some.
func (k storeKind) open(dir string) (stores.Store, error) {
	return k.Open(dir, stores.Options{SegmentBytes: 1 << 20})
}

// tried are the stores to try: those that are durable, without a cache in front.
func tried() (list []storeKind) {
	for _, k := range stores.All() {
		if k.Durable && !k.Cache {
			list = append(list, storeKind{Kind: k, checks: k.Name == "wal"})
		}
	}
	return list
}

func byName(name string) storeKind {
	for _, s := range tried() {
		if s.Name == name {
			return s
		}
	}
	return storeKind{Kind: stores.Kind{Name: name, Open: func(string, stores.Options) (stores.Store, error) {
		return nil, fmt.Errorf("there is no store %s", name)
	}}}
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
func (c *content) put(s stores.Store) error {
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
