// Package bench measures a disk and Ballast's engines on it: the command `ballast bench`.
//
// A machine drifts, so that only what was measured side by side can be compared. All rivals of a workload are open at once and take short
// turns, in an order that is drawn anew for each round; whatever else the machine does meets all alike. The module bench/ of this
// repository does more of that, with other stores and many workloads; this is what an operator has time for.
//
//	bench.go     a run: its workloads and its folder
//	turns.go     how rivals take turns, and what is made of the samples
//	rivals.go    the rivals
//	report.go    what was found
//	advice.go    what that means for a raft peer
package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/engine"
	"github.com/raft-ballast/ballast/internal/limit"
)

// NeededBytes is how much has to be free on the disk that is measured: the engines of one workload write at most about half of it.
const NeededBytes = 1 << 30

// Engine is one that takes part.
type Engine struct {
	Name string
	Open func(dir string) (ballast.Store, error)
}

// Config is what to measure, and where.
type Config struct {
	Dir     string        // an existing folder on the disk to measure; nothing is left in it
	Length  time.Duration // about how long the measuring takes, without what has to be written before
	Engines []Engine
	Seed    uint64 // what entries and the order of turns are drawn from

	// Progress is told by the calling goroutine what is measured, and which share of all is done, from 0 to 1. nil for nobody.
	Progress func(what string, done float64)
}

// run is the state of Run.
type run struct {
	Config
	ctx    context.Context
	base   string // the folder of this run
	rng    *rand.Rand
	report *Report
	done   time.Duration // of Length
}

// workload is what all engines do in turns.
type workload struct {
	name  string
	about string
	share float64 // of the time

	// limitBytes are made durable in so many writes by a call; 0 where nothing is written.
	limitBytes, limitWrites int

	start func(s ballast.Store, rng *rand.Rand) (*rival, error)
	cache bool // one of the rivals is a cache in front of wal
}

// Sizes of appends: a single small entry, and a full batch of raft.
const (
	smallBytes = 256
	batchCount = 64
	batchBytes = 1 << 10
)

var workloads = []workload{
	{
		name: "append 1 x 256 B", about: "StoreLogs of one small entry, as a raft that is hardly busy makes it", share: 0.22,
		limitBytes: smallBytes, limitWrites: 1, start: func(s ballast.Store, rng *rand.Rand) (*rival, error) { return appends(s, rng, 1, smallBytes), nil },
	},
	{
		name: "append 64 x 1 KiB", about: "StoreLogs of a full batch, as a busy raft makes it", share: 0.22,
		limitBytes: batchCount * batchBytes, limitWrites: 1,
		start: func(s ballast.Store, rng *rand.Rand) (*rival, error) {
			return appends(s, rng, batchCount, batchBytes), nil
		},
	},
	{
		name: "vote", about: "the three stable values that raft stores when it votes", share: 0.16,
		limitBytes: 128, limitWrites: 3, start: func(s ballast.Store, _ *rand.Rand) (*rival, error) { return votes(s), nil },
	},
	{
		name: "read 256 B", about: "GetLog of one entry behind the other", share: 0.1,
		start: reads, cache: true,
	},
}

// shareOfWays is the time for finding out how the disk is written to best, which is the rest.
const shareOfWays = 0.3

// Run measures. An engine that fails in a workload is told in the report; an error of Run is that of the run as a whole, and matches
// ballast.ErrNoSpace when the disk is too full to begin.
func Run(ctx context.Context, c Config) (report *Report, err error) {
	free, err := engine.FreeBytes(c.Dir)
	if err != nil {
		return nil, fmt.Errorf("looking at the free space of %s: %w", c.Dir, err)
	}
	if err := enough(free, c.Dir); err != nil {
		return nil, err
	}
	base, err := os.MkdirTemp(c.Dir, "ballast-bench-")
	if err != nil {
		return nil, fmt.Errorf("making a folder for what is written: %w; give one that can be written", err)
	}
	defer func() {
		if e := os.RemoveAll(base); e != nil {
			err = errors.Join(err, fmt.Errorf("removing what was written: %w", e))
		}
	}()
	mount := limit.MountOf(c.Dir)
	r := &run{Config: c, ctx: ctx, base: base, rng: rand.New(rand.NewPCG(c.Seed, 0))}
	r.report = &Report{Dir: c.Dir, FileSystem: mount.Kind, Device: mount.Source, FreeBytes: free, Seed: c.Seed}
	begun := time.Now()
	if err := r.measure(); err != nil {
		return nil, err
	}
	r.report.Seconds = time.Since(begun).Seconds()
	r.report.Advice = r.report.advise()
	return r.report, nil
}

