package badgerstore

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/dgraph-io/badger/v4"
	"github.com/hashicorp/raft"
)

// smallFiles makes badger's files small, so that a crash's copy of them is quick, a batch of more than
// 150 KiB is a large one, and an entry of more than 64 KiB goes to the value log.
func smallFiles() *Options {
	return &Options{MaxEntryBytes: 256 << 10, GCInterval: -1, Badger: func(o *badger.Options) {
		o.MemTableSize = 1 << 20
		o.ValueThreshold = 64 << 10
		o.ValueLogFileSize = 1 << 20
	}}
}

// entries returns entries from first to last whose Data is of that size and tells index and generation.
func entries(first, last uint64, generation string, size int) []*raft.Log {
	var logs []*raft.Log
	for index := first; index <= last; index++ {
		logs = append(logs, entry(index, generation, size))
	}
	return logs
}

func entry(index uint64, generation string, size int) *raft.Log {
	text := fmt.Sprintf("%s %d;", generation, index)
	data := bytes.Repeat([]byte(text), size/len(text)+1)
	return &raft.Log{Index: index, Term: 3, Type: raft.LogCommand, Data: data}
}

// check fails t unless the log is exactly the given entries, which may be in several slices.
func check(t *testing.T, s *Store, want ...[]*raft.Log) {
	t.Helper()
	index := uint64(0)
	for _, part := range want {
		for _, w := range part {
			next, err := s.NextIndex(index)
			if err != nil || next != w.Index {
				t.Fatalf("the entry from %d on is %d, %v; want %d", index, next, err, w.Index)
			}
			var log raft.Log
			if err := s.GetLog(next, &log); err != nil || !bytes.Equal(log.Data, w.Data) {
				t.Fatalf("entry %d: %.20q, %v; want %.20q", next, log.Data, err, w.Data)
			}
			index = next + 1
		}
	}
	if next, err := s.NextIndex(index); err != nil || next != 0 {
		t.Fatalf("behind the last entry there is %d, %v", next, err)
	}
}

// crashes runs call on a store and takes a copy of the directory at each step. A copy is what a
// process finds that was killed there. It returns the copies, each with the step's name, and runs live
// at each step, on the store in the middle of the call.
func crashes(t *testing.T, s *Store, live func(step string), call func() error) (copies []crashCopy) {
	t.Helper()
	s.step = func(step string) {
		dir := filepath.Join(t.TempDir(), fmt.Sprint(len(copies)))
		snapshot(t, s.dir, dir)
		copies = append(copies, crashCopy{dir, step})
		live(step)
	}
	if err := call(); err != nil {
		t.Fatal(err)
	}
	s.step = nil
	return copies
}

// snapshot copies a directory at one moment: badger makes and removes tables in the background, so it
// copies until nothing has changed meanwhile.
func snapshot(t *testing.T, from, to string) {
	t.Helper()
	for {
		before := listing(t, from)
		if err := os.RemoveAll(to); err != nil {
			t.Fatal(err)
		}
		err := os.CopyFS(to, os.DirFS(from))
		if listing(t, from) == before && err == nil {
			return
		}
	}
}

// listing tells the files of a directory, their sizes and when each was changed.
func listing(t *testing.T, dir string) string {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, e := range list {
		if info, err := e.Info(); err == nil { // otherwise it was removed just now
			fmt.Fprintln(&b, info.Name(), info.Size(), info.ModTime())
		}
	}
	return b.String()
}

type crashCopy struct{ dir, step string }

