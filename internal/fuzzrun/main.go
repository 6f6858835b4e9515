// Command fuzzrun runs every fuzz target of the module in the current directory, one after the other.
//
//	go run ./internal/fuzzrun [-fuzztime 60s] [-only REGEXP] [-parallel N] [PACKAGES]
//
// It prints a line for each target: how often it ran, how many inputs were new and interesting, and whether one crashed. What a
// crash was found with is kept by the go command under testdata/fuzz, where later runs of the tests find it. The command fails when there
// was one.
package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// target is one fuzz target.
type target struct {
	pkg, name string

	executions         int64
	interesting, total int64 // new inputs, and all that are kept
	crashed            bool
	told               string // what the go command said of the crash
}

func main() {
	fuzztime := flag.Duration("fuzztime", time.Minute, "how long each target runs")
	only := flag.String("only", "", "just the targets whose name matches this regular expression")
	parallel := flag.Int("parallel", 0, "processes at once (default: as many as the machine has processors)")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	crashes, err := run(ctx, *fuzztime, *only, *parallel, flag.Args())
	if err != nil {
		fmt.Fprintln(os.Stderr, "fuzzrun:", err)
	}
	if err != nil || crashes > 0 {
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, fuzztime time.Duration, only string, parallel int, pkgs []string) (crashes int, err error) {
	chosen, err := regexp.Compile(only)
	if err != nil {
		return 0, fmt.Errorf("-only: %w", err)
	}
	if len(pkgs) == 0 {
		pkgs = []string{"./..."}
	}
	list, err := exec.CommandContext(ctx, "go", append([]string{"test", "-list", "^Fuzz"}, pkgs...)...).CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("listing the targets: %w\n%s", err, list)
	}
	var targets []target
	for _, t := range parseList(list) {
		if !chosen.MatchString(t.name) {
			continue
		}
		fmt.Fprintf(os.Stderr, "%s of %s, %v\n", t.name, t.pkg, fuzztime)
		if err := t.run(ctx, fuzztime, parallel); err != nil {
			return crashes, err
		}
		if t.crashed {
			crashes++
			fmt.Fprintln(os.Stderr, t.told)
		}
		targets = append(targets, t)
	}
	if err := printTable(os.Stdout, targets); err != nil {
		return crashes, err
	}
	if len(targets) == 0 {
		return 0, errors.New("there is no such target")
	}
	for _, t := range targets {
		if t.executions == 0 && !t.crashed {
			return crashes, fmt.Errorf("%s of %s has not come to run in its time; give it more", t.name, t.pkg)
		}
	}
	return crashes, nil
}

// parseList reads what go test -list prints: the names of a package's targets, then the package.
func parseList(out []byte) (targets []target) {
	var names []string
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		switch {
		case len(fields) == 1 && strings.HasPrefix(fields[0], "Fuzz"):
			names = append(names, fields[0])
		case len(fields) >= 2 && fields[0] == "ok":
			for _, name := range names {
				targets = append(targets, target{pkg: fields[1], name: name})
			}
			names = nil
		}
	}
	return targets
}

// run fuzzes one target. A crash is no error.
func (t *target) run(ctx context.Context, fuzztime time.Duration, parallel int) error {
	args := []string{"test", t.pkg, "-run", "^$", "-fuzz", "^" + t.name + "$", "-fuzztime", fuzztime.String(),
		"-fuzzminimizetime", "100x"} // by default a single large input takes a minute
	if parallel > 0 {
		args = append(args, "-parallel", strconv.Itoa(parallel))
	}
	cmd := exec.CommandContext(ctx, "go", args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	t.read(out.String())
	if err != nil && !outOfTime(out.String()) {
		t.crashed, t.told = true, out.String()
	}
	return nil
}

// outOfTime reports whether a target failed only because its time was over while an input was tried, as the go command does now and
// then.
func outOfTime(out string) bool {
	return strings.Contains(out, "    context deadline exceeded\nFAIL\n") && !written.MatchString(out)
}

var progress = regexp.MustCompile(`execs: (\d+).*new interesting: (\d+) \(total: (\d+)\)`)

// read takes the figures from what the go command prints every few seconds; the last ones count.
func (t *target) read(out string) {
	for _, m := range progress.FindAllStringSubmatch(out, -1) {
		t.executions, _ = strconv.ParseInt(m[1], 10, 64) // digits
		t.interesting, _ = strconv.ParseInt(m[2], 10, 64)
		t.total, _ = strconv.ParseInt(m[3], 10, 64)
	}
}

var written = regexp.MustCompile(`Failing input written to (\S+)`)

func printTable(to io.Writer, targets []target) error {
	w := bufio.NewWriter(to)
	row := "%-58s %-20s %12v %16v %8v  %s\n"
	fmt.Fprintf(w, row, "package", "target", "executions", "new interesting", "total", "crashes")
	crashes, executions := 0, int64(0)
	for _, t := range targets {
		crash := "0"
		if t.crashed {
			crashes++
			crash = "1"
			if m := written.FindStringSubmatch(t.told); m != nil {
				crash += ", kept as " + m[1] + " in the package"
			}
		}
		executions += t.executions
		fmt.Fprintf(w, row, t.pkg, t.name, t.executions, t.interesting, t.total, crash)
	}
	fmt.Fprintf(w, "%d targets, %d executions, %d crashes\n", len(targets), executions, crashes)
	return w.Flush()
}
