package powercut

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/raft-ballast/ballast/badgerstore"
	"github.com/raft-ballast/ballast/boltstore"
	"github.com/raft-ballast/ballast/internal/loopfs"
	"github.com/raft-ballast/ballast/wal"
)

var openers = map[string]Open{
	"wal": func(dir string) (Store, error) {
		return wal.Open(dir, &wal.Options{SegmentBytes: 1 << 20}) // so that segments come and go
	},
	"boltstore": func(dir string) (Store, error) { return boltstore.Open(filepath.Join(dir, "raft.db"), nil) },
	"badgerstore": func(dir string) (Store, error) {
		return badgerstore.Open(dir, &badgerstore.Options{ReserveBytes: -1, Badger: func(o *badger.Options) {
			// All of it small enough for a small disk, and so that files are written, merged and removed.
			o.MemTableSize = 1 << 20
			o.ValueLogFileSize = 4 << 20
			o.ValueThreshold = 4 << 10
			o.BaseTableSize = 1 << 20
		}})
	},
	"naive":          func(dir string) (Store, error) { return openNaive(dir, true) },
	"naive unsynced": func(dir string) (Store, error) { return openNaive(dir, false) },
}

func TestMain(m *testing.M) {
	Child(openers)
	os.Exit(m.Run())
}

// try runs a trial with a few cuts, or with as many as the flag says, and prints what came of it.
func try(t *testing.T, c Config, few int) Result {
	t.Helper()
	if why := Missing(c.Kind); why != "" && *cuts > 0 {
		t.Fatalf("no %s: %s", c.Kind, why) // whoever asks for so many is not to be told that all is well
	} else if why != "" {
		t.Skipf("no %s: %s", c.Kind, why)
	}
	if c.Cuts = *cuts; c.Cuts == 0 {
		c.Cuts = few
	}
	c.Workload.MaxBytes = 20_000
	if strings.HasPrefix(c.Store, "naive") {
		c.Workload.MaxBytes = 1000 // its file only grows
	}
	c.Keep = t.ArtifactDir()
	start := time.Now()
	r, err := Run(t.Context(), c)
	each := time.Since(start) / time.Duration(max(r.Cuts, 1))
	t.Logf("%-14s %-5s %v; %v a cut", c.Store, c.Kind, r, each.Round(time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	if r.Opened == 0 {
		t.Error("nobody has looked at what the cuts left")
	}
	if r.Calls == 0 && r.Cuts >= 50 { // of a few all may come before the first call
		t.Error("the store has acknowledged nothing")
	}
	return r
}

// What a store acknowledged is there after every power cut.
func TestPowerCut(t *testing.T) {
	s, calls, skipped := chosen(t), uint64(0), false
	for _, kind := range loopfs.Kinds {
		for _, store := range []struct {
			name string
			few  int
		}{{"wal", 10}, {"boltstore", 4}, {"badgerstore", 4}, {"naive", 4}} {
			t.Run(string(kind)+"/"+store.name, func(t *testing.T) {
				defer func() { skipped = skipped || t.Skipped() }()
				r := try(t, Config{Kind: kind, Store: store.name, Seed: s}, max(2, store.few/thin))
				if r.Failures() > 0 {
					t.Error(r.First)
				}
				calls += r.Calls
			})
		}
	}
	if calls == 0 && !skipped && !t.Failed() {
		t.Error("no store has acknowledged anything")
	}
}

// A store that does not sync loses what it acknowledged: the disk does forget.
func TestPowerCutWithoutSync(t *testing.T) {
	for _, kind := range loopfs.Kinds {
		t.Run(string(kind), func(t *testing.T) {
			s := chosen(t)
			for range 20 { // it may be that a cut comes before the first call
				r := try(t, Config{Kind: kind, Store: "naive unsynced", Seed: s}, 2)
				if r.Failures() > r.Lost {
					t.Fatal(r.First)
				}
				if r.Lost > 0 {
					return
				}
				s += uint64(r.Cuts)
			}
			t.Error("a store that does not sync lost nothing")
		})
	}
}

// A process that is killed in the middle of a trial leaves no mount, no loop device and no child behind. The test starts itself
// again for that.
func TestKilled(t *testing.T) {
	const variable = "POWERCUT_TEST_KILLED"
	if os.Getenv(variable) != "" {
		_, err := Run(t.Context(), Config{Kind: loopfs.Ext4, Store: "wal", Cuts: 1_000_000, Progress: func(Result) {
			_, _ = os.Stdout.WriteString("a round\n")
		}})
		t.Fatalf("the trial has ended: %v", err)
	}
	if why := Missing(loopfs.Ext4); why != "" {
		t.Skipf("no %s: %s", loopfs.Ext4, why)
	}
	folder := t.TempDir()
	cmd := exec.Command(os.Args[0], "-test.run=^TestKilled$")
	cmd.Env = append(os.Environ(), variable+"=1", "TMPDIR="+folder)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for range 5 {
		if !lines.Scan() {
			t.Error("the trial has ended")
		}
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait() // with an error, as it was killed
	for left(t, folder) {
		time.Sleep(time.Millisecond) // the time limit of the tests ends this
	}
}

// left reports whether a mount, a loop device or a process still has to do with a folder.
func left(t *testing.T, folder string) bool {
	t.Helper()
	files := []string{"/proc/self/mounts"}
	for _, pattern := range []string{"/sys/block/loop*/loop/backing_file", "/proc/[0-9]*/environ"} {
		list, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, list...)
	}
	return slices.ContainsFunc(files, func(path string) bool {
		b, err := os.ReadFile(path) // what has gone meanwhile is not left
		return err == nil && bytes.Contains(b, []byte(folder))
	})
}

// A file system that nobody can make is an error, and so is a store that does not even work without a cut.
func TestRunFails(t *testing.T) {
	if _, err := Run(t.Context(), Config{Kind: "none", Store: "wal", Cuts: 1}); err == nil {
		t.Error("there is a file system of no kind")
	}
	if why := Missing(loopfs.Ext4); why != "" {
		t.Skipf("no %s: %s", loopfs.Ext4, why)
	}
	if _, err := Run(t.Context(), Config{Kind: loopfs.Ext4, Store: "none", Cuts: 1}); err == nil {
		t.Error("there is a store of no name")
	}
}
