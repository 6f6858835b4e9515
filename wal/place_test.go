package wal

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/engine"
	"github.com/raft-ballast/ballast/internal/vfs"
)

// Where a log goes is asked of its own file system: a link of that name on another one leads nowhere.
func TestPlaceOfALogInMemory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	if err := os.Symlink("elsewhere", dir); err != nil {
		t.Skip(err) // windows asks for a right
	}
	mem := vfs.NewMem()
	must(t, mem.MkdirAll(dir+engine.UnplacedSuffix))
	if _, err := Open(dir, &Options{fs: mem}); !errors.Is(err, ballast.ErrUnfinished) {
		t.Errorf("Open: %v; want ErrUnfinished", err)
	}
}
