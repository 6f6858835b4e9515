package boltstore_test

import (
	"path/filepath"
	"testing"

	"github.com/raft-ballast/ballast/boltstore"
	"github.com/raft-ballast/ballast/storetest"
)

func openIn(_ *testing.T, dir string) (storetest.Store, error) {
	return boltstore.Open(filepath.Join(dir, "raft.db"), nil)
}

func TestConformance(t *testing.T) { storetest.Run(t, openIn) }

func TestKilled(t *testing.T) { storetest.RunKilled(t, openIn, 8) }
