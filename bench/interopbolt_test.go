package bench

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"

	"github.com/raft-ballast/ballast/bench/internal/stores"
	"github.com/raft-ballast/ballast/boltstore"
)

func openBolt(t *testing.T, path string, newTime bool) *boltstore.Store {
	t.Helper()
	s, err := boltstore.Open(path, &boltstore.Options{MsgpackUseNewTimeFormat: newTime})
	must(t, err)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func openRaftBolt(t *testing.T, path string, newTime bool) *raftboltdb.BoltStore {
	t.Helper()
	s, err := raftboltdb.New(raftboltdb.Options{Path: path, MsgpackUseNewTimeFormat: newTime})
	must(t, err)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// leave returns the file as a clean Close leaves it, or as a crash does: copied while the store has it open, with
// no free list in it.
func leave(t *testing.T, s stores.Store, path string, crash bool) string {
	t.Helper()
	if !crash {
		must(t, s.Close())
		return path
	}
	b, err := os.ReadFile(path)
	must(t, err)
	must(t, s.Close())
	left := filepath.Join(t.TempDir(), "crashed.db")
	must(t, os.WriteFile(left, b, 0o600))
	return left
}

// A file goes from boltstore to raft-boltdb and back, and the other way round. Whoever has it reads everything and
// changes something.
func TestBoltInterchange(t *testing.T) {
	for _, newTime := range []bool{false, true} {
		for _, crash := range []bool{false, true} {
			t.Run(fmt.Sprintf("new time %v, crash %v, boltstore first", newTime, crash), func(t *testing.T) {
				path, c := filepath.Join(t.TempDir(), "raft.db"), sample()
				ours := openBolt(t, path, newTime)
				must(t, ours.StageCommitIndex(1<<40))
				c.writeTo(t, ours)
				c.deleteRange(t, ours, 1, 25) // leaves free pages
				must(t, ours.StageCommitIndex(1<<40+3))
				c.append(t, ours, 5)
				c.check(t, "boltstore", ours)
				boltBack(t, &c, leave(t, ours, path, crash), newTime, crash)
			})
			t.Run(fmt.Sprintf("new time %v, crash %v, raft-boltdb first", newTime, crash), func(t *testing.T) {
				path, c := filepath.Join(t.TempDir(), "raft.db"), sample()
				theirs := openRaftBolt(t, path, newTime)
				c.writeTo(t, theirs)
				path = leave(t, theirs, path, crash)
				ours := openBolt(t, path, newTime)
				c.check(t, "boltstore", ours)
				wantCommit(t, ours, 0)
				c.deleteRange(t, ours, 1, 25)
				must(t, ours.StageCommitIndex(1<<40+3))
				c.append(t, ours, 5)
				boltBack(t, &c, leave(t, ours, path, crash), newTime, crash)
			})
		}
	}
}

// boltBack hands a file, whose commit index is 1<<40+3, to raft-boltdb, which cuts the log below that, and back to boltstore.
func boltBack(t *testing.T, c *content, path string, newTime, crash bool) {
	t.Helper()
	theirs := openRaftBolt(t, path, newTime)
	c.check(t, "raft-boltdb", theirs)
	c.deleteRange(t, theirs, 110, 1<<40+5)
	c.append(t, theirs, 3)
	must(t, theirs.Set([]byte("LastVoteCand"), []byte("127.0.0.1:7002")))
	must(t, theirs.SetUint64([]byte("CurrentTerm"), 8))
	c.values["LastVoteCand"], c.numbers["CurrentTerm"] = "127.0.0.1:7002", 8
	c.check(t, "raft-boltdb", theirs)
	path = leave(t, theirs, path, crash)

	ours := openBolt(t, path, newTime)
	c.check(t, "boltstore", ours)
	wantCommit(t, ours, 112) // what raft-boltdb has left of the log
	c.append(t, ours, 40)
	wantCommit(t, ours, 112)
	c.check(t, "boltstore", ours)
}

func wantCommit(t *testing.T, s interface{ GetCommitIndex() (uint64, error) }, want uint64) {
	t.Helper()
	if commit, err := s.GetCommitIndex(); err != nil || commit != want {
		t.Errorf("GetCommitIndex is %d, %v; want %d", commit, err, want)
	}
}

// The same calls leave the same bytes in the buckets of both.
func TestBoltSameBytes(t *testing.T) {
	for _, newTime := range []bool{false, true} {
		t.Run(fmt.Sprintf("new time %v", newTime), func(t *testing.T) {
			dir, c := t.TempDir(), sample()
			theirPath, ourPath := filepath.Join(dir, "theirs.db"), filepath.Join(dir, "ours.db")
			theirs, ours := openRaftBolt(t, theirPath, newTime), openBolt(t, ourPath, newTime)
			c.writeTo(t, theirs)
			c.writeTo(t, ours)
			must(t, theirs.Close())
			must(t, ours.Close())
			for name, values := range map[string]int{"logs": len(c.logs), "conf": len(c.values) + len(c.numbers)} {
				want, got := bucket(t, theirPath, name), bucket(t, ourPath, name)
				if len(want) != values || !slices.Equal(slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want))) {
					t.Errorf("bucket %s has %d keys, that of raft-boltdb %d; want %d", name, len(got), len(want), values)
				}
				for key := range want {
					if !bytes.Equal(got[key], want[key]) {
						t.Errorf("bucket %s, key %x: the value is\n%.200x\nand that of raft-boltdb is\n%.200x", name, key, got[key], want[key])
					}
				}
			}
		})
	}
}

// bucket returns what is in a bucket of a file.
func bucket(t *testing.T, path, name string) map[string][]byte {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true})
	must(t, err)
	defer db.Close()
	values := map[string][]byte{}
	must(t, db.View(func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte(name)).ForEach(func(k, v []byte) error {
			values[string(k)] = bytes.Clone(v)
			return nil
		})
	}))
	return values
}
