// Package compare measures stores on the same work in the same run, and the disk's own limit beside them.
//
// A shared machine drifts, so that only what was measured side by side can be compared. All stores of a workload are open at once and take
// short turns in an order that is drawn anew for each round; whatever else the machine does meets all alike. Each call is timed, or a few at
// once where reading the clock would take as long as the call.
//
//	compare.go  a run: its plan, its folder, its order
//	plan.go     the workloads, and how long each may take
//	turns.go    how stores take turns
//	stats.go    what is made of the samples
//	ways.go     how bytes are made durable: the limit
//	feed.go     the entries
//	groups.go groupslag.go groupsopen.go  the workloads of many raft groups in one log
//	append.go stable.go read.go size.go burst.go churn.go allocs.go cluster.go  the workloads
//	goals.go    the figures that Ballast has set itself
package compare

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/raft-ballast/ballast/bench/internal/report"
	"github.com/raft-ballast/ballast/bench/internal/stores"
)

// Config is what to measure, and where.
type Config struct {
	Dir    string         // an existing folder on the disk to measure; nothing is left in it
	Quick  bool           // about a minute instead of ten
	Groups bool           // many raft groups in one log, and nothing else
	Hour   bool           // of the groups: an hour of appends and compaction instead of 20 s
	Only   *regexp.Regexp // names of workloads; nil for all
	Stores *regexp.Regexp // names of stores; nil for all
	Seed   uint64         // what entries and the order of turns are drawn from

	// Progress is told, each half second and by one goroutine at a time, what is done just now, how much of the run is over, from 0 to 1,
	// and about how long the rest will take. nil for nobody.
	Progress func(what string, done float64, left time.Duration)

	// shrink is what each amount and each time is divided by, so that a test is quick. 0 is 1.
	shrink int
}

// step measures one or more workloads that have their stores in common.
type step struct {
	names   []string      // of the workloads
	takes   time.Duration // about
	measure func(e *env) ([]report.Workload, error)
}

// env is where a step is measured, and with what.
type env struct {
	*Config
	ctx  context.Context
	dir  string // the step's own
	rng  *rand.Rand
	all  []stores.Kind // that take part in the run
	ways *ways
	what *atomic.Pointer[string] // is done just now
}

// Run measures. A store that fails in a workload is told in the report; an error of Run is that of the run as a whole.
func Run(ctx context.Context, c Config) (*report.Report, error) {
	r, err := prepare(ctx, c)
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(r.dir) }()
	start := time.Now()
	if err := r.steps(r.plan()); err != nil {
		return nil, errors.Join(err, os.RemoveAll(r.dir))
	}
	return r.report(start), os.RemoveAll(r.dir)
}

// run is the state of Run.
type run struct {
	env
	workloads []report.Workload
}

func prepare(ctx context.Context, c Config) (*run, error) {
	c.shrink = max(c.shrink, 1)
	base, err := os.MkdirTemp(c.Dir, "ballast-compare-")
	if err != nil {
		return nil, err
	}
	r := &run{env: env{Config: &c, ctx: ctx, dir: base, what: new(atomic.Pointer[string])}}
	for _, k := range stores.All() {
		if c.Stores == nil || c.Stores.MatchString(k.Name) {
			r.all = append(r.all, k)
		}
	}
	r.ways = newWays(&r.env)
	return r, nil
}

// steps measures what the plan holds and somebody wants.
func (r *run) steps(plan []step) error {
	plan = slices.DeleteFunc(plan, func(s step) bool { return !r.wanted(s) })
	var c clock
	for _, s := range plan {
		c.total += s.takes
	}
	for _, s := range plan {
		list, err := r.watched(s, &c)
		if err != nil {
			return fmt.Errorf("%s: %w", s.names[0], err)
		}
		r.workloads = append(r.workloads, list...)
	}
	return nil
}

