package engine

import (
	"errors"
	"io/fs"
	"path/filepath"

	"github.com/raft-ballast/ballast/internal/vfs"
)

// LockName is the name of the file in a log's folder that who writes the log locks.
const LockName = "LOCK"

// WasLog reports whether there was a log in a folder: wal makes its LOCK one byte long once the
// first segment is durable. One that is empty says nothing: a first opening that was cut off leaves
// that, too, and a release before never wrote to it. Nor does a longer one, which is not wal's:
// badger notes a process in a file of that name.
//
// An error says that LOCK is there and cannot be looked at, so that nobody knows.
func WasLog(fsys vfs.FS, dir string) (bool, error) {
	f, err := fsys.OpenRead(filepath.Join(dir, LockName))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	n, err := f.Size()
	return n == 1, errors.Join(err, f.Close())
}

// UnmarkLog takes back that there was a log, in the folder of one that was built and is about to
// get its name. wal takes the mark for the sign that the folder has had its name for good: without
// it the first opening makes that durable, which who gives the name may die before.
func UnmarkLog(fsys vfs.FS, dir string) error {
	if was, err := WasLog(fsys, dir); !was {
		return err
	}
	f, err := fsys.Open(filepath.Join(dir, LockName))
	if err != nil {
		return err
	}
	return errors.Join(f.Truncate(0), f.Sync(), f.Close())
}
