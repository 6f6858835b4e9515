package migrate_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/engine"
	"github.com/raft-ballast/ballast/internal/oracle"
	"github.com/raft-ballast/ballast/migrate"
	"github.com/raft-ballast/ballast/wal"
)

// openGroups opens the wal of a folder, with an old store for groups 3 and 5.
func openGroups(dir string) (*wal.Groups, error) {
	old := map[uint64]migrate.Old{}
	for _, id := range []uint64{3, 5} {
		old[id] = bolt(filepath.Join(dir, fmt.Sprint(id)+".db"))
	}
	return migrate.OpenGroups(context.Background(), filepath.Join(dir, "wal"), old, &migrate.Options{WAL: &wal.Options{SegmentBytes: 1 << 20}})
}

// checkGroups compares what the groups have with the models, by id, and closes them.
func checkGroups(t *testing.T, gs *wal.Groups, want map[uint64]*oracle.Model) {
	t.Helper()
	for id, model := range want {
		s, err := gs.Store(id)
		must(t, err)
		checkModel(t, model, s)
	}
	if got := len(gs.IDs()); got != len(want) {
		t.Errorf("there are %d groups, want %d", got, len(want))
	}
	must(t, gs.Close())
}

// What an interrupted OpenGroups, and an operator, may leave, and what the next one makes of it.
func TestOpenGroups(t *testing.T) {
	mark := func(value string) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) {
			t.Helper()
			gs, err := wal.OpenGroups(filepath.Join(dir, "wal"), nil)
			must(t, err)
			s, err := gs.Store(3)
			must(t, err)
			must(t, s.Set([]byte(engine.UnfinishedKey), []byte(value)))
			must(t, gs.Close())
		}
	}
	comesBack := func(t *testing.T, dir string) {
		t.Helper()
		must(t, os.Rename(filepath.Join(dir, "3.db.migrated"), filepath.Join(dir, "3.db")))
	}
	goes := func(t *testing.T, dir string) {
		t.Helper()
		must(t, os.Remove(filepath.Join(dir, "3.db.migrated")))
	}
	cases := []struct {
		name string
		do   []func(t *testing.T, dir string)
		want error
	}{
		{"nothing", nil, nil},
		{"a kill while it is copied", []func(*testing.T, string){comesBack, mark("begun")}, nil},
		{"a kill before the old store gets its other name", []func(*testing.T, string){comesBack, mark("ready")}, nil},
		{"a kill behind that", []func(*testing.T, string){mark("ready")}, nil},
		{"the old store is brought back", []func(*testing.T, string){comesBack}, migrate.ErrTwoStores},
		{"the old store is taken away", []func(*testing.T, string){mark("begun")}, migrate.ErrSourceGone},
		{"the same before it got its other name", []func(*testing.T, string){goes, mark("ready")}, migrate.ErrSourceGone},
		{"a peer has run on it under its other name", []func(*testing.T, string){mark("ready"), func(t *testing.T, dir string) {
			t.Helper()
			vote(t, filepath.Join(dir, "3.db.migrated"))
		}}, migrate.ErrSourceGone},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			want := map[uint64]*oracle.Model{3: fill(t, filepath.Join(dir, "3.db")), 5: fill(t, filepath.Join(dir, "5.db"))}
			gs, err := openGroups(dir)
			must(t, err)
			checkGroups(t, gs, want)
			for _, do := range c.do {
				do(t, dir)
			}
			gs, err = openGroups(dir)
			if !errors.Is(err, c.want) || (c.want == nil) != (err == nil) {
				t.Fatalf("OpenGroups: %v, want %v", err, c.want)
			}
			if err == nil {
				checkGroups(t, gs, want)
			}
		})
	}
}

// An old store of which a part may be missing keeps its name, and its group is not there.
func TestOpenGroupsOfADamagedStore(t *testing.T) {
	dir := t.TempDir()
	want := map[uint64]*oracle.Model{3: fill(t, filepath.Join(dir, "3.db"))}
	fill(t, filepath.Join(dir, "5.db"))
	damageMeta(t, filepath.Join(dir, "5.db"))
	if _, err := openGroups(dir); !errors.Is(err, ballast.ErrCorrupt) || !strings.Contains(err.Error(), "raft group 5") {
		t.Errorf("OpenGroups: %v", err)
	}
	if got := names(t, dir); got != "3.db 3.db.migrated 5.db wal" {
		t.Errorf("there is %s", got)
	}
	gs, err := wal.OpenGroups(filepath.Join(dir, "wal"), nil)
	must(t, err)
	checkGroups(t, gs, want)
}

// TestGroupsKilled kills a process in the middle of a migration of two groups, and those that go on with it, until one comes to its end.
func TestGroupsKilled(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	rng := rand.New(rand.NewPCG(seed, 0))
	dir := filepath.Join(t.TempDir(), "groups")
	must(t, os.Mkdir(dir, 0o700))
	want := map[uint64]*oracle.Model{}
	for _, id := range []uint64{3, 5} {
		want[id] = fillMuch(t, filepath.Join(dir, fmt.Sprint(id)+".db"), "")
	}
	took := time.Duration(0)
	for killed := 0; killed < *kills && !t.Failed(); {
		for {
			died, after := runKilled(t, dir, rng, took)
			if !died {
				took = max(took, after)
				break
			}
			if killed++; killed >= *kills {
				took = 0
			}
			checkHalf(t, dir, want)
		}
		gs, err := openGroups(dir)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		checkGroups(t, gs, want)
		must(t, os.RemoveAll(filepath.Join(dir, "wal")))
		for id := range want {
			path := filepath.Join(dir, fmt.Sprint(id)+".db")
			must(t, os.Rename(path+".migrated", path))
		}
	}
}

// checkHalf looks at what a kill has left: a group that opens is whole.
func checkHalf(t *testing.T, dir string, want map[uint64]*oracle.Model) {
	t.Helper()
	gs, err := wal.OpenGroups(filepath.Join(dir, "wal"), &wal.Options{SegmentBytes: 1 << 20})
	must(t, err)
	for _, id := range gs.IDs() {
		s, err := gs.Store(id)
		if errors.Is(err, ballast.ErrUnfinished) {
			continue
		}
		must(t, err)
		checkModel(t, want[id], s)
	}
	must(t, gs.Close())
}
