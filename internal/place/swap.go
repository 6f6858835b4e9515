package place

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/raft-ballast/ballast/internal/engine"
	"github.com/raft-ballast/ballast/internal/vfs"
)

// Swap makes what was built durable and puts it in the place of what is at dst, which is called kept from then on, in the same
// folder. Nothing is removed.
//
// Where the file system can exchange two names that is one step: after a crash dst is the old one or the new one, and the other
// is at kept or nowhere. Elsewhere a crash may leave nothing at dst; then [Finish] completes it, and before that no engine makes a new store
// there, see [engine.CheckPlaced].
func (s *Site) Swap(kept string) error {
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
	// The name that it has for a moment is never one that the old one could be removed under.
	if err := errors.Join(os.Rename(s.Path, kept), vfs.OS.SyncDir(parent)); err != nil {
		return err
	}
	done, err := exchangeNames(kept, s.dst)
	if err != nil {
		return errors.Join(err, os.Rename(kept, s.Path)) // it is the new one, which Abandon removes
	}
	if !done {
		if err := s.inTwoSteps(kept, ready); err != nil {
			return err
		}
	}
	return errors.Join(vfs.OS.SyncDir(parent), s.Abandon())
}

// inTwoSteps is for a file system that cannot exchange names. What is at kept is the new one. Its name is durable before the old one loses its own:
// it says to whoever looks that there is something.
func (s *Site) inTwoSteps(kept, ready string) error {
	if err := os.Rename(kept, ready); err != nil {
		return errors.Join(err, os.Rename(kept, s.Path))
	}
	if err := vfs.OS.SyncDir(filepath.Dir(s.dst)); err != nil {
		return errors.Join(err, os.Rename(ready, s.Path))
	}
	if err := os.Rename(s.dst, kept); err != nil {
		return errors.Join(err, os.Rename(ready, s.Path))
	}
	if err := vfs.OS.SyncDir(filepath.Dir(s.dst)); err != nil {
		return err
	}
	_, err := Finish(s.dst)
	return err
}

// exchangeNames is exchange; tests replace it by one that cannot.
var exchangeNames = exchange

// Finish puts at dst what an interrupted [Site.Swap] has left complete beside it, and reports whether there was anything to do.
// Something that is at dst is never replaced, but for a folder or a file in which there is nothing.
func Finish(dst string) (bool, error) {
	dst = filepath.Clean(dst)
	if !Unfinished(dst) {
		return false, nil
	}
	if err := os.Remove(dst); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return true, err
	}
	return true, errors.Join(os.Rename(dst+engine.UnplacedSuffix, dst), vfs.OS.SyncDir(filepath.Dir(dst)))
}

// Unfinished reports whether there is nothing at dst, and [Finish] would put something there.
func Unfinished(dst string) bool {
	dst = filepath.Clean(dst)
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
