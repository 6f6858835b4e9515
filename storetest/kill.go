package storetest

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/raft-ballast/ballast/internal/oracle"
)

// killEnv hands a killed process the folder, the seed, and how many calls were acknowledged before.
const killEnv = "BALLAST_STORETEST_KILL"

const (
	// killsPerSeed is how often a store is killed until the next seed begins with an empty one.
	killsPerSeed = 25

	// killEntryBytes bounds Data. What counts here is how many calls there are.
	killEntryBytes = 20 << 10
)

// kills goes through one seed after the other.
func kills(t *testing.T, open OpenFunc, cfg *config) {
	if life := os.Getenv(killEnv); life != "" {
		live(t, open, cfg, life)
		return
	}
	t.Logf("the first seed is %d", cfg.seed)
	folder := t.TempDir()
	calls, inProgress := uint64(0), 0
	for i := 0; i < cfg.crashes; i += killsPerSeed {
		seed := cfg.seed + uint64(i/killsPerSeed)
		v := &victim{t: t, dir: filepath.Join(folder, strconv.FormatUint(seed, 10)), seed: seed}
		if err := os.Mkdir(v.dir, 0o777); err != nil {
			t.Fatal(err)
		}
		rng := oracle.Random(seed)
		for range min(killsPerSeed, cfg.crashes-i) {
			v.live(rng.IntN(100))
		}
		v.live(-1)
		calls, inProgress = calls+v.done, inProgress+v.inProgress
		if err := os.RemoveAll(v.dir); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d kills, %d calls acknowledged and found; of those in progress %d were found", cfg.crashes, calls, inProgress)
}

// victim is a store that one process after the other works on.
type victim struct {
	t    *testing.T
	dir  string
	seed uint64

	done       uint64 // calls that the store has
	inProgress int    // of these, calls that were found though nobody was told
}

// live starts a process, which looks at the store and goes on with the calls, and kills it when so many more are acknowledged. Without any
// the process is killed while it opens the store; with -1 it only looks.
func (v *victim) live(calls int) {
	v.t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^"+v.t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d %d %t %s", killEnv, v.seed, v.done, calls < 0, v.dir))
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		v.t.Fatalf("starting the process to kill: %v", err)
	}
	defer func() { _ = cmd.Wait() }()
	killed, looked, said := false, false, []string{}
	kill := func() {
		killed = true
		if err := cmd.Process.Kill(); err != nil {
			v.t.Fatalf("killing the process: %v", err)
		}
	}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var n uint64
		switch line := lines.Text(); {
		case line == "opens" && calls == 0:
			kill()
		case strings.HasPrefix(line, "found "):
			looked = true
			_, _ = fmt.Sscanf(line, "found %d", &n) // is what our own process prints, and so below
			v.inProgress += int(n - v.done)
			v.done = n
		case strings.HasPrefix(line, "acknowledged "):
			_, _ = fmt.Sscanf(line, "acknowledged %d", &v.done)
			if calls--; calls == 0 {
				kill()
			}
		default:
			said = append(said, line)
		}
	}
	if !killed && !(calls < 0 && looked) {
		v.t.Fatalf("seed %d: after %d calls were acknowledged and the process was killed, the next one ended by itself:\n%s\n%s",
			v.seed, v.done, strings.Join(said, "\n"), stderr.String())
	}
}

// live is what the process does that is killed.
func live(t *testing.T, open OpenFunc, cfg *config, life string) {
	var seed, done uint64
	var onlyLook bool
	fields := strings.SplitN(life, " ", 4)
	if _, err := fmt.Sscan(life, &seed, &done, &onlyLook); err != nil {
		t.Fatalf("%s: %v", killEnv, err)
	}
	load := oracle.Workload{Seed: seed, MaxBytes: killEntryBytes, NoGaps: cfg.refusesGaps, NoMiddleDeletes: cfg.refusesMiddleDeletes}
	m := oracle.NewModel()
	for i := range done {
		load.Call(i, m).Apply(m)
	}
	with := m.Clone()
	load.Call(done, m).Apply(with)

	fmt.Println("opens")
	store, err := open(t, fields[3])
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	found, err := oracle.Find(store, m, with)
	if err != nil {
		t.Fatal(err)
	}
	if found == 1 {
		m = with
	}
	done += uint64(found)
	fmt.Printf("found %d\n", done)
	if onlyLook {
		if err := closeStore(store); err != nil {
			t.Fatalf("Close: %v", err)
		}
		return
	}
	for ended := time.Now().Add(cfg.hangLimit); time.Now().Before(ended); done++ {
		c := load.Call(done, m)
		if err := c.Do(store); err != nil {
			t.Fatalf("%v: %v", c, err)
		}
		c.Apply(m)
		fmt.Printf("acknowledged %d\n", done+1)
	}
	t.Fatal("nobody has killed this process")
}
