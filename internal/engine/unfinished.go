package engine

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/raft-ballast/ballast"
)

// UnfinishedSuffix is what the name of a store ends with as long as a migration has not finished it. No engine opens it: a peer on a part
// of a log would have forgotten its votes.
const UnfinishedSuffix = ".migrating"

// finishing counts for each path who in this process is about to finish the store there.
var (
	finishingMu sync.Mutex
	finishing   = map[string]int{}
)

// Finishing lets this process open the unfinished store at a path, until done is called.
func Finishing(path string) (done func()) {
	path = resolved(path)
	count := func(n int) {
		finishingMu.Lock()
		defer finishingMu.Unlock()
		if finishing[path] += n; finishing[path] == 0 {
			delete(finishing, path)
		}
	}
	count(1)
	return func() { count(-1) }
}

// resolved is the place that a path means, whatever the folder of the process is: an engine knows
// itself by that.
func resolved(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		path = abs
	}
	return Place(path)
}

// UnfinishedKey is a stable key of a raft group that shares a log with others, as long as a migration has not finished it: a group has no
// name of its own that could say so.
const UnfinishedKey = "ballast.migrating"

// FinishingGroup lets this process use the unfinished raft group of a log, until done is called.
func FinishingGroup(dir string, id uint64) (done func()) { return Finishing(groupPath(dir, id)) }

// CheckFinishedGroup returns an error that matches ballast.ErrUnfinished for a group that has the UnfinishedKey.
func CheckFinishedGroup(dir string, id uint64) error {
	if CheckFinished(groupPath(dir, id)) == nil {
		return nil
	}
	return fmt.Errorf("%w: raft group %d of %s is what a migration has begun; start that again, or drop the group", ballast.ErrUnfinished, id, dir)
}

func groupPath(dir string, id uint64) string {
	return filepath.Join(dir, strconv.FormatUint(id, 10)+UnfinishedSuffix)
}

// CheckFinished returns an error that matches ballast.ErrUnfinished for the path of a store that a migration has begun and not finished.
func CheckFinished(path string) error {
	path = filepath.Clean(path)
	if !strings.HasSuffix(path, UnfinishedSuffix) {
		return nil
	}
	if isFinishing(path) {
		return nil
	}
	return fmt.Errorf("%w: %s is what a migration has begun; start that again, or remove it", ballast.ErrUnfinished, path)
}

func isFinishing(path string) bool {
	path = resolved(path)
	finishingMu.Lock()
	defer finishingMu.Unlock()
	return finishing[path] > 0
}

// A store that is built in a folder that is there already, as a mount point that no rename can
// replace, has no name that could say that it is not complete. The folder holds one of these files,
// or both, as long as that is so.
const (
	// UnfinishedName is there from before the first file of the store until all of it is durable.
	UnfinishedName = "ballast" + UnfinishedSuffix

	// ReadyName is there while all of it is, and the old store gets its other name.
	ReadyName = "ballast.ready"
)

// CheckNames returns an error that matches ballast.ErrUnfinished for the folder of a store that is
// not complete, by the names in it. Every engine that keeps its store in a folder asks before it
// opens one.
func CheckNames(dir string, names []string) error {
	for _, name := range names {
		if name != UnfinishedName && name != ReadyName || isFinishing(dir) {
			continue
		}
		return fmt.Errorf("%w: %s holds %s: a migration, an import or a backup has begun a store there; "+
			"start that again, or remove all that is in the folder", ballast.ErrUnfinished, dir, name)
	}
	return nil
}

// Beside reports whether a name in the folder of a store is nothing of an engine's: what says that
// the store is not complete, and the folder in which a file system check keeps what it finds.
func Beside(name string) bool {
	switch name {
	case UnfinishedName, ReadyName, UnfinishedName + ".lock", LostAndFound:
		return true
	}
	return false
}

// LostAndFound is a folder at the root of each ext4: an empty volume has it.
const LostAndFound = "lost+found"
