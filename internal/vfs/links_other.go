//go:build !unix && !windows

package vfs

import "os"

func links(*os.File) (int, error) { return 1, nil }
