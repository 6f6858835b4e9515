package stores

import "github.com/raft-ballast/ballast/badgerstore"

func init() {
	register(Kind{Name: "badgerstore", Rank: 30, Ours: true, Durable: true, Open: func(dir string, o Options) (Store, error) {
		return badgerstore.Open(dir, &badgerstore.Options{NoSync: o.NoSync})
	}})
}
