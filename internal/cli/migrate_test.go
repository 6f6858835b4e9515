package cli

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/boltstore"
	"github.com/raft-ballast/ballast/internal/fixture"
	"github.com/raft-ballast/ballast/internal/move"
	"github.com/raft-ballast/ballast/internal/oracle"
	"github.com/raft-ballast/ballast/wal"
)

// fixtures returns copies of all stores that the libraries in use today have written, by their names on the command line.
func fixtures(t *testing.T) (names []string) {
	t.Helper()
	dir := t.TempDir()
	for _, kind := range []struct{ engine, pattern string }{
		{"bolt", "../../boltstore/testdata/*.db"},
		{"badger", "../../badgerstore/testdata/*"},
		{"raftwal", "../raftwal/testdata/*"},
	} {
		paths, err := filepath.Glob(kind.pattern)
		must(t, err)
		for _, path := range paths {
			to := filepath.Join(dir, filepath.Base(path))
			if kind.engine == "bolt" {
				data, err := os.ReadFile(path)
				must(t, err)
				must(t, os.WriteFile(to, data, 0o640))
			} else {
				must(t, os.CopyFS(to, os.DirFS(path)))
			}
			names = append(names, kind.engine+":"+to)
		}
	}
	if len(names) != 7 {
		t.Fatalf("there are %d: %v", len(names), names)
	}
	return names
}

func checkFixture(t *testing.T, name string) {
	t.Helper()
	src, err := openSource(name)
	must(t, err)
	fixture.Check(t, src)
	must(t, src.Close())
}

// Every fixture becomes a store of each engine, and is the same when it comes back from there.
func TestMigrateFixtures(t *testing.T) {
	t.Parallel()
	for _, from := range fixtures(t) {
		_, path, _ := splitStore(from)
		before := snapshot(t, path)
		for _, to := range []string{"wal", "bolt", "badger"} {
			dir := t.TempDir()
			back := "bolt:" + filepath.Join(dir, "back.db")
			if strings.HasPrefix(from, "badger") {
				back = "badger:" + filepath.Join(dir, "back")
			}
			name := to + ":" + filepath.Join(dir, "there")
			for _, args := range [][]string{{"migrate", from, name}, {"migrate", name, back}} {
				between := snapshot(t, args[1][strings.Index(args[1], ":")+1:])
				if status, _, stderr := runBallast(args...); status != 0 {
					t.Fatalf("%v: status %d, %s", args, status, stderr)
				}
				between.compare(t, args, snapshot(t, args[1][strings.Index(args[1], ":")+1:]))
			}
			checkFixture(t, name)
			checkFixture(t, back)
			if left, _ := filepath.Glob(filepath.Join(dir, "*migrat*")); len(left) > 0 {
				t.Errorf("%v are left", left)
			}
		}
		before.compare(t, []string{"one of them"}, snapshot(t, path))
	}
}

// A store that is written is refused, and the writer goes on.
func TestMigrateLocked(t *testing.T) {
	dir := t.TempDir()
	log, err := wal.Open(filepath.Join(dir, "wal"), nil)
	must(t, err)
	file, err := boltstore.Open(filepath.Join(dir, "raft.db"), &boltstore.Options{NoSync: true})
	must(t, err)
	for _, from := range []string{"wal:" + filepath.Join(dir, "wal"), "bolt:" + filepath.Join(dir, "raft.db")} {
		status, _, stderr := runBallast("migrate", from, "badger:"+filepath.Join(dir, "new"))
		if status != ExitFailure || !strings.Contains(stderr, "is locked: another store has it open; stop that process") {
			t.Errorf("%s: status %d, %s", from, status, stderr)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "new*")); len(left) > 0 {
		t.Errorf("%v are left", left)
	}
	must(t, errors.Join(log.StoreLog(&raft.Log{Index: 1}), log.Close(), file.Close()))
}

var kills = flag.Int("kills", 6, "how often TestKilled kills a migration")

// large writes a bolt file that takes some time.
func large(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "raft.db")
	s, err := boltstore.Open(path, &boltstore.Options{NoSync: true})
	must(t, err)
	rng := oracle.Random(1)
	for first := uint64(1); first < 30_000; first += 3000 {
		must(t, s.StageCommitIndex(first))
		must(t, s.StoreLogs(oracle.Entries(rng, first, 3000, 300)))
	}
	must(t, s.SetUint64([]byte("CurrentTerm"), 301))
	must(t, s.Close())
	return path
}

