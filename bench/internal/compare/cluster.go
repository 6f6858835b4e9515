package compare

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

	"github.com/raft-ballast/ballast/bench/internal/report"
	"github.com/raft-ballast/ballast/bench/internal/stores"
)

const (
	clusterPeers = 3
	clusterSize  = 256 // bytes of a write
)

const aboutCluster = "Writes of 256 B a second that a cluster of three peers on loopback acknowledges, all in one process, each with a store and a folder of its own, by how many write at once."

// cluster measures with each number of writers, for so long each, on one new cluster of each store in each of the rounds.
func cluster(writers []int, rounds int, each time.Duration) step {
	st := step{}
	for _, n := range writers {
		st.names = append(st.names, fmt.Sprintf("cluster %d writers", n))
	}
	ok := func(k stores.Kind) bool { return durable(k) || k.Name == "InmemStore" }
	st.takes = time.Duration(rounds*6) * (time.Second + time.Duration(len(writers))*each*5/4)
	st.measure = func(e *env) (list []report.Workload, err error) {
		rates := make(map[string][][]float64) // by store and number of writers
		failures := make(map[string]error)
		kinds := e.kinds(ok)
		for range rounds {
			for _, i := range e.rng.Perm(len(kinds)) {
				k := kinds[i]
				e.doing("cluster: " + k.Name)
				found, err := clusterTurn(e, k, writers, each)
				if err := e.ctx.Err(); err != nil {
					return nil, err
				}
				failures[k.Name] = errors.Join(failures[k.Name], err)
				rates[k.Name] = append(rates[k.Name], found)
			}
		}
		for i, name := range st.names {
			w := report.Workload{Group: "cluster", Name: name, Unit: "writes/s", Better: "higher", About: aboutCluster, X: float64(writers[i]), XUnit: "writers"}
			for _, k := range kinds {
				if err := failures[k.Name]; err != nil {
					w.Results = append(w.Results, failed(k.Name, err))
					continue
				}
				var figures []float64
				for _, round := range rates[k.Name] {
					figures = append(figures, round[i])
				}
				r := single(k.Name, figures)
				r.Samples = max(int(r.Median*each.Seconds()*float64(rounds)), rounds) // about as many writes were counted
				w.Results = append(w.Results, r)
			}
			list = append(list, w)
		}
		return list, nil
	}
	return st
}

// clusterTurn has a new cluster, so that none pays for what an earlier one has in memory.
func clusterTurn(e *env, k stores.Kind, writers []int, each time.Duration) (rates []float64, err error) {
	runtime.GC() // of the turn before
	// Peers are processes of their own elsewhere. In one process a write that waits for the disk keeps one of GOMAXPROCS until the
	// runtime notices, so without this the stores that wait least would be measured as waiting for each other.
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(clusterPeers * runtime.NumCPU()))
	c := &peers{}
	defer func() { err = errors.Join(err, c.close()) }()
	for range clusterPeers {
		dir, err := e.folder(k.Name)
		if err != nil {
			return nil, err
		}
		if err := c.add(e, k, dir); err != nil {
			return nil, err
		}
	}
	leader, err := c.elect(e.ctx)
	if err != nil {
		return nil, err
	}
	for _, n := range writers {
		rate, err := writeAll(e, leader, n, e.span(each))
		if err != nil {
			return nil, err
		}
		rates = append(rates, rate)
	}
	return rates, nil
}

// writeAll lets so many writers write, and counts what is acknowledged once they are under way.
func writeAll(e *env, leader *raft.Raft, n int, length time.Duration) (float64, error) {
	data := noise(0, clusterSize)
	ctx, stop := context.WithCancelCause(e.ctx)
	defer stop(nil)
	var acknowledged atomic.Int64
	var writers sync.WaitGroup
	for range n {
		writers.Go(func() {
			for ctx.Err() == nil {
				if err := leader.Apply(data, 0).Error(); err != nil {
					stop(err)
				}
				acknowledged.Add(1)
			}
		})
	}
	wait(ctx, length/4)
	before, start := acknowledged.Load(), time.Now()
	wait(ctx, length)
	for acknowledged.Load() == before && ctx.Err() == nil { // a rate of 0 would only say that the time was short
		wait(ctx, time.Millisecond)
	}
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

// peers are a cluster, and what has to be closed with it.
type peers struct {
	rafts      []*raft.Raft
	transports []*raft.NetworkTransport
	stores     []stores.Store
	servers    []raft.Server
}

// add starts a peer that knows nothing of others yet.
func (c *peers) add(e *env, k stores.Kind, dir string) error {
	s, err := k.Open(dir, stores.Options{})
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
	// Elections are quicker than by default. What a cluster with a leader writes does not depend on it.
	config.HeartbeatTimeout, config.ElectionTimeout, config.LeaderLeaseTimeout = 500*time.Millisecond, 500*time.Millisecond, 500*time.Millisecond
	r, err := raft.NewRaft(config, sink{}, s, s, raft.NewDiscardSnapshotStore(), t)
	if err != nil {
		return err
	}
	c.rafts = append(c.rafts, r)
	c.servers = append(c.servers, raft.Server{ID: config.LocalID, Address: t.LocalAddr()})
	return nil
}

// elect tells the first peer of all, and returns it when it leads them.
func (c *peers) elect(ctx context.Context) (*raft.Raft, error) {
	first := c.rafts[0]
	if err := first.BootstrapCluster(raft.Configuration{Servers: c.servers}).Error(); err != nil {
		return nil, err
	}
	select {
	case <-first.LeaderCh():
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(30 * time.Second):
		return nil, errors.New("no leader in 30 seconds")
	}
	return first, first.Barrier(10 * time.Second).Error()
}

func (c *peers) close() error {
	var errs []error
	for _, r := range c.rafts {
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
