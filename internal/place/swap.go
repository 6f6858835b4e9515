package place

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/raft-ballast/ballast/internal/vfs"
)

// readySuffix is the end of the name of what is complete and waits for its place, where two names cannot change places in
// one step.
const readySuffix = ".ballast-ready"

// Swap makes what was built durable and puts it in the place of what is at dst, which is called kept from then on, in the same
// folder. Nothing is removed.
//
// Where the file system can exchange two names that is one step: after a crash dst is the old one or the new one, and the other
// is at kept or nowhere. Elsewhere a crash may leave nothing at dst; then [Finish] completes it.
func (s *Site) Swap(kept string) error {
	if err := Sync(s.Path); err != nil {
		return err
	}
	ready := s.dst + readySuffix
	for _, path := range []string{kept, ready} {
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s is in the way; give it another name first: %w", path, fs.ErrExist)
		}
	}
	parent := filepath.Dir(s.dst)
	// The name that it has for a moment is never one that the old one could be removed under.
	if err := errors.Join(os.Rename(s.Path, kept), vfs.OS.SyncDir(parent)); err != nil {
		return err
	}
	if done, err := exchangeNames(kept, s.dst); err != nil {
		return errors.Join(err, os.RemoveAll(kept)) // it is the new one
	} else if !done {
		if err := errors.Join(os.Rename(kept, ready), os.Rename(s.dst, kept), vfs.OS.SyncDir(parent)); err != nil {
			return err
		}
		if _, err := Finish(s.dst); err != nil {
			return err
		}
	}
	return errors.Join(vfs.OS.SyncDir(parent), s.Abandon())
}

// exchangeNames is exchange; tests replace it by one that cannot.
var exchangeNames = exchange

// Finish puts at dst what an interrupted [Site.Swap] has left complete beside it, and reports whether there was anything to do.
// Something that is at dst is never replaced.
func Finish(dst string) (bool, error) {
	dst = filepath.Clean(dst)
	ready := dst + readySuffix
	if !Unfinished(dst) {
		return false, nil
	}
	return true, errors.Join(os.Rename(ready, dst), vfs.OS.SyncDir(filepath.Dir(dst)))
}

// Unfinished reports whether there is nothing at dst, and [Finish] would put something there.
func Unfinished(dst string) bool {
	dst = filepath.Clean(dst)
	_, err := os.Lstat(dst)
	_, ready := os.Lstat(dst + readySuffix)
	return errors.Is(err, fs.ErrNotExist) && ready == nil
}
