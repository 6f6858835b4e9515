package bench

import (
	"os"
	"path/filepath"
	"testing"

	raftboltdb "github.com/hashicorp/raft-boltdb/v2"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/boltstore"
	"github.com/raft-ballast/ballast/migrate"
	"github.com/raft-ballast/ballast/wal"
)

// migrated opens the wal of a folder twice, through package migrate, and checks that it holds what the old library has written.
func migrated(t *testing.T, dir string, old migrate.Old, want *content) {
	t.Helper()
	for _, when := range []string{"the first time", "the second time"} {
		s, err := migrate.Open(t.Context(), filepath.Join(dir, "wal"), old, &migrate.Options{WAL: &wal.Options{SegmentBytes: 1 << 20}})
		must(t, err)
		want.check(t, when, s)
		must(t, s.Close())
	}
}

// What raft-boltdb has written moves, and raft-boltdb still reads what was kept, and what goes back.
func TestMigrateRaftBoltDB(t *testing.T) {
	for _, crash := range []bool{false, true} {
		dir, c := t.TempDir(), sample()
		path := filepath.Join(dir, "raft.db")
		theirs := openRaftBolt(t, path, false)
		c.writeTo(t, theirs)
		c.deleteRange(t, theirs, 1, 25)
		must(t, os.Rename(leave(t, theirs, path, crash), path))
		migrated(t, dir, migrate.From(path, boltstore.Open, &boltstore.Options{ReadOnly: true}), &c)

		kept := openRaftBolt(t, path+".migrated", false)
		c.check(t, "raft-boltdb, what was kept", kept)
		must(t, kept.Close())
		back(t, dir, func(path string) { c.check(t, "raft-boltdb, what came back", openRaftBolt(t, path, false)) })
	}
}

// back moves the wal into a file again.
func back(t *testing.T, dir string, check func(path string)) {
	t.Helper()
	s, err := wal.Open(filepath.Join(dir, "wal"), nil)
	must(t, err)
	path := filepath.Join(dir, "back.db")
	file, err := boltstore.Open(path, nil)
	must(t, err)
	_, err = ballast.Copy(t.Context(), file, s, nil)
	must(t, err)
	must(t, file.Close())
	must(t, s.Close())
	check(path)
}

// What raft-wal has written moves, into the place where it was.
func TestMigrateRaftWAL(t *testing.T) {
	dir, c := t.TempDir(), walContent()
	path := filepath.Join(dir, "wal")
	must(t, os.Mkdir(path, 0o700))
	s := openRaftWAL(t, path)
	c.writeTo(t, s)
	for range 10 {
		c.append(t, s, 40)
	}
	c.deleteRange(t, s, 1, 77)
	must(t, s.Close())
	migrated(t, dir, migrate.RaftWAL(path), &c)

	s = openRaftWAL(t, path+".migrated")
	c.check(t, "raft-wal, what was kept", missingIsError{s})
	must(t, s.Close())
}

// An application may go on using raft-boltdb to open the old store. It knows raft's own keys then, and those that are named.
func TestMigrateThroughRaftBoltDB(t *testing.T) {
	dir, c := t.TempDir(), sample()
	delete(c.logs, 1<<40) // without an Inspector each index in a gap is asked for
	path := filepath.Join(dir, "raft.db")
	theirs := openRaftBolt(t, path, false)
	c.writeTo(t, theirs)
	must(t, theirs.Close())
	old := migrate.Old{Path: path, Open: func(path string) (migrate.Source, error) {
		return raftboltdb.New(raftboltdb.Options{Path: path})
	}}
	opts := &migrate.Options{}
	for key := range c.values {
		opts.StableKeys = append(opts.StableKeys, []byte(key))
	}
	s, err := migrate.Open(t.Context(), filepath.Join(dir, "wal"), old, opts)
	must(t, err)
	defer func() { must(t, s.Close()) }()
	c.check(t, "wal", s)
}
