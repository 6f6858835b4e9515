package stores

import "github.com/raft-ballast/ballast/memstore"

func init() {
	register(Kind{Name: "memstore", Rank: 70, Ours: true, Memory: true, Note: "not durable: in memory",
		Open: func(string, Options) (Store, error) { return memstore.New(), nil }})
}
