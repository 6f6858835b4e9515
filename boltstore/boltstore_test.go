package boltstore_test

import (
	"flag"
	"path/filepath"
	"testing"

	"github.com/raft-ballast/ballast/boltstore"
	"github.com/raft-ballast/ballast/storetest"
)

func openIn(_ *testing.T, dir string) (storetest.Store, error) {
	return boltstore.Open(filepath.Join(dir, "raft.db"), nil)
}

func TestConformance(t *testing.T) { storetest.Run(t, openIn) }

var killed = flag.Int("kills", 10, "how often a writing process is killed")

func TestKilled(t *testing.T) {
	t.Parallel()
	storetest.RunCrash(t, storetest.Kills(openIn), storetest.Crashes(*killed))
}
