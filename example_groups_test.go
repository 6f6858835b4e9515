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

// Three raft groups, each a cluster of one peer here, that share one log.
func Example_groups() {
	dir, err := os.MkdirTemp("", "ballast-example-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	shards, stores, err := startShards(dir, 3)
	if err != nil {
		log.Fatal(err)
	}
	for id, r := range shards {
		<-r.LeaderCh()
		if err := r.Apply([]byte("a command"), time.Second).Error(); err != nil {
			log.Fatal(err)
		}
		fmt.Println("shard", id, "has applied a command")
	}
	for _, r := range shards {
		if err := r.Shutdown().Error(); err != nil {
			log.Fatal(err)
		}
	}
	if err := stores.Close(); err != nil {
		log.Fatal(err)
	}
	// Output:
	// shard 0 has applied a command
	// shard 1 has applied a command
	// shard 2 has applied a command
}

// README groups begin
func startShards(dir string, n int) (shards []*raft.Raft, stores *wal.Groups, err error) {
	stores, err = wal.OpenGroups(filepath.Join(dir, "wal"), nil) // one log for all of them
	if err != nil {
		return nil, nil, err
	}
	for id := range n {
		store, err := stores.Store(uint64(id)) // the log and the stable state of this shard's peer
		if err != nil {
			return nil, nil, errors.Join(err, stores.Close())
		}
		shard, err := startShard(id, store)
		if err != nil {
			return nil, nil, errors.Join(err, stores.Close())
		}
		shards = append(shards, shard)
	}
	return shards, stores, nil // close stores after every raft has been shut down
}

// README groups end

// startShard is what start in example_test.go does, on a store that is open.
func startShard(id int, store *wal.Store) (*raft.Raft, error) {
	config := raft.DefaultConfig()
	config.LocalID = "peer-1"
	config.LogOutput = io.Discard
	snapshots := raft.NewDiscardSnapshotStore()
	addr, transport := raft.NewInmemTransport(raft.ServerAddress(fmt.Sprint("shard-", id)))
	servers := []raft.Server{{ID: config.LocalID, Address: addr}}
	err := raft.BootstrapCluster(config, store, store, snapshots, transport, raft.Configuration{Servers: servers})
	if err != nil {
		return nil, err
	}
	return raft.NewRaft(config, &counter{}, store, store, snapshots, transport)
}
