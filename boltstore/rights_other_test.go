//go:build !unix

package boltstore_test

import "io/fs"

func sameOwner(fs.FileInfo, fs.FileInfo) bool { return true }
