package badgerstore_test

import (
	"path/filepath"
	"testing"

	"github.com/raft-ballast/ballast/badgerstore"
	"github.com/raft-ballast/ballast/storetest"
)

// TestConformance runs the contract's suite. The store's folder is one below the suite's, so that Open
// makes it.
func TestConformance(t *testing.T) {
	storetest.Run(t, func(t *testing.T, dir string) (storetest.Store, error) {
		return badgerstore.Open(filepath.Join(dir, "raft"), nil)
	})
}
