//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package boltstore

import "os"

// unlock has nothing to do: here bbolt's lock goes with the file.
func unlock(*os.File) {}
