package demo

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"sync"
	"sync/atomic"
	"time"
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

	Stores // of a peer, for the check after the peers have stopped

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
	f, err := openFolder(cfg.Dir, cfg.Engine, cfg.Groups)
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
		Engine: cfg.Engine, Groups: cfg.Groups, Agree: true, Writers: cfg.Writers, Seed: cfg.Seed}}
	earlier := f.Runs
	indexes, err := r.writeAndCheck(ctx, earlier)
	if err != nil {
		return nil, err
	}
	if err := r.stopAndReadBack(indexes); err != nil {
		return nil, err
	}
	r.report.Seconds = time.Since(started).Seconds()
	return r.report, nil
}

// writeAndCheck is the part of a run with living peers.
func (r *run) writeAndCheck(ctx context.Context, earlier []record) (indexes []uint64, err error) {
	if err := r.startAll(ctx); err != nil {
		return nil, err
	}
	watching, stopWatching := context.WithCancel(ctx)
	var watchers sync.WaitGroup
	for _, id := range PeerIDs {
		watchers.Go(func() { r.client.watch(watching, id) })
	}
	defer watchers.Wait()
	defer stopWatching()

	if err := r.write(ctx); err != nil {
		return nil, err
	}
	mine := r.client.record()
	r.folder.Runs = append(r.folder.Runs, mine)
	if err := r.folder.save(); err != nil {
		return nil, err
	}
	r.event("stopped writing: %s writes acknowledged", Thousands(r.report.Acknowledged))
	if indexes, err = r.settle(ctx); err != nil {
		return nil, err
	}
	if len(indexes) == 1 {
		r.event("all peers have applied everything up to %s", Thousands(indexes[0]))
	} else {
		r.event("all peers have applied everything of %d raft groups", len(indexes))
	}
	if r.report.Recovered, err = r.check(ctx, mine); err != nil {
		return nil, err
	}
	for _, rec := range earlier {
		n, err := r.check(ctx, rec)
		if err != nil {
			return nil, err
		}
		r.report.EarlierAcknowledged += rec.total()
		r.report.EarlierRecovered += n
	}
	r.report.Lost = r.report.Acknowledged + r.report.EarlierAcknowledged - r.report.Recovered - r.report.EarlierRecovered
	r.event("asked every peer for every acknowledged write: %s lost", Thousands(r.report.Lost))
	return indexes, nil
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
	r.client = newClient(r.cluster, r.report.Run, &r.cfg)
	return r.folder.save()
}

// write writes for as long as the run is to last, while peers are killed.
func (r *run) write(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if err := r.firstLeaders(ctx); err != nil {
		return err
	}
	r.spread(ctx)
	r.begin = time.Now()
	r.event("three peers are up, %s; %d writers begin", r.leadText(), r.cfg.Writers)

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

	err := r.disturb(ctx)
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

func (r *run) firstLeaders(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, stallTimeout, fmt.Errorf("the peers elected no leader within %v; see %s in the peers' folders", stallTimeout, peerLogName))
	defer cancel()
	for g := range r.cfg.Groups {
		if _, _, err := r.client.awaitLeader(ctx, g); err != nil {
			return err
		}
	}
	return nil
}

// observe shows how the run goes, and ends it when nothing was acknowledged in a group for too long.
func (r *run) observe(ctx context.Context, fail context.CancelCauseFunc) {
	before, since := make([]uint64, r.cfg.Groups), make([]time.Time, r.cfg.Groups)
	for g := range since {
		since[g] = time.Now()
	}
	for pause(ctx, statusInterval) {
		for g := range before {
			if acked := r.client.ackedOf[g].Load(); acked != before[g] {
				before[g], since[g] = acked, time.Now()
			}
			if time.Since(since[g]) > stallTimeout {
				fail(fmt.Errorf("no write%s was acknowledged for %v; the last error was: %w; see %s in the peers' folders",
					r.ofGroup(g), stallTimeout, r.client.whyNot(), peerLogName))
				return
			}
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
func (r *run) stopAndReadBack(indexes []uint64) error {
	if err := r.cluster.Stop(); err != nil {
		return err
	}
	r.report.Snapshots = r.cluster.told.snapshots.Load()
	r.report.Installed = r.cluster.told.installed.Load()
	r.report.Compacted = r.cluster.told.compacted.Load()
	if err := r.checkStores(indexes); err != nil {
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
