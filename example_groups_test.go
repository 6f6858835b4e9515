package ballast_test

import (
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast/wal"
)

// Three raft groups, each a cluster of one peer here, that share one log; one is dropped, and the others start again.
func Example_groups() {
	dir, err := os.MkdirTemp("", "ballast-example-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	for _, ids := range [][]uint64{{1, 2, 3}, {1, 3}} {
		stores, shards, err := startShards(dir, ids)
		if err != nil {
			log.Fatal(err)
		}
		for _, id := range ids {
			<-shards[id].LeaderCh()
			if err := shards[id].Apply([]byte("a command"), time.Second).Error(); err != nil {
				log.Fatal(err)
			}
			fmt.Println("shard", id, "has applied a command")
		}
		stopShards(shards)
		if err := stores.Drop(2); err != nil { // its raft has been shut down
			log.Fatal(err)
		}
		fmt.Println("the log has shards", stores.IDs())
		if err := stores.Close(); err != nil {
			log.Fatal(err)
		}
	}
	// Output:
	// shard 1 has applied a command
	// shard 2 has applied a command
	// shard 3 has applied a command
	// the log has shards [1 3]
	// shard 1 has applied a command
	// shard 3 has applied a command
	// the log has shards [1 3]
}

// README groups begin
func startShards(dir string, ids []uint64) (stores *wal.Groups, shards map[uint64]*raft.Raft, err error) {
	stores, err = wal.OpenGroups(filepath.Join(dir, "wal"), nil) // one log for all of them
	if err != nil {
		return nil, nil, err
	}
	shards = make(map[uint64]*raft.Raft)
	for _, id := range ids {
		store, err := stores.Store(id) // the log and the stable state of this shard's peer
		if err == nil {
			shards[id], err = startShard(id, store)
		}
		if err != nil {
			stopShards(shards) // before their stores are closed
			return nil, nil, errors.Join(err, stores.Close())
		}
	}
	return stores, shards, nil // close stores after every raft has been shut down
}

// README groups end

func stopShards(shards map[uint64]*raft.Raft) {
	for _, r := range shards {
		if r != nil {
			_ = r.Shutdown().Error() // there is none
		}
	}
}

// startShard is what start in example_test.go does, on a store that is open. Each group has a transport of its own.
func startShard(id uint64, store *wal.Store) (*raft.Raft, error) {
	config := raft.DefaultConfig()
	config.LocalID = "peer-1"
	config.LogOutput = io.Discard
	snapshots := raft.NewInmemSnapshotStore()
	addr, transport := raft.NewInmemTransport(raft.ServerAddress(fmt.Sprint("shard-", id)))
	started, err := raft.HasExistingState(store, store, snapshots)
	if err != nil {
		return nil, err
	}
	if !started {
		servers := []raft.Server{{ID: config.LocalID, Address: addr}}
		err := raft.BootstrapCluster(config, store, store, snapshots, transport, raft.Configuration{Servers: servers})
		if err != nil {
			return nil, err
		}
	}
	return raft.NewRaft(config, &counter{}, store, store, snapshots, transport)
}
