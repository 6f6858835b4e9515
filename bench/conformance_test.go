package bench

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	raftwal "github.com/hashicorp/raft-wal"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/raft-ballast/ballast/badgerstore"
	"github.com/raft-ballast/ballast/boltstore"
	"github.com/raft-ballast/ballast/memstore"
	"github.com/raft-ballast/ballast/storetest"
	"github.com/raft-ballast/ballast/wal"
)

var update = flag.Bool("update", false, "write docs/CONFORMANCE.md anew, instead of comparing with it")

const (
	// storeEnv names the store that a child process tests.
	storeEnv = "BALLAST_CONFORMANCE_STORE"

	// childHang is when a call of a peer is given up, and childLimit when its process is.
	childHang  = 5 * time.Second
	childLimit = 45 * time.Second

	atOnce = 2 // processes
)

// candidate is a store with everything that it is allowed to do in its own way.
type candidate struct {
	name    string
	module  string // whose version is measured; "" for Ballast's own
	open    storetest.OpenFunc
	options []storetest.Option
	allowed string // the options, for people
}

// candidates are the columns of the table.
var candidates = []candidate{
	{
		name: "wal",
		open: func(_ *testing.T, dir string) (storetest.Store, error) { return wal.Open(dir, nil) },
	},
	{
		name: "boltstore",
		open: func(_ *testing.T, dir string) (storetest.Store, error) {
			return boltstore.Open(filepath.Join(dir, "raft.db"), nil)
		},
	},
	{
		name: "badgerstore",
		open: func(_ *testing.T, dir string) (storetest.Store, error) { return badgerstore.Open(dir, nil) },
	},
	{
		name:    "memstore",
		open:    func(*testing.T, string) (storetest.Store, error) { return memstore.New(), nil },
		options: []storetest.Option{storetest.Volatile()},
		allowed: "Volatile",
	},
	{
		name:   "raft-boltdb",
		module: "github.com/hashicorp/raft-boltdb/v2",
		open: func(_ *testing.T, dir string) (storetest.Store, error) {
			return raftboltdb.NewBoltStore(filepath.Join(dir, "raft.db"))
		},
		options: []storetest.Option{
			storetest.MaxEntryBytes(0),
			storetest.ClosedError(bolterrors.ErrDatabaseNotOpen),
			storetest.LockedError(bolterrors.ErrTimeout),
			storetest.HangLimit(childHang),
		},
		allowed: "MaxEntryBytes(0), ClosedError, LockedError",
	},
	{
		name:   "raft-wal",
		module: "github.com/hashicorp/raft-wal",
		open:   func(_ *testing.T, dir string) (storetest.Store, error) { return raftwal.Open(dir) },
		options: []storetest.Option{
			storetest.RefusesGaps(),
			storetest.RefusesMiddleDeletes(),
			storetest.MissingKeyIsNil(),
			storetest.NumbersApart(),
			storetest.MaxEntryBytes(0),
			storetest.ClosedError(raftwal.ErrClosed),
			storetest.LockedError(bolterrors.ErrTimeout),
			storetest.HangLimit(childHang),
		},
		allowed: "RefusesGaps, RefusesMiddleDeletes, MissingKeyIsNil, NumbersApart, MaxEntryBytes(0), ClosedError, LockedError",
	},
	{
		name:   "InmemStore",
		module: "github.com/hashicorp/raft",
		open:   func(*testing.T, string) (storetest.Store, error) { return raft.NewInmemStore(), nil },
		options: []storetest.Option{
			storetest.Volatile(),
			storetest.MissingKeyIsNil(),
			storetest.NumbersApart(),
			storetest.MaxEntryBytes(0),
			storetest.ClosedError(errors.New("raft.InmemStore cannot be closed")),
			storetest.HangLimit(childHang),
		},
		allowed: "Volatile, MissingKeyIsNil, NumbersApart, MaxEntryBytes(0), ClosedError",
	},
}

