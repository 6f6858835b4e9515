package badgerstore_test

import (
	"path/filepath"
	"testing"

	"github.com/dgraph-io/badger/v4"

	"github.com/raft-ballast/ballast/badgerstore"
	"github.com/raft-ballast/ballast/storetest"
)

// TestConformance runs the contract's suite. The store's folder is one below the suite's, so that Open
// makes it. A small memtable makes opening quick, which is most of what the suite does, and everything
// else that badger has happen often: tables, compactions, values in the value log, batches that do not
// fit a transaction.
func TestConformance(t *testing.T) {
	opts := badgerstore.Options{Badger: func(o *badger.Options) {
		o.MemTableSize = 1 << 20
		o.ValueThreshold = 64 << 10
	}}
	storetest.Run(t, func(t *testing.T, dir string) (storetest.Store, error) {
		return badgerstore.Open(filepath.Join(dir, "raft"), &opts)
	})
}
