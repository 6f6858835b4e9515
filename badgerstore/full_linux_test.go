package badgerstore

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/engine"
	"github.com/raft-ballast/ballast/internal/loopfs"
	"github.com/raft-ballast/ballast/internal/oracle"
)

const defaultReserve = reserveTables * defaultMemTable

// leaveFree fills the disk of dir but for so many bytes.
func leaveFree(t *testing.T, dir string, bytes int64) {
	t.Helper()
	fillers, err := filepath.Glob(filepath.Join(dir, "filler*"))
	for _, path := range fillers {
		err = errors.Join(err, os.Remove(path))
	}
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.CreateTemp(dir, "filler")
	if err == nil {
		err = f.Sync() // what was removed is free when the journal has it
	}
	if err != nil {
		t.Fatal(err)
	}
	free, err := engine.FreeBytes(dir)
	if err == nil && free > bytes {
		err = unix.Fallocate(int(f.Fd()), 0, 0, free-bytes)
	}
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}

func holds(t *testing.T, s *Store, m *oracle.Model) {
	t.Helper()
	if _, err := oracle.Find(s, m); err != nil {
		t.Fatal(err)
	}
}

// try makes a call that the disk may have no space for.
func try(t *testing.T, s *Store, m *oracle.Model, c oracle.Call) error {
	t.Helper()
	err := c.Do(s)
	if err == nil {
		c.Apply(m)
	} else if !errors.Is(err, ballast.ErrNoSpace) {
		t.Fatalf("%v: %v", c, err)
	}
	return err
}

// TestFullExt4 is what is promised of a real disk that fills up, down to where badger itself would be ended by the system. Entries are refused
// first, then votes and deletions, then opening; reads never, and all of it is taken again when there is space, without opening again.
func TestFullExt4(t *testing.T) {
	t.Parallel()
	disk := loopfs.ForTest(t, loopfs.Ext4, 1<<30)
	dir := filepath.Join(disk, "badger")
	m, rng := oracle.NewModel(), oracle.Random(1)
	s := mustOpen(t, dir, nil)
	put := func() error {
		return try(t, s, m, oracle.Call{Logs: oracle.Entries(rng, m.Last()+1, 20, 20_000)})
	}
	for i, step := range []struct {
		name                          string
		free                          int64
		entries, votes, closeAndOpens bool // whether they are taken
	}{
		{"enough", 4 * defaultReserve, true, true, true},
		{"less than the reserve", defaultReserve - 1<<20, false, true, true},
		{"enough again", 3 * defaultReserve, true, true, false},
		{"less than a quarter of it", defaultReserve/4 - 1<<20, false, false, true},
		{"less than an eighth of it", defaultReserve/8 - 1<<20, false, false, false},
		{"space came back", 4 * defaultReserve, true, true, true},
	} {
		leaveFree(t, disk, step.free)
		expect := func(what string, err error, taken bool) {
			t.Helper()
			if (err == nil) != taken {
				t.Errorf("%s: %s: %v", step.name, what, err)
			}
		}
		expect("entries", put(), step.entries)
		expect("a vote", try(t, s, m, oracle.Call{Key: "vote", Value: []byte{byte(i)}}), step.votes)
		expect("a deletion", try(t, s, m, oracle.Call{Low: m.First(), High: m.First()}), step.votes)
		holds(t, s, m)
		if step.closeAndOpens {
			mustClose(t, s)
			s = mustOpen(t, dir, nil)
			holds(t, s, m)
		}
	}
	leaveFree(t, disk, defaultReserve+20<<20)
	n := 0
	for ; put() == nil; n++ { // until the log itself has used it up
		if n > 200 {
			t.Fatal("entries are taken for ever")
		}
	}
	t.Logf("%d batches of 400,000 bytes were taken with 20 MiB above the reserve", n)
	holds(t, s, m)
	mustClose(t, s)
	leaveFree(t, disk, defaultReserve/8-1<<20)
	if err := failOpen(t, dir, nil); !errors.Is(err, ballast.ErrNoSpace) {
		t.Errorf("Open on a full disk: %v", err)
	}
	leaveFree(t, disk, 2*defaultReserve)
	s = mustOpen(t, dir, nil)
	holds(t, s, m)
	if err := put(); err != nil {
		t.Error(err)
	}
	mustClose(t, s)
}
