package migrate_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/gofrs/flock"
	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/badgerstore"
	"github.com/raft-ballast/ballast/boltstore"
	"github.com/raft-ballast/ballast/internal/fixture"
	"github.com/raft-ballast/ballast/internal/oracle"
	"github.com/raft-ballast/ballast/migrate"
	"github.com/raft-ballast/ballast/wal"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// bolt is the old store in a file of raft-boltdb.
func bolt(path string) migrate.Old {
	return migrate.From(path, boltstore.Open, &boltstore.Options{ReadOnly: true})
}

func badgerOld(path string) migrate.Old { return migrate.From(path, badgerstore.Open, nil) }

// copyOf puts a file or a folder at another place.
func copyOf(t testing.TB, from, to string) {
	t.Helper()
	info, err := os.Stat(from)
	must(t, err)
	if info.IsDir() {
		must(t, os.CopyFS(to, os.DirFS(from)))
		return
	}
	data, err := os.ReadFile(from)
	must(t, err)
	must(t, os.WriteFile(to, data, 0o640))
}

// names lists a folder.
func names(t testing.TB, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return strings.Join(out, " ")
}

// Everything that the libraries in use today have written comes across, at the first opening, and nothing is done at the second.
func TestOpenFixtures(t *testing.T) {
	for _, c := range []struct {
		pattern, name string
		old           func(path string) migrate.Old
		places        []string // of the new store
	}{
		{"../boltstore/testdata/*.db", "raft.db", bolt, []string{"wal", "deep/er/wal"}},
		{"../badgerstore/testdata/*", "raft", badgerOld, []string{"wal", "raft"}},
		{"../internal/raftwal/testdata/*", "raft", migrate.RaftWAL, []string{"wal", "raft"}},
	} {
		paths, err := filepath.Glob(c.pattern)
		if err != nil || len(paths) == 0 {
			t.Fatal(c.pattern, err)
		}
		for _, from := range paths {
			for _, place := range c.places {
				t.Run(filepath.Base(from)+" to "+place, func(t *testing.T) {
					dir := t.TempDir()
					copyOf(t, from, filepath.Join(dir, c.name))
					old := c.old(filepath.Join(dir, c.name))
					for range 2 {
						store, err := migrate.Open(t.Context(), filepath.Join(dir, place), old, nil)
						must(t, err)
						fixture.Check(t, store)
						must(t, store.Close())
						if want := after(c.name, strings.Split(place, "/")[0]); names(t, dir) != want {
							t.Errorf("there is %s, want %s", names(t, dir), want)
						}
					}
					// The old store is what it was: it moves again.
					store, err := migrate.Open(t.Context(), filepath.Join(t.TempDir(), "wal"), c.old(filepath.Join(dir, c.name+".migrated")), nil)
					must(t, err)
					fixture.Check(t, store)
					must(t, store.Close())
				})
			}
		}
	}
}

// after lists what there is when an old store was moved to another place: the new one, the old one,
// and what stops an older release.
func after(old, place string) string {
	names := []string{old, old + ".migrated", place}
	slices.Sort(names)
	return strings.Join(slices.Compact(names), " ")
}

// A new peer has no old store, but may have folders.
func TestOpenNew(t *testing.T) {
	dir := t.TempDir()
	must(t, os.Mkdir(filepath.Join(dir, "raft"), 0o700))
	must(t, os.Mkdir(filepath.Join(dir, "wal"), 0o700))
	must(t, os.WriteFile(filepath.Join(dir, "wal", "LOCK"), nil, 0o600))
	for _, place := range []string{"wal", "raft", "new"} {
		store, err := migrate.Open(t.Context(), filepath.Join(dir, place), migrate.RaftWAL(filepath.Join(dir, "raft")), nil)
		if place == "raft" { // the wal is there, and no old store
			must(t, err)
		}
		must(t, err)
		last, err := store.LastIndex()
		if err != nil || last != 0 {
			t.Errorf("%d, %v", last, err)
		}
		must(t, store.Close())
		if place == "raft" {
			must(t, os.RemoveAll(filepath.Join(dir, place)))
		}
	}
	if got := names(t, dir); got != "new wal" {
		t.Errorf("there is %s", got)
	}
}

// fill writes a small log into a bolt file.
func fill(t testing.TB, path string) *oracle.Model {
	t.Helper()
	s, err := boltstore.Open(path, &boltstore.Options{NoSync: true})
	must(t, err)
	rng := oracle.Random(3)
	must(t, s.StoreLogs(oracle.Entries(rng, 7, 100, 500)))
	must(t, s.StageCommitIndex(90))
	must(t, s.StoreLogs(oracle.Entries(rng, 200, 50, 10)))
	must(t, s.SetUint64([]byte("CurrentTerm"), 5))
	must(t, s.Set([]byte("of the application"), []byte("value")))
	model, err := oracle.Read(s)
	must(t, err)
	must(t, s.Close())
	return model
}

func checkModel(t testing.TB, want *oracle.Model, s oracle.Store) {
	t.Helper()
	got, err := oracle.Read(s)
	must(t, err)
	if err := want.Diff(got); err != nil {
		t.Error(err)
	}
}

