package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/badgerstore"
	"github.com/raft-ballast/ballast/boltstore"
	"github.com/raft-ballast/ballast/internal/loopfs"
	"github.com/raft-ballast/ballast/wal"
)

var (
	lengthFlag = flag.Duration("for", 0, "how long TestCluster disturbs the cluster; 0: each disturbance once")
	seedFlag   = flag.Uint64("seed", 0, "of the disturbances and of what clients do; 0: a new one")
	engineFlag = flag.String("engine", "wal", "of the peers of TestCluster")
)

// engines open a store in a peer's folder.
var engines = map[string]func(dir string) (ballast.Store, error){
	"wal": func(dir string) (ballast.Store, error) {
		// Small segments, so that there are many.
		return wal.Open(filepath.Join(dir, "wal"), &wal.Options{SegmentBytes: 1 << 20})
	},
	"bolt":   func(dir string) (ballast.Store, error) { return boltstore.Open(filepath.Join(dir, "raft.db"), nil) },
	"badger": func(dir string) (ballast.Store, error) { return badgerstore.Open(filepath.Join(dir, "badger"), nil) },

	// forgetful has lost everything when it is opened.
	"forgetful": func(dir string) (ballast.Store, error) {
		for _, name := range []string{"wal", "snapshots"} {
			if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
				return nil, err
			}
		}
		return wal.Open(filepath.Join(dir, "wal"), nil)
	},
}

const diskBytes = 64 << 20

var (
	errNotLinearizable = errors.New("the history is not linearizable")
	errDisagree        = errors.New("the peers disagree")
)

func TestMain(m *testing.M) {
	if config := os.Getenv(peerVariable); config != "" {
		var cfg peerConfig
		err := json.Unmarshal([]byte(config), &cfg)
		if err == nil {
			err = servePeer(cfg)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// TestCluster cuts, kills and fills, and then asks whether anything was lost.
func TestCluster(t *testing.T) {
	seed := *seedFlag
	if seed == 0 {
		seed = uint64(rand.Uint32())
	}
	t.Logf("seed %d, engine %s", seed, *engineFlag)
	if engines[*engineFlag] == nil {
		t.Fatalf("there is no engine %q; use one of %v", *engineFlag, slices.Sorted(maps.Keys(engines)))
	}
	r := newRun(t, *engineFlag, seed)
	todo := steps
	switch missing := loopfs.Missing(loopfs.Ext4); {
	case missing != "":
		t.Logf("without the full disk: no ext4: %s", missing)
	case *engineFlag != "wal":
		t.Log("without the full disk: raft panics when its store has no space for a term, and only wal keeps some back for that")
	default:
		r.giveDisks(t)
		todo = slices.Concat(steps, diskSteps)
	}
	if err := r.run(t.Context(), todo, *lengthFlag); err != nil {
		t.Fatalf("seed %d: %v", seed, err)
	}
	t.Log(r.count)
}

// TestForgetfulStore runs the same on a store that loses what it has acknowledged, which has to be noticed.
func TestForgetfulStore(t *testing.T) {
	t.Parallel()
	r := newRun(t, "forgetful", 1)
	killLater := func(r *run, ctx context.Context) error {
		// By then the first registers are left, and nobody writes them anew.
		if err := r.progress(ctx, windowOperations); err != nil {
			return err
		}
		return r.killAll(ctx)
	}
	err := r.run(t.Context(), []step{{"kill all", killLater}}, 0)
	if !errors.Is(err, errNotLinearizable) {
		t.Errorf("everything was lost, and: %v", err)
	}
}

// run is one cluster, and what is done to it.
type run struct {
	folder  string // of everything that stays when the run fails
	procs   *processes
	network *network
	clients *clients
	rng     *rand.Rand
	disks   map[string]*disk // by peer; none when there is no disk to fill
	count   counts
	logf    func(format string, args ...any)
}

// counts are what a run was.
type counts struct {
	seconds                     float64
	operations                  int
	ok, failed, unknown         int
	partitions, kills           int
	fullDisks                   int
	noSpace                     uint64
	terms, leaders              int
	snapshots, installed, freed uint64
	entries                     int
	linearizable                bool
}

func (c counts) String() string {
	return fmt.Sprintf(`%.1f s
operations %d: %d ok, %d failed, %d unknown
partitions %d, kills %d, full disks %d with %d appends that failed
terms with writes %d, peers that led %d
snapshots %d, sent to a follower %d, entries compacted %d
entries read back from the stopped peers %d
linearizable %v`, c.seconds, c.operations, c.ok, c.failed, c.unknown, c.partitions, c.kills, c.fullDisks, c.noSpace,
		c.terms, c.leaders, c.snapshots, c.installed, c.freed, c.entries, c.linearizable)
}

func newRun(t *testing.T, engine string, seed uint64) *run {
	t.Helper()
	folder, err := os.MkdirTemp("", "ballast-cluster-")
	if err != nil {
		t.Fatal(err)
	}
	r := &run{folder: folder, rng: rand.New(rand.NewPCG(seed, 0)), disks: map[string]*disk{}, logf: t.Logf}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("what is left of the run is in %s", folder)
			return
		}
		if err := os.RemoveAll(folder); err != nil {
			t.Error(err)
		}
	})
	if r.network, err = newNetwork(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.network.close)
	dirs := map[string]string{}
	for _, id := range peerIDs {
		dirs[id] = filepath.Join(folder, id)
		if err := os.Mkdir(dirs[id], 0o755); err != nil {
			t.Fatal(err)
		}
	}
	r.procs = newProcesses(folder, dirs, engine, r.network)
	r.clients = newClients(r.procs, seed)
	return r
}

