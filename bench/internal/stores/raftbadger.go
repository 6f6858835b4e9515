package stores

import "github.com/raft-ballast/ballast/badgerstore"

// raft-badger's own module cannot be built beside the others; it differs from badgerstore in that it does not sync its writes.
func init() {
	register(Kind{Name: "raft-badger", Rank: 60, Note: "not durable: badgerstore without synced writes, which is how raft-badger writes",
		Open: func(dir string, _ Options) (Store, error) {
			return badgerstore.Open(dir, &badgerstore.Options{NoSync: true})
		}})
}
