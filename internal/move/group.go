package move

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/engine"
	"github.com/raft-ballast/ballast/wal"
)

// ErrGroupExists is matched by the error of GroupJob.Copy when the log has such a group.
var ErrGroupExists = errors.New("the log has such a raft group")

// GroupJob adds a copy of a store, as one raft group, to a log that others share. A group has no name that it could get when it is
// complete, so it has a stable key as long as it is not, and does not open: see [engine.CheckFinishedGroup]. Setting the key is the first
// thing that is written of the group, and deleting it, with one sync, the last.
type GroupJob struct {
	Groups *wal.Groups // the log, open for writing
	Dir    string      // it was opened with
	ID     uint64
	Source Source

	StableKeys [][]byte       // as in ballast.CopyOptions
	Progress   func(Progress) // may be nil
}

// Copy adds the group. After an error, ctx's among them, there is none; and where a crash came in between, one that does not open and is made anew
// by the next Copy.
func (g *GroupJob) Copy(ctx context.Context) (res Result, err error) {
	defer engine.FinishingGroup(g.Dir, g.ID)()
	if err := g.begin(); err != nil {
		return res, err
	}
	if res, err = g.build(ctx); err != nil {
		if e := g.Groups.Drop(g.ID); e != nil {
			err = fmt.Errorf("%w; what there is of raft group %d does not open, and could not be dropped: %w", err, g.ID, e)
		}
	}
	return res, explain(err)
}

// begin sees to a group that holds the key and nothing else.
func (g *GroupJob) begin() error {
	if slices.Contains(g.Groups.IDs(), g.ID) {
		if err := g.with(func(s *wal.Store) error {
			_, err := s.Get([]byte(engine.UnfinishedKey))
			return err
		}); errors.Is(err, ballast.ErrKeyNotFound) {
			return fmt.Errorf("%w: %d of %s; give another id", ErrGroupExists, g.ID, g.Dir)
		} else if err != nil {
			return err
		}
		if err := g.Groups.Drop(g.ID); err != nil {
			return fmt.Errorf("dropping what a migration has left: %w", err)
		}
	}
	return g.with(func(s *wal.Store) error { return s.Set([]byte(engine.UnfinishedKey), []byte("1")) })
}

// with opens the group, does something with it, and closes it.
func (g *GroupJob) with(do func(*wal.Store) error) error {
	s, err := g.Groups.Store(g.ID)
	if err != nil {
		return err
	}
	return errors.Join(do(s), s.Close())
}

// build copies the source, compares the copy with it, and finishes the group.
func (g *GroupJob) build(ctx context.Context) (res Result, err error) {
	if d, ok := g.Source.(interface{ Dropped() error }); ok {
		res.Dropped = d.Dropped()
	}
	j := &Job{StableKeys: g.StableKeys, Progress: g.Progress}
	err = g.with(func(s *wal.Store) error {
		done, err := ballast.Copy(ctx, unmarked{s}, g.Source, j.report(g.Source, Copying))
		res.Entries, res.Bytes = done.Entries, done.Bytes
		return err
	})
	if err != nil {
		return res, err
	}
	if err := g.verify(ctx, j, &res); err != nil {
		return res, err
	}
	return res, g.with(func(s *wal.Store) error { return s.DeleteKey([]byte(engine.UnfinishedKey)) })
}

// verify reads the copy from the disk: what the log that wrote it has in memory proves nothing.
func (g *GroupJob) verify(ctx context.Context, j *Job, res *Result) (err error) {
	gs, err := wal.OpenGroupsReadOnly(g.Dir, nil)
	if err != nil {
		return fmt.Errorf("reading the copy: %w", err)
	}
	defer func() { err = errors.Join(err, gs.Close()) }()
	s, err := gs.Store(g.ID)
	if err != nil {
		return fmt.Errorf("reading the copy: %w", err)
	}
	if err := res.read(s); err != nil {
		return err
	}
	_, err = ballast.VerifyCopy(ctx, unmarked{s}, g.Source, j.report(g.Source, Verifying))
	return err
}

// unmarked is a group without the key.
type unmarked struct{ *wal.Store }

// StableKeys implements ballast.Inspector.
func (u unmarked) StableKeys() ([][]byte, error) {
	keys, err := u.Store.StableKeys()
	return slices.DeleteFunc(keys, func(key []byte) bool { return string(key) == engine.UnfinishedKey }), err
}
