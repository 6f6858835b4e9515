package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/cli/demo"
	"github.com/raft-ballast/ballast/wal"
)

const (
	defaultSeconds = 20
	minSeconds     = 3
	maxSeconds     = 300
	defaultWriters = 32
	maxWriters     = 1024
	maxGroups      = 64

	peerCommand = "demo-peer"
)

type demoFlags struct {
	engine  string
	seconds int
	dir     string
	keep    bool
	json    bool
	seed    uint64
	writers int
	metrics string
	groups  int
}

const demoLong = `Three raft peers, each a process of its own, replicate a key-value state over TCP on this machine and
keep their logs in Ballast. A client writes, and remembers what was acknowledged. Meanwhile the leader
is killed with SIGKILL, then a follower, then all three at once, again and again, and restarted from disk.
At the end every peer is asked for every acknowledged write, and all peers have to agree.

Without --dir the demo uses a temporary folder and removes it at the end; after a failure it stays.
With --dir of an earlier demo of the same engine the demo goes on there, and checks what the earlier
runs had acknowledged too. Such a folder is never removed.

With --groups each process has so many raft groups, all of them on one wal, and leads about a third of
them; every group is checked.

With --json the result is one object: among others engine, groups, acknowledged, recovered, lost, agree, kills,
writes_per_second, p50_us, p99_us, bytes_on_disk and seed; the events go to standard error.

Exit status: 0, 1 when a write was lost, peers disagree or the demo failed, 64 for a wrong command line.`

func newDemo(s streams) *cobra.Command {
	var f demoFlags
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Kill a raft cluster in the middle of writing, and check that nothing acknowledged is lost",
		Long:  demoLong,
		Example: "  ballast demo\n  ballast demo --engine bolt --seconds 60 --dir /tmp/demo --keep\n  ballast demo --groups 16\n" +
			"  ballast demo --json | jq '{acknowledged, recovered, lost}'",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !cmd.Flags().Changed("seed") {
				f.seed = uint64(rand.Uint32()) // short to type, and exact in any reader of JSON
			}
			if !cmd.Flags().Changed("writers") {
				f.writers = max(f.writers, f.groups)
			}
			return runDemo(cmd.Context(), s, f)
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&f.engine, "engine", defaultEngine, "what keeps the log: "+durableNames())
	flags.IntVar(&f.seconds, "seconds", defaultSeconds, "how long to write; five kills each ten seconds, at least five")
	flags.StringVar(&f.dir, "dir", "", "folder of the peers, new or of an earlier demo (default a temporary one)")
	flags.BoolVar(&f.keep, "keep", false, "keep the temporary folder")
	flags.BoolVar(&f.json, "json", false, "print the result as one line of JSON, and the events on standard error")
	flags.Uint64Var(&f.seed, "seed", 0, "of the moments of the kills and of the values (default random)")
	flags.IntVar(&f.writers, "writers", defaultWriters, "how many goroutines write")
	flags.StringVar(&f.metrics, "metrics", "", "host:port where the first peer shows metrics to Prometheus, the others at the next two ports; port 0 takes free ones")
	flags.IntVar(&f.groups, "groups", 1, "how many raft groups each peer has, on one wal")
	return cmd
}

// demoStores are the stores of a peer of a demo, which shows its metrics at an address; nowhere when that is empty.
func demoStores(e engine, groups int, metrics string) demo.Stores {
	return demo.Stores{
		Groups:     groups,
		Open:       func(dir string) (ballast.Store, error) { return e.openObserved(dir, metrics) },
		OpenGroups: func(dir string) (*wal.Groups, error) { return e.openGroupsObserved(dir, metrics) },
	}
}

func (f *demoFlags) check() (engine, error) {
	e, err := durableEngine(f.engine)
	switch {
	case err != nil:
		return e, err
	case f.seconds < minSeconds || f.seconds > maxSeconds:
		return e, usagef("--seconds is %d; give %d to %d", f.seconds, minSeconds, maxSeconds)
	case f.groups < 1 || f.groups > maxGroups:
		return e, usagef("--groups is %d; give 1 to %d", f.groups, maxGroups)
	case f.groups > 1 && e.name != defaultEngine:
		return e, usagef("raft groups share a log only in a wal; leave out --engine %s, or --groups", e.name)
	case f.writers < f.groups && f.writers >= 1:
		return e, usagef("--writers is %d and --groups is %d; give at least a writer for each group", f.writers, f.groups)
	case f.writers < 1 || f.writers > maxWriters:
		return e, usagef("--writers is %d; give 1 to %d", f.writers, maxWriters)
	}
	return e, nil
}

