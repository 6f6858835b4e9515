package cluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/procs"
)

// How raft is tuned: a leader that is gone is replaced within a second, and a run of some seconds sees many snapshots, whose
// deletions leave few entries to those who come back.
const (
	heartbeatTimeout  = 300 * time.Millisecond
	leaderLease       = 200 * time.Millisecond
	maxAppendEntries  = 64
	snapshotThreshold = 200
	snapshotInterval  = 200 * time.Millisecond
	trailingLogs      = 100
	retainedSnapshots = 2
	rpcTimeout        = time.Second
	enqueueTimeout    = time.Second

	// Without this raft v1.7.3 pipelines, and a follower that refuses entries, for want of space or because it knows a newer term, may
	// never get any again from that leader: the goroutine that sends waits for the one that reads the answers, and that one has ended.
	// The leader's heartbeats go on, so nobody replaces it, and its Shutdown waits for ever.
	inFlight = 1
)

// peerConfig is what the process of a peer needs.
type peerConfig struct {
	ID     string
	Engine string
	Dir    string            // of the store and the snapshots
	Log    string            // the file of raft's own log
	Others map[string]string // where this peer reaches the other ones, by id
}

// event is what a peer tells without being asked: a line of JSON on its standard output.
type event struct {
	Kind    eventKind
	Raft    string // ready: where the other peers reach it
	Clients string // ready: where clients do
	Entries uint64 // compacted
	Text    string // fault
}

type eventKind string

const (
	ready     eventKind = "ready"
	snapshots eventKind = "snapshot"  // was taken
	installed eventKind = "installed" // a snapshot of the leader
	compacted eventKind = "compacted" // the log
	noSpace   eventKind = "no space"  // for an append
	fault     eventKind = "fault"     // of the store, for any other reason or in any other call
)

// servePeer runs a peer until it is told to stop. The end of its standard input ends the process at once, so that no peer outlives the
// test, however that ends.
func servePeer(cfg peerConfig) (err error) {
	stop := make(chan struct{})
	go func() {
		if procs.Wait(os.Stdin) != nil {
			os.Exit(1)
		}
		close(stop)
	}()
	store, err := engines[cfg.Engine](cfg.Dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	logFile, err := os.OpenFile(cfg.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer logFile.Close()
	p := &peer{machine: newMachine(), enc: json.NewEncoder(os.Stdout)}
	if err := p.start(cfg, store, logFile); err != nil {
		return err
	}
	<-stop
	_ = p.clients.Close()
	if err := p.raft.Shutdown().Error(); err != nil {
		return err
	}
	return p.transport.Close()
}

type peer struct {
	machine   *machine
	store     ballast.Store
	raft      *raft.Raft
	transport *raft.NetworkTransport
	clients   net.Listener

	mu  sync.Mutex
	enc *json.Encoder
}

func (p *peer) tell(e event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = p.enc.Encode(e) // when nobody reads any more the process ends anyway
}

// start leaves nothing running when it fails but what the end of the process ends.
func (p *peer) start(cfg peerConfig, store ballast.Store, logFile io.Writer) error {
	logger := hclog.New(&hclog.LoggerOptions{Name: cfg.ID, Output: logFile, Level: hclog.Info})
	files, err := raft.NewFileSnapshotStoreWithLogger(cfg.Dir, retainedSnapshots, logger)
	if err != nil {
		return fmt.Errorf("snapshots: %w", err)
	}
	p.transport, err = raft.NewTCPTransportWithConfig("127.0.0.1:0", nil, &raft.NetworkTransportConfig{
		ServerAddressProvider: addressBook{cfg.ID, cfg.Others},
		MaxPool:               3,
		MaxRPCsInFlight:       inFlight,
		Timeout:               rpcTimeout,
		Logger:                logger,
	})
	if err != nil {
		return err
	}
	conf := raftConfig(cfg.ID, logger)
	p.store = &observed{store, p}
	if err := bootstrap(conf, p.store, files, p.transport); err != nil {
		return fmt.Errorf("first start of raft: %w", err)
	}
	if p.raft, err = raft.NewRaft(conf, p.machine, p.store, p.store, files, p.transport); err != nil {
		return fmt.Errorf("starting raft: %w", err)
	}
	// What was restored before was the peer's own.
	p.machine.mu.Lock()
	p.machine.onPersist = func() { p.tell(event{Kind: snapshots}) }
	p.machine.onRestore = func() { p.tell(event{Kind: installed}) }
	p.machine.mu.Unlock()
	if p.clients, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return err
	}
	go p.serve()
	p.tell(event{Kind: ready, Raft: string(p.transport.LocalAddr()), Clients: p.clients.Addr().String()})
	return nil
}

func raftConfig(id string, logger hclog.Logger) *raft.Config {
	c := raft.DefaultConfig()
	c.LocalID = raft.ServerID(id)
	c.Logger = logger
	c.HeartbeatTimeout = heartbeatTimeout
	c.ElectionTimeout = heartbeatTimeout
	c.LeaderLeaseTimeout = leaderLease
	c.MaxAppendEntries = maxAppendEntries
	c.SnapshotThreshold = snapshotThreshold
	c.SnapshotInterval = snapshotInterval
	c.TrailingLogs = trailingLogs
	return c
}

// addressBook gives a peer the proxies to the other ones. Its own address is its name: raft stores that with a vote, and a port
// may be another peer's later.
type addressBook struct {
	self   string
	others map[string]string
}

// ServerAddr implements raft.ServerAddressProvider.
func (a addressBook) ServerAddr(id raft.ServerID) (raft.ServerAddress, error) {
	if string(id) == a.self {
		return raft.ServerAddress(id), nil
	}
	addr, ok := a.others[string(id)]
	if !ok {
		return "", fmt.Errorf("no address of peer %q", id)
	}
	return raft.ServerAddress(addr), nil
}

// bootstrap gives a new peer the configuration that all three start with.
func bootstrap(conf *raft.Config, store ballast.Store, files raft.SnapshotStore, t raft.Transport) error {
	has, err := raft.HasExistingState(store, store, files)
	if err != nil || has {
		return err
	}
	var all raft.Configuration
	for _, id := range peerIDs {
		all.Servers = append(all.Servers, raft.Server{ID: raft.ServerID(id), Address: raft.ServerAddress(id)})
	}
	return raft.BootstrapCluster(conf, store, store, files, t, all)
}

// observed tells what happens to the store.
type observed struct {
	ballast.Store
	peer *peer
}

// check tells of an error that no store may have here. A goroutine of raft may outlive its Shutdown, and finds the store closed.
func (o *observed) check(call string, err error) error {
	if err != nil && err != ballast.ErrClosed {
		o.peer.tell(event{Kind: fault, Text: fmt.Sprintf("%s: %v", call, err)})
	}
	return err
}

// StoreLog implements raft.LogStore.
func (o *observed) StoreLog(l *raft.Log) error { return o.StoreLogs([]*raft.Log{l}) }

// StoreLogs implements raft.LogStore. It is the one call that may find no space.
func (o *observed) StoreLogs(logs []*raft.Log) error {
	err := o.Store.StoreLogs(logs)
	if errors.Is(err, ballast.ErrNoSpace) {
		o.peer.tell(event{Kind: noSpace})
		return err
	}
	return o.check("StoreLogs", err)
}

// GetLog implements raft.LogStore. raft compares its error, so it stays as it is.
func (o *observed) GetLog(index uint64, l *raft.Log) error {
	err := o.Store.GetLog(index, l)
	if err != raft.ErrLogNotFound {
		_ = o.check(fmt.Sprintf("GetLog(%d)", index), err)
	}
	return err
}

// DeleteRange implements raft.LogStore.
func (o *observed) DeleteRange(low, high uint64) error {
	first, err := o.FirstIndex()
	if err != nil {
		return err
	}
	if err := o.check(fmt.Sprintf("DeleteRange(%d, %d)", low, high), o.Store.DeleteRange(low, high)); err != nil {
		return err
	}
	if first != 0 && low <= first && first <= high {
		o.peer.tell(event{Kind: compacted, Entries: high - first + 1})
	}
	return nil
}

// Set implements raft.StableStore.
func (o *observed) Set(key, value []byte) error {
	return o.check(fmt.Sprintf("Set(%s)", key), o.Store.Set(key, value))
}

// SetUint64 implements raft.StableStore.
func (o *observed) SetUint64(key []byte, value uint64) error {
	return o.check(fmt.Sprintf("SetUint64(%s)", key), o.Store.SetUint64(key, value))
}

// serve ends when the listener is closed.
func (p *peer) serve() {
	for {
		c, err := p.clients.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			dec, enc := json.NewDecoder(c), json.NewEncoder(c)
			for {
				var r request
				if dec.Decode(&r) != nil || enc.Encode(p.handle(r)) != nil {
					return
				}
			}
		}()
	}
}

