package main

import (
	"cmp"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast/bench/internal/peers"
	"github.com/raft-ballast/ballast/boltstore"
	"github.com/raft-ballast/ballast/wal"
)

// store is what all of them have in common.
type store = peers.Store

// options are what some figures ask of a store. The zero value is what its users get.
type options struct {
	segmentBytes int  // where there are segments
	noSync       bool // where there is such an option: to fill a store that is then closed, never to measure one
}

// kind is a store to measure.
type kind struct {
	name     string
	module   string // whose version is printed; "" for Ballast's own
	open     func(dir string, o options) (store, error)
	segments string // which files of a folder are segments, as filepath.Match understands it

	// zeroed returns how many bytes an open store has written ahead as zeros; nil when it writes none.
	zeroed func(s store) int64
}

// limit is the name of the fastest way to make bytes durable, see startLimit.
const limit = "limit"

// kinds are the stores, in the order in which they are printed.
var kinds = []kind{
	{name: "wal", open: func(dir string, o options) (store, error) {
		return wal.Open(dir, &wal.Options{SegmentBytes: int64(o.segmentBytes)})
	}, segments: "*.wal", zeroed: func(s store) int64 { return s.(*wal.Store).Stats().ZeroBytes }},
	{name: "boltstore", open: func(dir string, _ options) (store, error) {
		return boltstore.Open(filepath.Join(dir, "raft.db"), nil)
	}},
	{name: "raft-wal", module: "github.com/hashicorp/raft-wal", open: openRaftWAL, segments: "*.wal"},
	{name: "raft-boltdb", module: "github.com/hashicorp/raft-boltdb/v2", open: openRaftBoltDB},
	{name: "InmemStore", module: "github.com/hashicorp/raft", open: func(string, options) (store, error) {
		return inmem{raft.NewInmemStore()}, nil
	}},
}

// inmem is a store without a Close.
type inmem struct{ *raft.InmemStore }

func (inmem) Close() error { return nil }

func openRaftWAL(dir string, o options) (store, error) { return peers.OpenRaftWAL(dir, o.segmentBytes) }

func openRaftBoltDB(dir string, o options) (store, error) { return peers.OpenRaftBoltDB(dir, o.noSync) }

// each returns the stores of these names that take part.
func (e *env) each(names ...string) []kind {
	return slices.DeleteFunc(slices.Clone(kinds), func(k kind) bool {
		return !slices.Contains(names, k.name) || !e.wants(k.name)
	})
}

// rivals opens a folder for each of the stores that take part, and starts a rival in it. For the limit it starts one that
// writes so many bytes, unless that is 0.
func (e *env) rivals(limitBytes int, names []string, start func(k kind, dir string) (rival, error)) (list []rival, err error) {
	defer func() {
		if err != nil {
			_ = closeAll(list)
		}
	}()
	if limitBytes > 0 && e.wants(limit) {
		dir, err := e.folder(limit)
		if err != nil {
			return list, err
		}
		r, err := startLimit(dir, limitBytes, e.count(64<<20, 1<<20))
		if err != nil {
			return list, err
		}
		list = append(list, r)
	}
	for _, k := range e.each(names...) {
		dir, err := e.folder(k.name)
		if err != nil {
			return list, err
		}
		r, err := start(k, dir)
		if err != nil {
			return list, named(k, err)
		}
		list = append(list, r)
	}
	return list, nil
}

// named says which store an error is of.
func named(k kind, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", k.name, err)
}

// sortedNames sorts the limit before the stores, these as their table has them, and what is something of a store behind it.
func sortedNames[V any](m map[string]V) []string {
	rank := func(name string) int {
		return slices.IndexFunc(kinds, func(k kind) bool { return name == k.name || strings.HasPrefix(name, k.name+" ") })
	}
	return slices.SortedFunc(maps.Keys(m), func(a, b string) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a, b))
	})
}
