//go:build unix

package place

import (
	"io/fs"
	"os"
	"syscall"
	"testing"
)

// checkOwner expects the owner that TestLike gave the model, where it may do that.
func checkOwner(t *testing.T, info fs.FileInfo) {
	t.Helper()
	if stat := info.Sys().(*syscall.Stat_t); os.Getuid() == 0 && (stat.Uid != 12 || stat.Gid != 34) {
		t.Errorf("%s has the owner %d:%d", info.Name(), stat.Uid, stat.Gid)
	}
}
