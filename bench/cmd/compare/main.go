// Command compare measures Ballast's engines, the stores that they replace and the disk itself, on the same work in the same run.
//
//	go run ./cmd/compare [--quick] [--dir FOLDER] [--only REGEXP] [--stores REGEXP] [--seed N]
//	                     [--json] [--html FILE] [--markdown FILE] [--svg FOLDER] [--from FILE]
//	                     [--reference FILE [--keep]]
//
// A table goes to standard output, with --json nothing but JSON; progress goes to standard error. --html writes one page with pictures that
// needs no network. --from shows a report that --json printed before, and measures nothing.
//
// --reference compares wal's ratios to the others with those that were kept in a file: one that is worse by more than a quarter is marked,
// and one that has become twice as bad, and stays so when it is measured twice more, makes the command fail. --keep measures and writes that file.
//
// Exit status: 0; 1 when something could not be measured or has become twice as bad; 2 for a wrong command line; 130 when interrupted.
package main

import (
	"cmp"
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
	"syscall"
	"time"

	"golang.org/x/term"

	"github.com/raft-ballast/ballast/bench/internal/compare"
	"github.com/raft-ballast/ballast/bench/internal/report"
)

// options are what the command line says.
type options struct {
	compare.Config
	json      bool
	html      string
	markdown  string
	svg       string
	from      string
	reference string
	keep      bool
}

func main() {
	o, err := parse(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		os.Exit(0)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "compare:", err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err = run(ctx, o, os.Stdout, os.Stderr)
	if ctx.Err() != nil {
		os.Exit(130)
	}
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "compare:", err)
		os.Exit(1)
	}
}

func parse(args []string) (o options, err error) {
	flags := flag.NewFlagSet("compare", flag.ContinueOnError)
	var only, names string
	flags.BoolVar(&o.Quick, "quick", false, "a minute instead of ten: fewer sizes, shorter turns")
	flags.StringVar(&o.Dir, "dir", "", "an existing `folder` on the disk to measure (default: the one for temporary files, or this one)")
	flags.StringVar(&only, "only", "", "measure just the workloads whose name matches this `regexp`, such as 'append|read'")
	flags.StringVar(&names, "stores", "", "measure just the stores whose whole name matches this `regexp`; the limit always takes part")
	flags.Uint64Var(&o.Seed, "seed", 1, "what entries and the order of turns are drawn from")
	flags.BoolVar(&o.json, "json", false, "print JSON instead of tables")
	flags.StringVar(&o.html, "html", "", "write a page with pictures to this `file`")
	flags.StringVar(&o.markdown, "markdown", "", "write the tables as Markdown to this `file`")
	flags.StringVar(&o.svg, "svg", "", "write the pictures to this `folder`; needs chromium")
	flags.StringVar(&o.from, "from", "", "show the report in this `file`, which --json has printed, and measure nothing")
	flags.StringVar(&o.reference, "reference", "", "compare with the ratios in this `file`")
	flags.BoolVar(&o.keep, "keep", false, "write the ratios to the file of --reference instead")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("%q is not understood; see --help", flags.Arg(0))
	}
	if o.keep && o.reference == "" {
		return o, errors.New("--keep needs --reference FILE")
	}
	if o.Only, err = regexp.Compile(only); err != nil {
		return o, fmt.Errorf("--only: %w", err)
	}
	if o.Stores, err = regexp.Compile("^(?:" + cmp.Or(names, ".*") + ")$"); err != nil {
		return o, fmt.Errorf("--stores: %w", err)
	}
	return o, nil
}

func run(ctx context.Context, o options, stdout, stderr io.Writer) error {
	r, err := take(ctx, o, stderr)
	if err != nil {
		return err
	}
	var worse error
	if o.reference != "" {
		if worse, err = against(ctx, o, r, stderr); err != nil {
			return err
		}
	}
	if err := show(ctx, o, r, stdout); err != nil {
		return err
	}
	return errors.Join(worse, r.Failures())
}