// TestCrashInLargeBatch stops a batch that takes many transactions before each of them. It is there as
// a whole or not at all, with its commit index, and what it replaces is there otherwise.
func TestCrashInLargeBatch(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, t.TempDir(), smallFiles())
	before := entries(1, 6, "old", 300)
	if err := s.StoreLogs(before); err != nil {
		t.Fatal(err)
	}
	// Entries above and below the size from which on badger puts them in its value log, on both sides
	// of the end of the old ones.
	batch := append(entries(4, 24, "new", 40<<10), entries(25, 26, "new", 200<<10)...)
	if err := s.StageCommitIndex(25); err != nil {
		t.Fatal(err)
	}
	live := func(step string) {
		check(t, s, before)
		if last, _ := s.LastIndex(); last != 6 {
			t.Errorf("%s: LastIndex is %d in the middle of the batch", step, last)
		}
		if commit, _ := s.GetCommitIndex(); commit != 0 {
			t.Errorf("%s: the commit index is %d in the middle of the batch", step, commit)
		}
	}
	copies := crashes(t, s, live, func() error { return s.StoreLogs(batch) })
	check(t, s, before[:3], batch)

	stored := false
	counts := make(map[string]int)
	for i, c := range copies {
		t.Run(fmt.Sprintf("%d %s", i, c.step), func(t *testing.T) {
			counts[c.step]++
			stored = stored || c.step == "redo: entries"
			crashed := mustOpen(t, c.dir, smallFiles())
			commit, err := crashed.GetCommitIndex()
			switch {
			case stored && (err != nil || commit != 25):
				t.Errorf("the commit index is %d, %v; want 25", commit, err)
			case stored:
				check(t, crashed, before[:3], batch)
			default:
				check(t, crashed, before)
			}
			checkNoLeftovers(t, crashed)
		})
	}
	if counts["redo: piece"] < 2 || counts["redo: marker"] != 1 || counts["redo: entries"] < 4 || counts["redo: removal"] != 1 {
		t.Errorf("the batch had the steps %v; more of some were wanted", counts)
	}
}

// TestCrashInRecovery crashes a second time, while Open finishes a large batch or a deletion.
func TestCrashInRecovery(t *testing.T) {
	t.Parallel()
	all := entries(1, 12, "entry", 40<<10)
	for _, test := range []struct {
		name, step string
		setup      func(s *Store) error
		call       func(s *Store) error
		want       []*raft.Log
	}{
		{"a batch", "redo: entries", func(s *Store) error { return nil },
			func(s *Store) error { return s.StoreLogs(all) }, all},
		{"a deletion", "delete: further transaction", func(s *Store) error { return s.StoreLogs(all) },
			func(s *Store) error { return s.DeleteRange(0, 9) }, all[9:]},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := mustOpen(t, t.TempDir(), smallFiles())
			if err := test.setup(s); err != nil {
				t.Fatal(err)
			}
			s.chunk = 2
			copies := crashes(t, s, func(string) {}, func() error { return test.call(s) })
			first := slices.IndexFunc(copies, func(c crashCopy) bool { return c.step == test.step })
			opts, err := smallFiles().withDefaults()
			if err != nil {
				t.Fatal(err)
			}
			f, err := hold(copies[first].dir)
			if err != nil {
				t.Fatal(err)
			}
			again, err := newStore(f.dir, opts)
			if err != nil {
				t.Fatal(err)
			}
			again.folder, again.bopt.Dir, again.bopt.ValueDir = f, f.by, f.by
			if again.lock, err = lockDir(&again.folder, false); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { again.Close() })
			second := crashes(t, again, func(string) {}, func() error { return again.open(nil) })
			check(t, again, test.want)
			if len(second) < 2 {
				t.Errorf("Open took %d transactions; more were wanted", len(second))
			}
			for _, c := range second {
				crashed := mustOpen(t, c.dir, smallFiles())
				check(t, crashed, test.want)
				checkNoLeftovers(t, crashed)
			}
		})
	}
}

// checkNoLeftovers fails t when there is something left of a large batch.
func checkNoLeftovers(t *testing.T, s *Store) {
	t.Helper()
	txn := s.db.NewTransactionAt(s.version, false)
	defer txn.Discard()
	it := txn.NewIterator(badger.IteratorOptions{Prefix: []byte(markerKey)})
	defer it.Close()
	if it.Rewind(); it.Valid() {
		t.Errorf("%q is left of the batch", it.Item().Key())
	}
}

