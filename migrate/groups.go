package migrate

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"time"

	"github.com/raft-ballast/ballast/internal/engine"
	"github.com/raft-ballast/ballast/internal/move"
	"github.com/raft-ballast/ballast/internal/move/intowal"
	"github.com/raft-ballast/ballast/wal"
)

// OpenGroups opens the wal in dir, which raft groups share, and moves over to it, one after the other, what each group has in an old store of its own:
//
//	old := map[uint64]migrate.Old{}
//	for id := range shards {
//		old[id] = migrate.From(filepath.Join(dir, fmt.Sprint(id), "raft.db"), boltstore.Open, &boltstore.Options{ReadOnly: true})
//	}
//	groups, err := migrate.OpenGroups(ctx, filepath.Join(dir, "wal"), old, nil)
//
// It promises for each group what [Open] promises: it is copied and compared, the old store gets another name when the copy is whole, and what a crash
// leaves of a group does not open and is gone on with by the next OpenGroups. Groups that were moved before an error stay moved. An old store whose group is
// not empty is [ErrTwoStores]; drop the group, or give the store another name.
//
// Errors are those of Open, and name the group.
func OpenGroups(ctx context.Context, dir string, old map[uint64]Old, opts *Options) (*wal.Groups, error) {
	if opts == nil {
		opts = &Options{}
	}
	for _, id := range slices.Sorted(maps.Keys(old)) {
		if err := checkGroup(dir, old[id], opts); err != nil {
			return nil, fmt.Errorf("migrate: raft group %d: %w", id, err)
		}
	}
	gs, err := wal.OpenGroups(dir, opts.WAL)
	if err != nil {
		return nil, err
	}
	for _, id := range slices.Sorted(maps.Keys(old)) {
		if err := replaceGroup(ctx, gs, dir, id, old[id], opts); err != nil {
			return nil, errors.Join(fmt.Errorf("migrate: raft group %d: %w", id, err), gs.Close())
		}
	}
	return gs, nil
}

// checkGroup refuses before a log is made.
func checkGroup(dir string, old Old, opts *Options) error {
	if err := old.check(); err != nil {
		return err
	}
	for _, o := range []*Old{&old, old.Stable} {
		if o == nil {
			continue
		}
		path := engine.Place(o.Path)
		if in, err := filepath.Rel(engine.Place(dir), path); err == nil && filepath.IsLocal(in) {
			return fmt.Errorf("the old store %s lies in the new one, %s; give another folder", path, dir)
		}
	}
	job := old.job(opts)
	job.Destination, job.Content = engine.Place(dir), content
	return job.CheckLog()
}

func replaceGroup(ctx context.Context, gs *wal.Groups, dir string, id uint64, old Old, opts *Options) error {
	begun, job := time.Now(), intowal.Group(gs, dir, id)
	job.From = old.job(opts)
	job.From.Destination = engine.Place(dir)
	res, moved, err := job.Replace(ctx)
	if err == nil && moved {
		opts.log().Info("migrate: a raft group was moved over", append([]any{"group", id, "from", job.From.Source, "to", dir, "entries", res.Entries,
			"bytes", res.Bytes, "took", time.Since(begun)}, kept(res)...)...)
		opts.warnDropped(res)
	}
	return err
}

// log is the logger of the wal.
func (o *Options) log() *slog.Logger {
	if o.WAL != nil && o.WAL.Logger != nil {
		return o.WAL.Logger
	}
	return slog.New(slog.DiscardHandler)
}

func (o *Options) warnDropped(res move.Result) {
	if res.Dropped != nil {
		o.log().Warn("migrate: a write at the end of the old log was cut off and is left out", "what", res.Dropped)
	}
}

// progress turns what a move tells into what the caller wants to be told; nil for nothing.
func (o *Options) progress() func(move.Progress) {
	if o.Progress == nil {
		return nil
	}
	return func(p move.Progress) {
		o.Progress(Progress{Verifying: p.Step == move.Verifying, Entries: p.Entries, Bytes: p.Bytes, Part: p.Part})
	}
}
