// Package place builds a file or a folder beside where it belongs and puts it there when it is complete, so that nobody
// ever sees a half one: not after a crash, and not while it is built.
//
//	site, err := place.Begin(dst)
//	if err != nil {
//		return err
//	}
//	defer site.Abandon()
//	... make site.Path, close it, check it ...
//	return site.Commit()
//
// It is built in a folder beside dst, whose name [IsSite] knows: whoever looks for stores passes it over. What a process
// that died has left there is removed by the next one that builds for the same dst.
//
// # In the place of another one
//
// [Site.Swap] has the new one change places with what is at dst, which is called kept then. Where nobody can wait for the old one, and the file system
// exchanges two names, that is one step. Otherwise these are the steps, for a store D that gets the name K; each is durable before the next one begins:
//
//	1  .D.ballast-new/D is whole, and .D.ballast-new/D.kept holds the name K
//	2  .D.ballast-new/D becomes D.ballast-ready
//	3  D becomes K
//	4  check: nobody uses K, and it is what was read; otherwise it becomes D again, and D.ballast-ready goes
//	5  D.ballast-ready becomes D
//	6  .D.ballast-new goes
//
// Nothing is at D before 5, so nobody can have begun with the new one when it is taken back, and nothing is taken back from 5 on. As long as there is nothing at D, no engine makes
// an empty store there: see [engine.CheckPlaced].
//
// Who opened the old store before 3, and waits for its lock, gets that when it is free and goes on with it whatever its name is. It is D still, or 4 sees it and K becomes D again.
// For that the lock must not be held by who swaps, from 3 at the latest. Who comes behind 3 does not find it.
//
// A crash is never gone on from with D.ballast-ready, since somebody may have used the old one after it. What there is then, and what becomes of it:
//
//	behind 1   D                        the next Beside removes what was built
//	behind 2   D, D.ballast-ready       the same
//	behind 3   K, D.ballast-ready       [GiveBack]: K becomes D again, with all that was written to it since, and what was built goes
//	behind 5   D, K                     it is done; the next Beside removes the folder
//
// Before 1 the swap finds out whether D can get another name at all: see [Movable].
//
// What only a human can decide is an error:
//
//	D.ballast-ready, and neither D nor K   a crash behind 2, and somebody took D away, or its disk is not mounted
//	D, K, D.ballast-ready                  a crash behind 3, and somebody who does not know of it has made a store
//
// # In an empty folder that is there
//
// A mount point cannot be replaced by a rename. [BeginFolder] builds in such a folder, and the
// engines keep it shut meanwhile: see [Inside].
package place

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/raft-ballast/ballast/internal/engine"
	"github.com/raft-ballast/ballast/internal/vfs"
)

// Site is where something is built. It is for one goroutine.
type Site struct {
	// Path is where to build it. There is nothing yet.
	Path string

	dst  string
	dir  string // that holds Path and the lock
	lock io.Closer

	inside *Inside // in which it is built; nil when it is built beside dst
}

const siteSuffix = ".ballast-new"

// IsSite reports whether a file's or folder's name is that of a folder in which something is built.
func IsSite(name string) bool {
	base := filepath.Base(name)
	return strings.HasPrefix(base, ".") && strings.HasSuffix(base, siteSuffix)
}

