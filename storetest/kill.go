package storetest

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast"
)

// What RunKilled hands to the process that it kills.
const (
	killDirEnv  = "BALLAST_STORETEST_KILL_DIR"
	killSeedEnv = "BALLAST_STORETEST_KILL_SEED"
	killFromEnv = "BALLAST_STORETEST_KILL_FROM" // the first operation to do
)

// RunKilled proves that what a store has acknowledged outlives its process: it runs the calling test once more in a
// process of its own, in which random calls are made one after the other, kills that process, opens the store, and
// compares it with the model. The call that the kill has met may be there as a whole or not at all; anything else is a
// failure. It goes on from there, rounds times; the seed is printed.
//
// It has to be the first thing that a test function does, and that function may not call t.Parallel. A kill leaves the page
// cache as it is, so this says nothing about syncs.
func RunKilled(t *testing.T, open OpenFunc, rounds int, opts ...Option) {
	t.Helper()
	cfg := newConfig(opts)
	if dir := os.Getenv(killDirEnv); dir != "" {
		killed(t, open, cfg, dir)
		return
	}
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv(killSeedEnv); s != "" {
		seed, _ = strconv.ParseUint(s, 10, 64)
	}
	t.Logf("%s=%d repeats the same calls and the same kills", killSeedEnv, seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	e := &env{reporter: t, t: t, cfg: cfg, dir: t.TempDir(), open: open, model: newModel()}
	done := uint64(0) // operations that the model has done
	for round := range rounds {
		acknowledged := killOnce(t, e.dir, seed, done, 1+rng.IntN(120))
		for ; done < acknowledged; done++ {
			e.modelDo(nextOp(e, seed, done))
		}
		e.start()
		if err := e.sameAs("without the call that was cut off"); err != nil {
			e.modelDo(nextOp(e, seed, done))
			done++
			if with := e.sameAs("with the call that was cut off"); with != nil {
				t.Fatalf("round %d, killed after call %d was acknowledged: the store is in neither state:\n%v\n%v", round, acknowledged, err, with)
			}
		}
		if err := e.closeStore(); err != nil {
			t.Fatalf("Close: %v", err)
		}
	}
}

// killOnce runs the child, kills it when it has acknowledged so many calls, and returns how many it has
// acknowledged in all of its life and before.
func killOnce(t *testing.T, dir string, seed, from uint64, calls int) uint64 {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), killDirEnv+"="+dir, fmt.Sprintf("%s=%d", killSeedEnv, seed), fmt.Sprintf("%s=%d", killFromEnv, from))
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatalf("starting the process to kill: %v", err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("starting the process to kill: %v", err)
	}
	defer func() { _ = cmd.Wait() }()
	acknowledged, said := from, []string{}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		number, ok := strings.CutPrefix(lines.Text(), "acknowledged ")
		if !ok {
			said = append(said, lines.Text())
			continue
		}
		if acknowledged, err = strconv.ParseUint(number, 10, 64); err != nil {
			t.Fatalf("the process to kill said %q", lines.Text())
		}
		if calls--; calls == 0 {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatalf("killing the process: %v", err)
			}
		}
	}
	if calls > 0 {
		t.Fatalf("the process to kill ended by itself:\n%s\n%s", strings.Join(said, "\n"), stderr.String())
	}
	return acknowledged
}

// killed is the child: it does one call after the other until it is killed.
func killed(t *testing.T, open OpenFunc, cfg *config, dir string) {
	seed, err := strconv.ParseUint(os.Getenv(killSeedEnv), 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", killSeedEnv, err)
	}
	from, err := strconv.ParseUint(os.Getenv(killFromEnv), 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", killFromEnv, err)
	}
	e := &env{reporter: t, t: t, cfg: cfg, dir: dir, open: open, model: newModel()}
	for i := range from {
		e.modelDo(nextOp(e, seed, i))
	}
	e.start()
	for i := from; ; i++ {
		e.do(nextOp(e, seed, i))
		fmt.Printf("acknowledged %d\n", i+1)
	}
}

// op is one call.
type op struct {
	logs     []*raft.Log
	min, max uint64 // DeleteRange, when max is not 0
	key      string // Set, when it is not empty
	value    []byte
	commit   uint64 // staged before logs are stored, when it is not 0
}

// nextOp makes the i-th call, which depends on nothing but the seed and what the calls before it have left.
func nextOp(e *env, seed, i uint64) op {
	rng := rand.New(rand.NewPCG(seed, i+1))
	first, last := e.bounds()
	length := last - first + 1
	switch kind := rng.IntN(10); {
	case kind == 0:
		return op{key: []string{"CurrentTerm", "LastVoteTerm", "x"}[rng.IntN(3)], value: uint64Bytes(i)}
	case kind == 1 && last > 0: // a conflict
		return op{min: last - min(last-first, rng.Uint64N(4)), max: last}
	case kind == 2 && length > 60: // a compaction
		return op{min: first, max: first + rng.Uint64N(length-20)}
	}
	o := op{logs: entries(last+1, last+1+rng.Uint64N(8), i)}
	if rng.IntN(4) == 0 {
		o.logs = append(o.logs, sized(o.logs[len(o.logs)-1].Index+1, i, rng.IntN(100_000)))
	}
	if rng.IntN(3) == 0 {
		o.commit = last + 1
	}
	return o
}

// do does a call to the store and to the model.
func (e *env) do(o op) {
	e.Helper()
	switch {
	case o.key != "":
		e.set(o.key, o.value)
	case o.max != 0:
		e.deleteRange(o.min, o.max)
	default:
		if _, ok := e.store.(ballast.CommitTracker); ok && o.commit != 0 {
			e.stage(o.commit)
		}
		e.put(o.logs...)
	}
}

// modelDo does a call to the model only.
func (e *env) modelDo(o op) {
	switch {
	case o.key != "":
		e.model.set(o.key, o.value)
	case o.max != 0:
		e.modelDelete(o.min, o.max)
	default:
		if o.commit != 0 {
			e.model.staged = &o.commit
		}
		e.modelPut(o.logs)
	}
}

// sameAs compares as compare does, and returns the difference.
func (e *env) sameAs(when string) (err error) {
	inner := *e
	inner.reporter = raiser{e.t}
	defer func() {
		if p := recover(); p != nil {
			failed, ok := p.(difference)
			if !ok {
				panic(p)
			}
			err = failed
		}
	}()
	inner.compare(when)
	return nil
}

// difference is an error that raiser panics with.
type difference struct{ error }

// raiser is a reporter whose Fatalf ends sameAs, not the test.
type raiser struct{ *testing.T }

func (raiser) Fatalf(format string, args ...any) { panic(difference{fmt.Errorf(format, args...)}) }
