package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/cli/bench"
	"github.com/raft-ballast/ballast/internal/cli/demo"
	"github.com/raft-ballast/ballast/memstore"
)

const (
	defaultBenchSeconds = 30
	minBenchSeconds     = 3
	maxBenchSeconds     = 600
)

const benchLong = `Measures the disk that a folder is on, and each engine of Ballast on it, and says what that means for a
raft peer there: whether the disk is slow, or acknowledges what it has not done, which timeouts raft
needs, whether O_DIRECT is accepted, what is known of the file system.

The limit is the fastest of the ways there are to make the same bytes durable; no store that keeps
its promises is faster. All take short turns, so whatever else the machine does meets all alike, and
ratios tell more than times. Run it while the machine does what it always does. On a peer's own disk
it takes time from the peer.

Without a folder it is the current one. 1 GiB has to be free there. What is written is removed at the
end, also after Ctrl-C. The module bench/ in Ballast's repository measures more, and other stores.

With --json it is one object: dir, file_system, device, free_bytes, seed, seconds, ways and workloads
with samples, median_us, p99_us and max_us in microseconds, and advice with topic, bad and text.

` + exitHelp

const benchExample = `  ballast bench /var/lib/app
  ballast bench --seconds 120 /var/lib/app
  ballast bench --json | jq '.advice[] | select(.bad) | .text'`

func newBench(s streams) *cobra.Command {
	var asJSON bool
	c := bench.Config{}
	var seconds int
	cmd := &cobra.Command{
		Use:     "bench [DIR]",
		Short:   "Measure a disk and the engines on it, and advise",
		Long:    benchLong,
		Example: benchExample,
		Args: func(cmd *cobra.Command, args []string) error {
			return countArgs(cmd, args, min(len(args), 1), "one folder at most")
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			c.Dir = append(args, ".")[0]
			if !cmd.Flags().Changed("seed") {
				c.Seed = rand.Uint64()
			}
			if seconds < minBenchSeconds || seconds > maxBenchSeconds {
				return usagef("--seconds is %d; give %d to %d", seconds, minBenchSeconds, maxBenchSeconds)
			}
			c.Length = time.Duration(seconds) * time.Second
			return runBench(cmd.Context(), s, c, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one object of JSON")
	cmd.Flags().IntVar(&seconds, "seconds", defaultBenchSeconds, "for how long to measure")
	cmd.Flags().Uint64Var(&c.Seed, "seed", 0, "what entries and the order of turns are drawn from (default another one each time)")
	return cmd
}

// benchEngines are those that keep what they are told, and memory, beside which one sees what keeping costs.
func benchEngines() []bench.Engine {
	list := []bench.Engine{{Name: "memory", Open: func(string) (ballast.Store, error) { return memstore.New(), nil }}}
	for _, e := range engines {
		if e.open != nil {
			list = append(list, bench.Engine{Name: e.name, Open: func(dir string) (ballast.Store, error) {
				if err := os.MkdirAll(dir, 0o700); err != nil {
					return nil, err
				}
				return e.openIn(dir)
			}})
		}
	}
	return list
}

func runBench(ctx context.Context, s streams, c bench.Config, asJSON bool) error {
	info, err := os.Stat(c.Dir)
	if err != nil {
		return fmt.Errorf("there is no folder to measure in: %w; check the path", err)
	}
	if !info.IsDir() {
		return usagef("%s is a file; give a folder", c.Dir)
	}
	if c.Dir, err = filepath.Abs(c.Dir); err != nil {
		return err
	}
	ctx, ended := interruptible(ctx)
	defer ended()
	c.Engines = benchEngines()
	r := newReading(s, 0, 0)
	if r.w != nil {
		c.Progress = func(what string, done float64) {
			if now := time.Now(); now.Sub(r.shown) > showEvery {
				r.shown = now
				r.draw(fmt.Sprintf("measuring: %s, %.0f %%", what, done*maxPercent))
			}
		}
	}
	report, err := bench.Run(ctx, c)
	r.finish()
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return errors.New("the measuring was interrupted; nothing is left of it, start it again")
	}
	if err != nil {
		return err
	}
	if asJSON {
		return writeJSON(s.out, report)
	}
	return writeBench(s.out, report)
}

// writeBench shows it to people.
func writeBench(w io.Writer, r *bench.Report) error {
	t := newTable(w)
	t.row("folder", shown(r.Dir))
	t.pair("file system", "%s on %s, %s free", shown(r.FileSystem), shown(r.Device), sizeText(r.FreeBytes))
	t.pair("measured", "%.0f s, seed %d", r.Seconds, r.Seed)
	writeWays(t, r.Ways)
	for _, load := range r.Workloads {
		writeWorkload(t, load)
	}
	if err := t.end(); err != nil {
		return err
	}
	lines := []string{""}
	for _, a := range r.Advice {
		mark := "ok  "
		if a.Bad {
			mark = "mind"
		}
		lines = append(lines, mark+"  "+a.Text)
	}
	return writeLines(w, lines...)
}

func writeWays(t table, ways []bench.Way) {
	t.row()
	t.row("HOW BYTES BECOME DURABLE", "BYTES", "MEDIAN", "P99", "LONGEST")
	for _, way := range ways {
		name, bytes := way.Extents+", "+way.Sync, sizeText(int64(way.Bytes))
		if way.Failed != "" {
			t.row(name, bytes, "failed: "+way.Failed)
			continue
		}
		cells := append([]string{name, bytes}, figuresText(way.Figures)...)
		if way.Fastest {
			cells = append(cells, "the limit")
		}
		t.row(cells...)
	}
}

func writeWorkload(t table, load bench.Workload) {
	t.row()
	t.row(load.Title(), "SAMPLES", "MEDIAN", "P99", "LONGEST", "OF THE LIMIT")
	for _, x := range load.Results {
		if x.Failed != "" {
			t.row(x.Engine, "failed: "+x.Failed)
			continue
		}
		cells := append([]string{x.Engine, demo.Thousands(x.Samples)}, figuresText(x.Figures)...)
		if x.OverLimit > 0 {
			cells = append(cells, fmt.Sprintf("%.2f", x.OverLimit))
		}
		t.row(cells...)
	}
}

// figuresText has three columns of a table.
func figuresText(f bench.Figures) []string {
	return []string{bench.Micros(f.Median), bench.Micros(f.P99), bench.Micros(f.Max)}
}