// Begin makes the place to build what will be at dst. The error matches fs.ErrExist when there is something at dst already,
// ballast.ErrUnfinished when a repair was interrupted that has to put something there, and vfs.ErrLocked when another process builds for the same dst.
func Begin(dst string) (*Site, error) {
	switch _, err := os.Lstat(dst); {
	case err == nil:
		return nil, fmt.Errorf("%s is there already; give a path that is not there yet: %w", dst, fs.ErrExist)
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	if err := engine.CheckPlaced(dst); err != nil {
		return nil, err
	}
	return beside(dst)
}

// BeginFolder is Begin for what will be a folder. An empty one that cannot be replaced, as a mount
// point, is no obstacle: it is built in that, and no engine opens it before Commit.
func BeginFolder(dst string) (*Site, error) {
	path := engine.Place(dst)
	entries, err := os.ReadDir(path)
	if err != nil {
		return Begin(dst)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	begun, ready := BuiltInside(names)
	switch {
	case ready:
		return nil, engine.CheckNames(path, names)
	case !begun && (len(Content(names)) > 0 || !errors.Is(Movable(path), ErrFixed)):
		return Begin(dst)
	}
	return buildInside(path)
}

// closer lets go of a lock.
type closer func()

func (c closer) Close() error { c(); return nil }

func buildInside(dir string) (*Site, error) {
	unlock, err := LockFile(filepath.Join(dir, LockName))
	if err != nil {
		return nil, err
	}
	finishing := engine.Finishing(dir)
	s := &Site{Path: dir, dst: dir, inside: &Inside{dir, vfs.OS}, lock: closer(func() { finishing(); unlock() })}
	names, err := vfs.OS.List(dir)
	if begun, _ := BuiltInside(names); err == nil && !begun && len(Content(names)) > 0 { // somebody was faster
		err = fmt.Errorf("%s was made meanwhile; nothing there was changed: %w", dir, fs.ErrExist)
	}
	if err == nil {
		err = s.inside.Begin()
	}
	if err != nil {
		return nil, errors.Join(err, s.unlock())
	}
	return s, nil
}

// Beside is Begin for what will take the place of something at dst: [Site.Swap] instead of
// [Site.Commit]. The error matches ballast.ErrUnfinished as well when a store was made at dst while
// the one from before had another name, and [ErrFixed] when what is there cannot get another name.
func Beside(dst string) (*Site, error) {
	s, err := beside(dst)
	if err != nil {
		if refusesNames(err) {
			err = fixed(dst, err)
		}
		return nil, err
	}
	if err := s.movable(); err != nil {
		return nil, errors.Join(err, s.Abandon())
	}
	return s, nil
}

// beside makes a folder beside dst, in which something is built.
func beside(dst string) (*Site, error) {
	s, err := lock(dst)
	if err != nil {
		return nil, err
	}
	if err := s.clear(); err != nil {
		return nil, errors.Join(err, s.unlock())
	}
	return s, nil
}

// lock makes sure that nobody else builds for the same dst.
func lock(dst string) (*Site, error) {
	dst, err := filepath.Abs(dst) // its name, when it is the working directory
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(filepath.Dir(dst), "."+filepath.Base(dst)+siteSuffix)
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("%s cannot be made: %w; give a path in a folder that is there and can be written", dst, err)
	}
	held, err := vfs.OS.Lock(filepath.Join(dir, "LOCK"))
	if errors.Is(err, vfs.ErrLocked) {
		return nil, fmt.Errorf("another process is about to make %s; wait for it: %w", dst, err)
	}
	if err != nil {
		return nil, err
	}
	return &Site{Path: filepath.Join(dir, filepath.Base(dst)), dst: dst, dir: dir, lock: held}, nil
}

// Commit makes what was built durable and gives it its name, which must still be free.
func (s *Site) Commit() error {
	if err := s.sync(); err != nil {
		return err
	}
	if s.inside != nil {
		if err := s.inside.Commit(); err != nil {
			return err
		}
		return s.unlock()
	}
	if _, err := os.Lstat(s.dst); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s was made meanwhile; nothing there was changed: %w", s.dst, fs.ErrExist)
	}
	if err := os.Rename(s.Path, s.dst); err != nil {
		return err
	}
	return errors.Join(vfs.OS.SyncDir(filepath.Dir(s.dst)), s.Abandon())
}

// sync makes what was built durable, but for its name.
func (s *Site) sync() error {
	if info, err := os.Stat(s.Path); err == nil && info.IsDir() {
		if err := engine.UnmarkLog(vfs.OS, s.Path); err != nil {
			return err
		}
	}
	return Sync(s.Path)
}

// Abandon removes what was built and not committed. Calling it again, or after Commit, does nothing.
func (s *Site) Abandon() error {
	if s.lock == nil {
		return nil
	}
	// The lock is held meanwhile, or the next one who builds for the same dst would lose what it has begun.
	err := s.remove()
	return errors.Join(err, s.unlock())
}

func (s *Site) remove() error {
	if s.inside != nil {
		return s.inside.Clear()
	}
	return os.RemoveAll(s.dir)
}

// unlock leaves everything to the next one who builds for the same dst.
func (s *Site) unlock() error {
	err := s.lock.Close()
	s.lock = nil
	return err
}

// Sync makes a file, or a folder with all that is in it, durable.
func Sync(path string) error {
	return filepath.WalkDir(path, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && d.Name() == engine.LostAndFound:
			return fs.SkipDir
		case d.IsDir():
			return vfs.OS.SyncDir(path)
		}
		f, err := os.OpenFile(path, os.O_RDWR, 0) // windows syncs only what is open for writing
		if err != nil {
			return err
		}
		return errors.Join(f.Sync(), f.Close())
	})
}

// Like gives what was built, and all that is in it when it is a folder, the owner and the mode of
// model: a file that of the model, or of a file in it, and a folder that of the model, or of the
// folder that it is in. A folder that was there before keeps its mode.
func (s *Site) Like(model string) error {
	folder, file, err := models(model)
	if err != nil {
		return err
	}
	return filepath.WalkDir(s.Path, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && d.Name() == engine.LostAndFound {
			return fs.SkipDir
		}
		like := file
		if d.IsDir() {
			like = folder
		}
		if like == nil {
			return nil
		}
		if err := own(path, like); err != nil {
			return fmt.Errorf("giving %s the owner of %s: %w", path, model, err)
		}
		if s.inside != nil && path == s.Path {
			return nil
		}
		mode := like.Mode().Perm()
		if d.IsDir() == like.IsDir() {
			return os.Chmod(path, mode)
		}
		return os.Chmod(path, mode|mode&0o444>>2) // who may read a file may look into the folder
	})
}

// models returns what folders and files are to be like. file is nil for an empty folder.
func models(model string) (folder, file fs.FileInfo, err error) {
	info, err := os.Stat(model)
	if err != nil {
		return nil, nil, err
	}
	if !info.IsDir() {
		return info, info, nil
	}
	entries, err := os.ReadDir(model)
	if err != nil {
		return nil, nil, err
	}
	for _, e := range entries {
		if e.Type().IsRegular() && e.Name() != "LOCK" {
			file, err = e.Info()
			return info, file, err
		}
	}
	return info, nil, nil
}
