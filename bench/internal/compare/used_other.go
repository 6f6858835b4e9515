//go:build !unix

package compare

import "io/fs"

func allocated(info fs.FileInfo) int64 { return info.Size() }
