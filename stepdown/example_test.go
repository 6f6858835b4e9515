package stepdown_test

import (
	"os"
	"time"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast/stepdown"
	"github.com/raft-ballast/ballast/wal"
)

// A service whose leader falls silent when its disk hangs for two seconds.
func Example() {
	start := func(dir, addr string, config *raft.Config, fsm raft.FSM) (*raft.Raft, error) {
		tcp, err := raft.NewTCPTransport(addr, nil, 3, 10*time.Second, os.Stderr)
		if err != nil {
			return nil, err
		}
		transport := stepdown.New(tcp)
		store, err := wal.Open(dir, &wal.Options{StallAfter: 2 * time.Second, OnStall: transport.OnStall})
		if err != nil {
			return nil, err
		}
		snapshots, err := raft.NewFileSnapshotStore(dir, 2, os.Stderr)
		if err != nil {
			return nil, err
		}
		return raft.NewRaft(config, fsm, store, store, snapshots, transport)
	}
	_ = start
}
