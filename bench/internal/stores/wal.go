package stores

import "github.com/raft-ballast/ballast/wal"

func init() {
	register(Kind{Name: "wal", Rank: 10, Ours: true, Durable: true, Segments: true,
		Open: func(dir string, o Options) (Store, error) {
			return wal.Open(dir, &wal.Options{SegmentBytes: int64(o.SegmentBytes)})
		},
		Zeroed: func(s Store) int64 { return s.(*wal.Store).Stats().ZeroBytes },
	})
}
