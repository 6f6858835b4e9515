package vfs

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// TestLockFolder: a folder has one holder of its lock at a time, whoever has the folder by which
// handle, and its holder can vouch for that by a lock in it, also to somebody in another folder.
func TestLockFolder(t *testing.T) {
	for name, fsys := range map[string]FS{"OS": OS, "Mem": NewMem(), "Faults": NewFaults(NewMem())} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			one, two := filepath.Join(root, "one"), filepath.Join(root, "two")
			check(t, fsys.MkdirAll(one))
			check(t, fsys.MkdirAll(two))
			d, other := hold(t, fsys, one), hold(t, fsys, two)
			lock, err := d.LockFolder()
			if errors.Is(err, errors.ErrUnsupported) {
				t.Skipf("a folder cannot be locked here: %v", err)
			}
			check(t, err)
			elsewhere, err := other.LockFolder()
			check(t, err)
			for _, again := range []*Dir{d, d.Again(), hold(t, fsys, one), hold(t, d, one)} {
				if _, err := again.LockFolder(); !errors.Is(err, ErrLocked) {
					t.Errorf("a second holder: %v", err)
				}
			}
			testVouch(t, fsys, d, other)
			check(t, lock.Close())
			next, err := hold(t, fsys, one).LockFolder()
			check(t, err)
			check(t, lock.Close()) // has let go already, and leaves the next holder alone
			if _, err := d.LockFolder(); !errors.Is(err, ErrLocked) {
				t.Errorf("beside the next holder: %v", err)
			}
			check(t, errors.Join(next.Close(), elsewhere.Close()))
		})
	}
}

func testVouch(t *testing.T, fsys FS, d, other *Dir) {
	t.Helper()
	path, linked := filepath.Join(d.Path, "LOCK"), filepath.Join(other.Path, "LOCK")
	if d.Vouched(path) {
		t.Error("somebody vouches for a lock that is not there")
	}
	file, err := d.Lock(path)
	check(t, err)
	switch m := fsys.(type) {
	case *Mem:
		m.Link(path, linked)
	case osFS:
		check(t, os.Link(path, linked))
	default:
		linked = path
	}
	if other.Vouched(linked) {
		t.Error("somebody vouches for a lock, and has not said so")
	}
	if _, err := other.Lock(linked); !errors.Is(err, ErrLocked) {
		t.Errorf("the lock of the other name: %v", err)
	}
	check(t, d.Vouch(file))
	if !other.Vouched(linked) {
		t.Error("nobody vouches for the lock")
	}
	check(t, file.Close())
	if other.Vouched(linked) {
		t.Error("somebody vouches for a lock that was let go")
	}
	file, err = other.Lock(linked)
	check(t, err)
	check(t, file.Close())
}
