package stores

import (
	"math"

	"github.com/hashicorp/go-hclog"
	raftwal "github.com/hashicorp/raft-wal"
)

func init() {
	register(Kind{Name: "raft-wal", Rank: 50, Module: "github.com/hashicorp/raft-wal", Durable: true, Segments: true,
		Open: func(dir string, o Options) (Store, error) {
			w, err := raftwal.Open(dir, raftwal.WithSegmentSize(o.SegmentBytes), raftwal.WithLogger(hclog.NewNullLogger()))
			if err != nil {
				return nil, err
			}
			return rotated{w}, nil
		}})
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
