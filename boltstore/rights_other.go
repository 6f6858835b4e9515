//go:build !unix

package boltstore

import (
	"io/fs"
	"os"
)

// sameOwner does nothing: a new file has the rights of its folder.
func sameOwner(*os.File, fs.FileInfo) error { return nil }

// linked says that a file has a name, so that it is left as it is.
func linked(fs.FileInfo) bool { return true }