// watched measures one step while somebody is told how far it is.
func (r *run) watched(s step, c *clock) ([]report.Workload, error) {
	r.doing(s.names[0])
	stop := make(chan struct{})
	var telling sync.WaitGroup
	if r.Progress != nil {
		telling.Go(func() { r.tell(s, *c, stop) })
	}
	start := time.Now()
	list, err := r.step(s)
	close(stop)
	telling.Wait()
	c.planned += s.takes
	c.took += time.Since(start)
	return list, err
}

const tellEvery = 500 * time.Millisecond

func (r *run) tell(s step, c clock, stop <-chan struct{}) {
	start := time.Now()
	tick := time.NewTicker(tellEvery)
	defer tick.Stop()
	for {
		done, left := c.at(s.takes, time.Since(start))
		r.Progress(*r.what.Load(), done, left)
		select {
		case <-stop:
			return
		case <-tick.C:
		}
	}
}

// doing says what is done just now.
func (e *env) doing(what string) { e.what.Store(&what) }

// clock tells how far a run is.
type clock struct {
	total   time.Duration // as planned
	planned time.Duration // for the steps that are done
	took    time.Duration // that they took
}

// at returns how much is over, so long into a step, and how long the rest takes when all takes as much longer than planned as what is done
// already did.
func (c clock) at(takes, spent time.Duration) (done float64, left time.Duration) {
	slow := 1.0
	if c.planned > 0 {
		slow = max(c.took.Seconds()/c.planned.Seconds(), 0.1)
	}
	part := min(time.Duration(spent.Seconds()/slow*float64(time.Second)), takes*19/20)
	over := c.planned + part
	return over.Seconds() / c.total.Seconds(), time.Duration(float64(c.total-over) * slow)
}

func (r *run) wanted(s step) bool {
	return r.Only == nil || slices.ContainsFunc(s.names, r.Only.MatchString)
}

// step measures one step in a folder of its own.
func (r *run) step(s step) (list []report.Workload, err error) {
	e := r.env
	if e.dir, err = os.MkdirTemp(r.dir, "step-"); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(e.dir)) }()
	runtime.GC() // of what the steps before have left
	e.rng = rand.New(rand.NewPCG(r.Seed, uint64(len(r.workloads))))
	list, err = s.measure(&e)
	if err == nil {
		err = r.ctx.Err()
	}
	return list, err
}

func (r *run) report(start time.Time) *report.Report {
	rep := &report.Report{Machine: describe(r.dir, r.Config), Workloads: r.workloads, Ways: r.ways.rows()}
	rep.Machine.Seconds = time.Since(start).Seconds()
	for _, k := range r.all {
		rep.Stores = append(rep.Stores, report.Store{Name: k.Name, Version: k.Version(), Note: k.Note, Durable: k.Durable, Ours: k.Ours, Cache: k.Cache})
	}
	for i := range rep.Workloads {
		finish(&rep.Workloads[i])
	}
	rep.Goals = Judge(rep)
	return rep
}

// kinds returns the stores that take part and of which ok says yes.
func (e *env) kinds(ok func(k stores.Kind) bool) []stores.Kind {
	return slices.DeleteFunc(slices.Clone(e.all), func(k stores.Kind) bool { return !ok(k) })
}

// Which stores a workload is for.
func plain(k stores.Kind) bool   { return !k.Cache }
func onDisk(k stores.Kind) bool  { return !k.Cache && !k.Memory }
func durable(k stores.Kind) bool { return !k.Cache && k.Durable }
func every(stores.Kind) bool     { return true }

// count returns an amount of something, of which at least so many are needed.
func (e *env) count(full, least int) int { return max(full/e.shrink, least) }

// span returns a time in the same way.
func (e *env) span(full time.Duration) time.Duration {
	return max(full/time.Duration(e.shrink), time.Millisecond)
}

// folder makes a folder of the step.
func (e *env) folder(name string) (string, error) { return os.MkdirTemp(e.dir, name+"-") }
