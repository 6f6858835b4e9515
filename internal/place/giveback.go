package place

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/engine"
	"github.com/raft-ballast/ballast/internal/vfs"
)

// Unfinished reports whether there is nothing at dst because a [Site.Swap] was interrupted. A link is followed, as it was before the swap.
func Unfinished(dst string) bool {
	dst = engine.Place(dst)
	return there(dst+engine.UnplacedSuffix) && nothing(dst)
}

// GiveBack takes a [Site.Swap] back that was interrupted when the old one had its other name: the old one gets its own again, with all that somebody who had it open
// may have written since, and what was built is removed. It does nothing when dst is not [Unfinished]. The error matches ballast.ErrUnfinished when the old one
// is not where the swap has put it, and vfs.ErrLocked when the swap goes on.
func GiveBack(dst string) error {
	dst = engine.Place(dst)
	s, err := lock(dst)
	if err != nil {
		return err
	}
	if Unfinished(dst) { // nobody else was faster
		if err = s.giveBack(); err == nil {
			err = s.clear()
		}
	}
	if err != nil {
		return errors.Join(err, s.unlock())
	}
	return s.Abandon()
}

func (s *Site) giveBack() error {
	kept, err := s.kept()
	switch {
	case err != nil:
		return err
	case !there(kept):
		return fmt.Errorf("%w: a repair of %s was interrupted, and what was there before is neither there nor at %s; bring it back, or remove %s to begin with an empty store",
			ballast.ErrUnfinished, s.dst, kept, s.ready())
	}
	if err := os.Remove(s.dst); err != nil && !errors.Is(err, fs.ErrNotExist) { // there is nothing in it
		return err
	}
	return errors.Join(Rename(kept, s.dst), vfs.OS.SyncDir(filepath.Dir(s.dst)))
}

// clear removes what a process that died has left.
func (s *Site) clear() error {
	if there(s.ready()) {
		kept, err := s.kept()
		switch {
		case nothing(s.dst):
			return engine.UnplacedError(s.dst)
		case err != nil:
			return err
		case there(kept):
			return fmt.Errorf("%w: a repair of %s was interrupted when what was there before was at %s, and somebody has begun with another one since; see to it that the one on which the peer ran last has the name %s, give the other one another, and remove %s",
				ballast.ErrUnfinished, s.dst, kept, s.dst, s.ready())
		}
		if err := os.RemoveAll(s.ready()); err != nil {
			return err
		}
		if err := vfs.OS.SyncDir(filepath.Dir(s.dst)); err != nil { // the note counts as long as that may come back
			return err
		}
	}
	return errors.Join(os.RemoveAll(s.Path), os.RemoveAll(s.notePath()))
}

func (s *Site) ready() string    { return s.dst + engine.UnplacedSuffix }
func (s *Site) notePath() string { return s.Path + ".kept" }

// note writes down, durably, the name that the old one is about to get.
func (s *Site) note(kept string) error {
	if err := os.WriteFile(s.notePath(), []byte(filepath.Base(kept)), 0o600); err != nil {
		return err
	}
	return errors.Join(Sync(s.notePath()), vfs.OS.SyncDir(s.dir))
}

// kept returns the path that note has written down.
func (s *Site) kept() (string, error) {
	name, err := os.ReadFile(s.notePath())
	if err == nil && (len(name) == 0 || filepath.Base(string(name)) != string(name)) {
		err = fmt.Errorf("%s holds no name", s.notePath())
	}
	if err != nil {
		return "", fmt.Errorf("%w: a repair of %s was interrupted, and where what was there before is now cannot be told; see to it that the one on which the peer ran last has the name %s, and remove %s: %w",
			ballast.ErrUnfinished, s.dst, s.dst, s.ready(), err)
	}
	return filepath.Join(filepath.Dir(s.dst), string(name)), nil
}

func there(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// Waits reports whether a name is that of what an interrupted [Site.Swap] has left, and returns the name of its dst.
func Waits(name string) (dst string, waits bool) {
	return strings.CutSuffix(name, engine.UnplacedSuffix)
}

// Unplaced is the error that says so, and what to do.
func Unplaced(dst string) error { return engine.UnplacedError(dst) }
