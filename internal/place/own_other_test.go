//go:build !unix

package place

import (
	"io/fs"
	"testing"
)

func checkOwner(*testing.T, fs.FileInfo) {}
