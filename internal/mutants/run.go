package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// runner builds and runs tests.
type runner struct {
	root    string // of the module
	dir     string // for what is built
	timeout time.Duration
}

// moduleRoot returns where the module lies that the command is called in.
func moduleRoot(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return "", fmt.Errorf("looking for the module: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}

// caught is how a tier noticed a fault.
type caught struct {
	Tier string `json:"tier"`
	Test string `json:"test"` // the first that failed, "" when it did not say
	How  string `json:"how"`  // failed, panicked, or timed out
}

// overlay writes what a fault changes and returns the file that tells the compiler of it.
func (r *runner) overlay(changed map[string]string) (string, error) {
	replace := make(map[string]string)
	for file, text := range changed {
		to := filepath.Join(r.dir, strings.ReplaceAll(file, "/", "-"))
		if err := os.WriteFile(to, []byte(text), 0o600); err != nil {
			return "", err
		}
		replace[filepath.Join(r.root, filepath.FromSlash(file))] = to
	}
	b, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	name := filepath.Join(r.dir, "overlay.json")
	return name, os.WriteFile(name, b, 0o600)
}

// build makes the test binary of a package and returns its path.
func (r *runner) build(ctx context.Context, pkg, overlay string) (string, error) {
	bin := filepath.Join(r.dir, filepath.Base(pkg)+".test")
	args := []string{"test", "-c", "-o", bin}
	if overlay != "" {
		args = append(args, "-overlay", overlay)
	}
	cmd := exec.CommandContext(ctx, "go", append(args, pkg)...)
	cmd.Dir = r.root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("it does not compile: %w\n%s", err, out)
	}
	return bin, nil
}

// run runs a tier. It returns nil when all its tests pass, and an error when that cannot be told.
func (r *runner) run(ctx context.Context, bin string, t *tier) (*caught, []byte, error) {
	args := append(t.filter(), "-test.failfast", "-test.timeout="+r.timeout.String())
	cmd := exec.CommandContext(ctx, bin, args...)
	cmd.Dir = filepath.Join(r.root, filepath.FromSlash(t.pkg))
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		return nil, out, context.Cause(ctx)
	}
	// One that was ended by a signal has not failed: somebody had no memory left.
	if exit, ok := errors.AsType[*exec.ExitError](err); err != nil && (!ok || !exit.Exited()) {
		return nil, out, fmt.Errorf("running the tests: %w", err)
	}
	switch {
	case bytes.Contains(out, []byte("testing: warning: no tests to run")):
		return nil, out, fmt.Errorf("the tier %s has no tests", t.name)
	case err == nil:
		return nil, out, nil
	}
	c := readFailure(out)
	c.Tier = t.name
	return c, out, nil
}

// list returns the names of the tests in a binary that an expression matches.
func (r *runner) list(ctx context.Context, bin, expression string) ([]string, error) {
	name, _, _ := strings.Cut(expression, "/") // without the names of subtests
	out, err := exec.CommandContext(ctx, bin, "-test.list="+name).Output()
	return strings.Fields(string(out)), err
}

var (
	failedTest  = regexp.MustCompile(`(?m)^\s*--- FAIL: (\S+)`)
	runningTest = regexp.MustCompile(`(?m)^\s*((?:Test|Fuzz)\S+) \(`)
	stackTest   = regexp.MustCompile(`\.((?:Test|Fuzz)\w+)[.(]`)
)

// readFailure reads what a test binary that failed has printed.
func readFailure(out []byte) *caught {
	c := &caught{How: "failed"}
	test := failedTest
	switch {
	case bytes.Contains(out, []byte("panic: test timed out after")):
		c.How, test = "timed out", runningTest
	case bytes.Contains(out, []byte("\npanic: ")) || bytes.HasPrefix(out, []byte("panic: ")) || bytes.Contains(out, []byte("fatal error: ")):
		c.How = "panicked"
		if !failedTest.Match(out) {
			test = stackTest
		}
	}
	if found := test.FindSubmatch(out); found != nil {
		c.Test = string(found[1])
	}
	return c
}