// TestKilled kills `ballast migrate` at any moment, and starts it again on what that has left.
func TestKilled(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	rng := rand.New(rand.NewPCG(seed, 0))
	from := large(t)
	before := snapshot(t, from)
	killed, finished, took := 0, 0, time.Duration(0)
	for round := 0; killed < *kills && !t.Failed(); round++ {
		engine := []string{"wal", "bolt", "badger"}[killed%3]
		dir := filepath.Join(filepath.Dir(from), engine)
		must(t, os.MkdirAll(dir, 0o700))
		to := filepath.Join(dir, "new")
		begun := time.Now()
		cmd := exec.Command(os.Args[0], "migrate", "bolt:"+from, engine+":"+to)
		must(t, cmd.Start())
		timer := time.AfterFunc(time.Duration(rng.Int64N(int64(took)+1)), func() { _ = cmd.Process.Kill() })
		if took == 0 {
			timer.Stop()
		}
		err := cmd.Wait()
		timer.Stop()
		if err == nil {
			finished++
			took = max(took, time.Since(begun))
			checkMigrated(t, from, engine+":"+to)
			must(t, os.RemoveAll(dir))
			continue
		}
		killed++
		checkKilled(t, from, engine, to)
		if t.Failed() {
			t.Errorf("kill %d, seed %d: %v", killed, seed, err)
		}
	}
	for _, engine := range []string{"wal", "bolt", "badger"} {
		to := engine + ":" + filepath.Join(filepath.Dir(from), engine, "new")
		must(t, os.MkdirAll(filepath.Join(filepath.Dir(from), engine), 0o700))
		if _, err := os.Stat(filepath.Join(filepath.Dir(from), engine, "new")); err != nil {
			if status, _, stderr := runBallast("migrate", "bolt:"+from, to); status != 0 {
				t.Errorf("in the end: status %d, %s", status, stderr)
			}
		}
		checkMigrated(t, from, to)
	}
	before.compare(t, []string{"one of them"}, snapshot(t, from))
	t.Logf("%d kills, and %d that came too late", killed, finished)
}

// checkKilled looks at what a kill has left: the whole store, or none that opens.
func checkKilled(t *testing.T, from, engine, to string) {
	t.Helper()
	if _, err := os.Stat(to); err == nil {
		checkMigrated(t, from, engine+":"+to)
		must(t, os.RemoveAll(to))
		return
	}
	status, _, stderr := runBallast("info", filepath.Dir(to))
	if status != ExitFailure || !strings.Contains(stderr, "holds no store that is ") {
		t.Errorf("info says %d, %s", status, stderr)
	}
	half := to + ".migrating"
	if _, err := os.Stat(half); err != nil {
		return
	}
	for _, e := range engines {
		if e.read == nil {
			continue
		}
		if s, err := e.read(half); err == nil {
			_ = s.Close() // the test has failed
			t.Errorf("%s:%s opens", e.name, half)
		}
	}
	if _, err := placeOf(engine, half).engine.open(half); !errors.Is(err, ballast.ErrUnfinished) {
		t.Errorf("opening %s to write: %v", half, err)
	}
}

func checkMigrated(t *testing.T, from, to string) {
	t.Helper()
	if status, stdout, stderr := runBallast("diff", "bolt:"+from, to); status != 0 {
		t.Errorf("diff: status %d, %s%s", status, stdout, stderr)
	}
	for _, name := range []string{"bolt:" + from, to} {
		if _, stdout, _ := runBallast("stable", "get", name, "CurrentTerm"); strings.TrimSpace(stdout) != "301" {
			t.Errorf("%s: the term is %s", name, stdout)
		}
	}
}

// Ctrl-C leaves nothing.
func TestMigrateInterrupted(t *testing.T) {
	from := large(t)
	dir := t.TempDir()
	to := filepath.Join(dir, "new")
	cmd := exec.Command(os.Args[0], "migrate", "bolt:"+from, "badger:"+to)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	must(t, cmd.Start())
	for begun := time.Now(); ; { // until it works
		if _, err := os.Stat(to + ".migrating"); err == nil || time.Since(begun) > time.Minute {
			break
		}
		time.Sleep(time.Millisecond)
	}
	must(t, cmd.Process.Signal(syscall.SIGINT))
	err := cmd.Wait()
	names, _ := filepath.Glob(filepath.Join(dir, "*"))
	if err == nil { // it was faster
		if fmt.Sprint(names) != fmt.Sprint([]string{to}) {
			t.Errorf("there is %v", names)
		}
		return
	}
	if want := "ballast: interrupted; bolt:" + from + " is as it was, and nothing is left of the new store\n"; stderr.String() != want || len(names) > 0 {
		t.Errorf("%v; %snames %v", err, stderr.String(), names)
	}
}

// A store that somebody makes at the destination during a migration is not replaced, and nothing is left of the copy.
func TestMigrateDestinationTaken(t *testing.T) {
	engine, path, _ := splitStore(fixtures(t)[0])
	e, err := durableEngine(engine)
	must(t, err)
	to := filepath.Join(t.TempDir(), "raft.db")
	bolt, err := durableEngine("bolt")
	must(t, err)
	m := newMigration(newStreams(strings.NewReader(""), io.Discard, io.Discard), place{e, path}, place{bolt, to})
	m.job.Progress = func(move.Progress) { must(t, os.WriteFile(to, []byte("a peer's"), 0o600)) }
	if _, err := m.job.Copy(t.Context()); !errors.Is(err, move.ErrExists) {
		t.Errorf("the copy over a store that was made meanwhile: %v", err)
	}
	if data, err := os.ReadFile(to); err != nil || string(data) != "a peer's" {
		t.Errorf("it holds %d bytes of something else, %v", len(data), err)
	}
	if names, err := filepath.Glob(to + "?*"); err != nil || len(names) > 0 {
		t.Errorf("%q are left, %v", names, err)
	}
	must(t, os.Remove(to))
	must(t, os.Symlink("nowhere", to))
	m.job.Progress = func(move.Progress) { t.Error("it copies to a link that leads nowhere") }
	if _, err := m.job.Copy(t.Context()); !errors.Is(err, move.ErrExists) {
		t.Errorf("the copy over a link: %v", err)
	}
}
