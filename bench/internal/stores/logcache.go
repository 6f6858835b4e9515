package stores

import "github.com/raft-ballast/ballast/logcache"

func init() {
	for i, name := range []string{"wal", "boltstore", "badgerstore"} {
		register(Kind{Name: name + "+cache", Rank: 40 + i, Ours: true, Durable: true, Cache: true, Note: "behind logcache",
			Open: func(dir string, o Options) (Store, error) {
				s, err := Open(name, dir, o)
				if err != nil {
					return nil, err
				}
				c, err := logcache.New(s, nil)
				if err != nil {
					return nil, err
				}
				return c.(Store), nil // in front of an engine of ours it is all of that engine
			}})
	}
}