// openIn moves the raft.db in a folder to a place in it.
func openIn(dir, place string, opts *migrate.Options) error {
	s, err := migrate.Open(context.Background(), filepath.Join(dir, place), bolt(filepath.Join(dir, "raft.db")), opts)
	if err == nil {
		_ = s.Close() // the test has failed
	}
	return err
}

// refusals are what is in the way, and what is said about it.
var refusals = []struct {
	name  string
	setup func(t *testing.T, dir string) error
	place string
	want  error
	text  string
}{
	{"the old store is in use", func(t *testing.T, dir string) error {
		s, err := boltstore.Open(filepath.Join(dir, "raft.db"), nil)
		t.Cleanup(func() { _ = s.Close() })
		return err
	}, "wal", ballast.ErrLocked, "raft.db is locked: another store has it open; stop that process"},
	{"both are there", func(t *testing.T, dir string) error {
		s, err := wal.Open(filepath.Join(dir, "wal"), nil)
		return errors.Join(err, s.Close())
	}, "wal", migrate.ErrTwoStores, "give the other another name"},
	{"something else is there", func(t *testing.T, dir string) error {
		return os.MkdirAll(filepath.Join(dir, "wal", "photos"), 0o700)
	}, "wal", ballast.ErrForeign, "give the new store a place of its own"},
	{"a repaired store waits for its place", func(t *testing.T, dir string) error {
		return os.Mkdir(filepath.Join(dir, "wal.ballast-ready"), 0o700)
	}, "wal", ballast.ErrUnfinished, "begins anew"},
	{"a file is there", func(t *testing.T, dir string) error {
		return os.WriteFile(filepath.Join(dir, "wal"), nil, 0o600)
	}, "wal", ballast.ErrForeign, ""},
	{"another process does it", func(t *testing.T, dir string) error {
		lock := flock.New(filepath.Join(dir, "wal.migrating.lock"))
		held, err := lock.TryLock()
		if !held {
			t.Error("the lock is not free")
		}
		t.Cleanup(func() { _ = lock.Close() })
		return err
	}, "wal", ballast.ErrLocked, "another migration to the same place is going on"},
	{"around the old store", func(*testing.T, string) error { return nil }, "", ballast.ErrForeign, "give the new store a place of its own"},
	{"the name of what is not finished", func(*testing.T, string) error { return nil }, "x.migrating", nil, "give another"},
	{"an entry is damaged", func(t *testing.T, dir string) error {
		path := filepath.Join(dir, "raft.db")
		data, err := os.ReadFile(path)
		at := strings.Index(string(data), "AppendedAt")
		data[at-1] = 0xc1
		return errors.Join(err, os.WriteFile(path, data, 0o600))
	}, "wal", ballast.ErrCorrupt, ""},
	{"what was acknowledged last may be missing", func(t *testing.T, dir string) error {
		damageMeta(t, filepath.Join(dir, "raft.db"))
		return nil
	}, "wal", ballast.ErrCorrupt, "may be missing; `ballast repair` says what can be kept of it"},
}

// The old store is always in its place afterwards, and nothing is beside it that was not.
func TestOpenRefused(t *testing.T) {
	for _, c := range refusals {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			fill(t, filepath.Join(dir, "raft.db"))
			must(t, c.setup(t, dir))
			before := names(t, dir)
			err := openIn(dir, c.place, nil)
			if err == nil || c.want != nil && !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) {
				t.Errorf("%v; want one that matches %v and says %q", err, c.want, c.text)
			}
			if got := names(t, dir); got != before {
				t.Errorf("there was %s, and is %s", before, got)
			}
		})
	}
}

// What is in the way of something else than a raft.db, or of one with options.
func TestOpenRefusedOtherwise(t *testing.T) {
	t.Run("in the old store", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "raft")
		copyOf(t, "../internal/raftwal/testdata/raft-wal", dir)
		before := names(t, dir)
		_, err := migrate.Open(t.Context(), filepath.Join(dir, "wal"), migrate.RaftWAL(dir), nil)
		if err == nil || !strings.Contains(err.Error(), "neither in the old store nor around it") || names(t, dir) != before {
			t.Errorf("%v; there is %s", err, names(t, dir))
		}
	})
	t.Run("an entry is too large", func(t *testing.T) {
		dir := t.TempDir()
		fill(t, filepath.Join(dir, "raft.db"))
		err := openIn(dir, "wal", &migrate.Options{WAL: &wal.Options{MaxEntryBytes: 400}})
		if !errors.Is(err, ballast.ErrEntryTooLarge) || names(t, dir) != "raft.db" {
			t.Errorf("%v; there is %s", err, names(t, dir))
		}
	})
	t.Run("the old store is gone", func(t *testing.T) {
		dir := t.TempDir()
		must(t, os.Mkdir(filepath.Join(dir, "wal.migrating"), 0o700))
		if err := openIn(dir, "wal", nil); !errors.Is(err, migrate.ErrSourceGone) || !strings.Contains(err.Error(), "wal.migrating") {
			t.Error(err)
		}
	})
	t.Run("the old store is gone, and had no other name", func(t *testing.T) {
		dir := t.TempDir()
		must(t, os.Mkdir(filepath.Join(dir, "wal.ready"), 0o700))
		if err := openIn(dir, "wal", nil); !errors.Is(err, migrate.ErrSourceGone) || !strings.Contains(err.Error(), "wal.ready") || names(t, dir) != "wal.ready" {
			t.Errorf("%v; there is %s", err, names(t, dir))
		}
	})
	if _, err := migrate.Open(t.Context(), t.TempDir(), migrate.Old{}, nil); err == nil {
		t.Error("without an old store")
	}
}

