package ballast_test

import (
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast/wal"
)

// counter is a state machine that counts the commands it has applied.
type counter struct{ n atomic.Int64 }

func (c *counter) Apply(*raft.Log) any                 { return c.n.Add(1) }
func (c *counter) Snapshot() (raft.FSMSnapshot, error) { return &count{c.n.Load()}, nil }

func (c *counter) Restore(r io.ReadCloser) error {
	var n int64
	if _, err := fmt.Fscan(r, &n); err != nil {
		return err
	}
	c.n.Store(n)
	return r.Close()
}

// count is a snapshot of a counter.
type count struct{ n int64 }

func (c *count) Release() {}

func (c *count) Persist(sink raft.SnapshotSink) error {
	if _, err := fmt.Fprintln(sink, c.n); err != nil {
		_ = sink.Cancel()
		return err
	}
	return sink.Close()
}

// A cluster of one peer that keeps its log and its stable state in Ballast.
func Example() {
	dir, err := os.MkdirTemp("", "ballast-example-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	r, err := start(dir, &counter{})
	if err != nil {
		log.Fatal(err)
	}
	<-r.LeaderCh()
	future := r.Apply([]byte("a command"), time.Second)
	if err := future.Error(); err != nil {
		log.Fatal(err)
	}
	fmt.Println("applied command number", future.Response())
	if err := r.Shutdown().Error(); err != nil {
		log.Fatal(err)
	}
	// Output: applied command number 1
}

// README begin
func start(dir string, fsm raft.FSM) (*raft.Raft, error) {
	// One store holds both the log and the stable state: the term, and whom this peer has voted for.
	store, err := wal.Open(filepath.Join(dir, "wal"), nil)
	if err != nil {
		return nil, err
	}
	snapshots, err := raft.NewFileSnapshotStore(dir, 2, io.Discard)
	if err != nil {
		return nil, err
	}
	transport, err := raft.NewTCPTransport("127.0.0.1:0", nil, 3, 10*time.Second, io.Discard)
	if err != nil {
		return nil, err
	}
	config := raft.DefaultConfig()
	config.LocalID = "peer-1"
	config.LogOutput = io.Discard

	existing, err := raft.HasExistingState(store, store, snapshots)
	if err != nil {
		return nil, err
	}
	if !existing {
		servers := []raft.Server{{ID: config.LocalID, Address: transport.LocalAddr()}}
		err := raft.BootstrapCluster(config, store, store, snapshots, transport, raft.Configuration{Servers: servers})
		if err != nil {
			return nil, err
		}
	}
	return raft.NewRaft(config, fsm, store, store, snapshots, transport)
}

// README end
