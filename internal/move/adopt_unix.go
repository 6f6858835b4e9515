//go:build unix

package move

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/raft-ballast/ballast/internal/engine"
)

const (
	ownerReadsAndWrites = 0o600
	ownerEnters         = 0o700
)

// ownership is how the old store's files and folders are owned.
type ownership struct {
	uid, gid   int
	file, dirs fs.FileMode
}

// ownershipOf looks at a store: a file, or a folder and the first file in it.
func ownershipOf(path string) (o ownership, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return o, err
	}
	o.uid, o.gid = int(info.Sys().(*syscall.Stat_t).Uid), int(info.Sys().(*syscall.Stat_t).Gid)
	mode := info.Mode().Perm()
	if !info.IsDir() {
		o.file = mode | ownerReadsAndWrites
		o.dirs = o.file | o.file&0o444>>2 // who reads the file may enter the folder
		return o, nil
	}
	o.dirs, o.file = mode|ownerEnters, mode&0o666|ownerReadsAndWrites
	entries, err := os.ReadDir(path)
	if err != nil {
		return o, err
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() {
			o.file = info.Mode().Perm() | ownerReadsAndWrites
			break
		}
	}
	return o, nil
}

// adopt gives a new store the owner and the mode of the old one, and syncs its files. As with cp -p only root gives files away; those of
// anybody else stay his own, and then kept is false.
//
// With inside the folder is not the new store's own, see [Job.adoptFolder].
func adopt(from, to string, inside bool) (kept bool, err error) {
	o, err := ownershipOf(from)
	if err != nil {
		return false, err
	}
	kept = true
	give := func(path string, mode fs.FileMode) error {
		given, err := o.give(path, mode)
		kept = kept && given
		return err
	}
	var dirs []string
	err = filepath.WalkDir(to, func(path string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case e.IsDir() && e.Name() == engine.LostAndFound:
			return fs.SkipDir
		case e.IsDir():
			if !inside || path != to {
				dirs = append(dirs, path)
			}
			return nil
		}
		return give(path, o.file)
	})
	for i := len(dirs) - 1; err == nil && i >= 0; i-- {
		err = give(dirs[i], o.dirs)
	}
	return kept, err
}

// adoptFolder gives a folder in which a store was built to whom the old one belongs, if this
// process is root. Its mode is that of who made it.
func (j *Job) adoptFolder(from string) error {
	if j.FS != nil || os.Geteuid() != 0 {
		return nil
	}
	o, err := ownershipOf(from)
	if err != nil {
		return err
	}
	return os.Lchown(j.Destination, o.uid, o.gid)
}

// give follows no link: who may write to the folder above must not have root give away what is somewhere else.
func (o ownership) give(path string, mode fs.FileMode) (given bool, err error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return false, err
	}
	defer f.Close()
	err = f.Chown(o.uid, o.gid)
	if err != nil && !errors.Is(err, fs.ErrPermission) {
		return false, fmt.Errorf("giving %s the owner of the old store: %w", path, err)
	}
	given = err == nil
	if err := f.Chmod(mode); err != nil {
		return false, fmt.Errorf("giving %s the mode of the old store: %w", path, err)
	}
	return given, f.Sync()
}
