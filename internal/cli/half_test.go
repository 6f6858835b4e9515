package cli

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/raft-ballast/ballast/badgerstore"
	"github.com/raft-ballast/ballast/boltstore"
	"github.com/raft-ballast/ballast/migrate"
)

// writeTwo writes the log of a cluster's peer and its stable state into two bolt files, as some
// services keep them.
func writeTwo(t *testing.T, dir string) (logs, stable, whole string) {
	t.Helper()
	logs, stable, whole = filepath.Join(dir, "logs.dat"), filepath.Join(dir, "stable.dat"), filepath.Join(dir, "whole.db")
	writeCluster(t, filepath.Join(dir, "whole"), whole)
	log, err := boltstore.Open(logs, &boltstore.Options{NoSync: true})
	must(t, err)
	must(t, log.StageCommitIndex(9))
	must(t, errors.Join(log.StoreLogs(clusterEntries()), log.Close()))
	s, err := boltstore.Open(stable, &boltstore.Options{NoSync: true})
	must(t, err)
	must(t, errors.Join(s.SetUint64([]byte("CurrentTerm"), 3), s.SetUint64([]byte("LastVoteTerm"), 3),
		s.Set([]byte("LastVoteCand"), []byte("127.0.0.1:7002")), s.Set([]byte("app"), []byte{0, 1, 2}), s.Close()))
	return logs, stable, whole
}

// The log alone is no peer: `migrate` refuses it, and takes both.
func TestMigrateTwo(t *testing.T) {
	dir := t.TempDir()
	logs, stable, whole := writeTwo(t, dir)
	to := "wal:" + filepath.Join(dir, "wal")
	run := func(want int, says string, args ...string) {
		t.Helper()
		status, stdout, stderr := runBallast(args...)
		if status != want || !strings.Contains(stdout+stderr, says) {
			t.Errorf("%v: status %d, want %d and %q: %s%s", args, status, want, says, stdout, stderr)
		}
	}
	run(ExitFailure, "--stable STORE SOURCE DESTINATION", "migrate", logs, to)
	run(ExitFailure, "--stable STORE SOURCE DESTINATION", "migrate", "--dry-run", logs, to)
	run(ExitFailure, "no whole peer", "migrate", "--group", "1="+logs, "--group", "2="+whole, to)
	run(ExitFailure, "the other way round", "migrate", "--stable", logs, stable, to)
	run(ExitFailure, "has stable values too", "migrate", "--stable", stable, whole, to)
	run(ExitUsage, "leave out --stable", "migrate", "--stable", logs, logs, to)
	run(ExitUsage, "exclude each other", "migrate", "--stable", stable, "--log-only", logs, to)
	run(ExitUsage, "one by one", "migrate", "--stable", stable, "--group", "1="+logs, to)
	if got, _ := filepath.Glob(filepath.Join(dir, "wal*")); len(got) > 0 {
		t.Errorf("there is %v", got)
	}
	run(0, "stable.dat have become", "migrate", "--stable", stable, "bolt:"+logs, to)
	run(0, "no difference", "diff", to, whole)
	run(0, `"stable":"bolt:`, "migrate", "--json", "--stable", stable, "--group", "7", logs, "wal:"+filepath.Join(dir, "shared"))
	run(0, "copied and verified", "migrate", "--stable", stable, "--group", "8", logs, "wal:"+filepath.Join(dir, "shared"))
	run(0, "good", "verify", "--group", "8", "wal:"+filepath.Join(dir, "shared"))
	run(0, "has become", "migrate", "--log-only", logs, "bolt:"+filepath.Join(dir, "alone.db"))
	run(0, "do not run a peer on it alone", "migrate", "--log-only", logs, "bolt:"+filepath.Join(dir, "again.db"))
	run(0, `"half_peer":"it has entries`, "migrate", "--log-only", "--json", logs, "wal:"+filepath.Join(dir, "alone"))
}

