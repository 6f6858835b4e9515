package wal

import (
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/vfs"
	"github.com/raft-ballast/ballast/stepdown"
)

// raftPeer is a peer with a disk on which writes can be made to hang.
type raftPeer struct {
	id        raft.ServerID
	transport *stepdown.Transport
	store     *landing
	raft      *raft.Raft
	fsm       raft.MockFSM
	stalls    chan ballast.Stall
	disk      *vfs.Faults
}

// landing notes what was durable and readable when StoreLogs returned.
type landing struct {
	*Store
	late atomic.Bool
}

const (
	lateCommand = "stored while the disk hung"
	stallAfter  = 250 * time.Millisecond // which a disk in memory does not take by itself
)

func (s *landing) StoreLogs(logs []*raft.Log) error {
	if err := s.Store.StoreLogs(logs); err != nil {
		return err
	}
	for _, l := range logs {
		var got raft.Log
		if string(l.Data) == lateCommand && s.Store.GetLog(l.Index, &got) == nil && string(got.Data) == lateCommand {
			s.late.Store(true)
		}
	}
	return nil
}

func newRaftPeer(t *testing.T, id raft.ServerID) *raftPeer {
	t.Helper()
	tcp, err := raft.NewTCPTransport("127.0.0.1:0", nil, 3, time.Minute, io.Discard)
	must(t, err)
	p := &raftPeer{id: id, transport: stepdown.New(tcp), stalls: make(chan ballast.Stall, 10), disk: vfs.NewFaults(vfs.NewMem())}
	store, err := Open(dataDir, &Options{SegmentBytes: minSegmentBytes, fs: p.disk, StallAfter: stallAfter,
		OnStall: func(s ballast.Stall) {
			p.transport.OnStall(s)
			p.stalls <- s
		}})
	must(t, err)
	p.store = &landing{Store: store}
	return p
}

func (p *raftPeer) start(t *testing.T, servers []raft.Server) {
	t.Helper()
	config := raft.DefaultConfig()
	config.LocalID, config.LogOutput = p.id, io.Discard
	config.HeartbeatTimeout, config.ElectionTimeout = 200*time.Millisecond, 200*time.Millisecond
	config.LeaderLeaseTimeout, config.CommitTimeout = 100*time.Millisecond, 5*time.Millisecond
	snapshots := raft.NewInmemSnapshotStore()
	must(t, raft.BootstrapCluster(config, p.store, p.store, snapshots, p.transport, raft.Configuration{Servers: servers}))
	r, err := raft.NewRaft(config, &p.fsm, p.store, p.store, snapshots, p.transport)
	must(t, err)
	p.raft = r
	t.Cleanup(func() {
		if err := r.Shutdown().Error(); err != nil {
			t.Error(err)
		}
		if err := p.store.Close(); err != nil {
			t.Error(err)
		}
	})
}

// eventually waits for a condition that needs no longer than it takes.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for limit := time.Now().Add(time.Minute); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatalf("this does not happen: %s", what)
		}
	}
}

// apply writes a command through whoever leads of some peers.
func apply(t *testing.T, peers []*raftPeer, command string) (leader *raftPeer) {
	t.Helper()
	eventually(t, command+" is committed", func() bool {
		for _, p := range peers {
			if p.raft.State() == raft.Leader && p.raft.Apply([]byte(command), time.Second).Error() == nil {
				leader = p
				return true
			}
		}
		return false
	})
	return leader
}

// A leader whose disk hangs loses its lead, and writes go on; when the disk is back, what it stored last is in its log until raft
// decides, and it follows.
func TestLeaderStepsDownInAStall(t *testing.T) {
	var peers []*raftPeer
	var servers []raft.Server
	for i := range 3 {
		p := newRaftPeer(t, raft.ServerID(fmt.Sprint("peer-", i)))
		peers = append(peers, p)
		servers = append(servers, raft.Server{ID: p.id, Address: p.transport.LocalAddr()})
	}
	hang := make(chan struct{})
	release := sync.OnceFunc(func() { close(hang) })
	for _, p := range peers {
		p.start(t, servers)
	}
	old := apply(t, peers, "first")
	t.Cleanup(release) // or nothing ends
	old.disk.SetRule(func(op vfs.Op, _ string, _ int) error {
		if op == vfs.OpWrite {
			<-hang
		}
		return nil
	})
	late := old.raft.Apply([]byte(lateCommand), time.Minute)
	if s := <-old.stalls; s.Ended || s.For < stallAfter {
		t.Errorf("told %+v", s)
	}
	others := slices.DeleteFunc(slices.Clone(peers), func(p *raftPeer) bool { return p == old })
	leader := apply(t, others, "second")
	if st := old.store.Stats(); st.Stalled == 0 || old.raft.State() != raft.Leader || old.store.late.Load() {
		t.Errorf("the old leader's disk should hang still: stalled for %v", st.Stalled)
	}

	release()
	if s := <-old.stalls; !s.Ended || s.Err != nil {
		t.Errorf("told %+v", s)
	}
	if err := late.Error(); err != raft.ErrLeadershipLost {
		t.Errorf("the command of a leader that leads no more: %v", err)
	}
	if st := old.store.Stats(); !old.store.late.Load() || st.AppendFailures != 0 || st.Failed != nil {
		t.Errorf("the late write did not count: %+v", st)
	}
	eventually(t, "the old leader follows the new one", func() bool {
		_, id := old.raft.LeaderWithID()
		return id != "" && id != old.id
	})
	apply(t, peers, "third")
	for _, p := range peers {
		eventually(t, string(p.id)+" has applied the same", func() bool { return len(p.fsm.Logs()) == 3 })
		for i, want := range []string{"first", "second", "third"} {
			if got := string(p.fsm.Logs()[i]); got != want {
				t.Errorf("%s has applied %q as command %d, want %q", p.id, got, i, want)
			}
		}
	}
	t.Logf("%s led, then %s", old.id, leader.id)
}