// TestCandidate is what a child process runs: the suite on one store, down to the promise that -test.run asks for.
func TestCandidate(t *testing.T) {
	for _, c := range candidates {
		if c.name == os.Getenv(storeEnv) {
			storetest.Run(t, c.open, c.options...)
		}
	}
}

// Outcomes of a promise.
const (
	keeps      = "ok"
	fails      = "FAILS"
	hangs      = "hangs"
	panics     = "panics"
	mostly     = "mostly" // by chance it is not kept, which is known
	notOffered = "–"      // optional, and the store has not got it
)

// result is what became of a promise of a store.
type result struct {
	outcome string
	message string // the first line of why it is not kept
}

// TestConformance runs the suite on Ballast's engines and on the stores that they replace, and compares what each keeps with
// docs/CONFORMANCE.md. Each promise has a process of its own, because some of the stores hang or panic.
func TestConformance(t *testing.T) {
	names := storetest.Names()
	results := make([][]result, len(names)) // as names, then as candidates
	places := make(chan struct{}, atOnce)
	var wg sync.WaitGroup
	for i, name := range names {
		results[i] = make([]result, len(candidates))
		for j := range candidates {
			places <- struct{}{}
			wg.Go(func() {
				defer func() { <-places }()
				results[i][j] = prove(t, &candidates[j], name)
			})
		}
	}
	wg.Wait()
	for j, c := range candidates {
		for i, name := range names {
			r := results[i][j]
			if bad := r.outcome != keeps && r.outcome != notOffered; bad && c.module == "" {
				t.Errorf("%s: %s: %s: %s", c.name, name, r.outcome, r.message)
			} else if _, explained := meanings[c.name][name]; bad != explained {
				t.Errorf("%s: %s: the outcome is %q (%s), and meanings has it: %v", c.name, name, r.outcome, r.message, explained)
			}
		}
	}
	checkDoc(t, names, results)
}

// prove runs one promise on one store in a process of its own.
func prove(t *testing.T, c *candidate, name string) result {
	ctx, cancel := context.WithTimeout(t.Context(), childLimit)
	defer cancel()
	group, promise, _ := strings.Cut(name, "/")
	run := fmt.Sprintf("^TestCandidate$/^%s$/^%s$", regexp.QuoteMeta(group), regexp.QuoteMeta(promise))
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run="+run, "-test.v", "-rapid.nofailfile", "-rapid.shrinktime=1s", "-rapid.seed=1")
	cmd.Env = append(os.Environ(), storeEnv+"="+c.name)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	if ctx.Err() != nil {
		return result{hangs, fmt.Sprintf("no end after %v", childLimit)}
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Errorf("%s: %s: %v", c.name, name, err)
	}
	r := judge(out.String())
	if chancy[c.name][name] && (r.outcome == keeps || r.outcome == fails) {
		r = result{mostly, "in one run of many something else comes back"}
	}
	return r
}

var (
	panicLine   = regexp.MustCompile(`(?m)(?:^panic: |^fatal error: |the store panicked: )(.*)$`)
	messageLine = regexp.MustCompile(`(?m)^ +\w+\.go:\d+: (.*)$`)
	hangLine    = regexp.MustCompile(`did not return within|no leader after`)
	resultLine  = regexp.MustCompile(`(?m)^        --- (PASS|FAIL|SKIP): `)
)

// judge reads what the child has written. The line of the promise itself is the third level of its tests.
func judge(out string) result {
	if m := panicLine.FindStringSubmatch(out); m != nil {
		return result{panics, m[1]}
	}
	m := resultLine.FindStringSubmatch(out)
	if m == nil {
		return result{fails, "the process has said: " + out}
	}
	switch m[1] {
	case "PASS":
		return result{outcome: keeps}
	case "SKIP":
		return result{outcome: notOffered}
	}
	var said string
	if m := messageLine.FindStringSubmatch(out); m != nil {
		said = m[1]
	}
	if hangLine.MatchString(out) {
		return result{hangs, said}
	}
	return result{fails, said}
}