// damageMeta damages one of the two pages of a bbolt file that say which transaction is the last.
func damageMeta(t *testing.T, path string) {
	t.Helper()
	data, err := os.ReadFile(path)
	must(t, err)
	data[os.Getpagesize()+64] ^= 0xff
	must(t, os.WriteFile(path, data, 0o600))
}

// A context that ends leaves the old store, and nothing else.
func TestOpenStopped(t *testing.T) {
	for _, verifying := range []bool{false, true} {
		dir := t.TempDir()
		path := filepath.Join(dir, "raft.db")
		s, err := boltstore.Open(path, &boltstore.Options{NoSync: true})
		must(t, err)
		must(t, s.StoreLogs(oracle.Entries(oracle.Random(1), 1, 2000, 20)))
		must(t, s.SetUint64([]byte("CurrentTerm"), 30))
		must(t, s.Close())
		ctx, cancel := context.WithCancel(t.Context())
		parts := 0
		_, err = migrate.Open(ctx, filepath.Join(dir, "wal"), bolt(path), &migrate.Options{Progress: func(p migrate.Progress) {
			if p.Part <= 0 || p.Part > 1 || p.Entries == 0 || p.Bytes == 0 {
				t.Errorf("%+v", p)
			}
			if parts++; p.Verifying == verifying {
				cancel()
			}
		}})
		if !errors.Is(err, context.Canceled) || names(t, dir) != "raft.db" || parts == 0 {
			t.Errorf("%v; there is %s; progress was told %d times", err, names(t, dir), parts)
		}
	}
}

// An old store that has been kept before stays; a link leads to where the store is.
func TestOpenNames(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "raft.db")
	for _, name := range []string{"raft.db.migrated", "raft.db.migrated-2"} {
		must(t, os.WriteFile(filepath.Join(dir, name), []byte(name), 0o600))
	}
	model := fill(t, path)
	elsewhere := t.TempDir()
	must(t, os.Symlink(filepath.Join(elsewhere, "store"), filepath.Join(dir, "wal")))
	for range 2 {
		s, err := migrate.Open(t.Context(), filepath.Join(dir, "wal"), bolt(path), nil)
		must(t, err)
		checkModel(t, model, s)
		must(t, s.Close())
	}
	if got := names(t, dir); got != "raft.db raft.db.migrated raft.db.migrated-2 raft.db.migrated-3 wal" || names(t, elsewhere) != "store" {
		t.Errorf("there is %s, and elsewhere %s", got, names(t, elsewhere))
	}
	if info, err := os.Lstat(filepath.Join(dir, "wal")); err != nil || info.Mode()&fs.ModeSymlink == 0 {
		t.Errorf("the link: %v, %v", info, err)
	}
}

// A store that is not one of Ballast's, of which only what raft calls is known.
func TestOpenFromAnyStore(t *testing.T) {
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "own"), []byte("x"), 0o600))
	mem := raft.NewInmemStore()
	must(t, mem.StoreLogs(oracle.Entries(oracle.Random(1), 3, 20, 10)))
	must(t, mem.Set([]byte("LastVoteCand"), []byte("a")))
	must(t, mem.SetUint64([]byte("own number"), 77))
	must(t, mem.SetUint64([]byte("CurrentTerm"), 1))
	old := migrate.Old{Path: filepath.Join(dir, "own"), Open: func(string) (migrate.Source, error) { return closer{mem}, nil }}
	s, err := migrate.Open(t.Context(), filepath.Join(dir, "wal"), old, &migrate.Options{StableKeys: [][]byte{[]byte("own number")}})
	must(t, err)
	defer func() { must(t, s.Close()) }()
	number, err := s.GetUint64([]byte("own number"))
	last, err2 := s.LastIndex()
	if number != 77 || last != 22 || errors.Join(err, err2) != nil {
		t.Errorf("%d, %d, %v, %v", number, last, err, err2)
	}
}

type closer struct{ *raft.InmemStore }

func (closer) Close() error { return nil }

// Who moves over from one engine does not build the other.
func TestImports(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", ".").Output()
	must(t, err)
	if found := regexp.MustCompile(`(?m)^.*(bbolt|badger|ballast/(boltstore|memstore|internal/cli)).*$`).FindAllString(string(out), -1); found != nil {
		t.Errorf("package migrate imports %v", found)
	}
}