func enough(free int64, dir string) error {
	if free >= NeededBytes {
		return nil
	}
	return fmt.Errorf("%w: %s has %d MiB free, and measuring needs %d; give another folder", ballast.ErrNoSpace, dir, free>>20, NeededBytes>>20)
}

func (r *run) measure() error {
	for _, bytes := range []int{smallBytes, batchCount * batchBytes} {
		if err := r.ways(bytes); err != nil {
			return err
		}
	}
	for _, w := range workloads {
		if err := r.workload(w); err != nil {
			return err
		}
	}
	return nil
}

// wayFileBytes is how large the file of each way is.
const wayFileBytes = 16 << 20

// ways finds out what each way to make so many bytes durable takes.
func (r *run) ways(bytes int) error {
	dir, err := os.MkdirTemp(r.base, "limit-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) // Run removes all the same, and tells when it fails
	all := limit.Ways()
	var rivals []*rival
	for i, way := range all {
		rivals = append(rivals, startWay(way, filepath.Join(dir, fmt.Sprint(i)), bytes, 1))
	}
	results, err := r.compete("limit for "+sizeName(bytes), shareOfWays/2, rivals)
	if err != nil {
		return err
	}
	for i, way := range all {
		r.report.Ways = append(r.report.Ways, Way{Bytes: bytes, Extents: way.Extents, Sync: way.Sync, Figures: results[i].Figures, Failed: results[i].Failed})
	}
	best := r.report.fastest(bytes)
	if best == nil {
		return fmt.Errorf("no way to write %d bytes: %s", bytes, results[0].Failed)
	}
	best.Fastest = true
	return nil
}

// workload has the engines and the limit do the same in turns.
func (r *run) workload(w workload) error {
	dir, err := os.MkdirTemp(r.base, "stores-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) // as above
	var rivals []*rival
	if w.limitBytes > 0 {
		// Of few bytes any number takes as long as any other.
		way := r.report.fastest(max(w.limitBytes, smallBytes))
		rivals = append(rivals, startWay(limit.Way{Extents: way.Extents, Sync: way.Sync}, filepath.Join(dir, Limit), w.limitBytes, w.limitWrites))
	}
	for _, e := range r.Engines {
		rivals = append(rivals, startEngine(e, filepath.Join(dir, e.Name), w, r.rng))
	}
	if w.cache {
		rivals = append(rivals, startEngine(cached(r.Engines), filepath.Join(dir, Cached), w, r.rng))
	}
	results, err := r.compete(w.name, w.share, rivals)
	if err != nil {
		return err
	}
	if i := slices.IndexFunc(results, func(x Result) bool { return x.Engine == Limit }); i >= 0 && results[i].Median > 0 {
		for j := range results {
			results[j].OverLimit = results[j].Median / results[i].Median
		}
	}
	r.report.Workloads = append(r.report.Workloads, Workload{Name: w.name, About: w.about, Results: results})
	return nil
}

// compete has rivals take turns for a share of the time, and closes them.
func (r *run) compete(name string, share float64, rivals []*rival) ([]Result, error) {
	defer func() {
		for _, v := range rivals {
			if v.close != nil {
				_ = v.close.Close() // nobody needs what is in there
			}
		}
	}()
	length := time.Duration(share * float64(r.Length))
	t := turns{length: length, progress: func(done float64) {
		if r.Progress != nil {
			r.Progress(name, (float64(r.done)+done*float64(length))/float64(r.Length))
		}
	}}
	if err := t.take(r.ctx, r.rng, rivals); err != nil {
		return nil, err
	}
	r.done += length
	var results []Result
	for _, v := range rivals {
		results = append(results, v.result())
	}
	return results, nil
}
