// Command powercut cuts the power of real file systems under Ballast's stores and under its peers, and counts what each has lost.
// It needs Linux and root. The table in docs/CRASH-SAFETY.md is from it.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"text/tabwriter"

	"github.com/dgraph-io/badger/v4"

	"github.com/raft-ballast/ballast/badgerstore"
	peers "github.com/raft-ballast/ballast/bench/internal/stores"
	"github.com/raft-ballast/ballast/boltstore"
	"github.com/raft-ballast/ballast/internal/loopfs"
	"github.com/raft-ballast/ballast/internal/oracle"
	"github.com/raft-ballast/ballast/internal/powercut"
	"github.com/raft-ballast/ballast/wal"
)

// segmentBytes is small, so that segments come and go while a store is tried.
const segmentBytes = 1 << 20

// maxBytes bounds the Data of an entry.
const maxBytes = 20_000

// store is one to try.
type store struct {
	name     string
	open     powercut.Open
	workload oracle.Workload
}

// stores are in the order of the table. Entries are plain for all, so that they all do the same where they can.
var stores = []store{
	{"wal", func(dir string) (powercut.Store, error) {
		return wal.Open(dir, &wal.Options{SegmentBytes: segmentBytes})
	}, oracle.Workload{}},
	{"boltstore", func(dir string) (powercut.Store, error) {
		return boltstore.Open(filepath.Join(dir, "raft.db"), nil)
	}, oracle.Workload{}},
	{"badgerstore", func(dir string) (powercut.Store, error) { return openBadger(dir, false) }, oracle.Workload{}},
	{"badgerstore, NoSync", func(dir string) (powercut.Store, error) { return openBadger(dir, true) }, oracle.Workload{}},
	{"raft-boltdb", func(dir string) (powercut.Store, error) {
		return peers.Open("raft-boltdb", dir, peers.Options{})
	}, oracle.Workload{}},
	{"raft-wal", func(dir string) (powercut.Store, error) {
		return peers.Open("raft-wal", dir, peers.Options{SegmentBytes: segmentBytes})
	}, oracle.Workload{NoGaps: true, NoMiddleDeletes: true, NoOverwrites: true}},
}

// openBadger opens badgerstore with everything small enough for a small disk, and so that files are written, merged and removed.
func openBadger(dir string, noSync bool) (powercut.Store, error) {
	return badgerstore.Open(dir, &badgerstore.Options{NoSync: noSync, ReserveBytes: -1, Badger: func(o *badger.Options) {
		o.MemTableSize = 1 << 20
		o.ValueLogFileSize = 4 << 20
		o.ValueThreshold = 4 << 10
		o.BaseTableSize = 1 << 20
	}})
}

func main() {
	openers := make(map[string]powercut.Open)
	for _, s := range stores {
		openers[s.name] = s.open
	}
	powercut.Child(openers)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "powercut:", err)
		os.Exit(1)
	}
}

// row is what became of one store on one file system.
type row struct {
	Store      string          `json:"store"`
	FileSystem loopfs.Kind     `json:"file_system"`
	Result     powercut.Result `json:"result"`
}

func run(ctx context.Context) error {
	cuts := flag.Int("cuts", 100, "how often the power is cut, for each store on each file system")
	seed := flag.Uint64("seed", 1, "what the calls and the cuts are drawn from")
	only := flag.String("stores", "", "only the stores whose whole name matches this regular expression")
	asJSON := flag.Bool("json", false, "print JSON instead of a table")
	flag.Parse()
	wanted, err := regexp.Compile("^(?:" + *only + ")$")
	if err != nil {
		return err
	}
	if flag.NArg() > 0 || *cuts < 1 {
		return fmt.Errorf("-cuts %d and %q cannot be right; -h tells the flags", *cuts, flag.Args())
	}
	info, err := os.Stderr.Stat()
	terminal := err == nil && info.Mode()&os.ModeCharDevice != 0
	var rows []row
	for _, s := range stores {
		if *only != "" && !wanted.MatchString(s.name) {
			continue
		}
		for _, kind := range loopfs.Kinds {
			c := powercut.Config{Kind: kind, Store: s.name, Cuts: *cuts, Seed: *seed, Workload: s.workload}
			c.Workload.MaxBytes, c.Workload.Plain = maxBytes, true
			if terminal {
				c.Progress = func(r powercut.Result) {
					fmt.Fprintf(os.Stderr, "\r%s on %s: %d of %d cuts\033[K", s.name, kind, r.Cuts, *cuts)
				}
			} else {
				fmt.Fprintf(os.Stderr, "%s on %s\n", s.name, kind)
			}
			r, err := powercut.Run(ctx, c)
			if terminal {
				fmt.Fprint(os.Stderr, "\r\033[K")
			}
			rows = append(rows, row{s.name, kind, r})
			if err != nil {
				return errors.Join(print(rows), fmt.Errorf("%s on %s: %w", s.name, kind, err))
			}
		}
	}
	if len(rows) == 0 {
		return fmt.Errorf("no store is called %q", *only)
	}
	if *asJSON {
		out := json.NewEncoder(os.Stdout)
		out.SetIndent("", "  ")
		return out.Encode(rows)
	}
	return errors.Join(print(rows), printFirst(rows))
}

func print(rows []row) error {
	out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(out, "store\tfile system\tcuts\tcalls\topened\tas acknowledged\tlost something\tentries lost\twrong\tdid not open\tfailed\t\n")
	for _, r := range rows {
		x := r.Result
		fmt.Fprintf(out, "%s\t%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t\n", r.Store, r.FileSystem, x.Cuts, x.Calls, x.Opened, x.Kept,
			x.Lost, x.LostEntries, x.Wrong, x.Unopened, x.Failed)
	}
	return out.Flush()
}

// printFirst prints what was wrong first, of each store on each file system.
func printFirst(rows []row) error {
	for _, r := range rows {
		if r.Result.First == "" {
			continue
		}
		if _, err := fmt.Printf("\n%s\n", r.Result.First); err != nil {
			return err
		}
	}
	return nil
}
