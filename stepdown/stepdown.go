// Package stepdown lets a raft leader whose disk hangs lose its lead.
//
// raft stores entries on its main loop. While a write to the disk stalls, that loop does nothing, also not what
// LeadershipTransfer or Shutdown ask of it; but the goroutines that send heartbeats go on. So the peer keeps its lead and
// commits nothing, for as long as the disk hangs. A [Transport] sends nothing that followers would take for a sign of life while the store stalls:
// they elect another leader, and writes go on. When the write lands, the peer notices that it leads no more, and follows.
//
//	tcp, err := raft.NewTCPTransport(addr, nil, 3, 10*time.Second, os.Stderr)
//	if err != nil {
//		return err
//	}
//	transport := stepdown.New(tcp)
//	store, err := wal.Open(dir, &wal.Options{StallAfter: 2 * time.Second, OnStall: transport.OnStall})
//	if err != nil {
//		return err
//	}
//	r, err := raft.NewRaft(config, fsm, store, store, snapshots, transport)
//
// The entry that was being stored is not lost: it is in the peer's log when the write lands. Whether it is committed is raft's to decide, and its Apply
// returns raft.ErrLeadershipLost, which says neither.
//
// StallAfter should be longer than the disk takes when it is merely busy, and it comes on top of raft's own HeartbeatTimeout and ElectionTimeout.
package stepdown

import (
	"errors"
	"io"
	"sync/atomic"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast"
)

// ErrStalled is what raft gets for a message to a follower while the store stalls.
var ErrStalled = errors.New("stepdown: nothing is sent to followers while this peer's disk stalls")

// Transport is raft's own, which is silent while the store stalls. Its methods may be called by any goroutine.
type Transport struct {
	*raft.NetworkTransport
	stalled atomic.Bool
}

var (
	_ raft.Transport   = (*Transport)(nil)
	_ raft.WithPreVote = (*Transport)(nil)
	_ raft.WithClose   = (*Transport)(nil)
)

// New returns a transport that sends and receives through t.
func New(t *raft.NetworkTransport) *Transport { return &Transport{NetworkTransport: t} }

// OnStall is for the option OnStall of an engine.
func (t *Transport) OnStall(s ballast.Stall) { t.stalled.Store(!s.Ended) }

func (t *Transport) silent() error {
	if t.stalled.Load() {
		return ErrStalled
	}
	return nil
}

// AppendEntries implements raft.Transport. Heartbeats are such calls too.
func (t *Transport) AppendEntries(id raft.ServerID, target raft.ServerAddress, args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	if err := t.silent(); err != nil {
		return err
	}
	return t.NetworkTransport.AppendEntries(id, target, args, resp)
}

// InstallSnapshot implements raft.Transport.
func (t *Transport) InstallSnapshot(id raft.ServerID, target raft.ServerAddress, args *raft.InstallSnapshotRequest, resp *raft.InstallSnapshotResponse, data io.Reader) error {
	if err := t.silent(); err != nil {
		return err
	}
	return t.NetworkTransport.InstallSnapshot(id, target, args, resp, data)
}

// AppendEntriesPipeline implements raft.Transport.
func (t *Transport) AppendEntriesPipeline(id raft.ServerID, target raft.ServerAddress) (raft.AppendPipeline, error) {
	if err := t.silent(); err != nil {
		return nil, err
	}
	p, err := t.NetworkTransport.AppendEntriesPipeline(id, target)
	if err != nil {
		return nil, err
	}
	return &pipeline{AppendPipeline: p, of: t}, nil
}

// pipeline is one that was opened before the stall. raft sends through it now and then also when there is nothing to say.
type pipeline struct {
	raft.AppendPipeline
	of *Transport
}

// AppendEntries implements raft.AppendPipeline.
func (p *pipeline) AppendEntries(args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) (raft.AppendFuture, error) {
	if err := p.of.silent(); err != nil {
		return nil, err
	}
	return p.AppendPipeline.AppendEntries(args, resp)
}
