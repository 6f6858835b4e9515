// Package peers opens the stores that Ballast is compared with, each as its users do.
package peers

import (
	"io"
	"math"
	"path/filepath"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	raftwal "github.com/hashicorp/raft-wal"

	"github.com/raft-ballast/ballast/badgerstore"
)

// Store is what all stores have in common, ours too.
type Store interface {
	raft.LogStore
	raft.StableStore
	io.Closer
}

// OpenRaftWAL opens hashicorp/raft-wal in dir; segmentBytes of 0 is its default.
func OpenRaftWAL(dir string, segmentBytes int) (Store, error) {
	w, err := raftwal.Open(dir, raftwal.WithSegmentSize(segmentBytes), raftwal.WithLogger(hclog.NewNullLogger()))
	if err != nil {
		return nil, err
	}
	return rotated{w}, nil
}

// rotated lets a rotation in progress end before Close: raft-wal v0.4.2, closed after the append that seals a segment and before
// the next one is there, takes no append any more. A deletion of nothing waits for the rotation.
type rotated struct{ *raftwal.WAL }

func (r rotated) Close() error {
	if err := r.DeleteRange(math.MaxUint64, math.MaxUint64); err != nil {
		return err
	}
	return r.WAL.Close()
}

// OpenRaftBoltDB opens hashicorp/raft-boltdb in dir. With noSync it is made durable only when it is closed.
func OpenRaftBoltDB(dir string, noSync bool) (Store, error) {
	s, err := raftboltdb.New(raftboltdb.Options{Path: filepath.Join(dir, "raft.db"), NoSync: noSync})
	if err != nil || !noSync {
		return s, err
	}
	return synced{s}, nil
}

// synced makes what was written without a sync durable at the end.
type synced struct{ *raftboltdb.BoltStore }

func (s synced) Close() error {
	if err := s.Sync(); err != nil {
		return err
	}
	return s.BoltStore.Close()
}

// OpenLikeRaftBadger opens badgerstore without synced writes, which is how raft-badger writes.
func OpenLikeRaftBadger(dir string) (Store, error) {
	return badgerstore.Open(dir, &badgerstore.Options{NoSync: true})
}
