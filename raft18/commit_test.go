package raft18_test

import (
	"io"
	"path/filepath"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/badgerstore"
	"github.com/raft-ballast/ballast/boltstore"
	"github.com/raft-ballast/ballast/logcache"
	"github.com/raft-ballast/ballast/memstore"
	"github.com/raft-ballast/ballast/wal"
)

var (
	_ raft.CommitTrackingLogStore = ballast.Store(nil)
	_ raft.CommitTrackingLogStore = (*badgerstore.Store)(nil)
	_ raft.CommitTrackingLogStore = (*boltstore.Store)(nil)
	_ raft.CommitTrackingLogStore = (*memstore.Store)(nil)
	_ raft.CommitTrackingLogStore = (*wal.Store)(nil)
)

// engine opens a store in a folder.
type engine struct {
	name string
	open func(dir string) (ballast.Store, error)
}

var (
	own  = engine{"wal", func(dir string) (ballast.Store, error) { return opened(wal.Open(dir, nil)) }}
	bolt = engine{"bolt", func(dir string) (ballast.Store, error) {
		return opened(boltstore.Open(filepath.Join(dir, "raft.db"), nil))
	}}
	badger = engine{"badger", func(dir string) (ballast.Store, error) {
		return opened(badgerstore.Open(filepath.Join(dir, "raft"), nil))
	}}
	mem = engine{"mem", func(string) (ballast.Store, error) { return memstore.New(), nil }}
)

// opened keeps a nil pointer of an engine's own type from becoming a Store that is not nil.
func opened[S ballast.Store](store S, err error) (ballast.Store, error) {
	if err != nil {
		return nil, err
	}
	return store, nil
}

// cached puts logcache in front of an engine. The cache of an engine of Ballast is a ballast.Store itself.
func cached(e engine) engine {
	return engine{"logcache on " + e.name, func(dir string) (ballast.Store, error) {
		store, err := e.open(dir)
		if err != nil {
			return nil, err
		}
		cache, err := logcache.New(store, nil)
		if err != nil {
			return nil, err
		}
		return cache.(ballast.Store), nil
	}}
}

// What raft v1.8.0 finds by a type assertion is there behind the cache, and it reaches the engine.
func TestLogcachePassesCommitTrackingOn(t *testing.T) {
	for _, e := range []engine{own, bolt, badger, mem} {
		t.Run(e.name, func(t *testing.T) {
			store, err := e.open(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			defer store.Close()
			cache, err := logcache.New(store, nil)
			if err != nil {
				t.Fatal(err)
			}
			tracker, ok := cache.(raft.CommitTrackingLogStore)
			if !ok {
				t.Fatalf("%T is no raft.CommitTrackingLogStore", cache)
			}
			if _, ok := cache.(io.Closer); !ok {
				t.Errorf("%T is no io.Closer", cache)
			}
			if err := tracker.StageCommitIndex(2); err != nil {
				t.Fatal(err)
			}
			if err := tracker.StoreLogs([]*raft.Log{{Index: 1, Term: 1}, {Index: 2, Term: 1}, {Index: 3, Term: 1}}); err != nil {
				t.Fatal(err)
			}
			for _, s := range []raft.CommitTrackingLogStore{tracker, store} {
				if commit, err := s.GetCommitIndex(); err != nil || commit != 2 {
					t.Errorf("GetCommitIndex of %T is %d, %v; want 2", s, commit, err)
				}
			}
		})
	}
}