// Whoever looks at half a peer is warned, and nothing fails.
func TestHalfPeerIsTold(t *testing.T) {
	dir := t.TempDir()
	logs, _, whole := writeTwo(t, dir)
	older := filepath.Join(dir, "older.db")
	data, err := os.ReadFile(whole)
	must(t, err)
	must(t, os.WriteFile(older, data, 0o600))
	alone, shared := "wal:"+filepath.Join(dir, "alone"), "wal:"+filepath.Join(dir, "shared")
	for _, args := range [][]string{
		{"stable", "set", "--force", "--second-vote", older, "CurrentTerm", "1"},
		{"migrate", "--log-only", logs, alone},
		{"migrate", "--log-only", "--group", "1=" + logs, "--group", "2=" + whole, shared},
	} {
		if status, _, stderr := runBallast(args...); status != 0 {
			t.Fatal(args, stderr)
		}
	}
	for i, args := range [][]string{
		{"verify", logs}, {"info", logs}, {"verify", older}, {"info", older}, {"verify", alone}, {"info", shared}, {"verify", shared}, {"repair", logs},
		{"export", logs, filepath.Join(dir, "file")}, {"import", filepath.Join(dir, "file"), "bolt:" + filepath.Join(dir, "again.db")},
		{"backup", alone, filepath.Join(dir, "copy")}, {"backup", shared, filepath.Join(dir, "copies")},
	} {
		status, stdout, stderr := runBallast(args...)
		if status != 0 || !strings.Contains(stdout, "it has entries") || !strings.Contains(stdout, "migrate --stable") {
			t.Errorf("%v: status %d, %s%s", args, status, stdout, stderr)
		}
		if i < 8 {
			status, stdout, stderr = runBallast(append(args, "--json")...)
			if status != 0 || !strings.Contains(stdout, `"half_peer":"it has entries`) {
				t.Errorf("%v --json: status %d, %s%s", args, status, stdout, stderr)
			}
		}
	}
	status, stdout, stderr := runBallast("export", logs, "-")
	if status != 0 || !strings.Contains(stderr, "note: it has entries") || strings.Contains(stdout, "note:") {
		t.Errorf("export to standard output: status %d, %s", status, stderr)
	}
	for _, name := range []string{"verify", "info"} {
		if _, stdout, _ := runBallast(name, whole); strings.Contains(stdout, "note: it has") {
			t.Errorf("%s of a whole one: %s", name, stdout)
		}
	}
}

// What migrate.Open leaves where the old store was is no store, and makes room for one that comes
// back.
func TestMigrateBack(t *testing.T) {
	for _, old := range []string{"raft.db", "badger"} {
		dir := t.TempDir()
		path, to := filepath.Join(dir, old), filepath.Join(dir, "wal")
		writeCluster(t, filepath.Join(t.TempDir(), "log"), filepath.Join(dir, "from.db"))
		from := migrate.From(path, boltstore.Open, &boltstore.Options{ReadOnly: true})
		back := "bolt:" + path
		if old == "badger" {
			from, back = migrate.From(path, badgerstore.Open, nil), "badger:"+path
		}
		if status, _, stderr := runBallast("migrate", filepath.Join(dir, "from.db"), back); status != 0 {
			t.Fatal(stderr)
		}
		must(t, os.Remove(filepath.Join(dir, "from.db")))
		s, err := migrate.Open(t.Context(), to, from, nil)
		must(t, err)
		must(t, s.Close())
		if _, stdout, stderr := runBallast("info", dir); !strings.Contains(stdout, "wal:"+to) {
			t.Errorf("the only store that is in use: %s%s", stdout, stderr)
		}
		if _, stdout, stderr := runBallast("info", path); !strings.Contains(stderr, "migration has left") && old == "raft.db" {
			t.Errorf("what is left: %s%s", stdout, stderr)
		}
		if status, _, stderr := runBallast("migrate", "wal:"+to, back); status != 0 {
			t.Errorf("back again: %s", stderr)
		}
		if status, stdout, stderr := runBallast("diff", "wal:"+to, back); status != 0 {
			t.Errorf("%s%s", stdout, stderr)
		}
	}
}
