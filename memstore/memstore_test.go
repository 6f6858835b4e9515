package memstore_test

import (
	"testing"

	"github.com/raft-ballast/ballast/memstore"
	"github.com/raft-ballast/ballast/storetest"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(*testing.T, string) (storetest.Store, error) {
		return memstore.New(), nil
	}, storetest.Volatile())
}
