package raft18_test

import (
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast"
)

const (
	snapshotThreshold = 60 // entries
	trailingLogs      = 10
)

// peer is one of the cluster, which runs or does not.
type peer struct {
	cluster *cluster
	id      raft.ServerID
	folder  string // of its present disk; a crash leaves it behind and goes on in a copy
	crashes int

	// The rest is nil while the peer does not run.
	raft      *raft.Raft
	store     ballast.Store
	transport *raft.NetworkTransport
	fsm       *listFSM
}

// config is raft's, with timeouts for a loopback and snapshots after few entries.
func (p *peer) config() *raft.Config {
	config := raft.DefaultConfig()
	config.LocalID = p.id
	config.HeartbeatTimeout = 200 * time.Millisecond
	config.ElectionTimeout = 200 * time.Millisecond
	config.LeaderLeaseTimeout = 100 * time.Millisecond
	config.CommitTimeout = 5 * time.Millisecond
	config.SnapshotInterval = 20 * time.Millisecond
	config.SnapshotThreshold = snapshotThreshold
	config.TrailingLogs = trailingLogs
	config.RestoreCommittedLogs = true
	config.Logger = hclog.NewNullLogger()
	return config
}

// start opens what is in the peer's folder and runs raft on it. It listens on a free port, which the others learn from the cluster.
func (p *peer) start(t *testing.T) {
	t.Helper()
	store, err := p.cluster.engine.open(p.folder)
	if err != nil {
		t.Fatalf("%s: opening the store: %v", p.id, err)
	}
	p.store = store
	snapshots, err := raft.NewFileSnapshotStore(filepath.Join(p.folder, "snapshots"), 2, io.Discard)
	if err != nil {
		t.Fatalf("%s: %v", p.id, err)
	}
	config := p.config()
	p.transport, err = raft.NewTCPTransportWithConfig("127.0.0.1:0", nil, &raft.NetworkTransportConfig{
		ServerAddressProvider: p.cluster,
		Logger:                config.Logger,
		MaxPool:               3,
		Timeout:               2 * time.Second,
	})
	if err != nil {
		t.Fatalf("%s: %v", p.id, err)
	}
	p.cluster.listens(p.id, p.transport.LocalAddr())
	p.fsm = new(listFSM)
	has, err := raft.HasExistingState(store, store, snapshots)
	if err != nil {
		t.Fatalf("%s: %v", p.id, err)
	}
	if !has {
		if err := raft.BootstrapCluster(config, store, store, snapshots, p.transport, p.cluster.servers()); err != nil {
			t.Fatalf("%s: %v", p.id, err)
		}
	}
	if p.raft, err = raft.NewRaft(config, p.fsm, store, store, snapshots, p.transport); err != nil {
		t.Fatalf("%s: %v", p.id, err)
	}
}

// stop cuts the peer off the network and ends it without a word to the others.
func (p *peer) stop(t *testing.T) {
	t.Helper()
	if p.raft == nil {
		return
	}
	p.halt(t)
	p.closeStore(t)
}

// crash is stop, except that the peer's disk is what it was before its store was closed.
func (p *peer) crash(t *testing.T) {
	t.Helper()
	p.halt(t)
	p.crashes++
	left := filepath.Join(t.TempDir(), fmt.Sprintf("%s-crashed-%d", p.id, p.crashes))
	if err := copyFolder(left, p.folder); err != nil {
		t.Fatalf("%s: copying what a crash leaves: %v", p.id, err)
	}
	p.closeStore(t)
	p.folder = left
}

func (p *peer) halt(t *testing.T) {
	t.Helper()
	if err := p.transport.Close(); err != nil {
		t.Errorf("%s: closing the transport: %v", p.id, err)
	}
	if err := p.raft.Shutdown().Error(); err != nil {
		t.Errorf("%s: Shutdown: %v", p.id, err)
	}
	p.raft = nil
}

func (p *peer) closeStore(t *testing.T) {
	t.Helper()
	if err := p.store.Close(); err != nil {
		t.Errorf("%s: closing the store: %v", p.id, err)
	}
	p.store = nil
}

// snapshot makes the peer take a snapshot now, unless it just has.
func (p *peer) snapshot(t *testing.T) {
	t.Helper()
	if err := p.raft.Snapshot().Error(); err != nil && err != raft.ErrNothingNewToSnapshot {
		t.Fatalf("%s: Snapshot: %v", p.id, err)
	}
}

// snapshotIndex returns up to where the peer's newest snapshot goes.
func (p *peer) snapshotIndex(t *testing.T) uint64 {
	t.Helper()
	index, err := strconv.ParseUint(p.raft.Stats()["last_snapshot_index"], 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", p.id, err)
	}
	return index
}
