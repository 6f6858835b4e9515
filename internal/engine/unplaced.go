package engine

import (
	"fmt"
	"os"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/vfs"
)

// UnplacedSuffix is what the name of a store ends with that a repair has made whole, as long as it waits for its place: where a file system cannot
// exchange two names there is nothing in that for a moment, and after a crash until the repair is completed.
const UnplacedSuffix = ".ballast-ready"

// CheckPlaced is asked before an engine makes a new store at a path. It returns an error that matches ballast.ErrUnfinished when one that was
// repaired waits for that place: a peer that begins with an empty one would have forgotten its votes.
func CheckPlaced(path string) error {
	path = Place(path)
	if _, err := os.Lstat(path + UnplacedSuffix); err != nil {
		return nil // who makes the store finds out what is wrong with the folder
	}
	return UnplacedError(path)
}

// UnplacedError says what to do.
func UnplacedError(path string) error {
	return fmt.Errorf("%w: a repair of %s was interrupted when it was done but for the last step, and the store is at %s; `ballast repair --write %s` completes it",
		ballast.ErrUnfinished, path, path+UnplacedSuffix, path)
}

// Place returns the place that a path means on the real file system, as [vfs.FS] has it.
func Place(path string) string { return vfs.OS.Place(path) }
