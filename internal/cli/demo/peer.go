package demo

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/procs"
)

// How raft is tuned: a dead leader is replaced within about a second, and snapshots and compaction
// happen many times within a run of some seconds.
const (
	heartbeatTimeout  = 400 * time.Millisecond
	leaderLease       = 300 * time.Millisecond
	maxAppendEntries  = 128
	snapshotThreshold = 4096
	snapshotInterval  = 2 * time.Second
	trailingLogs      = 1024
	retainedSnapshots = 2
	rpcTimeout        = 5 * time.Second
	enqueueTimeout    = 2 * time.Second
	bindTimeout       = 5 * time.Second
)

// PeerConfig is what one peer of a demo needs, which is one operating-system process.
type PeerConfig struct {
	ID    string
	Dir   string            // of this peer alone
	Addrs map[string]string // host:port for raft of every peer, this one among them, by id
	Open  func(dir string) (ballast.Store, error)

	Commands io.Reader // "stop" and a newline: end in good order; the end of it: the client is gone
	Events   io.Writer // one JSON object a line
	Orphaned func()    // ends the process at once
}

// An event is what a peer tells the client without being asked.
type event struct {
	Kind     eventKind `json:"kind"`
	Addr     string    `json:"addr,omitempty"`     // ready: where clients connect
	Snapshot uint64    `json:"snapshot,omitempty"` // ready, snapshot, installed: its last index
	Last     uint64    `json:"last,omitempty"`     // ready: of the log
	Entries  uint64    `json:"entries,omitempty"`  // compacted: how many
}

type eventKind string

const (
	eventReady     eventKind = "ready"
	eventSnapshot  eventKind = "snapshot"
	eventInstalled eventKind = "installed"
	eventCompacted eventKind = "compacted"
)

type eventWriter struct {
	mu  sync.Mutex
	enc *json.Encoder
}

// send drops the error: a client that is gone is noticed by reading commands.
func (w *eventWriter) send(e event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	_ = w.enc.Encode(e)
}

// ServePeer runs one peer until it is told to stop, and returns after its store is closed.
func ServePeer(cfg PeerConfig) (err error) {
	stop := make(chan struct{})
	go func() {
		if procs.Wait(cfg.Commands) != nil {
			cfg.Orphaned()
		}
		close(stop)
	}()
	events := &eventWriter{enc: json.NewEncoder(cfg.Events)}

	store, err := cfg.Open(cfg.Dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	logFile, err := os.OpenFile(filepath.Join(cfg.Dir, peerLogName), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer logFile.Close()

	p := &peer{id: cfg.ID, events: events, machine: newMachine()}
	if err := p.start(cfg, store, logFile); err != nil {
		return err
	}
	<-stop
	return p.stop()
}

type peer struct {
	id        string
	events    *eventWriter
	machine   *machine
	raft      *raft.Raft
	transport *raft.NetworkTransport
	listener  net.Listener
	restored  atomic.Uint64 // the index of the snapshot that raft started from
	running   atomic.Bool   // what is restored from now on was sent by the leader
}

// start leaves nothing running when it fails but what the end of the process ends.
func (p *peer) start(cfg PeerConfig, store ballast.Store, logFile io.Writer) error {
	logger := hclog.New(&hclog.LoggerOptions{Name: p.id, Output: logFile, Level: hclog.Info})
	snapshots, err := raft.NewFileSnapshotStoreWithLogger(cfg.Dir, retainedSnapshots, logger)
	if err != nil {
		return fmt.Errorf("snapshots: %w", err)
	}
	if p.transport, err = listenRaft(cfg, logger); err != nil {
		return err
	}
	counted := &compactions{Store: store, events: p.events}
	conf := raftConfig(p.id, logger)
	if err := bootstrap(conf, cfg, counted, snapshots, p.transport); err != nil {
		return fmt.Errorf("first start of raft: %w", err)
	}
	p.machine.onPersist = func(index uint64) { p.events.send(event{Kind: eventSnapshot, Snapshot: index}) }
	p.machine.onRestore = p.onRestore
	if p.raft, err = raft.NewRaft(conf, p.machine, counted, counted, snapshots, p.transport); err != nil {
		return fmt.Errorf("starting raft: %w", err)
	}
	p.running.Store(true)
	if p.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return fmt.Errorf("listening for clients: %w", err)
	}
	go p.serve()
	p.events.send(event{Kind: eventReady, Addr: p.listener.Addr().String(),
		Snapshot: p.restored.Load(), Last: p.raft.LastIndex()})
	return nil
}

func (p *peer) onRestore(index uint64) {
	if p.running.Load() {
		p.events.send(event{Kind: eventInstalled, Snapshot: index})
		return
	}
	p.restored.Store(index)
}

func (p *peer) stop() error {
	_ = p.listener.Close()
	if err := p.raft.Shutdown().Error(); err != nil {
		return fmt.Errorf("stopping raft: %w", err)
	}
	return p.transport.Close()
}

func raftConfig(id string, logger hclog.Logger) *raft.Config {
	c := raft.DefaultConfig()
	c.LocalID = raft.ServerID(id)
	c.Logger = logger
	c.HeartbeatTimeout = heartbeatTimeout
	c.ElectionTimeout = heartbeatTimeout
	c.LeaderLeaseTimeout = leaderLease
	c.MaxAppendEntries = maxAppendEntries
	c.BatchApplyCh = true
	c.SnapshotThreshold = snapshotThreshold
	c.SnapshotInterval = snapshotInterval
	c.TrailingLogs = trailingLogs
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

// listenRaft tries again for a moment: the port was this peer's before it was killed.
func listenRaft(cfg PeerConfig, logger hclog.Logger) (*raft.NetworkTransport, error) {
	conf := &raft.NetworkTransportConfig{
		ServerAddressProvider: addressBook(cfg.Addrs),
		MaxPool:               3,
		Timeout:               rpcTimeout,
		Logger:                logger,
	}
	for deadline := time.Now().Add(bindTimeout); ; time.Sleep(20 * time.Millisecond) {
		t, err := raft.NewTCPTransportWithConfig(cfg.Addrs[cfg.ID], nil, conf)
		if err == nil {
			return t, nil
		}
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("another process took its port: %w; start the demo again", err)
		}
	}
}

// bootstrap gives a new peer the configuration that all three start with.
func bootstrap(conf *raft.Config, cfg PeerConfig, store ballast.Store, snapshots raft.SnapshotStore, t raft.Transport) error {
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
