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
	"github.com/raft-ballast/ballast/internal/place"
)

// putAside gives the old store its other name, leaves a file where it was, and looks at it again.
// Where j.aside is set after an error, the old store is not in its place, and the copy may be all
// that there is.
func (j *Job) putAside(before mark) error {
	olds := j.olds()
	kept := make([]string, len(olds))
	for i, o := range olds {
		name, err := j.freeName(o.path)
		if err == nil {
			_, err = j.draftGrave(o, o.path, name)
		}
		if err != nil {
			return j.dropDrafts(err)
		}
		kept[i] = name
	}
	for i, o := range olds {
		j.aside, j.kept = true, kept[:i+1]
		if err := j.bury(o, kept[i]); err != nil {
			return j.giveBack(fixed(err))
		}
	}
	if err := j.again(kept, func(src Source) error { return j.unchanged(src, before) }); err != nil {
		return j.giveBack(err)
	}
	return nil
}

// bury gives one old store its other name and leaves the file that was drafted.
func (j *Job) bury(o old, kept string) error {
	if err := j.rename(o.path, kept); err != nil {
		return fmt.Errorf("%w; the old store and its folder have to be such that it can get another name", err)
	}
	return j.placeGrave(o)
}

// placeGrave leaves what was drafted where the old store was.
func (j *Job) placeGrave(o old) error {
	if kind, _, err := j.look(o.draft()); err != nil || kind == nothing {
		return err
	}
	return j.rename(o.draft(), o.path)
}

// giveBack gives the old store its own name again after an error.
func (j *Job) giveBack(cause error) error {
	for i, name := range slices.Backward(j.kept) {
		o := j.olds()[i]
		if err := j.unbury(o, name); err != nil {
			return errors.Join(cause, fmt.Errorf("the old store is at %s; give it the name %s again before a peer runs: %w", name, o.path, err))
		}
	}
	j.aside, j.kept = false, nil
	return j.dropDrafts(cause)
}

// unbury takes bury back, as far as that came.
func (j *Job) unbury(o old, kept string) error {
	kind, _, err := j.look(kept)
	if err != nil || kind == nothing {
		return err
	}
	if _, err := j.unearth(o.path); err != nil {
		return err
	}
	return j.rename(kept, o.path)
}

// unearth removes what a migration has left at a path. It reports whether there was such a thing.
func (j *Job) unearth(path string) (bool, error) {
	kind, names, err := j.look(path)
	if err != nil {
		return false, err
	}
	grave, err := j.isGrave(path, kind, names)
	if err != nil || !grave {
		return false, err
	}
	return true, j.remove(path)
}

// dropDrafts removes what was to be left where the old store is.
func (j *Job) dropDrafts(cause error) error {
	for _, o := range j.olds() {
		if o.path != j.Destination {
			cause = errors.Join(cause, j.remove(o.draft()))
		}
	}
	return cause
}

// again looks at an old store that has its other name. Who opened it under its own one, and waits
// for its lock, still has it, and so may who was faster than the new name. What they write would be
// lost, so there must be nobody, and the store must be the same. From then on nobody finds it who
// does not know the name.
func (j *Job) again(kept []string, same func(Source) error) error {
	for i, name := range kept {
		if j.FS == nil && place.Writers(name) {
			return &ballast.LockedError{Path: j.olds()[i].path, Err: errors.New("it was opened by somebody who waits to use it")}
		}
	}
	src, err := j.openOld(kept)
	if err != nil {
		return fmt.Errorf("looking at the old store again: %w", err)
	}
	return errors.Join(same(src), src.Close())
}

// allKept returns the names under which old stores of a name are kept.
func (j *Job) allKept(path string) (paths []string, err error) {
	dir, base := filepath.Split(path)
	dir = filepath.Clean(dir)
	_, names, err := j.look(dir)
	if errors.Is(err, fs.ErrPermission) { // who may not list it finds those that he gave
		return j.firstKept(path)
	}
	for _, name := range names {
		if rest, ok := strings.CutPrefix(name, base+keptSuffix); ok && keptName.MatchString(rest) {
			paths = append(paths, filepath.Join(dir, name))
		}
	}
	slices.Sort(paths)
	return paths, err
}

// firstKept is allKept in a folder that may not be listed.
func (j *Job) firstKept(path string) (paths []string, err error) {
	free, err := j.freeName(path)
	for n := 1; err == nil; n++ {
		name := keptPath(path, n)
		if name == free {
			break
		}
		paths = append(paths, name)
	}
	return paths, err
}

// findAside makes sure that the old store of a copy is kept, and is what compare wants, when who
// made the copy has died. Another migration may have left others of its name, it may be on a disk
// that is not mounted, and a peer may have run on it before it was looked at again. Of two old
// stores the second one may still have its own name.
func (j *Job) findAside(ctx context.Context, compare func(Source) error) error {
	if err := j.syncOlds(); err != nil { // or a power cut could bring the first one back when the second one is put aside
		return err
	}
	olds := j.olds()
	candidates := make([][]string, len(olds))
	for i, o := range olds {
		is, err := j.lookOld(o)
		if err == nil && i > 0 && is == whole {
			err = j.finishAside(i)
		}
		if err == nil {
			candidates[i], err = j.allKept(o.path)
		}
		if err != nil {
			return err
		}
		if len(candidates[i]) == 0 {
			return fmt.Errorf("%s is not there, and has no other name", o.path)
		}
	}
	var errs []error
	for _, kept := range combine(candidates) {
		err := j.again(kept, compare)
		if err == nil {
			j.aside, j.kept = true, kept
			return j.leaveGraves()
		}
		if ctx.Err() != nil {
			return err
		}
		errs = append(errs, fmt.Errorf("%s: %w", strings.Join(kept, " and "), err))
	}
	if len(j.kept) > 0 { // what finishAside has done
		errs = append(errs, j.unbury(olds[1], j.kept[1]))
	}
	return errors.Join(errs...)
}

// finishAside puts the second old store aside, as the first one was.
func (j *Job) finishAside(i int) error {
	o := j.olds()[i]
	kept, err := j.freeName(o.path)
	if err == nil {
		_, err = j.draftGrave(o, o.path, kept)
	}
	if err != nil {
		return err
	}
	j.kept = make([]string, i+1)
	j.kept[i] = kept
	return j.bury(o, kept)
}

// leaveGraves leaves a file where each old store was, if who gave it its other name has not come so
// far.
func (j *Job) leaveGraves() error {
	for i, o := range j.olds() {
		kind, names, err := j.look(o.path)
		if kind == folder && len(names) == 0 && j.remove(o.path) == nil { // an application sees to it before it opens a store
			kind = nothing
		}
		if err == nil && kind == nothing {
			if _, err = j.draftGrave(o, j.kept[i], j.kept[i]); err == nil {
				err = j.placeGrave(o)
			}
		}
		if err != nil {
			return err
		}
	}
	return j.dropDrafts(nil)
}

// combine returns one of each list, in every combination.
func combine(lists [][]string) (out [][]string) {
	out = [][]string{nil}
	for _, list := range lists {
		var longer [][]string
		for _, head := range out {
			for _, name := range list {
				longer = append(longer, append(slices.Clone(head), name))
			}
		}
		out = longer
	}
	return out
}
