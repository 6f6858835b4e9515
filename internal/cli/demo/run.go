package demo

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"sync"
	"sync/atomic"
	"time"

	"github.com/raft-ballast/ballast"
)

// Config is what a run needs. Every field has to be set.
type Config struct {
	Engine  string
	Dir     string        // missing, empty, or that of an earlier run of the same engine
	Length  time.Duration // of writing
	Writers int           // goroutines of the client
	Seed    uint64        // of the moments of the kills, and of the values

	// Command is how to start a peer's process, which calls ServePeer.
	Command func(id, dir string, addrs map[string]string) *exec.Cmd

	// Open opens the store in a peer's folder, for the check after the peers have stopped.
	Open func(dir string) (ballast.Store, error)

	Progress Progress
}

// Progress is told how a run goes, by one goroutine at a time.
type Progress interface {
	Event(at time.Duration, text string)
	Status(Status)
}

// Status is where a run is.
type Status struct {
	Elapsed, Length time.Duration
	Acknowledged    uint64
	Kills           int
}

const (
	statusInterval = 100 * time.Millisecond
	stallTimeout   = 30 * time.Second
)

type run struct {
	cfg     Config
	folder  *folder
	cluster *cluster
	client  *client
	report  *Report

	begin    time.Time // of writing
	killedAt time.Time // last
	kills    atomic.Int64

	progress sync.Mutex
}

// Run makes a demo in cfg.Dir and returns how it ended. The report is nil when it came to no end; with
// an error and without one, no process of it is left.
func Run(ctx context.Context, cfg Config) (*Report, error) {
	started := time.Now()
	f, err := openFolder(cfg.Dir, cfg.Engine)
	if err != nil {
		return nil, err
	}
	defer f.close()
	c, err := newCluster(&cfg, f)
	if err != nil {
		return nil, err
	}
	defer c.Kill(PeerIDs...)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case err := <-c.failed:
			cancel(err)
		case <-ctx.Done():
		}
	}()
	r := &run{cfg: cfg, folder: f, cluster: c, begin: started, report: &Report{
		Engine: cfg.Engine, Agree: true, Writers: cfg.Writers, Seed: cfg.Seed}}
	earlier := f.Runs
	index, err := r.writeAndCheck(ctx, earlier)
	if err != nil {
		return nil, err
	}
	if err := r.stopAndReadBack(index); err != nil {
		return nil, err
	}
	r.report.Seconds = time.Since(started).Seconds()
	return r.report, nil
}

// writeAndCheck is the part of a run with living peers.
func (r *run) writeAndCheck(ctx context.Context, earlier []record) (index uint64, err error) {
	if err := r.startAll(ctx); err != nil {
		return 0, err
	}
	watching, stopWatching := context.WithCancel(ctx)
	var watchers sync.WaitGroup
	for _, id := range PeerIDs {
		watchers.Go(func() { r.client.watch(watching, id) })
	}
	defer watchers.Wait()
	defer stopWatching()

	if err := r.write(ctx); err != nil {
		return 0, err
	}
	mine := r.client.record()
	r.folder.Runs = append(r.folder.Runs, mine)
	if err := r.folder.save(); err != nil {
		return 0, err
	}
	r.event("stopped writing: %s writes acknowledged", Thousands(r.report.Acknowledged))
	if index, err = r.settle(ctx); err != nil {
		return 0, err
	}
	r.event("all peers have applied everything up to %s", Thousands(index))
	if r.report.Recovered, err = r.check(ctx, mine); err != nil {
		return 0, err
	}
	for _, rec := range earlier {
		n, err := r.check(ctx, rec)
		if err != nil {
			return 0, err
		}
		r.report.EarlierAcknowledged += rec.total()
		r.report.EarlierRecovered += n
	}
	r.report.Lost = r.report.Acknowledged + r.report.EarlierAcknowledged - r.report.Recovered - r.report.EarlierRecovered
	r.event("asked every peer for every acknowledged write: %s lost", Thousands(r.report.Lost))
	return index, nil
}

