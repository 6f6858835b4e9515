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
	finishingMu.Lock()
	mine := finishing[resolved(path)] > 0
	finishingMu.Unlock()
	if mine {
		return nil
	}
	return fmt.Errorf("%w: %s is what a migration has begun; start that again, or remove it", ballast.ErrUnfinished, path)
}
