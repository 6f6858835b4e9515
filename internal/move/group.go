package move

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/engine"
)

// ErrGroupExists is matched by the error of GroupJob.Copy when the log has such a group.
var ErrGroupExists = errors.New("the log has such a raft group")

// GroupLog is a log that raft groups share, a *wal.Groups.
type GroupLog interface {
	IDs() []uint64
	Drop(id uint64) error
}

// GroupStore is one group of it, a *wal.Store.
type GroupStore interface {
	ballast.Store
	ballast.Inspector
	ballast.KeyDeleter
}

// GroupJob adds a copy of a store, as one raft group, to a log that others share. A group has no name that it could get when it is
// complete, so it has a stable key as long as it is not, and does not open: see [engine.CheckFinishedGroup]. Setting the key is the first
// thing that is written of the group, and deleting it, with one sync, the last.
type GroupJob struct {
	Log    GroupLog // open for writing
	Dir    string   // it was opened with
	ID     uint64
	Source Source

	Open func() (GroupStore, error) // the group in Log
	Read func() (GroupStore, error) // the group as it is on the disk, from a log of its own

	// From says where the source is, and whether half a peer is taken. It does not copy.
	From *Job

	replaces bool // the source gets another name
	ready    bool // the copy is whole, and the source may have its other name
}

// What the key holds.
const (
	groupBegun = "begun"
	groupReady = "ready" // whole and verified; only while the source gets its other name

	groupWhole = "whole" // no key
)

// Copy adds the group. After an error, ctx's among them, there is none; and where a crash came in between, one that does not open and is made anew
// by the next Copy.
func (g *GroupJob) Copy(ctx context.Context) (res Result, err error) {
	defer engine.FinishingGroup(g.Dir, g.ID)()
	if err := cmp.Or(g.From.checkWhole(g.Source), g.begin()); err != nil {
		return res, explain(err)
	}
	if res, err = g.build(ctx); err != nil && !g.ready {
		if e := g.Log.Drop(g.ID); e != nil {
			err = fmt.Errorf("%w; what there is of raft group %d does not open, and could not be dropped: %w", err, g.ID, e)
		}
	}
	return res, explain(err)
}

// Replace adds the group as Copy does, and gives the source another name, as [Job.Replace] does. It finishes what a Replace before has begun, and does
// nothing when there is no source. What it finds after a crash, and what it does then:
//
//	source                     begins anew; a copy that was ready may be older than the source by now
//	no source, a ready copy    finishes it
//	no source, a begun copy    the source was taken away by somebody else: an error
//	source and group           somebody has brought the source back: an error
//	no group in an empty log    the log is gone, as when its disk is not mounted: see [Job.CheckLog]
func (g *GroupJob) Replace(ctx context.Context) (res Result, moved bool, err error) {
	defer engine.FinishingGroup(g.Dir, g.ID)()
	j := g.From
	var f found
	if err := j.findSource(&f); err != nil {
		return res, false, explain(err)
	}
	state, err := g.state()
	switch {
	case err != nil:
		return res, false, err
	case f.source && state == groupWhole:
		return res, false, fmt.Errorf("%w, %s and raft group %d of %s: which of them the peer has used last only you can tell; give %s another name, or drop the group",
			ErrTwoStores, j.Source, g.ID, g.Dir, j.Source)
	case state == groupWhole:
		return res, false, nil
	case !f.source && state == groupReady:
		return res, false, g.resume(ctx)
	case !f.source && state == groupBegun:
		return res, false, fmt.Errorf("%w: %s, to raft group %d of %s; bring it back, or drop the group to begin without", ErrSourceGone, j.Source, g.ID, g.Dir)
	}
	if err := j.checkOld(f); err != nil || !f.source {
		return res, false, err
	}
	if err := j.checkMovable(); err != nil {
		return res, false, explain(err)
	}
	if g.Source, err = j.openOld(j.paths()); err != nil {
		return res, false, err
	}
	g.replaces = true
	res, err = g.Copy(ctx)
	if g.Source != nil {
		err = errors.Join(err, g.Source.Close())
	}
	return res, err == nil, err
}

