package demo

import (
	"fmt"
	"io"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast"
)

// How raft is tuned: a dead leader is replaced within about a second, and snapshots and compaction
// happen many times within a run of some seconds.
const (
	heartbeatTimeout  = 400 * time.Millisecond
	heartbeatPerGroup = 10 * time.Millisecond // more, because the heartbeats of many groups keep the CPUs busy
	maxAppendEntries  = 128
	snapshotThreshold = 4096 // of one group, and about that of all together where there are more
	snapshotInterval  = 2 * time.Second
	trailingLogs      = 1024
	retainedSnapshots = 2
	leastOfGroup      = 64 // entries behind a snapshot, and between two
)

// replica is one raft group in a peer.
type replica struct {
	id        string // of the peer
	group     int
	events    *eventWriter
	machine   *machine
	raft      *raft.Raft
	transport *raft.NetworkTransport
	restored  atomic.Uint64 // the index of the snapshot that raft started from
	running   atomic.Bool   // what is restored from now on was sent by the leader
}

// start leaves nothing running when it fails but what the end of the process ends.
func (r *replica) start(cfg PeerConfig, store ballast.Store, stream raft.StreamLayer, logger hclog.Logger) error {
	dir := groupDir(cfg.Dir, r.group, cfg.Groups)
	snapshots, err := raft.NewFileSnapshotStoreWithLogger(dir, retainedSnapshots, logger)
	if err != nil {
		return fmt.Errorf("snapshots: %w", err)
	}
	r.transport = raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		ServerAddressProvider: addressBook(cfg.Addrs),
		MaxPool:               3,
		Timeout:               rpcTimeout,
		Logger:                logger,
		Stream:                stream,
	})
	counted := &compactions{Store: store, events: r.events}
	conf := raftConfig(r.id, cfg.Groups, logger)
	if err := bootstrap(conf, counted, snapshots, r.transport); err != nil {
		return fmt.Errorf("first start of raft: %w", err)
	}
	r.machine.onPersist = func(index uint64) { r.events.send(event{Kind: eventSnapshot, Snapshot: index}) }
	r.machine.onRestore = r.onRestore
	if r.raft, err = raft.NewRaft(conf, r.machine, counted, counted, snapshots, r.transport); err != nil {
		return fmt.Errorf("starting raft: %w", err)
	}
	r.running.Store(true)
	return nil
}

func (r *replica) onRestore(index uint64) {
	if r.running.Load() {
		r.events.send(event{Kind: eventInstalled, Snapshot: index})
		return
	}
	r.restored.Store(index)
}

func (r *replica) stop() error {
	if err := r.raft.Shutdown().Error(); err != nil {
		return fmt.Errorf("stopping raft: %w", err)
	}
	return r.transport.Close()
}

// groupDir is where a group keeps its snapshots: in a folder of its own, where there are several.
func groupDir(dir string, group, groups int) string {
	if groups == 1 {
		return dir
	}
	return filepath.Join(dir, fmt.Sprintf("group-%d", group))
}

func raftConfig(id string, groups int, logger hclog.Logger) *raft.Config {
	c := raft.DefaultConfig()
	c.LocalID = raft.ServerID(id)
	c.Logger = logger
	c.HeartbeatTimeout = heartbeatTimeout + time.Duration(groups-1)*heartbeatPerGroup
	c.ElectionTimeout = c.HeartbeatTimeout
	c.LeaderLeaseTimeout = c.HeartbeatTimeout * 3 / 4
	c.MaxAppendEntries = maxAppendEntries
	c.BatchApplyCh = true
	c.SnapshotThreshold = uint64(max(snapshotThreshold/groups, leastOfGroup))
	c.SnapshotInterval = snapshotInterval
	c.TrailingLogs = uint64(max(trailingLogs/groups, leastOfGroup))
	return c
}

// addressBook lets raft's own configuration name peers by id, so that a later run of the same folder
// may use other ports.
type addressBook map[string]string

// ServerAddr implements raft.ServerAddressProvider.
func (a addressBook) ServerAddr(id raft.ServerID) (raft.ServerAddress, error) {
	addr, ok := a[string(id)]
	if !ok {
		return "", fmt.Errorf("no address of peer %q", id)
	}
	return raft.ServerAddress(addr), nil
}

// bootstrap gives a new group the configuration that all three peers start with.
func bootstrap(conf *raft.Config, store ballast.Store, snapshots raft.SnapshotStore, t raft.Transport) error {
	has, err := raft.HasExistingState(store, store, snapshots)
	if err != nil || has {
		return err
	}
	var all raft.Configuration
	for _, id := range PeerIDs {
		all.Servers = append(all.Servers, raft.Server{ID: raft.ServerID(id), Address: raft.ServerAddress(id)})
	}
	return raft.BootstrapCluster(conf, store, store, snapshots, t, all)
}

// compactions reports the deletions at the log's beginning.
type compactions struct {
	ballast.Store
	events *eventWriter
}

// DeleteRange implements raft.LogStore.
func (c *compactions) DeleteRange(low, high uint64) error {
	first, err := c.FirstIndex()
	if err != nil {
		return err
	}
	if err := c.Store.DeleteRange(low, high); err != nil {
		return err
	}
	if first != 0 && low <= first && first <= high {
		c.events.send(event{Kind: eventCompacted, Entries: high - first + 1})
	}
	return nil
}

// logName names a group in raft's own log.
func (r *replica) logName(groups int) string {
	if groups == 1 {
		return r.id
	}
	return fmt.Sprintf("%s/group-%d", r.id, r.group)
}

// logger writes to a peer's log.
func (r *replica) logger(cfg PeerConfig, w io.Writer) hclog.Logger {
	return hclog.New(&hclog.LoggerOptions{Name: r.logName(cfg.Groups), Output: w, Level: hclog.Info})
}
