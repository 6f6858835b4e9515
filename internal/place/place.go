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
	return Beside(dst)
}

// Beside is Begin for what will take the place of something at dst: [Site.Swap] instead of [Site.Commit].
func Beside(dst string) (*Site, error) {
	dst, err := filepath.Abs(dst) // its name, when it is the working directory
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(filepath.Dir(dst), "."+filepath.Base(dst)+siteSuffix)
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	lock, err := vfs.OS.Lock(filepath.Join(dir, "LOCK"))
	if errors.Is(err, vfs.ErrLocked) {
		return nil, fmt.Errorf("another process is about to make %s; wait for it: %w", dst, err)
	}
	if err != nil {
		return nil, err
	}
	s := &Site{Path: filepath.Join(dir, filepath.Base(dst)), dst: dst, dir: dir, lock: lock}
	if err := os.RemoveAll(s.Path); err != nil { // of a process that died
		return nil, errors.Join(err, lock.Close())
	}
	return s, nil
}

// Commit makes what was built durable and gives it its name, which must still be free.
func (s *Site) Commit() error {
	if err := Sync(s.Path); err != nil {
		return err
	}
	if _, err := os.Lstat(s.dst); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s was made meanwhile; nothing there was changed: %w", s.dst, fs.ErrExist)
	}
	if err := os.Rename(s.Path, s.dst); err != nil {
		return err
	}
	return errors.Join(vfs.OS.SyncDir(filepath.Dir(s.dst)), s.Abandon())
}

// Abandon removes what was built and not committed. Calling it again, or after Commit, does nothing.
func (s *Site) Abandon() error {
	if s.lock == nil {
		return nil
	}
	// The lock is held meanwhile, or the next one who builds for the same dst would lose what it has begun.
	err := errors.Join(os.RemoveAll(s.dir), s.lock.Close())
	s.lock = nil
	return err
}

// Sync makes a file, or a folder with all that is in it, durable.
func Sync(path string) error {
	return filepath.WalkDir(path, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
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

// Like gives what is at path, and all that is in it when it is a folder, the owner and the mode of model: a file that of the
// model, or of a file in it, and a folder that of the model, or of the folder that it is in.
func Like(path, model string) error {
	folder, file, err := models(model)
	if err != nil {
		return err
	}
	return filepath.WalkDir(path, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
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
