package stores

import (
	"path/filepath"

	"github.com/raft-ballast/ballast/boltstore"
)

func init() {
	register(Kind{Name: "boltstore", Rank: 20, Ours: true, Durable: true, Open: func(dir string, _ Options) (Store, error) {
		return boltstore.Open(filepath.Join(dir, "raft.db"), nil)
	}})
}
