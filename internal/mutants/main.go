package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"text/tabwriter"
	"time"
)

// outcome is what became of a fault.
type outcome struct {
	Mutant   string   `json:"mutant"`
	Fault    string   `json:"fault"`
	Breaks   string   `json:"breaks"`
	Caught   []caught `json:"caught"`             // by one tier, or by each that does
	NotTried string   `json:"notTried,omitempty"` // why
	Error    string   `json:"error,omitempty"`    // why it cannot be told
}

// campaign is one run of the command.
type campaign struct {
	runner
	tiers    *regexp.Regexp // of the names of those that are run
	all      bool           // tiers, not only up to the first that catches
	progress io.Writer
	binaries map[string]string // without a fault, by package
	sound    map[string]bool   // tiers that pass without a fault
}

func main() {
	only := flag.String("only", "", "`expression` for the names of the faults to try")
	tier := flag.String("tier", "", "`expression` for the names of the tiers to run")
	all := flag.Bool("all", false, "run every tier, also when one has caught the fault")
	asJSON := flag.Bool("json", false, "print the outcome as JSON")
	timeout := flag.Duration("timeout", 5*time.Minute, "what a tier may take; a fault that makes it hang is caught then")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "mutants: %q: faults are chosen with -only\n", flag.Args())
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	code, err := run(ctx, *only, *tier, *all, *asJSON, *timeout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		code = 2
	}
	os.Exit(code)
}

// run tries the faults and prints what became of them.
func run(ctx context.Context, only, tier string, all, asJSON bool, timeout time.Duration) (code int, err error) {
	mutants, err := chosen(only)
	if err != nil {
		return 2, err
	}
	tierNames, err := regexp.Compile(tier)
	if err != nil {
		return 2, err
	}
	matching := 0
	for _, t := range tiers {
		if tierNames.MatchString(t.name) {
			matching++
		}
	}
	if matching == 0 {
		return 2, fmt.Errorf("no tier is called %q", tier)
	}
	root, err := moduleRoot(ctx)
	if err != nil {
		return 2, err
	}
	dir, err := os.MkdirTemp("", "mutants")
	if err != nil {
		return 2, err
	}
	defer os.RemoveAll(dir)
	c := &campaign{runner: runner{root: root, dir: dir, timeout: timeout}, tiers: tierNames, all: all, progress: os.Stderr,
		binaries: make(map[string]string), sound: make(map[string]bool)}
	if err := c.checkTiers(ctx, mutants); err != nil {
		return 2, err
	}
	var outcomes []outcome
	for i := range mutants {
		start := time.Now()
		o := c.try(ctx, &mutants[i])
		if ctx.Err() != nil {
			return 2, context.Cause(ctx)
		}
		outcomes = append(outcomes, o)
		fmt.Fprintf(c.progress, "%3d of %d  %-36s %s (%.0fs)\n", i+1, len(mutants), o.Mutant, o.summary(), time.Since(start).Seconds())
		if o.Error != "" {
			fmt.Fprintln(c.progress, o.Error)
		}
	}
	if asJSON {
		e := json.NewEncoder(os.Stdout)
		e.SetIndent("", "  ")
		return exitCode(outcomes), e.Encode(outcomes)
	}
	return exitCode(outcomes), printTable(os.Stdout, outcomes)
}

func chosen(only string) ([]mutant, error) {
	expression, err := regexp.Compile(only)
	if err != nil {
		return nil, err
	}
	all, err := allMutants()
	if err != nil {
		return nil, err
	}
	var some []mutant
	for _, m := range all {
		if expression.MatchString(m.name) {
			some = append(some, m)
		}
	}
	if len(some) == 0 {
		return nil, fmt.Errorf("no fault has a name that matches %q", only)
	}
	return some, nil
}

// skips reports whether a tier is not run.
func (c *campaign) skips(t *tier) bool { return !c.tiers.MatchString(t.name) || t.missing() != "" }

// checkTiers runs each tier that is needed on the source as it is.
func (c *campaign) checkTiers(ctx context.Context, mutants []mutant) error {
	for i := range mutants {
		for _, t := range mutants[i].tiersOf() {
			if c.sound[t.name] || c.skips(&t) {
				continue
			}
			start := time.Now()
			if err := c.checkTier(ctx, &t); err != nil {
				return fmt.Errorf("the tier %s without a fault: %w", t.name, err)
			}
			c.sound[t.name] = true
			fmt.Fprintf(c.progress, "tier %-10s passes without a fault (%.0fs)\n", t.name, time.Since(start).Seconds())
		}
	}
	return nil
}

