//go:build darwin || dragonfly || freebsd || netbsd || openbsd

package vfs

import "os"

// nameOf returns "": the platform does not say.
func nameOf(*os.File) string { return "" }

func (h handle) alias() string { return "" }
