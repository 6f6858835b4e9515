package place

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// renameFree is renameNew; tests replace it by one that cannot.
var renameFree = renameNew

// Rename gives something a name that is free. The error matches fs.ErrExist when it is not: what is there is never replaced. Where the file system cannot
// see to that in one step, Rename looks before.
func Rename(from, to string) error {
	if done, err := renameFree(from, to); done {
		if err != nil {
			return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
		}
		return nil
	}
	if _, err := os.Lstat(to); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s is there already: %w", to, errors.Join(err, fs.ErrExist))
	}
	return os.Rename(from, to)
}
