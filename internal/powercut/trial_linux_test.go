package powercut

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/raft-ballast/ballast/badgerstore"
	"github.com/raft-ballast/ballast/boltstore"
	"github.com/raft-ballast/ballast/internal/loopfs"
	"github.com/raft-ballast/ballast/internal/oracle"
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
func try(t *testing.T, kind loopfs.Kind, store string, few int) Result {
	t.Helper()
	if why := Missing(kind); why != "" {
		t.Skipf("no %s: %s", kind, why)
	}
	c := Config{Kind: kind, Store: store, Cuts: *cuts, Seed: chosen(t), Keep: t.ArtifactDir(), Workload: oracle.Workload{MaxBytes: 20_000}}
	if strings.HasPrefix(store, "naive") {
		c.Workload.MaxBytes = 1000 // its file only grows
	}
	if c.Cuts == 0 {
		c.Cuts = few
	}
	start := time.Now()
	r, err := Run(t.Context(), c)
	t.Logf("%-14s %-5s %v; %v a cut", store, kind, r, (time.Since(start) / time.Duration(max(r.Cuts, 1))).Round(time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	if r.Cuts < c.Cuts || r.Calls == 0 || r.Opened == 0 {
		t.Errorf("%d cuts, %d calls: the trial proves nothing", r.Cuts, r.Calls)
	}
	return r
}

// What a store acknowledged is there after every power cut.
func TestPowerCut(t *testing.T) {
	for _, kind := range loopfs.Kinds {
		for _, store := range []struct {
			name string
			few  int
		}{{"wal", 15}, {"boltstore", 5}, {"badgerstore", 5}, {"naive", 5}} {
			t.Run(string(kind)+"/"+store.name, func(t *testing.T) {
				if r := try(t, kind, store.name, store.few); r.Failures() > 0 {
					t.Error(r.First)
				}
			})
		}
	}
}

// A store that does not sync loses what it acknowledged: the disk does forget.
func TestPowerCutWithoutSync(t *testing.T) {
	for _, kind := range loopfs.Kinds {
		t.Run(string(kind), func(t *testing.T) {
			r := try(t, kind, "naive unsynced", 5)
			if r.Lost == 0 {
				t.Error("a store that does not sync lost nothing")
			}
			if r.Failures() > r.Lost {
				t.Error(r.First)
			}
		})
	}
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
