package engine

import (
	"path/filepath"

	"github.com/raft-ballast/ballast/internal/vfs"
)

// LockName is the name of the file in a log's folder that who writes the log locks.
const LockName = "LOCK"

// WasLog reports whether there was a log in a folder: wal makes its LOCK one byte long once the first
// segment is durable. One that is empty says nothing: a first opening that was cut off leaves that, too,
// and a release before never wrote to it. Nor does a longer one, which is not wal's: badger notes a
// process in a file of that name.
func WasLog(fsys vfs.FS, dir string) bool {
	f, err := fsys.OpenRead(filepath.Join(dir, LockName))
	if err != nil {
		return false
	}
	defer f.Close() // it was only looked at
	n, err := f.Size()
	return err == nil && n == 1
}
