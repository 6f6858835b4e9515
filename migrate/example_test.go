package migrate_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/raft-ballast/ballast/badgerstore"
	"github.com/raft-ballast/ballast/boltstore"
	"github.com/raft-ballast/ballast/migrate"
	"github.com/raft-ballast/ballast/wal"
)

// MIGRATING begin raft-boltdb
func openFromRaftBoltDB(ctx context.Context, dir string) (*wal.Store, error) {
	old := migrate.From(filepath.Join(dir, "raft.db"), boltstore.Open, &boltstore.Options{ReadOnly: true})
	return migrate.Open(ctx, filepath.Join(dir, "wal"), old, nil)
}

// MIGRATING end

// MIGRATING begin raft-wal
func openFromRaftWAL(ctx context.Context, dir string) (*wal.Store, error) {
	old := migrate.RaftWAL(filepath.Join(dir, "wal"))
	return migrate.Open(ctx, filepath.Join(dir, "wal"), old, nil) // the same folder
}

// MIGRATING end

// MIGRATING begin raft-badger
func openFromRaftBadger(ctx context.Context, dir string) (*wal.Store, error) {
	old := migrate.From(filepath.Join(dir, "raft"), badgerstore.Open, nil)
	return migrate.Open(ctx, filepath.Join(dir, "wal"), old, nil)
}

// MIGRATING end

// MIGRATING begin two stores
func openFromTwo(ctx context.Context, dir string) (*wal.Store, error) {
	readOnly := &boltstore.Options{ReadOnly: true}
	log := migrate.From(filepath.Join(dir, "logs.dat"), boltstore.Open, readOnly)
	stable := migrate.From(filepath.Join(dir, "stable.dat"), boltstore.Open, readOnly)
	return migrate.Open(ctx, filepath.Join(dir, "wal"), migrate.Two(log, stable), nil)
}

// MIGRATING end

// An application opens its wal. What it had in another store is moved over the first time.
func Example() {
	dir, err := os.MkdirTemp("", "ballast-migrate-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	for _, c := range []struct {
		from, to string // what a library of the name has written, and where the application has it
		open     func(context.Context, string) (*wal.Store, error)
	}{
		{"../boltstore/testdata/raft-boltdb-v2.db", "boltdb/raft.db", openFromRaftBoltDB},
		{"../internal/raftwal/testdata/raft-wal", "raftwal/wal", openFromRaftWAL},
		{"../badgerstore/testdata/raft-badger-default", "badger/raft", openFromRaftBadger},
	} {
		to := filepath.Join(dir, filepath.FromSlash(c.to))
		if err := put(c.from, to); err != nil {
			log.Fatal(err)
		}
		for range 2 {
			store, err := c.open(context.Background(), filepath.Dir(to))
			if err != nil {
				log.Fatal(err)
			}
			last, err := store.LastIndex()
			if err != nil {
				log.Fatal(err)
			}
			fmt.Println(c.to, last)
			if err := store.Close(); err != nil {
				log.Fatal(err)
			}
		}
	}
	// Output:
	// boltdb/raft.db 290
	// boltdb/raft.db 290
	// raftwal/wal 290
	// raftwal/wal 290
	// badger/raft 290
	// badger/raft 290
}

// put copies a store.
func put(from, to string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return err
	}
	if data, err := os.ReadFile(from); err == nil {
		return os.WriteFile(to, data, 0o600)
	}
	return os.CopyFS(to, os.DirFS(from))
}