func (p *peer) handle(r request) response {
	got := response{Outcome: success}
	var err error
	switch r.What {
	case apply:
		f := p.raft.Apply(r.Command.encode(), enqueueTimeout)
		if err = f.Error(); err == nil {
			got.Answer, got.Term, err = result(f.Response())
		}
	case barrier:
		err = p.raft.Barrier(enqueueTimeout).Error()
	}
	if err != nil {
		got.Outcome, got.Why = outcomeOf(err), err.Error()
	}
	_, leader := p.raft.LeaderWithID()
	got.Leader = string(leader)
	if r.What != apply && err == nil {
		if got.Status, err = p.status(r.What == compare); err != nil {
			got.Outcome, got.Why = unknown, err.Error()
		}
	}
	return got
}

func result(response any) (answer, uint64, error) {
	switch r := response.(type) {
	case applied:
		return r.answer, r.term, nil
	case error:
		return answer{}, 0, r
	}
	return answer{}, 0, fmt.Errorf("the machine answered %v", response)
}

// outcomeOf says which errors of Apply mean that the command never was in any log. A leader whose store has no space is among
// them: nothing was written, and nothing was sent.
func outcomeOf(err error) outcome {
	for _, certain := range []error{raft.ErrNotLeader, raft.ErrLeadershipTransferInProgress, raft.ErrEnqueueTimeout, ballast.ErrNoSpace} {
		if errors.Is(err, certain) {
			return failure
		}
	}
	return unknown
}

func (p *peer) status(whole bool) (status, error) {
	s := status{
		Leader:  p.raft.State() == raft.Leader,
		Term:    p.raft.CurrentTerm(),
		Applied: p.raft.AppliedIndex(),
	}
	var err error
	if s.First, err = p.store.FirstIndex(); err != nil {
		return s, err
	}
	if s.Last, err = p.store.LastIndex(); err != nil {
		return s, err
	}
	if whole {
		var damage error
		if s.Index, s.Digest, damage = p.machine.digest(); damage != nil {
			s.Damage = damage.Error()
		}
	}
	return s, nil
}

// logName is the file of raft's own log, in the folder of a run: no disk of a peer is filled with it.
func logName(folder, id string) string { return filepath.Join(folder, id+".log") }
