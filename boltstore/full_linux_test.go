package boltstore_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/boltstore"
	"github.com/raft-ballast/ballast/internal/loopfs"
	"github.com/raft-ballast/ballast/internal/oracle"
)

// fillDisk takes all space that is free in dir, to the last block.
func fillDisk(t *testing.T, dir string) {
	t.Helper()
	f, err := os.CreateTemp(dir, "filler")
	if err != nil {
		t.Fatal(err)
	}
	end := int64(0)
	for step := int64(16 << 20); step >= 4096; {
		if err := f.Sync(); err != nil { // what was removed is free when the journal has it
			t.Fatal(err)
		}
		err := unix.Fallocate(int(f.Fd()), 0, end, step)
		if err == nil {
			end += step
		} else if step /= 2; err != unix.ENOSPC && err != unix.EINTR {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// relieveDisk gives back what fillDisk took.
func relieveDisk(t *testing.T, dir string) {
	t.Helper()
	fillers, err := filepath.Glob(filepath.Join(dir, "filler*"))
	for _, path := range fillers {
		err = errors.Join(err, os.Remove(path))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestFullExt4 fills a real disk. bbolt writes each change to other pages than those that hold it now, so that also a vote or a deletion may find
// no space; whatever is refused is refused with ErrNoSpace, changes nothing, and is taken when there is space, without opening again.
func TestFullExt4(t *testing.T) {
	t.Parallel()
	dir := loopfs.ForTest(t, loopfs.Ext4, 32<<20)
	path := filepath.Join(dir, "raft.db")
	const seed = 5
	w, m, rng := oracle.Workload{Seed: seed, MaxBytes: 100 << 10}, oracle.NewModel(), oracle.Random(seed)
	s := open(t, path, nil)
	refused, opened := make(map[string]int), 0
	compare := func() {
		t.Helper()
		if _, err := oracle.Find(s, m); err != nil {
			t.Fatal(err)
		}
	}
	for i := range uint64(300) {
		switch rng.IntN(25) {
		case 0, 1, 2:
			fillDisk(t, dir)
		case 3:
			relieveDisk(t, dir)
		case 4:
			closeStore(t, s)
			s = open(t, path, nil)
			opened++
		}
		c := w.Call(i, m)
		if err := c.Do(s); err == nil {
			c.Apply(m)
		} else if errors.Is(err, ballast.ErrNoSpace) {
			refused[kindOf(c)]++
		} else {
			t.Fatalf("seed %d, call %d, %v: %v", seed, i, c, err)
		}
		compare()
	}
	for _, kind := range []string{"StoreLogs", "DeleteRange", "Set"} {
		t.Logf("%-12s%4d refused", kind, refused[kind])
	}
	t.Logf("%-12s%4d times", "opened", opened)
	if refused["StoreLogs"] == 0 {
		t.Error("the disk was never full")
	}
	relieveDisk(t, dir)
	logs := oracle.Entries(rng, m.Last()+1, 10, 1000)
	if err := s.StoreLogs(logs); err != nil {
		t.Fatalf("after space came back: %v", err)
	}
	m.Put(logs, 0)
	compare()
	closeStore(t, s)
	s = open(t, path, nil)
	compare()
}

func kindOf(c oracle.Call) string {
	switch {
	case len(c.Logs) > 0:
		return "StoreLogs"
	case c.Key != "":
		return "Set"
	}
	return "DeleteRange"
}

// TestFullExt4UntilDeletion: on a disk that stays full a compaction takes the free pages that are too few for an entry, and what it frees in the
// file is used again.
func TestFullExt4UntilDeletion(t *testing.T) {
	t.Parallel()
	dir := loopfs.ForTest(t, loopfs.Ext4, 32<<20)
	s := open(t, filepath.Join(dir, "raft.db"), &boltstore.Options{})
	m, rng := oracle.NewModel(), oracle.Random(1)
	add := func(n, size int) error {
		logs := oracle.Entries(rng, m.Last()+1, n, size)
		err := s.StoreLogs(logs)
		if err == nil {
			m.Put(logs, 0)
		}
		return err
	}
	for range 200 {
		if err := add(1, 10_000); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.DeleteRange(1, 20); err != nil {
		t.Fatal(err)
	}
	m.Delete(1, 20)
	fillDisk(t, dir)
	err := error(nil)
	for n := 0; err == nil; n++ {
		if err = add(1, 10_000); n > 1000 {
			t.Fatal("the disk is never full")
		}
	}
	if !errors.Is(err, ballast.ErrNoSpace) {
		t.Fatalf("StoreLogs on a full disk: %v", err)
	}
	if err := s.DeleteRange(1, m.Last()-10); err != nil {
		t.Fatalf("a compaction on a full disk: %v", err)
	}
	m.Delete(1, m.Last()-10)
	for i := range 20 {
		if err := add(1, 10_000); err != nil {
			t.Fatalf("append %d after a compaction on a full disk: %v", i, err)
		}
	}
	if err := s.SetUint64([]byte("CurrentTerm"), 3); err != nil {
		t.Fatalf("a vote: %v", err)
	}
	if err := s.GetLog(m.Last()+1, new(raft.Log)); err != raft.ErrLogNotFound {
		t.Errorf("behind the last entry: %v", err)
	}
	closeStore(t, s)
	s = open(t, filepath.Join(dir, "raft.db"), nil)
	m.Stable["CurrentTerm"] = []byte{0, 0, 0, 0, 0, 0, 0, 3}
	if _, err := oracle.Find(s, m); err != nil {
		t.Fatal(fmt.Errorf("after opening on a full disk: %w", err))
	}
}
