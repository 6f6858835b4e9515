package move

import (
	"errors"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/raft-ballast/ballast/internal/vfs"
)

// A folder that could not be listed, as when too many files are open, is not taken for a file.
func TestLookWithoutAnAnswer(t *testing.T) {
	if !vfs.Handles {
		t.Skip("the error of listing a file is not known here")
	}
	faults := vfs.NewFaults(vfs.OS)
	j := &Job{FS: faults}
	dir := t.TempDir()
	if kind, _, err := j.look(dir); kind != folder || err != nil {
		t.Fatalf("kind %d, %v", kind, err)
	}
	faults.SetRule(func(op vfs.Op, _ string, _ int) error {
		if op == vfs.OpList {
			return syscall.EMFILE
		}
		return nil
	})
	if kind, _, err := j.look(dir); !errors.Is(err, syscall.EMFILE) {
		t.Errorf("a folder that cannot be listed is kind %d, %v", kind, err)
	}
	faults.SetRule(nil)
	f, err := faults.Create(filepath.Join(dir, "raft.db"))
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	if kind, _, err := j.look(filepath.Join(dir, "raft.db")); kind != file || err != nil {
		t.Errorf("a file is kind %d, %v", kind, err)
	}
}
