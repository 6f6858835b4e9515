package logcache_test

import (
	"path/filepath"
	"testing"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/boltstore"
	"github.com/raft-ballast/ballast/logcache"
	"github.com/raft-ballast/ballast/memstore"
	"github.com/raft-ballast/ballast/storetest"
)

// tiny makes entries come and go all the time.
var tiny = &logcache.Options{MaxEntries: 3, MaxBytes: 100}

// TestConformance proves that a store keeps the contract behind a cache.
func TestConformance(t *testing.T) {
	t.Parallel()
	t.Run("memstore", func(t *testing.T) {
		storetest.Run(t, func(t *testing.T, _ string) (storetest.Store, error) {
			return open(t, memstore.New(), tiny).(ballast.Store), nil
		}, storetest.Volatile())
	})
	t.Run("boltstore", func(t *testing.T) {
		storetest.Run(t, func(t *testing.T, dir string) (storetest.Store, error) {
			store, err := boltstore.Open(filepath.Join(dir, "raft.db"), &boltstore.Options{NoSync: true})
			if err != nil {
				return nil, err
			}
			return open(t, store, tiny).(ballast.Store), nil
		})
	})
}
