package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"golang.org/x/term"
)

// minLength is a run whose parts still have a sample of the heap each.
const minLength = 10 * time.Second

func main() {
	name := flag.String("engine", "wal", "wal, bolt or badger")
	asJSON := flag.Bool("json", false, "print the result as JSON")
	cfg := config{progress: showProgress(os.Stderr)}
	flag.DurationVar(&cfg.length, "for", time.Hour, "how long; at least 10s")
	flag.StringVar(&cfg.dir, "dir", "", "an existing `folder` on the disk to use; the store's own folder in it is removed at a good end (default the temporary one)")
	flag.Float64Var(&cfg.rate, "rate", 0, "batches each second (default half of what the disk does at first)")
	flag.Uint64Var(&cfg.keep, "keep", 50_000, "entries that a compaction leaves; at least 1000")
	flag.Uint64Var(&cfg.seed, "seed", uint64(rand.Uint32()), "of what is written and read (default random)")
	flag.Parse()
	i := slices.IndexFunc(engines, func(e engine) bool { return e.name == *name })
	if i < 0 || flag.NArg() > 0 || cfg.length < minLength || cfg.rate < 0 || cfg.keep < 1000 {
		fmt.Fprintf(os.Stderr, "soak: -engine %s -for %v -rate %v -keep %d and %d other arguments cannot be right\n",
			*name, cfg.length, cfg.rate, cfg.keep, flag.NArg())
		flag.Usage()
		os.Exit(2)
	}
	cfg.engine = engines[i]
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	rep, err := soak(ctx, cfg)
	stop()
	fmt.Fprintln(os.Stderr)
	if rep != nil {
		err = errors.Join(err, show(rep, *asJSON))
	}
	if err == nil && !rep.good() {
		err = errors.New("something grows, see above")
		if !rep.Checks[0].OK {
			err = errors.New("the log has not come to its size, so the rest tells nothing: take a longer -for or a smaller -keep")
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
}

func show(rep *report, asJSON bool) error {
	if !asJSON {
		return rep.print(os.Stdout)
	}
	e := json.NewEncoder(os.Stdout)
	e.SetIndent("", "  ")
	return e.Encode(rep)
}

// showProgress returns what rewrites a line on a terminal; elsewhere it writes one every ten seconds.
func showProgress(file *os.File) func(float64, *writer) {
	every, end := 10*time.Second, "\n"
	if term.IsTerminal(int(file.Fd())) {
		every, end = time.Second, "\r"
	}
	shown := time.Now()
	return func(at float64, w *writer) {
		if time.Since(shown) < every {
			return
		}
		shown = time.Now()
		s := w.samples[len(w.samples)-1]
		h := &w.appends[s.part]
		fmt.Fprintf(file, "%3.0f%%  %d batches, append p50 %s µs, p99 %s µs  RSS %s MiB  disk %s MiB, live %s MiB  %s descriptors   %s", at*100,
			w.batches, micros(h.quantile(0.5)), micros(h.quantile(0.99)), mib(s.rss), mib(s.disk), mib(s.live), number(s.descriptors), end)
	}
}
