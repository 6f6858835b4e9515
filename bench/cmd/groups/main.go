// Command groups measures many raft groups that share one log, beside logs of their own and the disk itself, in the same run.
//
//	go run ./cmd/groups [--hour] [--dir FOLDER] [--only REGEXP] [--seed N] [--json]
//
// A table goes to standard output, with --json nothing but JSON; progress goes to standard error. --hour appends and compacts for an hour, with
// segments of the usual size, where 20 seconds and small segments do otherwise.
//
// Exit status: 0; 1 when something could not be measured; 2 for a wrong command line; 130 when interrupted.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"syscall"
	"time"

	"github.com/raft-ballast/ballast/bench/internal/compare"
)

func main() {
	c, asJSON, err := parse(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		os.Exit(0)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "groups:", err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err = run(ctx, c, asJSON)
	if ctx.Err() != nil {
		os.Exit(130)
	}
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "groups:", err)
		os.Exit(1)
	}
}

func parse(args []string) (c compare.Config, asJSON bool, err error) {
	flags := flag.NewFlagSet("groups", flag.ContinueOnError)
	var only string
	c.Groups = true
	flags.BoolVar(&c.Hour, "hour", false, "append and compact for an hour instead of 20 s")
	flags.StringVar(&c.Dir, "dir", "", "an existing `folder` on the disk to measure (default: the one for temporary files, or this one)")
	flags.StringVar(&only, "only", "", "measure just the workloads whose name matches this `regexp`, such as 'storm|open'")
	flags.Uint64Var(&c.Seed, "seed", 1, "what the order of turns is drawn from")
	flags.BoolVar(&asJSON, "json", false, "print JSON instead of tables")
	if err := flags.Parse(args); err != nil {
		return c, false, err
	}
	if flags.NArg() > 0 {
		return c, false, fmt.Errorf("%q is not understood; see --help", flags.Arg(0))
	}
	if c.Only, err = regexp.Compile(only); err != nil {
		return c, false, fmt.Errorf("--only: %w", err)
	}
	c.Dir, err = compare.ChooseDir(c.Dir)
	return c, asJSON, err
}

func run(ctx context.Context, c compare.Config, asJSON bool) error {
	last := ""
	c.Progress = func(what string, done float64, left time.Duration) {
		if what != last {
			fmt.Fprintf(os.Stderr, "%3.0f%%  %-56s about %v left\n", 100*done, what, left.Round(time.Second))
			last = what
		}
	}
	r, err := compare.Run(ctx, c)
	if err != nil {
		return err
	}
	if len(r.Workloads) == 0 {
		return fmt.Errorf("no workload is called like %q; without --only all are measured", c.Only)
	}
	print := r.WriteText
	if asJSON {
		print = r.WriteJSON
	}
	return errors.Join(print(os.Stdout), r.Failures())
}