// take measures, or reads what was measured before.
func take(ctx context.Context, o options, stderr io.Writer) (*report.Report, error) {
	if o.from != "" {
		text, err := os.ReadFile(o.from)
		if err != nil {
			return nil, err
		}
		r := new(report.Report)
		if err := json.Unmarshal(text, r); err != nil {
			return nil, fmt.Errorf("%s: %w", o.from, err)
		}
		r.Goals = compare.Judge(r) // they may be others since
		return r, nil
	}
	var err error
	if o.Dir, err = compare.ChooseDir(o.Dir); err != nil {
		return nil, err
	}
	p := &progress{out: stderr}
	o.Progress = p.show
	defer p.end()
	r, err := compare.Run(ctx, o.Config)
	if err == nil && len(r.Workloads) == 0 && len(r.Ways) == 0 {
		err = fmt.Errorf("no workload is called like %q; without --only all are measured", o.Only)
	}
	return r, err
}

// measurements are how often something has to be twice as bad: what a machine does for a moment is over then.
const measurements = 3

// just returns the options to measure no more than some workloads.
func (o options) just(names []string) options {
	quoted := make([]string, len(names))
	for i, name := range names {
		quoted[i] = regexp.QuoteMeta(name)
	}
	o.Only = regexp.MustCompile("^(?:" + strings.Join(quoted, "|") + ")$")
	return o
}

// against compares with the reference, or keeps one. What looks twice as bad is measured again.
func against(ctx context.Context, o options, r *report.Report, stderr io.Writer) (worse, err error) {
	if o.keep {
		text, err := json.MarshalIndent(report.Reference{Machine: r.Machine, Ratios: r.Ratios()}, "", "  ")
		if err != nil {
			return nil, err
		}
		return nil, os.WriteFile(o.reference, append(text, '\n'), 0o644)
	}
	ref, err := report.ReadReference(o.reference)
	if err != nil {
		return nil, err
	}
	r.Compare(ref)
	failing := r.Failing()
	for n := 1; n < measurements && len(failing) > 0 && o.from == ""; n++ {
		fmt.Fprintf(stderr, "twice as bad as the reference, measured again: %s\n", strings.Join(failing, ", "))
		again, err := take(ctx, o.just(failing), stderr)
		if err != nil {
			return nil, err
		}
		r.Again(again)
		r.Compare(ref)
		failing = r.Failing()
	}
	if len(failing) > 0 {
		return fmt.Errorf("wal has become twice as bad beside others, each time that it was measured: %s", strings.Join(failing, ", ")), nil
	}
	return nil, nil
}

// show prints the report, and writes the files that were asked for.
func show(ctx context.Context, o options, r *report.Report, stdout io.Writer) error {
	print := r.WriteText
	if o.json {
		print = r.WriteJSON
	}
	errs := []error{print(stdout)}
	for path, write := range map[string]func(io.Writer) error{o.html: r.WriteHTML, o.markdown: r.WriteMarkdown} {
		if path != "" {
			errs = append(errs, writeFile(path, write))
		}
	}
	if o.svg != "" {
		_, err := r.WriteSVG(ctx, o.svg)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func writeFile(path string, write func(io.Writer) error) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(write(file), file.Close())
}

// progress is a line that is rewritten on a terminal; elsewhere there is a line for each thing that is done.
type progress struct {
	out   io.Writer
	last  string
	shown bool
}

func (p *progress) show(what string, done float64, left time.Duration) {
	line := fmt.Sprintf("%3.0f%%  %-44s about %v left", 100*done, what, left.Round(time.Second))
	if file, ok := p.out.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		fmt.Fprintf(p.out, "\r\x1b[K%s", line)
		p.shown = true
		return
	}
	if what != p.last {
		fmt.Fprintln(p.out, line)
		p.last = what
	}
}

func (p *progress) end() {
	if p.shown {
		fmt.Fprint(p.out, "\r\x1b[K")
	}
}
