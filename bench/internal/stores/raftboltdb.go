package stores

import (
	"path/filepath"

	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
)

func init() {
	register(Kind{Name: "raft-boltdb", Rank: 55, Module: "github.com/hashicorp/raft-boltdb/v2", Durable: true,
		Open: func(dir string, o Options) (Store, error) {
			s, err := raftboltdb.New(raftboltdb.Options{Path: filepath.Join(dir, "raft.db"), NoSync: o.NoSync})
			if err != nil || !o.NoSync {
				return s, err
			}
			return synced{s}, nil
		}})
}

// synced makes what was written without a sync durable at the end.
type synced struct{ *raftboltdb.BoltStore }

func (s synced) Close() error {
	if err := s.Sync(); err != nil {
		return err
	}
	return s.BoltStore.Close()
}
