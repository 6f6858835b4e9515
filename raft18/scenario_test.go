package raft18_test

import (
	"testing"

	"github.com/hashicorp/raft"
)

// A cluster on each durable engine loses its leader, leaves a follower behind, and starts again as a whole.
func TestCluster(t *testing.T) {
	for _, e := range []engine{own, bolt, badger, cached(own)} {
		t.Run(e.name, func(t *testing.T) { scenario(t, newCluster(t, e)) })
	}
}

func scenario(t *testing.T, c *cluster) {
	t.Log("three new peers take writes")
	for _, p := range c.peers {
		p.start(t)
	}
	c.write(t, 100)
	c.agree(t)
	c.snapshotAll(t)

	t.Log("the leader crashes in the middle of writes, and comes back from its disk")
	leader := c.leader(t)
	c.write(t, 80, func() { leader.crash(t) })
	leader.start(t)
	c.agree(t)

	t.Log("a follower is away until what it needs is compacted, and gets a snapshot")
	follower := c.follower(t)
	had := len(follower.fsm.all())
	_, last := bounds(t, follower)
	follower.stop(t)
	for compacted := false; !compacted; {
		c.write(t, 2*snapshotThreshold)
		compacted = true
		for _, p := range c.running() {
			first, _ := bounds(t, p)
			compacted = compacted && first > last+1
		}
	}
	follower.start(t)
	c.agree(t)
	if restored := follower.fsm.longestRestored(); restored <= had {
		t.Fatalf("%s had applied %d commands when it stopped, and got a snapshot with no more than %d", follower.id, had, restored)
	}
	c.write(t, 20)
	c.agree(t)

	t.Log("all peers crash; each finds what was committed by itself, before there is a leader")
	c.snapshotAll(t)
	c.write(t, snapshotThreshold/3)
	if inAll := c.agree(t); inAll < snapshotThreshold/3 {
		t.Fatalf("only %d entries are in all logs; not much was compared", inAll)
	}
	for _, p := range c.peers {
		p.crash(t)
	}
	for _, p := range c.peers {
		c.restoresCommitted(t, p)
	}

	t.Log("all peers start again, and go on")
	for _, p := range c.peers {
		p.start(t)
	}
	c.agree(t)
	c.write(t, 50)
	c.agree(t)
}

// follower returns a peer that does not lead.
func (c *cluster) follower(t *testing.T) *peer {
	t.Helper()
	leader := c.leader(t)
	for _, p := range c.running() {
		if p != leader {
			return p
		}
	}
	t.Fatal("there is no follower")
	return nil
}

// snapshotAll makes each peer take a snapshot. A peer that is to start with RestoreCommittedLogs needs one that holds the
// cluster's configuration: raft v1.8.0 does not look at configuration entries of the log at or below the commit index that it
// finds in the store, and would know no peers.
func (c *cluster) snapshotAll(t *testing.T) {
	t.Helper()
	for _, p := range c.running() {
		p.snapshot(t)
	}
}

// restoresCommitted starts one peer alone, which can elect nobody, and expects that it applies all that its store says is
// committed, beyond its snapshot. It stops the peer again.
func (c *cluster) restoresCommitted(t *testing.T, p *peer) {
	t.Helper()
	p.start(t)
	defer p.stop(t)
	commit, err := p.store.GetCommitIndex()
	if err != nil {
		t.Fatalf("%s: GetCommitIndex: %v", p.id, err)
	}
	// NewRaft has read it before it returned; only the state machine may need a moment more.
	if got := p.raft.CommitIndex(); got != commit {
		t.Errorf("%s: raft starts with the commit index %d; the store has %d", p.id, got, commit)
	}
	snapshot := p.snapshotIndex(t)
	if commit <= snapshot+1 {
		t.Fatalf("%s: the commit index is %d, and the snapshot goes up to %d; nothing would be shown", p.id, commit, snapshot)
	}
	want := p.fsm.longestRestored() + c.commandsBetween(t, p, snapshot+1, commit)
	wait(t, "the commands up to the stored commit index are applied", func() bool { return len(p.fsm.all()) >= want })
	if got := len(p.fsm.all()); got != want {
		t.Errorf("%s alone has applied %d commands; want %d", p.id, got, want)
	}
	if _, id := p.raft.LeaderWithID(); id != "" {
		t.Errorf("%s alone knows the leader %s", p.id, id)
	}
}

// commandsBetween counts the commands in a peer's log.
func (c *cluster) commandsBetween(t *testing.T, p *peer, first, last uint64) (n int) {
	t.Helper()
	for index := first; index <= last; index++ {
		var l raft.Log
		if err := p.store.GetLog(index, &l); err != nil {
			t.Fatalf("%s: GetLog(%d): %v", p.id, index, err)
		}
		if l.Type == raft.LogCommand {
			n++
		}
	}
	return n
}
