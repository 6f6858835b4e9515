//go:build !unix

package vfs

import "io/fs"

func diskUsage(info fs.FileInfo) int64 { return info.Size() }
