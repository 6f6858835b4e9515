// Command damage damages the files of closed logs and counts what each store makes of that.
//
//	go run ./cmd/damage [-trials 900] [-seed 1] [-stores REGEXP] [-dir FOLDER] [-json]
//
// Each store writes the same entries and stable values once, and is closed. A trial copies its files and damages the copy in
// one place that a seed chooses, never beyond the data: one flipped bit, a burst of up to 64 bytes of noise, a sector of 512 bytes
// that became zeros or changed places with another one of its file, or a file whose end is cut off. Then another process opens the
// copy and reads everything. What becomes of it is one of
//
//	right     every entry and value is as it was
//	told      Open or a read returns an error, and the rest is as it was
//	wrong     an entry or a value is another one, and no error says so
//	lost      an entry or a value is said not to be there
//	panicked  the process of the store died, or a call of it panicked
//	hung      a trial took longer than it may
//
// The worst counts. The command fails when a store of Ballast that has checksums returns wrong data or loses some.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// config is what the command line says.
type config struct {
	trials int
	seed   uint64
	stores *regexp.Regexp
	dir    string
	json   bool
}

func main() {
	if name := os.Getenv(childEnv); name != "" {
		child(name, os.Stdin, os.Stdout)
		return
	}
	var c config
	stores := ""
	flag.IntVar(&c.trials, "trials", 900, "how often each store's files are damaged")
	flag.Uint64Var(&c.seed, "seed", 1, "what the entries and the damage are drawn from")
	flag.StringVar(&stores, "stores", ".*", "only the stores whose whole name matches this regular expression")
	flag.StringVar(&c.dir, "dir", "", "folder for the logs (default: a new one among the system's temporary files)")
	flag.BoolVar(&c.json, "json", false, "print JSON instead of a table")
	flag.Parse()
	if flag.NArg() > 0 || c.trials < 1 {
		fmt.Fprintf(os.Stderr, "damage: -trials %d and %q cannot be right; -h tells the flags\n", c.trials, flag.Args())
		os.Exit(1)
	}
	var err error
	if c.stores, err = regexp.Compile("^(?:" + stores + ")$"); err == nil {
		err = run(c, os.Stdout, os.Stderr)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "damage:", err)
		os.Exit(1)
	}
}

// result is what became of the trials of one store.
type result struct {
	Store   string                     `json:"store"`
	Version string                     `json:"version,omitempty"`
	Trials  int                        `json:"trials"`
	Counts  map[outcome]int            `json:"counts"`
	ByKind  map[string]map[outcome]int `json:"byKind"`  // by what was done to the files
	Example map[outcome]string         `json:"example"` // of each outcome the first
}

func run(c config, out, progress io.Writer) (err error) {
	dir, err := os.MkdirTemp(c.dir, "ballast-damage-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	var results []result
	for _, s := range tried() {
		if !c.stores.MatchString(s.Name) {
			continue
		}
		r, err := trials(c, s, filepath.Join(dir, s.Name), progress)
		if err != nil {
			return fmt.Errorf("%s: %w", s.Name, err)
		}
		results = append(results, r)
	}
	if len(results) == 0 {
		return errors.New("no store is called that")
	}
	if c.json {
		e := json.NewEncoder(out)
		e.SetIndent("", "\t")
		err = e.Encode(results)
	} else {
		err = printTable(out, c, results)
	}
	for _, r := range results {
		if s := byName(r.Store); s.checks && r.Counts[wrong]+r.Counts[lost]+r.Counts[panicked]+r.Counts[hung] > 0 {
			return fmt.Errorf("%s: %v; example: %v", r.Store, r.Counts, r.Example)
		}
	}
	return err
}

// trials damages the files of one store.
func trials(c config, s storeKind, dir string, progress io.Writer) (r result, err error) {
	files, err := build(s, c.seed, dir)
	if err != nil {
		return r, err
	}
	r = result{Store: s.Name, Version: s.Version(), Counts: make(map[outcome]int), ByKind: make(map[string]map[outcome]int),
		Example: make(map[outcome]string)}
	kid := &kid{store: s.Name, seed: c.seed, dir: dir}
	defer kid.stop()
	if got, message, err := kid.try(files); err != nil || got != right {
		return r, fmt.Errorf("without damage the log is %s: %s: %w", got, message, err)
	}
	for n := range c.trials {
		rng := rand.New(rand.NewPCG(c.seed, uint64(n)+1))
		damaged, kind, what := files.damage(rng)
		got, message, err := kid.try(damaged)
		if err != nil {
			return r, err
		}
		r.Trials++
		r.Counts[got]++
		if r.ByKind[kind] == nil {
			r.ByKind[kind] = make(map[outcome]int)
		}
		r.ByKind[kind][got]++
		if r.Example[got] == "" {
			r.Example[got] = strings.TrimSpace(fmt.Sprintf("trial %d: %s: %s", n, what, message))
		}
		if (n+1)%100 == 0 {
			fmt.Fprintf(progress, "%s: %d of %d trials\n", s.Name, n+1, c.trials)
		}
	}
	return r, nil
}

// printTable prints the counts, and then those of each kind of damage.
func printTable(to io.Writer, c config, results []result) error {
	w := bufio.NewWriter(to)
	line := func(name, version string, trials int, counts map[outcome]int) {
		fmt.Fprintf(w, "%-28s %-9s %7d", name, version, trials)
		for _, o := range outcomes {
			fmt.Fprintf(w, " %9d", counts[o])
		}
		fmt.Fprintln(w)
	}
	fmt.Fprintf(w, "seed %d\n%-28s %-9s %7s", c.seed, "store", "version", "trials")
	for _, o := range outcomes {
		fmt.Fprintf(w, " %9s", o)
	}
	fmt.Fprintln(w)
	for _, r := range results {
		line(r.Store, r.Version, r.Trials, r.Counts)
	}
	for _, r := range results {
		fmt.Fprintln(w)
		for _, kind := range damageKinds {
			n := 0
			for _, count := range r.ByKind[kind] {
				n += count
			}
			line(r.Store+", "+kind, "", n, r.ByKind[kind])
		}
	}
	return w.Flush()
}