// giveDisks moves each peer to a small disk of its own.
func (r *run) giveDisks(t *testing.T) {
	t.Helper()
	for _, id := range peerIDs {
		r.disks[id] = &disk{dir: loopfs.ForTest(t, loopfs.Ext4, diskBytes)}
		r.procs.dirs[id] = r.disks[id].dir
	}
}

// run does what a test is about. No process is left when it returns.
func (r *run) run(ctx context.Context, todo []step, length time.Duration) error {
	begin := time.Now()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	r.procs.fail = cancel
	defer r.procs.Kill(peerIDs...)
	index, err := r.disturbAndSettle(ctx, todo, length)
	if err == nil {
		if err = r.procs.Stop(); err == nil {
			r.count.entries, err = leftovers(r.procs.engine, r.procs.dirs, index)
		}
	}
	// What clients saw counts however the rest went.
	checked := r.clients.history.check(r.folder)
	r.count.linearizable = checked == nil
	h := r.clients.history
	r.count.ok, r.count.failed, r.count.unknown = h.ok, h.failed, h.unknown
	r.count.operations = h.ok + h.failed + h.unknown
	r.count.snapshots, r.count.installed = r.procs.snapshots.Load(), r.procs.installed.Load()
	r.count.freed, r.count.noSpace = r.procs.compacted.Load(), r.procs.noSpace.Load()
	r.count.terms = len(r.clients.leaders)
	r.count.leaders = len(slices.Compact(slices.Sorted(maps.Values(r.clients.leaders))))
	r.count.seconds = time.Since(begin).Seconds()
	return errors.Join(checked, err)
}

// disturbAndSettle is the part of a run with living peers. It returns the last index.
func (r *run) disturbAndSettle(ctx context.Context, todo []step, length time.Duration) (index uint64, err error) {
	if err := r.procs.start(ctx, peerIDs...); err != nil {
		return 0, err
	}
	r.clients.start(ctx)
	err = r.disturb(ctx, todo, length)
	for _, d := range r.disks {
		err = errors.Join(err, d.free())
	}
	if err == nil {
		err = r.rejoin(ctx, peerIDs...)
	}
	r.clients.stop()
	if err == nil {
		err = r.clients.readAll(ctx)
	}
	if err != nil {
		return 0, err
	}
	return r.agree(ctx)
}

// disturb does the steps, in an order of its own in each round, until the time is over, and at least once.
func (r *run) disturb(ctx context.Context, todo []step, length time.Duration) error {
	todo = slices.Clone(todo)
	begin := time.Now()
	for first := true; first || time.Since(begin) < length; first = false {
		r.rng.Shuffle(len(todo), func(i, j int) { todo[i], todo[j] = todo[j], todo[i] })
		for _, s := range todo {
			if !first && time.Since(begin) >= length {
				return nil
			}
			if err := r.progress(ctx, fewOperations); err != nil {
				return err
			}
			r.logf("%5.1f s  %s", time.Since(begin).Seconds(), s.name)
			if err := s.do(r, ctx); err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
		}
	}
	return nil
}

// agree waits until all peers have applied the same, and compares them.
func (r *run) agree(ctx context.Context) (index uint64, err error) {
	all := map[string]status{}
	err = await(ctx, "the same index on all peers", func() bool {
		leader := r.leaderNow(peerIDs...)
		if leader == "" {
			return false
		}
		end, err := once(r.procs.addr(leader), request{What: barrier})
		if err != nil {
			return false
		}
		return await(ctx, "the leader's index", func() bool { return r.compare(all, end.Status.Applied) }) == nil
	})
	if err != nil {
		return 0, err
	}
	var texts []string
	same := map[string]bool{}
	for _, id := range peerIDs {
		s := all[id]
		if s.Damage != "" {
			return 0, fmt.Errorf("%s applied a damaged command: %s", id, s.Damage)
		}
		same[fmt.Sprint(s.Index, s.Digest)] = true
		texts = append(texts, fmt.Sprintf("%s has applied %d, the last command is %d, the digest %.16s", id, s.Applied, s.Index, s.Digest))
	}
	if len(same) != 1 {
		return 0, fmt.Errorf("%w: %s", errDisagree, strings.Join(texts, "; "))
	}
	return all[peerIDs[0]].Applied, nil
}

// compare asks all peers where they are, and reports whether that is the index.
func (r *run) compare(all map[string]status, index uint64) bool {
	for _, id := range peerIDs {
		got, err := once(r.procs.addr(id), request{What: compare})
		if err != nil || got.Status.Applied != index {
			return false
		}
		all[id] = got.Status
	}
	return true
}