func runDemo(ctx context.Context, s streams, f demoFlags) error {
	e, err := f.check()
	if err != nil {
		return err
	}
	metrics, err := metricsAddrs(f.metrics)
	if err != nil {
		return err
	}
	ctx, ended := interruptible(ctx)
	defer ended()
	dir, remove, err := demoDir(f)
	if err != nil {
		return err
	}
	executable, err := os.Executable()
	if err != nil {
		return fmt.Errorf("cannot find this program to start the peers with: %w", err)
	}
	show := newProgress(s, f.json)
	show.head = fmt.Sprintf("ballast demo: engine %s, %d s of writing, seed %d, folder %s", e.name, f.seconds, f.seed, dir) + metricsHint(metrics)
	report, err := demo.Run(ctx, demo.Config{
		Engine:  e.name,
		Dir:     dir,
		Length:  time.Duration(f.seconds) * time.Second,
		Writers: f.writers,
		Seed:    f.seed,
		Command: func(id, dir string, addrs map[string]string) *exec.Cmd {
			return exec.Command(executable, peerArgs(e.name, id, dir, metrics[id], f.groups, addrs)...)
		},
		Stores:   demoStores(e, f.groups, ""),
		Progress: show,
	})
	show.finish()
	if ctx.Err() != nil && report == nil {
		err := errors.Join(errors.New("the demo was interrupted and its peers are stopped; start it again"), remove())
		if f.keep {
			err = keptHint(err, f, dir)
		}
		return err
	}
	if err != nil {
		return keptHint(err, f, dir)
	}
	if err := printReport(s.out, report, f.json); err != nil {
		return err
	}
	if !report.Good() {
		return keptHint(badReport(report), f, dir)
	}
	return remove()
}

// interruptible returns a context that ends when this process is asked to end, or nobody reads its output any
// more, so that it can clean up.
func interruptible(ctx context.Context) (context.Context, context.CancelFunc) {
	// While this one is in force, writing to a closed pipe is an error and does not end the process.
	ctx, stopPipe := signal.NotifyContext(ctx, syscall.SIGPIPE)
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	context.AfterFunc(ctx, stop) // so that a second Ctrl-C ends this process at once
	return ctx, func() {
		stop()
		stopPipe()
	}
}

func peerArgs(engine, id, dir, metrics string, groups int, addrs map[string]string) []string {
	args := []string{peerCommand, "--engine", engine, "--id", id, "--dir", dir, "--metrics", metrics, "--groups", strconv.Itoa(groups)}
	for _, other := range demo.PeerIDs {
		args = append(args, "--peer", other+"="+addrs[other])
	}
	return args
}

// demoDir returns the folder, and what to do with it at a good end.
func demoDir(f demoFlags) (dir string, remove func() error, err error) {
	if f.dir != "" {
		dir, err = filepath.Abs(f.dir)
		return dir, func() error { return nil }, err
	}
	dir, err = os.MkdirTemp("", "ballast-demo-")
	if err != nil {
		return "", nil, fmt.Errorf("cannot make a temporary folder: %w; give a --dir", err)
	}
	if f.keep {
		return dir, func() error { return nil }, nil
	}
	return dir, func() error { return os.RemoveAll(dir) }, nil
}

// keptHint says where to look. A folder in which nothing was made yet is not worth it.
func keptHint(err error, f demoFlags, dir string) error {
	if f.dir != "" {
		return err
	}
	return fmt.Errorf("%w; the peers' folders and logs are kept in %s", err, dir)
}

func badReport(r *demo.Report) error {
	why := "the peers disagree"
	if r.Lost > 0 {
		why = fmt.Sprintf("%s acknowledged writes are lost", demo.Thousands(r.Lost))
		if r.Lost == 1 {
			why = "1 acknowledged write is lost"
		}
	}
	if len(r.Problems) > 0 {
		why += " (" + r.Problems[0] + ")"
	}
	return errors.New(why)
}

func printReport(w io.Writer, r *demo.Report, asJSON bool) error {
	if asJSON {
		return writeJSON(w, r)
	}
	return writeTable(w, r)
}
