// Command bench measures Ballast's engines beside the stores that they replace, in one run on one file system, and
// beside the limit: the fastest way there is to make the same bytes durable.
//
//	go run . [-set wal|bolt] [-only REGEXP] [-stores REGEXP] [-runs 5] [-dir FOLDER] [-seed 1] [-json]
//
// The set wal holds the figures that package wal has to reach, the set bolt those of package boltstore.
//
// A shared machine drifts, so only ratios of one run mean something. Within a run all stores are open, and they take
// short turns in an order drawn anew for each round, so that whatever else the machine does meets all alike. A run gives each
// store the median of its samples; a ratio is that of two such medians, and what is printed is the median, the lowest and the highest
// ratio of the runs. A ratio that is not reached makes the command fail.
//
// It is a module of its own, so that no peer enters the build of somebody who uses Ballast.
package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"syscall"
)

// config is what the command line says.
type config struct {
	set    string
	only   *regexp.Regexp // of the names of figures
	stores *regexp.Regexp // of the names of stores, the limit among them
	runs   int
	dir    string
	seed   uint64
	json   bool
}

func main() {
	var c config
	var only, stores string
	flag.StringVar(&c.set, "set", "wal", "the figures of this engine: wal or bolt")
	flag.StringVar(&only, "only", "", "measure just the figures whose name matches this regular expression")
	flag.StringVar(&stores, "stores", "", "measure just the stores whose whole name matches; ratios to others are left out")
	flag.IntVar(&c.runs, "runs", 5, "how often each figure is measured; the medians count")
	flag.StringVar(&c.dir, "dir", "", "folder on the disk to measure (default: the system's for temporary files, or this one)")
	flag.Uint64Var(&c.seed, "seed", 1, "what the order of the turns and the entries are drawn from")
	flag.BoolVar(&c.json, "json", false, "print JSON instead of a table")
	flag.Parse()
	err := c.compile(only, stores)
	if err == nil {
		err = bench(c)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// compile checks the flags.
func (c *config) compile(only, stores string) (err error) {
	if c.runs < 1 {
		return fmt.Errorf("-runs is %d; at least 1 is needed", c.runs)
	}
	if sets[c.set] == nil {
		return fmt.Errorf("-set is %q; there are wal and bolt", c.set)
	}
	if c.only, err = regexp.Compile(only); err != nil {
		return fmt.Errorf("-only: %w", err)
	}
	if c.stores, err = regexp.Compile("^(?:" + cmp.Or(stores, ".*") + ")$"); err != nil {
		return fmt.Errorf("-stores: %w", err)
	}
	return nil
}

// sets are the figures by the engine that has to reach them.
var sets = map[string][]figure{"wal": walFigures, "bolt": boltFigures}

func bench(c config) error {
	r, err := measureAll(c)
	if err != nil {
		return err
	}
	if c.json {
		err = r.writeJSON(os.Stdout)
	} else {
		err = r.writeTable(os.Stdout)
	}
	if missed := r.missed(); missed > 0 {
		err = errors.Join(err, fmt.Errorf("%d figures were not reached", missed))
	}
	return err
}

// measureAll leaves nothing on the disk.
func measureAll(c config) (r report, err error) {
	parent, err := chooseDir(c.dir)
	if err != nil {
		return r, err
	}
	base, err := os.MkdirTemp(parent, "ballast-bench-")
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(base)) }()
	removeWhenInterrupted(base)

	e := &env{dir: base, stores: c.stores, seed: c.seed, shrink: 1}
	r = report{Machine: describe(base, c), Figures: []measurement{}}
	for _, f := range sets[c.set] {
		if c.only.MatchString(f.name) {
			r.Figures = append(r.Figures, f.take(e, c.runs))
		}
	}
	return r, nil
}

// chooseDir returns the folder that was asked for, or one that is on a disk.
func chooseDir(asked string) (string, error) {
	candidates := []string{asked}
	if asked == "" {
		candidates = []string{os.TempDir(), "."}
	}
	for _, dir := range candidates {
		abs, err := filepath.Abs(dir)
		if err != nil {
			return "", err
		}
		if fs := fileSystem(abs); fs.kind != "tmpfs" && fs.kind != "ramfs" {
			return abs, nil
		}
	}
	return "", fmt.Errorf("%v is in memory; give a folder on a disk with -dir", candidates)
}

// removeWhenInterrupted leaves nothing behind of a run that somebody stops.
func removeWhenInterrupted(base string) {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-stop
		_ = os.RemoveAll(base)
		os.Exit(130)
	}()
}
