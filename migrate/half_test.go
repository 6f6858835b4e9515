package migrate_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dgraph-io/badger/v4"
	"go.etcd.io/bbolt"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/badgerstore"
	"github.com/raft-ballast/ballast/boltstore"
	"github.com/raft-ballast/ballast/internal/oracle"
	"github.com/raft-ballast/ballast/migrate"
	"github.com/raft-ballast/ballast/wal"
)

// two writes the log and the stable state of a peer into two bolt files, and returns what both
// hold.
func two(t testing.TB, logs, stable string) *oracle.Model {
	t.Helper()
	whole := fill(t, filepath.Join(t.TempDir(), "whole.db"))
	log, err := boltstore.Open(logs, &boltstore.Options{NoSync: true})
	must(t, err)
	must(t, log.StageCommitIndex(whole.Commit))
	for _, index := range whole.Indexes() {
		must(t, log.StoreLog(whole.Logs[index]))
		must(t, log.StageCommitIndex(whole.Commit))
	}
	must(t, log.StoreLog(whole.Logs[whole.Last()]))
	must(t, log.Close())
	s, err := boltstore.Open(stable, &boltstore.Options{NoSync: true})
	must(t, err)
	for key, value := range whole.Stable {
		must(t, s.Set([]byte(key), value))
	}
	must(t, s.Close())
	return whole
}

func oldTwo(dir string) migrate.Old {
	return migrate.Two(bolt(filepath.Join(dir, "logs.dat")), bolt(filepath.Join(dir, "stable.dat")))
}

// change opens a bolt file and does something with it.
func change(t testing.TB, path string, do func(*boltstore.Store) error) {
	t.Helper()
	s, err := boltstore.Open(path, nil)
	must(t, err)
	must(t, errors.Join(do(s), s.Close()))
}

func setTerm(term uint64) func(*boltstore.Store) error {
	return func(s *boltstore.Store) error { return s.SetUint64([]byte("CurrentTerm"), term) }
}

func TestOpenTwo(t *testing.T) {
	dir := t.TempDir()
	model := two(t, filepath.Join(dir, "logs.dat"), filepath.Join(dir, "stable.dat"))
	for range 2 {
		s, err := openFromTwo(t.Context(), dir)
		must(t, err)
		checkModel(t, model, s)
		must(t, s.Close())
		if got := names(t, dir); got != "logs.dat logs.dat.migrated stable.dat stable.dat.migrated wal" {
			t.Errorf("there is %s", got)
		}
	}
	// As raft groups, too.
	must(t, errors.Join(os.Rename(filepath.Join(dir, "logs.dat.migrated"), filepath.Join(dir, "logs.dat")),
		os.Rename(filepath.Join(dir, "stable.dat.migrated"), filepath.Join(dir, "stable.dat"))))
	for range 2 {
		gs, err := migrate.OpenGroups(t.Context(), filepath.Join(dir, "shared"), map[uint64]migrate.Old{4: oldTwo(dir)}, nil)
		must(t, err)
		s, err := gs.Store(4)
		must(t, err)
		checkModel(t, model, s)
		must(t, errors.Join(s.Close(), gs.Close()))
	}
}

// A migration that was cut off when one of two old stores had its other name is gone on with.
func TestOpenTwoResumed(t *testing.T) {
	for _, back := range [][]string{{"stable.dat"}, {"logs.dat", "stable.dat"}} {
		dir := t.TempDir()
		model := two(t, filepath.Join(dir, "logs.dat"), filepath.Join(dir, "stable.dat"))
		s, err := migrate.Open(t.Context(), filepath.Join(dir, "wal"), oldTwo(dir), nil)
		must(t, err)
		must(t, s.Close())
		must(t, os.Rename(filepath.Join(dir, "wal"), filepath.Join(dir, "wal.ready")))
		for _, name := range back {
			must(t, os.Rename(filepath.Join(dir, name+".migrated"), filepath.Join(dir, name)))
		}
		s, err = migrate.Open(t.Context(), filepath.Join(dir, "wal"), oldTwo(dir), nil)
		must(t, err)
		checkModel(t, model, s)
		must(t, s.Close())
		if got := names(t, dir); got != "logs.dat logs.dat.migrated stable.dat stable.dat.migrated wal" {
			t.Errorf("%v: there is %s", back, got)
		}
	}
}

