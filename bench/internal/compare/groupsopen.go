package compare

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/raft-ballast/ballast/bench/internal/report"
	"github.com/raft-ballast/ballast/bench/internal/stores"
	"github.com/raft-ballast/ballast/wal"
)

const (
	openedGroups  = 10_000
	openedEntries = 1_000 // of each
	openedBatch   = 100   // stored at once, so that the entries of a group lie in many places
	openedSize    = 32
)

// openings measures how long it takes to open a log of many groups with many entries: one that was closed, and one whose process was killed.
func openings(takes time.Duration) step {
	return step{names: []string{groupOpen}, takes: takes, measure: func(e *env) ([]report.Workload, error) {
		w := report.Workload{Group: "openings", Name: groupOpen, Unit: "s", Better: "lower", Bytes: openedSize,
			About: "OpenGroups of a log of 10,000 groups with 1,000 entries of 32 B each, stored 100 at a time in turn: behind Close, and behind a kill, which leaves the last segment to be read."}
		killed, closed, err := e.filled()
		if err == nil {
			var times [2][]float64
			for _, dir := range killed {
				for i, path := range []string{closed, dir} {
					took, e := timeOpen(path)
					err = errors.Join(err, e)
					times[i] = append(times[i], took.Seconds())
				}
			}
			w.Results = []report.Result{single("closed", times[0]), single("killed", times[1])}
		}
		if err != nil {
			w.Results = []report.Result{failed("closed", err), failed("killed", err)}
		}
		return []report.Workload{w}, nil
	}}
}

func timeOpen(dir string) (time.Duration, error) {
	start := time.Now()
	gs, err := wal.OpenGroups(dir, nil)
	took := time.Since(start)
	if err != nil {
		return 0, err
	}
	return took, gs.Close()
}

// filled makes a log, and what a kill would have left of it, for each round.
func (e *env) filled() (killed []string, closed string, err error) {
	closed, err = e.folder("groups")
	if err != nil {
		return nil, "", err
	}
	gs, err := wal.OpenGroups(closed, nil)
	if err != nil {
		return nil, "", err
	}
	if err := e.fillGroups(gs); err != nil {
		return nil, "", errors.Join(err, gs.Close())
	}
	for range openRounds {
		dir, err := e.folder("killed")
		if err == nil {
			err = asKilled(closed, dir)
		}
		if err != nil {
			return nil, "", errors.Join(err, gs.Close())
		}
		killed = append(killed, dir)
	}
	return killed, closed, gs.Close()
}

func (e *env) fillGroups(gs *wal.Groups) error {
	list := make([]*wal.Store, e.count(openedGroups, 10))
	for i := range list {
		s, err := gs.Store(uint64(i))
		if err != nil {
			return err
		}
		list[i] = s
	}
	if err := stormOf(list, 1); err != nil {
		return err
	}
	for n := uint64(1); n < openedEntries; n += openedBatch {
		f := newFeed(stores.Kind{}, n, openedBatch, openedSize)
		for _, s := range list {
			f.next = n
			if err := s.StoreLogs(f.take()); err != nil {
				return err
			}
			if err := e.ctx.Err(); err != nil {
				return err
			}
		}
	}
	return nil
}

// asKilled makes dir what a kill leaves of a log that is open and not written just now. Only what is still written to is copied: the newest
// three segments.
func asKilled(log, dir string) error {
	names, err := filepath.Glob(filepath.Join(log, "*.wal"))
	if err != nil || len(names) == 0 {
		return errors.Join(err, fmt.Errorf("there is no log in %s", log))
	}
	slices.Sort(names)
	for i, name := range names {
		to := filepath.Join(dir, filepath.Base(name))
		if i >= len(names)-3 {
			err = copyFile(name, to)
		} else {
			err = os.Link(name, to)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close() // it was only read from
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Sync(), out.Close())
}
