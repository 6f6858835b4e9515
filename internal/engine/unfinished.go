package engine

import (
	"fmt"
	"path/filepath"
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
	path = filepath.Clean(path)
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

// CheckFinished returns an error that matches ballast.ErrUnfinished for the path of a store that a migration has begun and not finished.
func CheckFinished(path string) error {
	path = filepath.Clean(path)
	if !strings.HasSuffix(path, UnfinishedSuffix) {
		return nil
	}
	finishingMu.Lock()
	mine := finishing[path] > 0
	finishingMu.Unlock()
	if mine {
		return nil
	}
	return fmt.Errorf("%w: %s is what a migration has begun; start that again, or remove it", ballast.ErrUnfinished, path)
}