// resume makes a group whole whose source has its other name already. Whoever gave it that may have been killed before it was durable. A
// source that has neither name may be on a disk that is not mounted, and have newer votes than the copy.
func (g *GroupJob) resume(ctx context.Context) error {
	j := g.From
	kept, err := j.allKept(j.Source)
	switch {
	case err != nil:
		return err
	case len(kept) == 0:
		return fmt.Errorf("%w: %s, to raft group %d of %s, and it has no other name; bring it back, or drop the group to begin without",
			ErrSourceGone, j.Source, g.ID, g.Dir)
	}
	if err := j.findAside(ctx, func(src Source) error { return g.verify(ctx, src, new(Result)) }); err != nil {
		return fmt.Errorf("%w: %s; nothing that is kept of it is what raft group %d of %s is a copy of; give the store that the peer ran on last the name %s: %w",
			ErrSourceGone, j.Source, g.ID, g.Dir, j.Source, err)
	}
	if err := j.syncOlds(); err != nil {
		return err
	}
	return g.finish()
}

// begin sees to a group that holds the key and nothing else.
func (g *GroupJob) begin() error {
	state, err := g.state()
	switch {
	case err != nil:
		return err
	case state == groupWhole:
		return fmt.Errorf("%w: %d of %s; give another id", ErrGroupExists, g.ID, g.Dir)
	case state != "":
		if err := g.Log.Drop(g.ID); err != nil {
			return fmt.Errorf("dropping what a migration has left: %w", err)
		}
	}
	return g.mark(groupBegun)
}

// state returns what the key of the group holds, "" when there is no group, groupWhole when it has no key.
func (g *GroupJob) state() (state string, err error) {
	if !slices.Contains(g.Log.IDs(), g.ID) {
		return "", nil
	}
	err = g.with(func(s GroupStore) error {
		value, err := s.Get([]byte(engine.UnfinishedKey))
		state = string(value)
		if errors.Is(err, ballast.ErrKeyNotFound) {
			state, err = groupWhole, nil
		}
		return err
	})
	return state, err
}

func (g *GroupJob) mark(state string) error {
	return g.with(func(s GroupStore) error { return s.Set([]byte(engine.UnfinishedKey), []byte(state)) })
}

// finish makes the group one that opens.
func (g *GroupJob) finish() error {
	return g.with(func(s GroupStore) error { return s.DeleteKey([]byte(engine.UnfinishedKey)) })
}

// putAside gives the source its other name. From here on the group is not dropped, as long as the source has not its own name again: it may be all
// that there is.
func (g *GroupJob) putAside(res *Result) error {
	j := g.From
	before, err := j.mark(g.Source)
	if err != nil {
		return err
	}
	if err := g.mark(groupReady); err != nil {
		return err
	}
	g.ready = true
	src := g.Source
	g.Source = nil
	if err := src.Close(); err != nil {
		return fmt.Errorf("closing the old store: %w", err)
	}
	err = j.putAside(before)
	g.ready = j.aside
	j.nameKept(res)
	return err
}

// with opens the group, does something with it, and closes it.
func (g *GroupJob) with(do func(GroupStore) error) error {
	s, err := g.Open()
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
	err = g.with(func(s GroupStore) error {
		done, err := g.From.copy(ctx, unmarked{s}, g.Source, g.From.report(g.Source, Copying))
		res.Entries, res.Bytes = done.Entries, done.Bytes
		return err
	})
	if err != nil {
		return res, err
	}
	if err := g.verify(ctx, g.Source, &res); err != nil {
		return res, err
	}
	if g.replaces {
		if err := g.putAside(&res); err != nil {
			return res, err
		}
	}
	return res, g.finish()
}

// verify reads the copy from the disk: what the log that wrote it has in memory proves nothing.
func (g *GroupJob) verify(ctx context.Context, src Source, res *Result) (err error) {
	s, err := g.Read()
	if err != nil {
		return fmt.Errorf("reading the copy: %w", err)
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if err := res.read(s); err != nil {
		return err
	}
	_, err = ballast.VerifyCopy(ctx, unmarked{s}, src, g.From.report(src, Verifying))
	return err
}

// unmarked is a group without the key.
type unmarked struct{ GroupStore }

// StableKeys implements ballast.Inspector.
func (u unmarked) StableKeys() ([][]byte, error) {
	keys, err := u.GroupStore.StableKeys()
	return slices.DeleteFunc(keys, func(key []byte) bool { return string(key) == engine.UnfinishedKey }), err
}