// TestCrashInDeleteRange stops a deletion that takes several transactions before each of them. After
// the first one all of it is deleted, for Ballast; for raft-badger, which looks at the keys alone, no
// hole comes up.
func TestCrashInDeleteRange(t *testing.T) {
	t.Parallel()
	all := entries(1, 40, "entry", 20)
	for _, test := range []struct {
		name     string
		min, max uint64
		want     []*raft.Log
		commit   uint64
	}{
		{"a prefix", 0, 25, all[25:], 30},
		{"a suffix", 8, 99, all[:7], 7},
		{"everything", 0, 99, nil, 0},
		{"the middle", 11, 30, append(append([]*raft.Log{}, all[:10]...), all[30:]...), 30},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := mustOpen(t, t.TempDir(), smallFiles())
			s.chunk = 5
			if err := s.StageCommitIndex(30); err != nil {
				t.Fatal(err)
			}
			if err := s.StoreLogs(all); err != nil {
				t.Fatal(err)
			}
			live := func(step string) {
				if step != "delete: first transaction" {
					check(t, s, test.want)
				}
			}
			copies := crashes(t, s, live, func() error { return s.DeleteRange(test.min, test.max) })
			check(t, s, test.want)
			if len(copies) < 4 {
				t.Fatalf("the deletion took %d transactions only", len(copies))
			}
			for i, c := range copies {
				crashed := mustOpen(t, c.dir, smallFiles())
				if i == 0 {
					check(t, crashed, all)
					continue
				}
				check(t, crashed, test.want)
				if commit, err := crashed.GetCommitIndex(); err != nil || commit != test.commit {
					t.Errorf("%s: the commit index is %d, %v; want %d", c.step, commit, err, test.commit)
				}
				if n := countLogKeys(crashed); n != len(test.want) {
					t.Errorf("%s: %d keys are left, %d entries", c.step, n, len(test.want))
				}
			}
		})
	}
}

// countLogKeys counts the keys of entries as raft-badger does, which knows no graves.
func countLogKeys(s *Store) (n int) {
	txn := s.db.NewTransactionAt(s.version, false)
	defer txn.Discard()
	it := txn.NewIterator(badger.IteratorOptions{Prefix: []byte(logsPrefix)})
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		n++
	}
	return n
}

// TestKeysGoInOrder looks at the keys between the transactions of a deletion, as raft-badger would
// after a crash.
func TestKeysGoInOrder(t *testing.T) {
	for _, test := range []struct {
		name     string
		min, max uint64
	}{{"prefix", 1, 30}, {"suffix", 11, 40}} {
		t.Run(test.name, func(t *testing.T) {
			s := mustOpen(t, t.TempDir(), smallFiles())
			s.chunk = 7
			if err := s.StoreLogs(entries(1, 40, "entry", 20)); err != nil {
				t.Fatal(err)
			}
			s.step = func(step string) {
				var keys []uint64
				for index := uint64(1); index <= 40; index++ {
					txn := s.db.NewTransactionAt(s.version, false)
					if item, _ := getItem(txn, logKey(index)); item != nil {
						keys = append(keys, index)
					}
					txn.Discard()
				}
				if n := keys[len(keys)-1] - keys[0] + 1; n != uint64(len(keys)) {
					t.Errorf("%s: a hole in %v", step, keys)
				}
			}
			if err := s.DeleteRange(test.min, test.max); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestEmptyFiles opens a directory in which a crash has left files without a size, of which badger
// says that they were new ones.
func TestEmptyFiles(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir, nil)
	want := entries(1, 3, "entry", 100)
	if err := s.StoreLogs(want); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"00007.mem", "000009.vlog"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	check(t, mustOpen(t, dir, nil), want)
}

// TestLargerWriteAheadLog opens what a badger with a larger memtable has left in a crash. Badger ends
// the process when it does not fit.
func TestLargerWriteAheadLog(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, t.TempDir(), &Options{MaxEntryBytes: 1 << 20, GCInterval: -1, Badger: func(o *badger.Options) {
		o.MemTableSize, o.ValueLogFileSize = 64<<20, 1<<20
	}})
	var want []*raft.Log
	for i := range uint64(30) {
		part := entries(1+8*i, 8+8*i, "entry", 100<<10)
		if err := s.StoreLogs(part); err != nil {
			t.Fatal(err)
		}
		want = append(want, part...)
	}
	dir := filepath.Join(t.TempDir(), "copy")
	snapshot(t, s.dir, dir)
	check(t, mustOpen(t, dir, nil), want)
	crashed := filepath.Join(t.TempDir(), "copy")
	snapshot(t, s.dir, crashed)
	if err := failOpen(t, crashed, &Options{ReadOnly: true}); !strings.Contains(err.Error(), "open it once for writing") {
		t.Errorf("read-only after a crash: %v", err)
	}
}
