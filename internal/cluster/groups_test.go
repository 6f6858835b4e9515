package cluster

import (
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast/wal"
)

const (
	manyGroups  = 64
	writesEach  = 25
	groupsLimit = time.Minute // for what nothing has to wait long for; no measurement
)

// TestManyGroups runs 64 raft groups of three peers on three logs, in one process: a peer is closed and comes back while all groups are written, one
// group is dropped and its id used again, and at the end everything that was acknowledged is read from the logs.
func TestManyGroups(t *testing.T) {
	t.Parallel()
	c := newShards(t)
	for _, h := range c.hosts {
		h.open(t)
	}
	for g := range manyGroups {
		c.startGroup(t, g)
	}
	c.write(t)
	c.hosts[0].close(t)
	c.write(t)
	c.hosts[0].open(t)
	for g := range manyGroups {
		c.hosts[0].start(t, g)
	}
	c.write(t)
	c.check(t)

	const dropped = 17
	for _, h := range c.hosts {
		h.stop(t, dropped)
		if err := h.log.Drop(dropped); err != nil {
			t.Fatal(err)
		}
	}
	c.acknowledged[dropped] = nil
	c.startGroup(t, dropped)
	c.write(t)
	c.check(t)
	if first := c.hosts[1].machines[dropped].all()[0]; first != c.acknowledged[dropped][0] {
		t.Errorf("the group that was dropped begins with %q, should with %q", first, c.acknowledged[dropped][0])
	}

	for _, h := range c.hosts {
		h.close(t)
	}
	for _, h := range c.hosts {
		h.open(t)
		if n := len(h.log.IDs()); n != manyGroups {
			t.Errorf("the log of %s has %d groups", h.id, n)
		}
		for g := range manyGroups {
			h.start(t, g)
		}
	}
	c.check(t)
}

// shards are many raft groups on few logs.
type shards struct {
	hosts        []*host
	acknowledged [manyGroups][]string
}

// host is one peer of every group.
type host struct {
	all *shards
	id  raft.ServerID
	dir string

	log       *wal.Groups // nil while it is closed
	rafts     [manyGroups]*raft.Raft
	lines     [manyGroups]*raft.InmemTransport
	machines  [manyGroups]*list
	snapshots [manyGroups]raft.SnapshotStore
}

func newShards(t *testing.T) *shards {
	c := new(shards)
	for _, id := range []raft.ServerID{"a", "b", "c"} {
		h := &host{all: c, id: id, dir: filepath.Join(t.TempDir(), "wal")}
		for g := range manyGroups {
			h.snapshots[g] = raft.NewInmemSnapshotStore()
		}
		c.hosts = append(c.hosts, h)
	}
	t.Cleanup(func() {
		for _, h := range c.hosts {
			h.close(t)
		}
	})
	return c
}

func (h *host) open(t *testing.T) {
	t.Helper()
	var err error
	if h.log, err = wal.OpenGroups(h.dir, &wal.Options{SegmentBytes: 1 << 20}); err != nil {
		t.Fatal(err)
	}
}

func (h *host) close(t *testing.T) {
	t.Helper()
	if h.log == nil {
		return
	}
	var all sync.WaitGroup
	for g := range manyGroups {
		all.Go(func() { h.stop(t, g) })
	}
	all.Wait()
	if err := h.log.Close(); err != nil {
		t.Error(err)
	}
	h.log = nil
}

func (h *host) stop(t *testing.T, g int) {
	if h.rafts[g] == nil {
		return
	}
	if err := h.rafts[g].Shutdown().Error(); err != nil {
		t.Error(err)
	}
	h.rafts[g] = nil
}

// startGroup starts a group on every host.
func (c *shards) startGroup(t *testing.T, g int) {
	t.Helper()
	for _, h := range c.hosts {
		h.start(t, g)
	}
}

