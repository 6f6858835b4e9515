package engine

import (
	"errors"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/vfs"
)

// Displaced makes a *vfs.DisplacedError the one that users know. Any other error, and nil, it
// returns as it is.
func Displaced(err error) error {
	if d, ok := errors.AsType[*vfs.DisplacedError](err); ok {
		return &ballast.DisplacedError{Path: d.Path, Now: d.Now}
	}
	return err
}
