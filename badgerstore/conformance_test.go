package badgerstore_test

import (
	"flag"
	"path/filepath"
	"testing"

	"github.com/dgraph-io/badger/v4"

	"github.com/raft-ballast/ballast/badgerstore"
	"github.com/raft-ballast/ballast/storetest"
)

// openSmall opens a store in a folder below dir, so that Open makes it. A small memtable makes opening quick, which is most of
// what the suite does, and everything else that badger has happen often: tables, compactions, values in the value log, batches
// that do not fit a transaction.
func openSmall(_ *testing.T, dir string) (storetest.Store, error) {
	return badgerstore.Open(filepath.Join(dir, "raft"), &badgerstore.Options{Badger: func(o *badger.Options) {
		o.MemTableSize = 1 << 20
		o.ValueThreshold = 64 << 10
	}})
}

func TestConformance(t *testing.T) { storetest.Run(t, openSmall) }

var killed = flag.Int("kills", 10, "how often a writing process is killed")

func TestKilled(t *testing.T) {
	storetest.RunCrash(t, storetest.Kills(openSmall), storetest.Crashes(*killed))
}
