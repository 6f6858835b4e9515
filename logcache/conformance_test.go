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

// TestConformance proves that a store keeps the contract behind a cache: one so small that entries come and
// go all the time, and one that holds nearly everything.
func TestConformance(t *testing.T) {
	tiny := &logcache.Options{MaxEntries: 3, MaxBytes: 100}
	t.Run("tiny/memstore", func(t *testing.T) {
		storetest.Run(t, func(t *testing.T, _ string) (storetest.Store, error) {
			return open(t, memstore.New(), tiny).(ballast.Store), nil
		}, storetest.Volatile())
	})
	for name, opts := range map[string]*logcache.Options{"tiny": tiny, "default": nil} {
		t.Run(name+"/boltstore", func(t *testing.T) {
			const maxEntryBytes = 1 << 20 // what the suite stores up to, again and again
			storetest.Run(t, func(t *testing.T, dir string) (storetest.Store, error) {
				store, err := boltstore.Open(filepath.Join(dir, "raft.db"),
					&boltstore.Options{NoSync: true, MaxEntryBytes: maxEntryBytes})
				if err != nil {
					return nil, err
				}
				return open(t, store, opts).(ballast.Store), nil
			}, storetest.MaxEntryBytes(maxEntryBytes))
		})
	}
}
