// Command bench measures Ballast's engines beside the stores that they replace, in one run on one file system.
//
//	go run . [-runs 5] [-dir FOLDER] [-only TEXT]
//
// For each workload it opens both stores, lets them take turns, and prints the medians, over the runs, of the time of a
// call, and the ratio of the peer's median to Ballast's: 2.00 says that Ballast takes half the time. A shared machine drifts, so
// only ratios of one run mean something.
//
// It is a module of its own, so that no peer enters the build of somebody who uses Ballast.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

func main() {
	runs := flag.Int("runs", 5, "how often each workload is measured on each store; the medians count")
	dir := flag.String("dir", "", "folder on the file system to measure (default: the system's for temporary files)")
	only := flag.String("only", "", "measure just the workloads whose name contains this text")
	flag.Parse()
	if err := run(*runs, *dir, *only); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(runs int, dir, only string) error {
	if runs < 1 {
		return fmt.Errorf("-runs is %d; at least 1 is needed", runs)
	}
	base, err := os.MkdirTemp(dir, "ballast-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(base) }()

	out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(out, "workload\t%s µs\t%s µs\tratio\treach\t\n", peer.name, ours.name)
	missed := 0
	for _, w := range workloads {
		if !strings.Contains(w.name, only) {
			continue
		}
		fmt.Fprintf(os.Stderr, "%s ...\n", w.name)
		times, err := measure(w, runs, base)
		if err != nil {
			return fmt.Errorf("%s: %w", w.name, err)
		}
		theirs, mine := median(times[0]), median(times[1])
		ratio := theirs / mine
		reach, mark := "", ""
		if w.reach > 0 {
			reach = fmt.Sprintf("%.2f", w.reach)
		}
		if ratio < w.reach {
			mark, missed = "missed", missed+1
		}
		fmt.Fprintf(out, "%s\t%.2f\t%.2f\t%.2f\t%s\t%s\n", w.name, micros(theirs), micros(mine), ratio, reach, mark)
	}
	if err := out.Flush(); err != nil {
		return err
	}
	if missed > 0 {
		return fmt.Errorf("%d figures were not reached", missed)
	}
	return nil
}

// measure returns the time of a call in nanoseconds for each run, the peer's first. Within a run both stores are open, and
// they take turns, a few calls each, so that whatever else the machine does meets both.
func measure(w workload, runs int, base string) (times [2][]float64, err error) {
	for range runs {
		folder, err := os.MkdirTemp(base, "run-")
		if err != nil {
			return times, err
		}
		run, err := measureOnce(w, folder)
		if err != nil {
			return times, err
		}
		for i := range times {
			times[i] = append(times[i], run[i])
		}
		if err := os.RemoveAll(folder); err != nil {
			return times, err
		}
	}
	return times, nil
}

func measureOnce(w workload, base string) (ns [2]float64, err error) {
	var ops [2]func() error
	for i, o := range []opener{peer, ours} {
		folder := filepath.Join(base, o.name)
		if err := os.Mkdir(folder, 0o700); err != nil {
			return ns, err
		}
		op, closeStore, err := w.start(o, folder)
		if err != nil {
			return ns, fmt.Errorf("%s: %w", o.name, err)
		}
		defer func() { err = errors.Join(err, closeStore()) }()
		ops[i] = op
	}
	var blocks [2][]float64
	for block := range w.blocks {
		for turn := range 2 {
			i := (block + turn) % 2
			start := time.Now()
			for range w.calls {
				if err := ops[i](); err != nil {
					return ns, err
				}
			}
			blocks[i] = append(blocks[i], float64(time.Since(start))/float64(w.calls))
		}
	}
	return [2]float64{median(blocks[0]), median(blocks[1])}, nil
}

func median(v []float64) float64 {
	sorted := slices.Sorted(slices.Values(v))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

func micros(ns float64) float64 { return ns / float64(time.Microsecond) }
