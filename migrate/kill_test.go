package migrate_test

import (
	"context"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/raft-ballast/ballast/boltstore"
	"github.com/raft-ballast/ballast/internal/oracle"
	"github.com/raft-ballast/ballast/migrate"
	"github.com/raft-ballast/ballast/wal"
)

var kills = flag.Int("kills", 10, "how often TestKilled kills a migration")

// killDir names the folder to the process that is killed.
const killDir = "BALLAST_MIGRATE_KILL_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(killDir); dir != "" {
		var s io.Closer
		var err error
		if filepath.Base(dir) == "groups" {
			s, err = openGroups(dir)
		} else {
			s, err = openKilled(dir)
		}
		if err == nil {
			err = s.Close()
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// openKilled opens the wal of a folder: the old store is in its very place, or it is a bolt file,
// beside an empty folder perhaps.
func openKilled(dir string) (*wal.Store, error) {
	old := bolt(filepath.Join(dir, "raft.db"))
	if filepath.Base(dir) == "raftwal" {
		old = migrate.RaftWAL(filepath.Join(dir, "wal"))
	}
	return migrate.Open(context.Background(), filepath.Join(dir, "wal"), old, &migrate.Options{WAL: &wal.Options{SegmentBytes: 1 << 20}})
}

// TestKilled kills a process in the middle of a migration, and the one that goes on with it, until one comes to its end. Then the whole log is
// in the wal, and the old store, which was kept, goes back to its place for the next round.
func TestKilled(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	rng := rand.New(rand.NewPCG(seed, 0))
	root := t.TempDir()
	file, folder, inside := filepath.Join(root, "bolt"), filepath.Join(root, "raftwal"), filepath.Join(root, "inside")
	for _, dir := range []string{file, folder, filepath.Join(inside, "wal")} {
		must(t, os.MkdirAll(dir, 0o700))
	}
	want := map[string]*oracle.Model{file: fillMuch(t, filepath.Join(file, "raft.db"), filepath.Join(inside, "raft.db")), folder: nil}
	want[inside] = want[file]
	copyOf(t, "../internal/raftwal/testdata/raft-wal", filepath.Join(folder, "wal"))
	killed, finished := 0, 0
	took := map[string]time.Duration{}
	for round := 0; killed < *kills && !t.Failed(); round++ {
		dir := []string{file, folder, inside}[round%3]
		for {
			limit := took[dir]
			if killed >= *kills {
				limit = 0
			}
			died, after := runKilled(t, dir, rng, limit)
			if !died {
				took[dir] = max(took[dir], after)
				break
			}
			killed++
		}
		finished++
		s, err := openKilled(dir)
		if err != nil {
			t.Fatalf("seed %d, round %d: %v", seed, round, err)
		}
		got, err := oracle.Read(s)
		must(t, err)
		must(t, s.Close())
		if want[dir] == nil { // the first time, when nobody was killed
			want[dir] = got
		}
		if err := want[dir].Diff(got); err != nil {
			t.Errorf("seed %d, round %d: %v", seed, round, err)
		}
		goBack(t, dir)
	}
	t.Logf("%d kills, %d migrations finished", killed, finished)
}

// fillMuch writes a bolt file of 5 MiB, and a copy of it.
func fillMuch(t *testing.T, path, copied string) *oracle.Model {
	t.Helper()
	s, err := boltstore.Open(path, &boltstore.Options{NoSync: true})
	must(t, err)
	rng := oracle.Random(1)
	for first := uint64(1); first < 20_000; first += 2000 {
		must(t, s.StageCommitIndex(first))
		must(t, s.StoreLogs(oracle.Entries(rng, first, 1500, 300))) // with gaps
	}
	must(t, s.SetUint64([]byte("CurrentTerm"), 300))
	model, err := oracle.Read(s)
	must(t, err)
	must(t, s.Close())
	if copied != "" {
		copyOf(t, path, copied)
	}
	return model
}

// runKilled migrates in a process of its own and kills that at any moment, but not when it is not known how long it takes.
func runKilled(t *testing.T, dir string, rng *rand.Rand, took time.Duration) (died bool, after time.Duration) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), killDir+"="+dir)
	cmd.Stderr = os.Stderr
	begun := time.Now()
	must(t, cmd.Start())
	if took > 0 {
		timer := time.AfterFunc(time.Duration(rng.Int64N(int64(took)*5/4)), func() { _ = cmd.Process.Kill() })
		defer timer.Stop()
	}
	err := cmd.Wait()
	if err != nil && cmd.ProcessState.ExitCode() != -1 {
		t.Fatalf("it was not killed, and fails: %v", err)
	}
	return err != nil, time.Since(begun)
}

// goBack checks what there is after a migration, and gives the old store its place again.
func goBack(t *testing.T, dir string) {
	t.Helper()
	kept, source := "raft.db.migrated", "raft.db"
	if filepath.Base(dir) == "raftwal" {
		kept, source = "wal.migrated", "wal"
	}
	// A kill behind the last step leaves the lock's file, which is nobody's.
	_ = os.Remove(filepath.Join(dir, "wal.migrating.lock"))
	if got := names(t, dir); got != after(source, "wal") {
		t.Errorf("there is %s", got)
	}
	must(t, os.RemoveAll(filepath.Join(dir, "wal")))
	must(t, os.Rename(filepath.Join(dir, kept), filepath.Join(dir, source)))
	if filepath.Base(dir) == "inside" { // the new store is built in what is there
		must(t, os.Mkdir(filepath.Join(dir, "wal"), 0o700))
	}
}
