package engine

import (
	"errors"
	"io/fs"
	"path/filepath"
	"runtime"
	"testing"
)

func TestSyncDir(t *testing.T) {
	dir := t.TempDir()
	if err := SyncDir(dir); err != nil {
		t.Error(err)
	}
	err := SyncDir(filepath.Join(dir, "missing"))
	if runtime.GOOS == "windows" {
		if err != nil {
			t.Errorf("there is nothing to do, and yet: %v", err)
		}
		return
	}
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a folder that is not there: %v", err)
	}
}