// What is no whole peer is refused, and nothing has changed.
func TestOpenHalfPeer(t *testing.T) {
	for _, c := range []struct {
		name  string
		setup func(t *testing.T, dir string)
		old   func(dir string) migrate.Old
		text  string
	}{
		{"the log alone", func(*testing.T, string) {}, func(dir string) migrate.Old { return bolt(filepath.Join(dir, "logs.dat")) }, "migrate.Two"},
		{"the log alone, with a vote", func(t *testing.T, dir string) {
			change(t, filepath.Join(dir, "logs.dat"), func(s *boltstore.Store) error { return s.Set([]byte("LastVoteCand"), []byte("a")) })
		}, func(dir string) migrate.Old { return bolt(filepath.Join(dir, "logs.dat")) }, "no CurrentTerm"},
		{"a stable state of an older backup", func(t *testing.T, dir string) {
			change(t, filepath.Join(dir, "stable.dat"), setTerm(2))
		}, oldTwo, "its stable state is older than its log"},
		{"one store with an older term", func(t *testing.T, dir string) {
			change(t, filepath.Join(dir, "logs.dat"), setTerm(2))
		}, func(dir string) migrate.Old { return bolt(filepath.Join(dir, "logs.dat")) }, "its stable state is older than its log"},
		{"the other way round", func(*testing.T, string) {}, func(dir string) migrate.Old {
			return migrate.Two(bolt(filepath.Join(dir, "stable.dat")), bolt(filepath.Join(dir, "logs.dat")))
		}, "the other way round"},
		{"a log with a term of its own", func(t *testing.T, dir string) {
			change(t, filepath.Join(dir, "logs.dat"), setTerm(5))
		}, oldTwo, "has stable values too"},
		{"both with entries", func(t *testing.T, dir string) {
			change(t, filepath.Join(dir, "stable.dat"), func(s *boltstore.Store) error {
				return s.StoreLogs(oracle.Entries(oracle.Random(1), 1, 1, 1))
			})
		}, oldTwo, "have entries"},
		{"the stable state is missing", func(t *testing.T, dir string) { must(t, os.Remove(filepath.Join(dir, "stable.dat"))) }, oldTwo, "stable.dat is missing"},
		{"the log is missing", func(t *testing.T, dir string) { must(t, os.Remove(filepath.Join(dir, "logs.dat"))) }, oldTwo, "logs.dat is missing"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			two(t, filepath.Join(dir, "logs.dat"), filepath.Join(dir, "stable.dat"))
			c.setup(t, dir)
			before := names(t, dir)
			_, err := migrate.Open(t.Context(), filepath.Join(dir, "wal"), c.old(dir), nil)
			if !errors.Is(err, migrate.ErrHalfPeer) || !strings.Contains(err.Error(), c.text) || names(t, dir) != before {
				t.Errorf("%v; there is %s", err, names(t, dir))
			}
			_, err = migrate.OpenGroups(t.Context(), filepath.Join(dir, "shared"), map[uint64]migrate.Old{4: c.old(dir)}, nil)
			if got := strings.TrimSpace(strings.Replace(" "+names(t, dir), " shared", "", 1)); !errors.Is(err, migrate.ErrHalfPeer) || got != before {
				t.Errorf("as a raft group: %v; there is %s", err, got)
			}
		})
	}
	dir := t.TempDir()
	two(t, filepath.Join(dir, "logs.dat"), filepath.Join(dir, "stable.dat"))
	same := bolt(filepath.Join(dir, "logs.dat"))
	must(t, os.Symlink("logs.dat", filepath.Join(dir, "link")))
	if _, err := migrate.Open(t.Context(), filepath.Join(dir, "wal"), migrate.Two(same, bolt(filepath.Join(dir, "link"))), nil); err == nil ||
		!strings.Contains(err.Error(), "leave out Stable") {
		t.Errorf("one store given twice: %v", err)
	}
	s, err := migrate.Open(t.Context(), filepath.Join(dir, "wal"), same, &migrate.Options{LogOnly: true})
	must(t, err)
	must(t, s.Close())
}

