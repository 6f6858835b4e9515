package raft18_test

import (
	"bytes"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// patience is when a condition is given up that nothing has to wait for long. It is no measurement.
const patience = 60 * time.Second

// cluster is three peers.
type cluster struct {
	engine engine
	peers  []*peer

	mu           sync.Mutex
	addresses    map[raft.ServerID]raft.ServerAddress
	acknowledged []string
	next         int // number of the next command
}

func newCluster(t *testing.T, e engine) *cluster {
	c := &cluster{engine: e, addresses: map[raft.ServerID]raft.ServerAddress{}}
	for _, id := range []raft.ServerID{"a", "b", "c"} {
		c.peers = append(c.peers, &peer{cluster: c, id: id, folder: t.TempDir()})
	}
	t.Cleanup(func() {
		for _, p := range c.peers {
			p.stop(t)
		}
	})
	return c
}

// servers is the configuration that each peer is bootstrapped with. The addresses in it are never dialled.
func (c *cluster) servers() (config raft.Configuration) {
	for _, p := range c.peers {
		config.Servers = append(config.Servers, raft.Server{ID: p.id, Address: raft.ServerAddress(p.id)})
	}
	return config
}

// listens notes where a peer listens now.
func (c *cluster) listens(id raft.ServerID, at raft.ServerAddress) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.addresses[id] = at
}

// ServerAddr tells the transports where a peer listens: on another port each time that it starts.
func (c *cluster) ServerAddr(id raft.ServerID) (raft.ServerAddress, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	at, ok := c.addresses[id]
	if !ok {
		return "", fmt.Errorf("%s has never listened", id)
	}
	return at, nil
}

// running returns the peers that run.
func (c *cluster) running() (peers []*peer) {
	for _, p := range c.peers {
		if p.raft != nil {
			peers = append(peers, p)
		}
	}
	return peers
}

// wait waits for a condition.
func wait(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for limit := time.After(patience); !holds(); {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("waited %v for this: %s", patience, what)
		case <-t.Context().Done():
			t.Fatalf("the test ended before this: %s", what)
		}
	}
}

// leader waits for a leader among the peers that run.
func (c *cluster) leader(t *testing.T) (leader *peer) {
	t.Helper()
	wait(t, "there is a leader", func() bool {
		for _, p := range c.running() {
			if p.raft.State() == raft.Leader {
				leader = p
				return true
			}
		}
		return false
	})
	return leader
}

// write makes writers, which hand new commands to whoever leads among the peers that run now, until n of them are acknowledged.
// The peers may be stopped meanwhile, by the during functions. Each command is tried once: a command whose fate is unknown
// may be applied or not.
func (c *cluster) write(t *testing.T, n int, during ...func()) {
	t.Helper()
	var handles []*raft.Raft // a peer that is stopped loses its handle, and the handle stays valid
	for _, p := range c.running() {
		handles = append(handles, p.raft)
	}
	c.mu.Lock()
	goal := len(c.acknowledged) + n
	c.mu.Unlock()
	limit := time.Now().Add(patience)
	var writers sync.WaitGroup
	for range 4 {
		writers.Go(func() {
			for c.writeOne(handles, goal) {
				if time.Now().After(limit) {
					t.Errorf("%d writes were not acknowledged within %v", n, patience)
					return
				}
			}
		})
	}
	for _, f := range during {
		f()
	}
	writers.Wait()
	if t.Failed() {
		t.FailNow()
	}
}

// writeOne writes a command, and reports whether more have to be acknowledged.
func (c *cluster) writeOne(handles []*raft.Raft, goal int) bool {
	c.mu.Lock()
	if len(c.acknowledged) >= goal {
		c.mu.Unlock()
		return false
	}
	command := fmt.Sprintf("command %d", c.next)
	c.next++
	c.mu.Unlock()
	for _, r := range handles {
		if r.State() != raft.Leader {
			continue
		}
		if r.Apply([]byte(command), time.Second).Error() == nil {
			c.mu.Lock()
			c.acknowledged = append(c.acknowledged, command)
			c.mu.Unlock()
		}
		return true
	}
	time.Sleep(time.Millisecond) // between two leaders
	return true
}

// agree waits until all peers have applied what the leader has, and expects that each has applied the same, every
// acknowledged command exactly once, and that their logs agree. It returns how many entries are in all logs.
func (c *cluster) agree(t *testing.T) (inAll int) {
	t.Helper()
	var applied []string
	var last uint64
	wait(t, "the leader has applied its log", func() bool {
		leader := c.leader(t)
		if leader.raft.Barrier(patience).Error() != nil {
			return false // it has lost its lead
		}
		last, applied = leader.raft.LastIndex(), leader.fsm.all()
		return true
	})
	wait(t, "all peers have applied what the leader has", func() bool {
		return !slices.ContainsFunc(c.running(), func(p *peer) bool {
			return p.raft.AppliedIndex() < last || len(p.fsm.all()) < len(applied)
		})
	})
	for _, p := range c.running() {
		if got := p.fsm.all(); !slices.Equal(got, applied) {
			t.Fatalf("%s has applied %d commands, others than the leader, with %d", p.id, len(got), len(applied))
		}
	}
	times := map[string]int{}
	for _, command := range applied {
		times[command]++
	}
	for _, command := range c.acknowledged {
		if times[command] != 1 {
			t.Fatalf("%q was acknowledged and is applied %d times", command, times[command])
		}
	}
	return c.sameLogs(t)
}

// sameLogs compares the logs of all peers that run, which nobody writes to now, and returns how many entries are in all of
// them. Only what is behind a peer's snapshot has to be there: before it, a peer that was sent a snapshot keeps what it had.
func (c *cluster) sameLogs(t *testing.T) (inAll int) {
	t.Helper()
	peers := c.running()
	held := map[uint64]int{} // how many peers have an entry
	entries := map[uint64]raft.Log{}
	for _, p := range peers {
		_, last := bounds(t, p)
		for index := p.snapshotIndex(t) + 1; index <= last; index++ {
			var got raft.Log
			err := p.store.GetLog(index, &got)
			if err == raft.ErrLogNotFound && index <= p.snapshotIndex(t) {
				continue // compacted meanwhile
			}
			if err != nil {
				t.Fatalf("%s: GetLog(%d): %v", p.id, index, err)
			}
			want, ok := entries[index]
			if !ok {
				want, entries[index] = got, got
			}
			if got.Index != index || got.Term != want.Term || got.Type != want.Type || !bytes.Equal(got.Data, want.Data) {
				t.Fatalf("entry %d of %s differs from that of another peer:\n%+v\n%+v", index, p.id, got, want)
			}
			if held[index]++; held[index] == len(peers) {
				inAll++
			}
		}
	}
	return inAll
}

func bounds(t *testing.T, p *peer) (first, last uint64) {
	t.Helper()
	first, err := p.store.FirstIndex()
	if err != nil {
		t.Fatalf("%s: FirstIndex: %v", p.id, err)
	}
	if last, err = p.store.LastIndex(); err != nil {
		t.Fatalf("%s: LastIndex: %v", p.id, err)
	}
	return first, last
}
