package place

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/raft-ballast/ballast/internal/engine"
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
// folder. Nothing is removed. When the old one has that name, and nobody finds it under its own any more, check is asked, unless it is nil; its error ends the
// swap. After an error that is no [*MovedError] the old one is at dst, as it was.
//
// Where the file system can exchange two names that is one step: after a crash dst is the old one or the new one, and the other
// is at kept or nowhere. Elsewhere a crash may leave nothing at dst; then [Finish] completes it, and before that no engine makes a new store
// there, see [engine.CheckPlaced].
func (s *Site) Swap(kept string, check func() error) error {
	if err := Sync(s.Path); err != nil {
		return err
	}
	ready := s.dst + engine.UnplacedSuffix
	for _, path := range []string{kept, ready} {
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s is in the way; give it another name first: %w", path, fs.ErrExist)
		}
	}
	parent := filepath.Dir(s.dst)
	if abs, err := filepath.Abs(kept); err != nil || filepath.Dir(abs) != parent {
		return errors.Join(err, fmt.Errorf("%s is not in the folder of %s", kept, s.dst))
	}
	if check == nil {
		check = func() error { return nil }
	}
	w := &swap{dst: s.dst, kept: kept, ready: ready, old: s.dst, new: s.Path}
	if err := w.run(check); err != nil {
		return w.back(err)
	}
	if err := errors.Join(vfs.OS.SyncDir(parent), s.Abandon()); err != nil {
		return &MovedError{Old: w.old, New: w.new, Err: err}
	}
	return nil
}

// swap is one that goes on.
type swap struct {
	dst, kept, ready string
	old, new         string         // where they are
	undo             []func() error // the steps so far
}

func (w *swap) run(check func() error) error {
	// The name that it has for a moment is never one that the old one could be removed under.
	if err := w.move(&w.new, w.kept); err != nil {
		return err
	}
	if err := w.sync(); err != nil {
		return err
	}
	switch done, err := w.exchange(); {
	case err != nil:
		return err
	case done:
		return check()
	}
	return w.inTwoSteps(check)
}

// inTwoSteps is for a file system that cannot exchange names. What is at kept is the new one. Its name is durable before the old one loses its own:
// it says to whoever looks that there is something.
func (w *swap) inTwoSteps(check func() error) error {
	for _, step := range []func() error{
		func() error { return w.move(&w.new, w.ready) }, w.sync,
		func() error { return w.move(&w.old, w.kept) }, w.sync,
		check,
		func() error { return w.move(&w.new, w.dst) },
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

func (w *swap) exchange() (bool, error) {
	done, err := exchangeNames(w.new, w.old)
	if done {
		w.new, w.old = w.old, w.new
		w.undo = append(w.undo, func() error {
			done, err := exchangeNames(w.new, w.old)
			if done {
				w.new, w.old = w.old, w.new
			}
			return err
		})
	}
	return done, err
}

func (w *swap) sync() error { return vfs.OS.SyncDir(filepath.Dir(w.dst)) }

// back takes all steps back, the last one first.
func (w *swap) back(cause error) error {
	for _, undo := range slices.Backward(w.undo) {
		if err := undo(); err != nil {
			return &MovedError{Old: w.old, New: w.new, Err: errors.Join(cause, err)}
		}
	}
	return errors.Join(cause, w.sync())
}

// exchangeNames is exchange; tests replace it by one that cannot.
var exchangeNames = exchange

// Finish puts at dst what an interrupted [Site.Swap] has left complete beside it, and reports whether there was anything to do.
// Something that is at dst is never replaced, but for a folder or a file in which there is nothing. A link is followed, as it was before the swap.
func Finish(dst string) (bool, error) {
	dst = engine.Place(dst)
	if !Unfinished(dst) {
		return false, nil
	}
	if err := os.Remove(dst); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return true, err
	}
	return true, errors.Join(Rename(dst+engine.UnplacedSuffix, dst), vfs.OS.SyncDir(filepath.Dir(dst)))
}

// Unfinished reports whether there is nothing at dst, and [Finish] would put something there.
func Unfinished(dst string) bool {
	dst = engine.Place(dst)
	_, err := os.Lstat(dst + engine.UnplacedSuffix)
	return err == nil && nothing(dst)
}

// Waits reports whether a name is that of what [Finish] puts into its place, and returns the name that it gets.
func Waits(name string) (dst string, waits bool) {
	return strings.CutSuffix(name, engine.UnplacedSuffix)
}

// Unplaced is the error that says so, and what to do.
func Unplaced(dst string) error { return engine.UnplacedError(dst) }

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
