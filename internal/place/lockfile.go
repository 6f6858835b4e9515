package place

import (
	"errors"
	"fmt"
	"os"
	"runtime"

	"github.com/gofrs/flock"

	"github.com/raft-ballast/ballast"
)

// LockFile makes a file and takes its lock, so that one at a time builds something for the same
// place. unlock removes the file as well. The error matches ballast.ErrLocked when somebody holds
// the lock.
func LockFile(path string) (unlock func(), err error) {
	for {
		l := flock.New(path)
		held, err := l.TryLock()
		if err != nil {
			return nil, fmt.Errorf("locking %s: %w", path, err)
		}
		if !held {
			return nil, &ballast.LockedError{Path: path, Err: errors.New("another migration to the same place is going on")}
		}
		if current(l, path) {
			return func() {
				if runtime.GOOS == "windows" { // does not remove what is open
					_ = l.Close()
				}
				_ = os.Remove(path)
				_ = l.Close()
			}, nil
		}
		_ = l.Close() // it was removed by who held it before, so another lock counts
	}
}

// current reports whether the file that is locked is the one that others find.
func current(l *flock.Flock, path string) bool {
	mine, err1 := l.Stat()
	theirs, err2 := os.Stat(path)
	return err1 == nil && err2 == nil && os.SameFile(mine, theirs)
}