// startAll starts the peers and gives the run its number.
func (r *run) startAll(ctx context.Context) error {
	var wg sync.WaitGroup
	errs := make([]error, len(PeerIDs))
	for i, id := range PeerIDs {
		wg.Go(func() { _, errs[i] = r.cluster.start(ctx, id) })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	r.folder.LastRun++
	r.report.Run = r.folder.LastRun
	r.client = newClient(r.cluster, r.report.Run, r.cfg.Seed, r.cfg.Writers)
	return r.folder.save()
}

// write writes for as long as the run is to last, while peers are killed.
func (r *run) write(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	leader, _, err := r.firstLeader(ctx)
	if err != nil {
		return err
	}
	r.begin = time.Now()
	r.event("three peers are up, %s leads; %d writers begin", leader, r.cfg.Writers)

	var writers sync.WaitGroup
	for _, w := range r.client.writers {
		writers.Go(func() {
			if err := r.client.write(ctx, w); err != nil {
				cancel(err)
			}
		})
	}
	var observers sync.WaitGroup
	observing, stopObserving := context.WithCancel(ctx)
	observers.Go(func() { r.observe(observing, cancel) })

	err = r.disturb(ctx)
	if err != nil {
		cancel(err)
	}
	r.client.stopping.Store(true)
	writers.Wait()
	writing := time.Since(r.begin)
	stopObserving()
	observers.Wait()
	r.status()
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	r.report.measure(r.client.writers, writing)
	r.report.Kills = int(r.kills.Load())
	return nil
}

func (r *run) firstLeader(ctx context.Context) (id, addr string, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, stallTimeout, fmt.Errorf("the peers elected no leader within %v; see %s in the peers' folders", stallTimeout, peerLogName))
	defer cancel()
	return r.client.awaitLeader(ctx)
}

// observe shows how the run goes, and ends it when nothing was acknowledged for too long.
func (r *run) observe(ctx context.Context, fail context.CancelCauseFunc) {
	var before uint64
	since := time.Now()
	for pause(ctx, statusInterval) {
		acked := r.client.acked.Load()
		if acked != before {
			before, since = acked, time.Now()
		}
		if time.Since(since) > stallTimeout {
			fail(fmt.Errorf("no write was acknowledged for %v; the last error was: %w; see %s in the peers' folders",
				stallTimeout, r.client.whyNot(), peerLogName))
			return
		}
		r.status()
	}
}

func (r *run) status() {
	r.progress.Lock()
	defer r.progress.Unlock()
	r.cfg.Progress.Status(Status{
		Elapsed:      time.Since(r.begin),
		Length:       r.cfg.Length,
		Acknowledged: r.client.acked.Load(),
		Kills:        int(r.kills.Load()),
	})
}

func (c *client) whyNot() error {
	if err := c.lastError.Load(); err != nil {
		return *err
	}
	return errors.New("none")
}

// stopAndReadBack ends the peers and looks at what they left.
func (r *run) stopAndReadBack(index uint64) error {
	if err := r.cluster.Stop(); err != nil {
		return err
	}
	r.report.Snapshots = r.cluster.told.snapshots.Load()
	r.report.Installed = r.cluster.told.installed.Load()
	r.report.Compacted = r.cluster.told.compacted.Load()
	if err := r.checkStores(index); err != nil {
		return err
	}
	r.event("stopped the peers and read back %s entries of their logs", Thousands(r.report.LogEntries))
	r.report.PeerBytesOnDisk = map[string]int64{}
	for _, id := range PeerIDs {
		n, err := r.folder.bytesOnDisk(id)
		if err != nil {
			return err
		}
		r.report.PeerBytesOnDisk[id] = n
		r.report.BytesOnDisk += n
	}
	return nil
}

func (r *run) event(format string, args ...any) {
	r.progress.Lock()
	defer r.progress.Unlock()
	r.cfg.Progress.Event(time.Since(r.begin), fmt.Sprintf(format, args...))
}
