package move

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/raft-ballast/ballast"
)

// found is what there is before a Replace.
type found struct {
	source      bool    // an old store
	destination Content // of the destination, when the source is not there itself
	ready, half bool
	kept        []string // what may be the source of a ready copy, under its other name
}

// Replace makes the destination a copy of the source, and gives the source another name. It finishes what a Replace before has begun, and
// does nothing when there is no old store. moved reports whether it had anything to do.
func (j *Job) Replace(ctx context.Context) (res Result, moved bool, err error) {
	defer func() { err = explain(err) }()
	f, err := j.find()
	if err = j.check(f, err); err != nil || !f.source && !f.ready {
		return res, false, err
	}
	if err := j.checkPlaces(); err != nil {
		return res, false, err
	}
	if err := j.fs().MkdirAll(filepath.Dir(j.Destination)); err != nil {
		return res, false, err
	}
	unlock, err := j.lock()
	if err != nil {
		return res, false, err
	}
	defer unlock()
	f, err = j.find() // somebody else may have been faster
	if err = j.check(f, err); err != nil || !f.source && !f.ready {
		return res, false, err
	}
	if f.source {
		res, err = j.moveAside(ctx, f)
	} else {
		err = j.findKept(ctx, f)
	}
	if err != nil {
		return res, true, err
	}
	return res, true, j.moveIn()
}

// find looks at all places. Where there is a store already it has listed a folder and looked for two names.
func (j *Job) find() (f found, err error) {
	kind, names, err := j.look(j.Destination)
	if err != nil {
		return f, err
	}
	if f.destination = j.Content(names); kind == file {
		f.destination = Other
	}
	if j.Source == j.Destination {
		f.source = f.destination == Other
		if f.source {
			f.destination = Empty
		}
	} else if kind, names, err = j.look(j.Source); err != nil {
		return f, err
	} else {
		f.source = kind == file || len(names) > 0
	}
	if kind, _, err = j.look(j.ready()); err != nil {
		return f, err
	}
	f.ready = kind != nothing
	if f.destination == Finished && !f.source {
		return f, nil
	}
	if f.ready && !f.source { // only then its folder has to be one that may be listed
		if f.kept, err = j.allKept(); err != nil {
			return f, err
		}
	}
	kind, _, err = j.look(j.half())
	f.half = kind != nothing
	return f, err
}

// check refuses what only a human can decide.
func (j *Job) check(f found, err error) error {
	switch {
	case err != nil:
		return err
	case f.source && f.destination == Finished:
		return fmt.Errorf("%w, %s and %s; the peer's latest votes are in the one that it ran on last: give the other another name",
			ErrTwoStores, j.Source, j.Destination)
	case f.ready && f.destination == Finished:
		return fmt.Errorf("%w, %s and %s, which a migration has made ready, while somebody began with the first one; if the peer has not run on that, give it another name, and otherwise only you can tell which of them knows its latest votes",
			ErrTwoStores, j.Destination, j.ready())
	case (f.source || f.ready) && f.destination == Other:
		return fmt.Errorf("%w: %s holds something else; give the new store a place of its own", ballast.ErrForeign, j.Destination)
	case !f.source && f.ready && len(f.kept) == 0 && f.destination != Finished:
		// It may be on a disk that is not mounted, and have newer votes than the copy.
		return fmt.Errorf("%w: %s, and it has no other name; bring it back, or remove %s to begin with an empty store", ErrSourceGone, j.Source, j.ready())
	case !f.source && !f.ready && f.half && f.destination != Finished:
		return fmt.Errorf("%w: %s; bring it back, or remove %s to begin with an empty store", ErrSourceGone, j.Source, j.half())
	}
	return nil
}

// moveAside makes the copy ready and gives the old store its other name. A ready one of an earlier run may be older than the source: it
// goes.
func (j *Job) moveAside(ctx context.Context, f found) (res Result, err error) {
	if f.ready {
		if err := j.discard(); err != nil {
			return res, err
		}
	}
	if res, err = j.build(ctx); err != nil {
		return res, err
	}
	if err := j.rename(j.half(), j.ready()); err != nil {
		return res, err
	}
	if res.Kept, err = j.kept(); err != nil {
		return res, err
	}
	if err := j.rename(j.Source, res.Kept); err != nil {
		return res, fmt.Errorf("%w; the old store and its folder have to be such that it can get another name", err)
	}
	if err := j.again(res.Kept, func(src Source) error { return j.unchanged(src, res.mark) }); err != nil {
		if e := j.giveBack(res.Kept); e != nil {
			return res, errors.Join(err, e)
		}
		return res, errors.Join(err, j.discard())
	}
	return res, nil
}

// discard removes the copy that was ready. It gets the name of what is not complete first, since to remove it takes several steps.
func (j *Job) discard() error {
	if err := j.remove(j.half()); err != nil {
		return err
	}
	if err := j.rename(j.ready(), j.half()); err != nil {
		return err
	}
	return j.remove(j.half())
}

// findKept makes sure that the old store of a ready copy is kept, and holds what the copy does. It may be on a disk that is not mounted, and what is
// kept here of another migration.
func (j *Job) findKept(ctx context.Context, f found) error {
	err := j.confirm(ctx, f.kept, func(src Source) error {
		copied, err := j.Read(j.ready())
		if err != nil {
			return err
		}
		_, err = ballast.VerifyCopy(ctx, copied, src, j.report(src, Verifying))
		return errors.Join(err, copied.Close())
	})
	if err != nil {
		err = fmt.Errorf("%w: %s; nothing that is kept of it is what %s is a copy of; give the store that the peer ran on last the name %s: %w",
			ErrSourceGone, j.Source, j.ready(), j.Source, err)
	}
	return err
}

// moveIn puts the copy where it belongs. The old store may have got its other name by a process that was killed before it synced that: were
// the power cut, it must not be there beside the new one.
func (j *Job) moveIn() error {
	kind, _, err := j.look(filepath.Dir(j.Source))
	if err == nil && kind == folder {
		err = j.fs().SyncDir(filepath.Dir(j.Source))
	}
	if err != nil {
		return err
	}
	_, names, err := j.look(j.Destination)
	if err == nil && j.Content(names) == Empty { // an empty folder, or one with a lock in it
		err = j.remove(j.Destination)
	}
	if err != nil {
		return err
	}
	return j.rename(j.ready(), j.Destination)
}
