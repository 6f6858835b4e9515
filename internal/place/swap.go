package place

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/raft-ballast/ballast/internal/vfs"
)

// MovedError is returned by a Swap that failed when names had changed, and could not or need not be taken back.
type MovedError struct {
	Old, New string // where they are now
	Err      error
}

// Error says where what is.
func (e *MovedError) Error() string {
	return fmt.Sprintf("%v; what was there before is at %s now, and the new one at %s", e.Err, e.Old, e.New)
}

// Unwrap returns what went wrong.
func (e *MovedError) Unwrap() error { return e.Err }

// Swap makes what was built durable and puts it in the place of what is at dst, which is called kept from then on, in the same
// folder. Nothing is removed. After an error that is no [*MovedError] the old one is at dst, as it was.
//
// check is for an old one that somebody may use meanwhile; nil for one that nobody can. It is asked when the old one has its other name, and nobody finds it under its own any
// more, nor the new one. Its error ends the swap. Without check the two names are exchanged, where the file system can: after a crash dst is the old one or the new one. Otherwise a
// crash may leave nothing at dst, see [Unfinished].
func (s *Site) Swap(kept string, check func() error) error {
	if err := s.sync(); err != nil {
		return err
	}
	if abs, err := filepath.Abs(kept); err != nil || filepath.Dir(abs) != filepath.Dir(s.dst) {
		return errors.Join(err, fmt.Errorf("%s is not in the folder of %s", kept, s.dst))
	}
	w := &swap{site: s, kept: kept, old: s.dst, new: s.Path}
	if err := w.run(check); err != nil {
		return w.back(err)
	}
	if err := w.sync(); err != nil {
		return w.moved(err)
	}
	if err := s.Abandon(); err != nil {
		return &MovedError{Old: w.old, New: w.new, Err: err}
	}
	return nil
}

// swap is one that goes on.
type swap struct {
	site     *Site
	kept     string
	old, new string         // where they are
	undo     []func() error // the steps so far
}

func (w *swap) run(check func() error) error {
	if check != nil {
		return w.inSteps(check)
	}
	// The name that it has for a moment is never one that the old one could be removed under.
	if err := w.move(&w.new, w.kept); err != nil {
		return err
	}
	if err := w.sync(); err != nil {
		return err
	}
	done, err := exchangeNames(w.new, w.old)
	if err != nil {
		return err
	}
	if done {
		w.new, w.old = w.old, w.new
		return nil
	}
	return w.inSteps(func() error { return nil })
}

// inSteps is the order that the package's documentation explains.
func (w *swap) inSteps(check func() error) error {
	for _, step := range []func() error{
		func() error { return w.site.note(w.kept) }, w.sync,
		func() error { return w.move(&w.new, w.site.ready()) }, w.sync,
		func() error { return w.move(&w.old, w.kept) }, w.sync,
		check,
		func() error { return w.move(&w.new, w.site.dst) },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// move gives one of the two a name that is free.
func (w *swap) move(which *string, to string) error {
	from := *which
	if err := Rename(from, to); err != nil {
		return err
	}
	*which = to
	w.undo = append(w.undo, func() error {
		err := Rename(to, from)
		if err == nil {
			*which = from
		}
		return err
	})
	return nil
}

func (w *swap) sync() error { return vfs.OS.SyncDir(filepath.Dir(w.site.dst)) }

// back takes all steps back, the last one first.
func (w *swap) back(cause error) error {
	for _, undo := range slices.Backward(w.undo) {
		if err := undo(); err != nil {
			return w.moved(errors.Join(cause, err))
		}
	}
	return errors.Join(cause, w.sync())
}

// moved is the error of a swap that stays as it is. The note of where the old one is stays too.
func (w *swap) moved(err error) error {
	return &MovedError{Old: w.old, New: w.new, Err: errors.Join(err, w.site.unlock())}
}

// exchangeNames is exchange; tests replace it by one that cannot.
var exchangeNames = exchange

// nothing reports whether there is nothing at a path, or an empty folder or file, as somebody makes it for a store to come.
func nothing(path string) bool {
	info, err := os.Lstat(path)
	switch {
	case err != nil:
		return errors.Is(err, fs.ErrNotExist)
	case info.IsDir():
		entries, err := os.ReadDir(path)
		return err == nil && len(entries) == 0
	}
	return info.Mode().IsRegular() && info.Size() == 0
}
