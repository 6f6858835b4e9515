package move

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/engine"
	"github.com/raft-ballast/ballast/internal/place"
)

// found is what there is before a Replace.
type found struct {
	source      bool    // an old store
	misplaced   string  // an empty folder, as docker makes one, where a file should be; "" for none
	missing     string  // the second old store, when the first one is there without it, or it without the first
	destination Content // of the destination, when the source is not there itself
	folder      bool    // the new store is built in what is there
	ready, half bool
	kept        []string // what may be the source of a ready copy, under its other name
	graves      []string // what a migration has left where the old store was
	lost        bool     // what is in the folder says that there was a new store
}

// Replace makes the destination a copy of the source, and gives the source another name. It finishes what a Replace before has begun, and
// does nothing when there is no old store. moved reports whether it had anything to do.
func (j *Job) Replace(ctx context.Context) (res Result, moved bool, err error) {
	for range 2 { // a ready copy that cannot get its name is made again in the folder that is in the way
		var again bool
		if res, moved, again, err = j.replace(ctx); !again {
			break
		}
	}
	return res, moved, explain(err)
}

func (j *Job) replace(ctx context.Context) (res Result, moved, again bool, err error) {
	f, err := j.find()
	if err = j.check(f, err); err != nil || !f.source && !f.ready {
		return res, false, false, err
	}
	if err := j.checkPlaces(); err != nil {
		return res, false, false, err
	}
	if err := j.fs().MkdirAll(filepath.Dir(j.Destination)); err != nil && !f.folder {
		return res, false, false, err
	}
	j.inside = f.folder
	unlock, err := j.lock()
	if err != nil {
		return res, false, false, err
	}
	defer unlock()
	f, err = j.find() // somebody else may have been faster
	if err = j.check(f, err); err != nil || !f.source && !f.ready {
		return res, false, false, err
	}
	if f.folder != j.inside {
		return res, false, false, fmt.Errorf("somebody makes %s, or removes it, at the same time; start again when that has ended", j.Destination)
	}
	if f.source {
		res, err = j.moveAside(ctx)
	} else {
		err = j.findKept(ctx, f)
	}
	if err != nil {
		return res, true, false, err
	}
	j.nameKept(&res)
	again, err = j.moveIn()
	return res, true, again, err
}

// find looks at all places. Where there is a store already it has listed a folder and looked for two names.
func (j *Job) find() (f found, err error) {
	kind, names, err := j.look(j.Destination)
	if err != nil {
		return f, err
	}
	begun, ready := place.BuiltInside(names)
	if f.destination = j.Content(place.Content(names)); kind == file {
		f.destination = Other
	}
	if j.Source == j.Destination {
		f.source = f.destination == Other
		if f.source {
			f.destination = Empty
		}
	} else if begun { // what is there is not complete, or does not count yet
		f.destination = Empty
	} else if f.destination == Empty {
		if f.lost, err = engine.WasLog(j.fs(), j.Destination); err != nil {
			return f, fmt.Errorf("looking whether there was a log: %w", err)
		}
	}
	if err := j.findSource(&f); err != nil {
		return f, err
	}
	besides := false
	if kind2, _, err := j.look(j.ready()); err != nil {
		return f, err
	} else if kind2 != nothing {
		besides = true
	}
	f.ready = ready || besides
	if f.destination == Finished && !f.source {
		return f, nil
	}
	f.folder = kind == folder && f.destination == Empty && j.Source != j.Destination && (f.source || !besides)
	if !f.source { // only then its folder has to be one that may be listed
		if f.kept, err = j.allKept(j.Source); err != nil {
			return f, err
		}
	}
	kind, _, err = j.look(j.half())
	f.half = begun || kind != nothing
	return f, err
}

// findSource looks at the places of the old stores.
func (j *Job) findSource(f *found) error {
	var there []bool
	for _, o := range j.olds() {
		if o.path == j.Destination {
			there = append(there, f.source)
			continue
		}
		is, err := j.lookOld(o)
		switch {
		case err != nil:
			return err
		case is == grave:
			f.graves = append(f.graves, o.path)
		case is == empty && j.File:
			f.misplaced = o.path
		}
		there = append(there, is == whole)
	}
	f.source = there[0]
	if i := slices.Index(there, false); i >= 0 && slices.Contains(there, true) {
		f.missing = j.olds()[i].path
	}
	return nil
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
	case f.destination == Finished:
		return nil
	case f.lost && f.source:
		return &ballast.CorruptionError{Path: j.Destination, Offset: -1,
			Err: errors.New("there was a store, as its LOCK says, and it is gone; bring it back, or remove the LOCK to begin with the old one")}
	}
	if err := j.checkOld(f); err != nil || f.source {
		return err
	}
	return j.checkGone(f)
}

// checkOld refuses old stores that are not what they should be.
func (j *Job) checkOld(f found) error {
	switch {
	case f.misplaced != "":
		return fmt.Errorf("%w: %s is an empty folder, and the old store is a file: docker makes such a folder for a bind mount whose file is missing; "+
			"bring the file back, or remove the folder if there never was one", ballast.ErrForeign, f.misplaced)
	case f.missing != "" && !(f.ready && !f.source): // a crash came between the two
		return fmt.Errorf("%w: of the two old stores %s is missing; bring it back", ErrHalfPeer, f.missing)
	}
	return nil
}

