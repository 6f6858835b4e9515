//go:build darwin || dragonfly || freebsd || netbsd || openbsd

package vfs

import (
	"errors"
	"os"
)

// openWithoutLinks fails: the links are looked for.
func openWithoutLinks(string) (handle, error) { return handle{}, errors.ErrUnsupported }

// nameOf returns "": the platform does not say.
func nameOf(*os.File) string { return "" }

func (h handle) alias() string { return "" }
