package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

const (
	clusterPeers   = 3
	clusterWriters = 64
	clusterSize    = 256 // bytes of a write
)

// clusterWrites measures how many writes a second a cluster on loopback acknowledges, all three peers in this process, each with a
// store in a folder of its own. Each turn has a new cluster, so that no turn pays for what an earlier one has in memory.
func clusterWrites(names ...string) func(e *env) (values, error) {
	return func(e *env) (values, error) {
		stores := e.each(names...)
		v := values{}
		for _, i := range e.rng.Perm(len(stores)) {
			k := stores[i]
			rate, err := clusterTurn(e, k)
			if err != nil {
				return nil, named(k, err)
			}
			v[k.name] = rate
		}
		return v, nil
	}
}

func clusterTurn(e *env, k kind) (rate float64, err error) {
	runtime.GC() // of the turn before
	// Peers are processes of their own elsewhere. In one process a write that waits for the disk keeps one of GOMAXPROCS until the
	// runtime notices, so without this the stores that wait least would be measured as waiting for each other.
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(clusterPeers * runtime.NumCPU()))
	c := &cluster{}
	defer func() { err = errors.Join(err, c.close()) }()
	for i := range clusterPeers {
		dir, err := e.folder(fmt.Sprintf("%s-%d", k.name, i))
		if err != nil {
			return 0, err
		}
		if err := c.add(e, k, dir); err != nil {
			return 0, err
		}
	}
	leader, err := c.elect()
	if err != nil {
		return 0, err
	}
	return writeAll(e, leader)
}

// writeAll lets all writers write, and counts what is acknowledged once they are under way.
func writeAll(e *env, leader *raft.Raft) (float64, error) {
	data := noise(0, clusterSize)
	ctx, stop := context.WithCancelCause(context.Background())
	defer stop(nil)
	var acknowledged atomic.Int64
	var writers sync.WaitGroup
	for range clusterWriters {
		writers.Go(func() {
			for ctx.Err() == nil {
				if err := leader.Apply(data, 0).Error(); err != nil {
					stop(err)
				}
				acknowledged.Add(1)
			}
		})
	}
	wait(ctx, e.span(time.Second, 20*time.Millisecond))
	before, start := acknowledged.Load(), time.Now()
	wait(ctx, e.span(4*time.Second, 50*time.Millisecond))
	count, took := acknowledged.Load()-before, time.Since(start)
	failed := ctx.Err() != nil
	stop(nil)
	writers.Wait()
	if failed {
		return 0, fmt.Errorf("write to the leader: %w", context.Cause(ctx))
	}
	return float64(count) / took.Seconds(), nil
}

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// cluster is a number of peers, and what has to be closed with them.
type cluster struct {
	peers      []*raft.Raft
	transports []*raft.NetworkTransport
	stores     []store
	servers    []raft.Server
}

// add starts a peer that knows nothing of others yet.
func (c *cluster) add(e *env, k kind, dir string) error {
	s, err := k.open(dir, options{})
	if err != nil {
		return err
	}
	c.stores = append(c.stores, s)
	t, err := raft.NewTCPTransport("127.0.0.1:0", nil, clusterPeers, 10*time.Second, io.Discard)
	if err != nil {
		return err
	}
	c.transports = append(c.transports, t)
	config := raft.DefaultConfig()
	config.LocalID = raft.ServerID(dir)
	config.Logger = hclog.NewNullLogger()
	config.SnapshotThreshold = 1 << 40 // never
	config.HeartbeatTimeout = e.span(config.HeartbeatTimeout, 500*time.Millisecond)
	config.ElectionTimeout = config.HeartbeatTimeout
	config.LeaderLeaseTimeout = config.HeartbeatTimeout
	r, err := raft.NewRaft(config, sink{}, s, s, raft.NewDiscardSnapshotStore(), t)
	if err != nil {
		return err
	}
	c.peers = append(c.peers, r)
	c.servers = append(c.servers, raft.Server{ID: config.LocalID, Address: t.LocalAddr()})
	return nil
}

// elect tells the first peer of all, and returns it when it leads them.
func (c *cluster) elect() (*raft.Raft, error) {
	first := c.peers[0]
	if err := first.BootstrapCluster(raft.Configuration{Servers: c.servers}).Error(); err != nil {
		return nil, err
	}
	select {
	case <-first.LeaderCh():
	case <-time.After(30 * time.Second):
		return nil, errors.New("no leader in 30 seconds")
	}
	return first, first.Barrier(10 * time.Second).Error()
}

func (c *cluster) close() error {
	var errs []error
	for _, r := range c.peers {
		errs = append(errs, r.Shutdown().Error())
	}
	for _, t := range c.transports {
		errs = append(errs, t.Close())
	}
	for _, s := range c.stores {
		errs = append(errs, s.Close())
	}
	return errors.Join(errs...)
}

// sink is a state machine that keeps nothing.
type sink struct{}

func (sink) Apply(*raft.Log) any                 { return nil }
func (sink) Snapshot() (raft.FSMSnapshot, error) { return sink{}, nil }
func (sink) Restore(r io.ReadCloser) error       { return r.Close() }
func (sink) Persist(s raft.SnapshotSink) error   { return s.Close() }
func (sink) Release()                            {}