// start runs one group, which is bootstrapped when it has nothing.
func (h *host) start(t *testing.T, g int) {
	t.Helper()
	store, err := h.log.Store(uint64(g))
	if err != nil {
		t.Fatal(err)
	}
	h.connect(g)
	h.machines[g] = new(list)
	config := raft.DefaultConfig()
	config.LocalID = h.id
	config.Logger = hclog.NewNullLogger()
	config.HeartbeatTimeout, config.ElectionTimeout, config.LeaderLeaseTimeout = time.Second, time.Second, 500*time.Millisecond
	has, err := raft.HasExistingState(store, store, h.snapshots[g])
	if err == nil && !has {
		var servers raft.Configuration
		for _, other := range h.all.hosts {
			servers.Servers = append(servers.Servers, raft.Server{ID: other.id, Address: raft.ServerAddress(other.id)})
		}
		err = raft.BootstrapCluster(config, store, store, h.snapshots[g], h.lines[g], servers)
	}
	if err == nil {
		h.rafts[g], err = raft.NewRaft(config, h.machines[g], store, store, h.snapshots[g], h.lines[g])
	}
	if err != nil {
		t.Fatalf("group %d of %s: %v", g, h.id, err)
	}
}

// connect gives a host a new line to the others of a group.
func (h *host) connect(g int) {
	_, h.lines[g] = raft.NewInmemTransport(raft.ServerAddress(h.id))
	for _, other := range h.all.hosts {
		if other != h && other.lines[g] != nil {
			h.lines[g].Connect(raft.ServerAddress(other.id), other.lines[g])
			other.lines[g].Connect(raft.ServerAddress(h.id), h.lines[g])
		}
	}
}

// write writes to all groups at once.
func (c *shards) write(t *testing.T) {
	t.Helper()
	var writers sync.WaitGroup
	for g := range manyGroups {
		writers.Go(func() {
			for n := range writesEach {
				command := fmt.Sprintf("group %d, command %d, after %d", g, n, len(c.acknowledged[g]))
				if !c.writeOne(g, command) {
					t.Errorf("group %d did not take a write within %v", g, groupsLimit)
					return
				}
				c.acknowledged[g] = append(c.acknowledged[g], command)
			}
		})
	}
	writers.Wait()
	if t.Failed() {
		t.FailNow()
	}
}

// writeOne tries until somebody leads the group and has the command. Twice is as good as once.
func (c *shards) writeOne(g int, command string) bool {
	for end := time.Now().Add(groupsLimit); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		for _, h := range c.hosts {
			r := h.rafts[g]
			if r != nil && r.State() == raft.Leader && r.Apply([]byte(command), groupsLimit).Error() == nil {
				return true
			}
		}
	}
	return false
}

// check waits until every host has applied all that was acknowledged in each group, and the same.
func (c *shards) check(t *testing.T) {
	t.Helper()
	end := time.Now().Add(groupsLimit)
	for g := range manyGroups {
		for !c.same(g) {
			if time.Now().After(end) {
				t.Fatalf("in group %d the peers have not all that was acknowledged, or not the same", g)
			}
			time.Sleep(5 * time.Millisecond)
		}
	}
}

func (c *shards) same(g int) bool {
	first := c.hosts[0].machines[g].all()
	for _, h := range c.hosts[1:] {
		if !slices.Equal(first, h.machines[g].all()) {
			return false
		}
	}
	next := 0 // of those that were acknowledged, which come in their order
	for _, command := range first {
		if next < len(c.acknowledged[g]) && command == c.acknowledged[g][next] {
			next++
		}
	}
	return next == len(c.acknowledged[g])
}

// list is a state machine that keeps the commands.
type list struct {
	mu       sync.Mutex
	commands []string
}

func (l *list) all() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.commands)
}

// Apply implements raft.FSM.
func (l *list) Apply(entry *raft.Log) any {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.commands = append(l.commands, string(entry.Data))
	return nil
}

// Snapshot implements raft.FSM. The logs are short, and none is taken.
func (l *list) Snapshot() (raft.FSMSnapshot, error) { return nil, fmt.Errorf("no snapshots") }

// Restore implements raft.FSM.
func (l *list) Restore(io.ReadCloser) error { return fmt.Errorf("no snapshots") }
