// Package stores is what is compared: each store, opened as its users open it.
//
// Adding one is a file of its own that calls register in its init.
package stores

import (
	"cmp"
	"fmt"
	"io"
	"runtime/debug"
	"slices"

	"github.com/hashicorp/raft"
)

// Store is what all of them have in common.
type Store interface {
	raft.LogStore
	raft.StableStore
	io.Closer
}

// Options are what some figures ask of a store. The zero value is what its users get.
type Options struct {
	SegmentBytes int  // where there are segments; 0 is the store's default
	NoSync       bool // where there is such an option: to fill a store that is then closed, never to measure one
}

// Kind is a store to compare.
type Kind struct {
	Name   string
	Module string // whose version is told; "" for Ballast's own
	Note   string // what a reader must know beside every figure; "" for nothing

	Rank     int  // place among the others
	Ours     bool // one of Ballast's
	Durable  bool // what it acknowledges is on the disk
	Memory   bool // nothing of it is on the disk: there is nothing to open
	Segments bool // Options.SegmentBytes means something
	Keeps    bool // it keeps the entries that it is given, and does not copy them
	Cache    bool // a cache in front of another one here, and so only of interest for reading

	Open func(dir string, o Options) (Store, error)

	// Zeroed returns how many bytes an open store has written ahead as zeros; nil when it writes none.
	Zeroed func(s Store) int64
}

var kinds []Kind

func register(k Kind) { kinds = append(kinds, k) }

// All returns the stores by their rank.
func All() []Kind {
	return slices.SortedFunc(slices.Values(kinds), func(a, b Kind) int { return cmp.Compare(a.Rank, b.Rank) })
}

// Open opens the store of a name.
func Open(name, dir string, o Options) (Store, error) {
	i := slices.IndexFunc(kinds, func(k Kind) bool { return k.Name == name })
	if i < 0 {
		return nil, fmt.Errorf("there is no store %s", name)
	}
	return kinds[i].Open(dir, o)
}

// Version returns that of the store's module in this build, "" for Ballast's own.
func (k Kind) Version() string {
	if built, ok := debug.ReadBuildInfo(); ok && k.Module != "" {
		for _, dep := range built.Deps {
			if dep.Path == k.Module {
				return dep.Version
			}
		}
	}
	return ""
}
