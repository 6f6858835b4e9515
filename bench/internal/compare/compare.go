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
	"time"

	"github.com/raft-ballast/ballast/bench/internal/report"
	"github.com/raft-ballast/ballast/bench/internal/stores"
)

// Config is what to measure, and where.
type Config struct {
	Dir    string         // an existing folder on the disk to measure; nothing is left in it
	Quick  bool           // about a minute instead of ten
	Only   *regexp.Regexp // names of workloads; nil for all
	Stores *regexp.Regexp // names of stores; nil for all
	Seed   uint64         // what entries and the order of turns are drawn from

	// Progress is told what is measured next, how much of the run is over, from 0 to 1, and how long the rest will take. nil for nobody.
	Progress func(name string, done float64, left time.Duration)

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
}

// Run measures. A store that fails in a workload is told in the report; an error of Run is that of the run as a whole.
func Run(ctx context.Context, c Config) (*report.Report, error) {
	r, err := prepare(ctx, c)
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(r.dir) }()
	start := time.Now()
	if err := r.steps(plan(r.Quick)); err != nil {
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
	r := &run{env: env{Config: &c, ctx: ctx, dir: base}}
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
	total, done := time.Duration(0), time.Duration(0)
	for _, s := range plan {
		total += s.takes
	}
	begin := time.Now()
	for _, s := range plan {
		if r.Progress != nil {
			r.Progress(s.names[0], float64(done)/float64(total), left(time.Since(begin), done, total))
		}
		list, err := r.step(s)
		if err != nil {
			return fmt.Errorf("%s: %w", s.names[0], err)
		}
		r.workloads = append(r.workloads, list...)
		done += s.takes
	}
	return nil
}

// left is how long the rest takes when all takes as much longer than planned as what is done already.
func left(took, done, total time.Duration) time.Duration {
	if done == 0 {
		return total
	}
	return time.Duration(float64(total-done) * float64(took) / float64(done))
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
		rep.Stores = append(rep.Stores, report.Store{Name: k.Name, Version: k.Version(), Note: k.Note, Durable: k.Durable, Ours: k.Ours})
	}
	for i := range rep.Workloads {
		finish(&rep.Workloads[i])
	}
	rep.Goals = judge(rep)
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