// CheckLog returns an error that matches ErrStoreGone when the old store of a raft group was moved
// over before, and there is no log at the destination.
func (j *Job) CheckLog() error {
	_, names, err := j.look(j.Destination)
	if err != nil || j.Content(place.Content(names)) != Empty {
		return err
	}
	f := found{destination: Empty}
	if err := j.findSource(&f); err != nil || f.source {
		return err
	}
	if f.kept, err = j.allKept(j.Source); err != nil {
		return err
	}
	return j.checkGone(f)
}

// nameKept notes the names that the old stores have now.
func (j *Job) nameKept(res *Result) {
	if len(j.kept) > 0 {
		res.Kept = j.kept[0]
	}
	if len(j.kept) > 1 {
		res.KeptStable = j.kept[1]
	}
}

// checkGone refuses to begin with an empty store where the old one is gone, or has become one that
// is not there.
func (j *Job) checkGone(f found) error {
	remove, path := "remove", j.ready()
	if f.folder {
		remove, path = "empty", j.Destination
	}
	switch {
	case f.ready && len(f.kept) == 0:
		// It may be on a disk that is not mounted, and have newer votes than the copy.
		return fmt.Errorf("%w: %s, and it has no other name; bring it back, or %s %s to begin with an empty store", ErrSourceGone, j.Source, remove, path)
	case f.ready:
		return nil
	case f.half:
		if !f.folder {
			path = j.half()
		}
		return fmt.Errorf("%w: %s; bring it back, or %s %s to begin with an empty store", ErrSourceGone, j.Source, remove, path)
	case f.destination == Empty && len(f.kept)+len(f.graves) > 0:
		return fmt.Errorf("%w: %s has become %s, where there is no store; its disk may not be mounted: bring it back, or remove %s to begin with an empty store",
			ErrStoreGone, j.Source, j.Destination, strings.Join(append(f.graves, f.kept...), " and "))
	}
	return nil
}

// moveAside makes the copy ready and gives the old store its other name. A ready one of an earlier run may be older than the source: it
// goes.
func (j *Job) moveAside(ctx context.Context) (res Result, err error) {
	if err := j.checkMovable(); err != nil {
		return res, err
	}
	if err := j.discardReady(); err != nil {
		return res, err
	}
	if res, err = j.build(ctx); err != nil {
		return res, err
	}
	if err := j.makeReady(); err != nil {
		return res, err
	}
	if err := j.putAside(res.mark); err != nil {
		if !j.aside {
			err = errors.Join(err, j.discard())
		}
		return res, err
	}
	return res, nil
}

// discardReady removes a copy that an earlier migration has made ready.
func (j *Job) discardReady() error {
	if kind, _, err := j.look(j.ready()); err != nil || kind == nothing {
		return err // what is ready in a folder goes when the next one begins there
	}
	inside := j.inside
	defer func() { j.inside = inside }()
	j.inside = false
	return j.discard()
}

// findKept makes sure that the old store of a ready copy is kept, and holds what the copy does. It may be on a disk that is not mounted, and what is
// kept here of another migration.
func (j *Job) findKept(ctx context.Context, f found) error {
	err := j.findAside(ctx, func(src Source) error {
		copied, err := j.Read(j.whole())
		if err != nil {
			return err
		}
		_, err = ballast.VerifyCopy(ctx, copied, src, j.report(src, Verifying))
		return errors.Join(err, copied.Close())
	})
	if err != nil {
		err = fmt.Errorf("%w: %s; nothing that is kept of it is what %s is a copy of; give the store that the peer ran on last the name %s: %w",
			ErrSourceGone, j.Source, j.whole(), j.Source, err)
	}
	return err
}

// moveIn puts the copy where it belongs. The old store may have got its other name by a process that was killed before it synced that: were
// the power cut, it must not be there beside the new one.
func (j *Job) moveIn() (again bool, err error) {
	if err := j.syncOlds(); err != nil {
		return false, err
	}
	if j.inside {
		if err := j.adoptFolder(j.kept[0]); err != nil {
			return false, err
		}
		return false, j.site().Commit()
	}
	if err = j.takePlace(); !errors.Is(err, place.ErrFixed) && !errors.Is(err, fs.ErrExist) {
		return false, err
	}
	// Nothing has its name yet, and every start would end here.
	fixed := errors.Is(err, place.ErrFixed)
	if err = j.giveBack(err); j.aside {
		return false, err
	}
	if e := j.discard(); e != nil {
		return false, errors.Join(err, e)
	}
	return fixed, err
}

// syncOlds makes the names of the old stores durable.
func (j *Job) syncOlds() error {
	for _, o := range j.olds() {
		kind, _, err := j.look(filepath.Dir(o.path))
		if err == nil && kind == folder {
			err = j.fs().SyncDir(filepath.Dir(o.path))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// takePlace gives a copy that is ready its name. The error matches place.ErrFixed when the empty
// folder that has it cannot be removed.
func (j *Job) takePlace() error {
	kind, names, err := j.look(j.Destination)
	if err != nil {
		return err
	}
	if kind == folder && j.Content(place.Content(names)) == Empty { // an empty folder, or one with a lock in it
		if slices.Contains(names, engine.LostAndFound) {
			return fmt.Errorf("%s: %w", j.Destination, place.ErrFixed)
		}
		if err := j.remove(j.Destination); err != nil {
			return place.Fixed(j.Destination, err)
		}
	}
	return j.rename(j.ready(), j.Destination)
}
