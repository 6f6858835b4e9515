package move

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/raft-ballast/ballast/internal/engine"
	"github.com/raft-ballast/ballast/internal/place"
)

// site returns the folder at the destination, in which the store is built when j.inside is set.
func (j *Job) site() place.Inside { return place.Inside{Dir: j.Destination, FS: j.fs()} }

// built returns where the new store is made.
func (j *Job) built() string {
	if j.inside {
		return j.Destination
	}
	return j.half()
}

// whole returns where the new store is when it is complete, and the old one gets its other name.
func (j *Job) whole() string {
	if j.inside {
		return j.Destination
	}
	return j.ready()
}

// begin makes the place for the new store, and removes what an earlier migration has left there.
func (j *Job) begin() error {
	err := j.remove(j.half())
	if err == nil && j.inside {
		err = j.site().Begin()
	}
	if err != nil {
		return fmt.Errorf("removing what a migration has left: %w", err)
	}
	return nil
}

// scrapped removes a store that is not complete. What cannot be removed does not open, and the next
// migration tries again.
func (j *Job) scrapped() error {
	if !j.inside {
		return j.remove(j.half())
	}
	_, names, err := j.look(j.Destination)
	if begun, _ := place.BuiltInside(names); err != nil || !begun {
		return err
	}
	return j.site().Clear()
}

// makeReady notes that the copy is complete.
func (j *Job) makeReady() error {
	if j.inside {
		return j.site().Ready()
	}
	return j.rename(j.half(), j.ready())
}

// discard removes the copy that was ready. It becomes one that is not complete first, since to
// remove it takes several steps.
func (j *Job) discard() error {
	if j.inside {
		return j.site().Clear()
	}
	if err := j.remove(j.half()); err != nil {
		return err
	}
	if err := j.rename(j.ready(), j.half()); err != nil {
		return err
	}
	return j.remove(j.half())
}

// lock keeps other migrations to the same destination out.
func (j *Job) lock() (unlock func(), err error) {
	done := engine.Finishing(j.built())
	if j.FS != nil {
		return done, nil
	}
	path := j.Destination + lockSuffix
	if j.inside { // the folder around it may be one that nobody may write to
		path = filepath.Join(j.Destination, place.LockName)
	}
	free, err := place.LockFile(path)
	if err != nil {
		done()
		return nil, err
	}
	return func() { free(); done() }, nil
}

// fits reports whether a store may be built in what there is at the destination: an empty folder,
// of which Copy takes only one that cannot be replaced.
func (j *Job) fits(kind kind, names []string) (bool, error) {
	if kind != folder || !j.Folder {
		return false, nil
	}
	begun, ready := place.BuiltInside(names)
	switch {
	case ready:
		return false, engine.CheckNames(j.Destination, names)
	case begun || len(place.Content(names)) > 0 || j.FS != nil:
		return begun || len(place.Content(names)) == 0, nil
	}
	return errors.Is(place.Movable(engine.Place(j.Destination)), place.ErrFixed), nil
}

// fixed says what to do about an old store that cannot get another name.
func fixed(err error) error {
	if !errors.Is(err, place.ErrFixed) {
		return err
	}
	return fmt.Errorf("the old store has to get another name when it has been copied, and nothing was changed: %w; "+
		"mount the folder that it is in, and not the store itself, and see to it that this process may write to that folder; "+
		"or copy it with `ballast migrate`, which leaves it as it is, and open the new store without an old one", err)
}

// checkMovable returns an error when an old store cannot get another name.
func (j *Job) checkMovable() error {
	if j.FS != nil {
		return nil
	}
	for _, o := range j.olds() {
		if err := place.Movable(o.path); err != nil {
			return fixed(err)
		}
	}
	return nil
}

// within reports whether one path lies below another.
func within(dir, path string) bool {
	dir, err1 := filepath.Abs(dir)
	path, err2 := filepath.Abs(path)
	if err1 != nil || err2 != nil {
		return false
	}
	rel, err := filepath.Rel(dir, path)
	return err == nil && rel != "." && filepath.IsLocal(rel)
}

// checkPlaces refuses to write one store into the other, and where a repaired one waits for its
// place.
func (j *Job) checkPlaces() error {
	if strings.HasSuffix(j.Destination, engine.UnfinishedSuffix) {
		return fmt.Errorf("%s is a name for what is not finished; give another", j.Destination)
	}
	if j.FS == nil {
		if err := engine.CheckPlaced(j.Destination); err != nil {
			return err
		}
	}
	destination := engine.Place(j.Destination)
	for _, o := range j.olds() {
		source := engine.Place(o.path)
		for _, p := range [][2]string{{source, destination}, {destination, source}} {
			if within(p[0], p[1]) {
				return fmt.Errorf("%s lies in %s; give a destination that is neither in the old store nor around it", p[1], p[0])
			}
		}
	}
	return nil
}
