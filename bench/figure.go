package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"
)

// A figure is something to measure, and what it has to reach.
type figure struct {
	name    string
	unit    string // of the values
	goals   []goal
	measure func(e *env) (values, error) // one run
}

// values are what a run measured, by the name of the store, or of something of that store.
type values map[string]float64

// bound says on which side of reach a figure has to be.
type bound string

const (
	atMost  bound = "<="
	atLeast bound = ">="
	info    bound = "" // nothing has to be reached
)

// A goal is a ratio of two values, or one value when below is empty.
type goal struct {
	above, below string
	bound        bound
	reach        float64
}

// most and least are ratios that have to be reached, ratio is one to know.
func most(above, below string, reach float64) goal  { return goal{above, below, atMost, reach} }
func least(above, below string, reach float64) goal { return goal{above, below, atLeast, reach} }
func ratio(above, below string) goal                { return goal{above: above, below: below} }

func (g goal) String() string {
	if g.below == "" {
		return g.above
	}
	return g.above + "/" + g.below
}

// outcome is what became of a goal.
type outcome struct {
	Ratio  string  `json:"ratio"`
	Bound  bound   `json:"bound,omitempty"`
	Reach  float64 `json:"reach,omitempty"`
	Median float64 `json:"median"`
	Lowest float64 `json:"lowest"`
	High   float64 `json:"highest"`
	OK     bool    `json:"ok"`
}

// measurement is a figure that was measured.
type measurement struct {
	Name     string             `json:"name"`
	Unit     string             `json:"unit"`
	Medians  map[string]float64 `json:"medians"`
	Outcomes []outcome          `json:"ratios"`
	Failed   string             `json:"failed,omitempty"` // why it could not be measured
}

// env is where a figure is measured, and with what.
type env struct {
	dir    string         // the run's own
	stores *regexp.Regexp // nil for all
	seed   uint64
	shrink int // what each amount is divided by, so that a test is quick
	rng    *rand.Rand
}

// count returns an amount of something, of which at least so many are needed.
func (e *env) count(full, least int) int { return max(full/e.shrink, least) }

// span returns a time in the same way.
func (e *env) span(full, least time.Duration) time.Duration {
	return max(full/time.Duration(e.shrink), least)
}

// wants tells whether a store takes part.
func (e *env) wants(name string) bool { return e.stores == nil || e.stores.MatchString(name) }

// folder makes a folder of the run.
func (e *env) folder(name string) (string, error) {
	dir := filepath.Join(e.dir, name)
	return dir, os.Mkdir(dir, 0o700)
}

// take measures a figure so many times.
func (f figure) take(e *env, runs int) measurement {
	r := measurement{Name: f.name, Unit: f.unit, Medians: map[string]float64{}}
	var all []values
	for run := range runs {
		fmt.Fprintf(os.Stderr, "%s, run %d of %d\n", f.name, run+1, runs)
		v, err := f.takeOnce(e, uint64(run))
		if err != nil {
			r.Failed = err.Error()
			fmt.Fprintf(os.Stderr, "%s failed: %v\n", f.name, err)
			return r
		}
		all = append(all, v)
	}
	for name := range all[0] {
		r.Medians[name] = median(column(all, func(v values) float64 { return v[name] }))
	}
	for _, g := range f.goals {
		if _, measured := all[0][g.above]; !measured {
			continue
		}
		if _, measured := all[0][g.below]; g.below != "" && !measured {
			continue
		}
		r.Outcomes = append(r.Outcomes, g.judge(all))
	}
	fmt.Fprintln(os.Stderr, "   ", r.medians())
	return r
}

func (f figure) takeOnce(e *env, run uint64) (v values, err error) {
	dir, err := os.MkdirTemp(e.dir, "run-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	runtime.GC() // of what the runs before have left
	own := *e
	own.dir = dir
	own.rng = rand.New(rand.NewPCG(e.seed, run))
	return f.measure(&own)
}

func (g goal) judge(all []values) outcome {
	ratios := column(all, func(v values) float64 {
		if g.below == "" {
			return v[g.above]
		}
		return v[g.above] / v[g.below]
	})
	o := outcome{
		Ratio: g.String(), Bound: g.bound, Reach: g.reach,
		Median: median(ratios), Lowest: slices.Min(ratios), High: slices.Max(ratios),
	}
	switch g.bound {
	case atMost:
		o.OK = o.Median <= g.reach
	case atLeast:
		o.OK = o.Median >= g.reach
	default:
		o.OK = true
	}
	return o
}

// medians lists the values, the limit first, then the stores as the table of them has them.
func (r measurement) medians() string {
	var list []string
	for _, name := range sortedNames(r.Medians) {
		list = append(list, name+" "+number(r.Medians[name]))
	}
	return strings.Join(list, ", ") + " " + r.Unit
}

func column(all []values, of func(values) float64) []float64 {
	list := make([]float64, len(all))
	for i, v := range all {
		list[i] = of(v)
	}
	return list
}

// number prints three digits, and all that are before the point.
func number(x float64) string {
	switch {
	case x >= 100 || x == 0:
		return fmt.Sprintf("%.0f", x)
	case x >= 10:
		return fmt.Sprintf("%.1f", x)
	case x >= 0.01:
		return fmt.Sprintf("%.2f", x)
	default:
		return fmt.Sprintf("%.2g", x)
	}
}