func (c *campaign) checkTier(ctx context.Context, t *tier) error {
	bin, ok := c.binaries[t.pkg]
	if !ok {
		var err error
		if bin, err = c.build(ctx, t.pkg, ""); err != nil {
			return err
		}
		c.binaries[t.pkg] = bin
	}
	for _, expression := range t.run {
		names, err := c.list(ctx, bin, expression)
		if err != nil || len(names) == 0 {
			return fmt.Errorf("%s matches no test: %w", expression, err)
		}
	}
	failure, out, err := c.run(ctx, bin, t)
	if err != nil {
		return err
	}
	if failure != nil {
		return fmt.Errorf("%s %s, so it catches nothing:\n%s", failure.Test, failure.How, out)
	}
	return nil
}

// try runs the tiers on a copy with the fault, in order.
func (c *campaign) try(ctx context.Context, m *mutant) outcome {
	o := outcome{Mutant: m.name, Fault: m.fault, Breaks: m.breaks, Caught: []caught{}}
	fail := func(err error) outcome {
		o.Error = err.Error()
		return o
	}
	changed, err := m.apply(c.root)
	if err != nil {
		return fail(err)
	}
	overlay, err := c.overlay(changed)
	if err != nil {
		return fail(err)
	}
	pkg, bin, cannot := "", "", ""
	for _, t := range m.tiersOf() {
		if why := t.missing(); why != "" {
			cannot = why
		}
		if c.skips(&t) {
			continue
		}
		if t.pkg != pkg {
			if bin, err = c.build(ctx, t.pkg, overlay); err != nil {
				return fail(err)
			}
			pkg = t.pkg
		}
		failure, _, err := c.runner.run(ctx, bin, &t)
		if err != nil {
			return fail(err)
		}
		if failure != nil {
			o.Caught = append(o.Caught, *failure)
			if !c.all {
				break
			}
		}
	}
	if len(o.Caught) == 0 && cannot != "" {
		o.NotTried = cannot
	} else if pkg == "" {
		o.NotTried = "none of its tiers is asked for"
	}
	return o
}

func (o *outcome) summary() string {
	switch {
	case o.Error != "":
		return "ERROR"
	case len(o.Caught) > 0:
		var tiers []string
		for _, c := range o.Caught {
			tiers = append(tiers, c.Tier+" "+c.test())
		}
		return strings.Join(tiers, ", ")
	case o.NotTried != "":
		return "not tried: " + o.NotTried
	}
	return "NOT CAUGHT"
}

// test names the test, and how it ended when it did not just fail.
func (c *caught) test() string {
	if c.How == "failed" {
		return c.Test
	}
	return strings.TrimSpace(c.Test + " (" + c.How + ")")
}

// exitCode is 0 when every fault that was tried is caught.
func exitCode(outcomes []outcome) int {
	code := 0
	for i := range outcomes {
		switch o := &outcomes[i]; {
		case o.Error != "":
			return 2
		case len(o.Caught) == 0 && o.NotTried == "":
			code = 1
		}
	}
	return code
}

// printTable prints a line for each fault, and the count.
func printTable(w io.Writer, outcomes []outcome) error {
	table := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(table, "caught by\ttest\twhat was wrong")
	tried, n := 0, 0
	for i := range outcomes {
		o := &outcomes[i]
		var by, test []string
		for _, c := range o.Caught {
			by = append(by, c.Tier)
			test = append(test, c.test())
		}
		if by == nil {
			by = []string{o.summary()}
		}
		fmt.Fprintf(table, "%s\t%s\t%s\n", strings.Join(by, " "), strings.Join(test, " "), o.Fault)
		if o.NotTried == "" {
			tried++
		}
		if len(o.Caught) > 0 {
			n++
		}
	}
	err := table.Flush()
	fmt.Fprintf(w, "\ncaught %d of %d", n, tried)
	if rest := len(outcomes) - tried; rest > 0 {
		fmt.Fprintf(w, ", %d not tried", rest)
	}
	_, e := fmt.Fprintln(w)
	return errors.Join(err, e)
}