// What is whole though it lacks something: a peer that has just begun, or whose log a snapshot has
// taken the place of.
func TestOpenWholeWithoutEntries(t *testing.T) {
	for name, do := range map[string]func(*boltstore.Store) error{
		"empty":        func(*boltstore.Store) error { return nil },
		"a term alone": setTerm(7),
		"of another term": func(s *boltstore.Store) error {
			return errors.Join(setTerm(7)(s), s.StoreLogs(oracle.Entries(oracle.Random(1), 1, 3, 1)))
		},
	} {
		dir := t.TempDir()
		change(t, filepath.Join(dir, "raft.db"), do)
		if err := openIn(dir, "wal", nil); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// docker makes an empty folder for a bind mount whose file is missing: it is no new peer.
func TestOpenAnEmptyFolderForAFile(t *testing.T) {
	dir := t.TempDir()
	must(t, os.Mkdir(filepath.Join(dir, "raft.db"), 0o700))
	for _, open := range []func() error{
		func() error { return openIn(dir, "wal", nil) },
		func() error {
			_, err := migrate.OpenGroups(t.Context(), filepath.Join(dir, "wal"), map[uint64]migrate.Old{3: bolt(filepath.Join(dir, "raft.db"))}, nil)
			return err
		},
		func() error {
			_, err := boltstore.Open(filepath.Join(dir, "raft.db"), nil)
			return err
		},
	} {
		if err := open(); err == nil || !strings.Contains(err.Error(), "docker makes") {
			t.Errorf("%v", err)
		}
	}
	if got := strings.TrimSuffix(names(t, dir), " wal"); got != "raft.db" {
		t.Errorf("there is %s", got)
	}
}

// Who goes back to the release before finds something that stops it, and not an empty store.
func TestWhatIsLeftStopsTheOldRelease(t *testing.T) {
	dir := t.TempDir()
	fill(t, filepath.Join(dir, "raft.db"))
	must(t, openIn(dir, "wal", nil))
	if _, err := bbolt.Open(filepath.Join(dir, "raft.db"), 0o600, nil); err == nil {
		t.Error("bbolt opens what is left")
	}
	for _, c := range []struct {
		from string
		old  func(string) migrate.Old
	}{
		{"../internal/raftwal/testdata/raft-wal", migrate.RaftWAL},
		{"../badgerstore/testdata/raft-badger-default", func(path string) migrate.Old { return badgerOld(path) }},
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, "raft")
		copyOf(t, c.from, path)
		s, err := migrate.Open(t.Context(), filepath.Join(dir, "wal"), c.old(path), nil)
		must(t, err)
		must(t, s.Close())
		if _, err := os.Stat(filepath.Join(path, "MANIFEST")); err == nil {
			_, err = badger.Open(badger.DefaultOptions(path).WithLogger(nil))
			if err == nil {
				t.Error("badger opens what is left")
			}
			continue
		}
		if _, err := bbolt.Open(filepath.Join(path, "wal-meta.db"), 0o600, nil); err == nil {
			t.Error("raft-wal opens what is left")
		}
	}
}

// Where a wal was, as its LOCK says, and nothing else of it is left, the old store does not take
// its place without a word.
func TestOpenWhereAWalWas(t *testing.T) {
	dir := t.TempDir()
	fill(t, filepath.Join(dir, "raft.db"))
	must(t, os.Mkdir(filepath.Join(dir, "wal"), 0o700))
	must(t, os.WriteFile(filepath.Join(dir, "wal", "LOCK"), []byte{1}, 0o600))
	err := openIn(dir, "wal", nil)
	if !errors.Is(err, ballast.ErrCorrupt) || names(t, dir) != "raft.db wal" || names(t, filepath.Join(dir, "wal")) != "LOCK" {
		t.Errorf("%v; there is %s", err, names(t, dir))
	}
}

// Whoever opens one engine's store with another one's Open is told how it is moved.
func TestOpenOfAnotherEnginesStoreNamesMigrate(t *testing.T) {
	dir := t.TempDir()
	file, folder := filepath.Join(dir, "raft.db"), filepath.Join(dir, "raft")
	fill(t, file)
	copyOf(t, "../internal/raftwal/testdata/raft-wal", folder)
	for name, open := range map[string]func() error{
		"wal":               func() error { _, err := wal.Open(file, nil); return err },
		"wal, for reading":  func() error { _, err := wal.OpenReadOnly(file, nil); return err },
		"wal, groups":       func() error { _, err := wal.OpenGroups(file, nil); return err },
		"wal, of a folder":  func() error { _, err := wal.Open(folder, nil); return err },
		"badger":            func() error { _, err := badgerstore.Open(file, nil); return err },
		"bolt, of a folder": func() error { _, err := boltstore.Open(folder, nil); return err },
	} {
		if err := open(); !errors.Is(err, ballast.ErrForeign) || !strings.Contains(err.Error(), "package migrate or `ballast migrate`") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
