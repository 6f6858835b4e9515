//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package vfs

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// A lock that was let go of is free, also where a child that was being started meanwhile has a copy
// of its descriptor.
func TestUnlockedBesideAFork(t *testing.T) {
	dir := t.TempDir()
	d := hold(t, OS, dir)
	path := filepath.Join(d.Path, "LOCK")
	lock, err := d.Lock(path)
	check(t, err)
	held, ok := lock.(heldLock)
	if !ok {
		t.Fatalf("the lock is a %T", lock)
	}
	copied, err := syscall.Dup(int(held.f.Fd()))
	check(t, err)
	defer os.NewFile(uintptr(copied), path).Close()
	check(t, lock.Close())
	lock, err = d.Lock(path)
	check(t, err)
	check(t, lock.Close())
}
