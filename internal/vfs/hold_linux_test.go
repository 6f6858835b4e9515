package vfs

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// A path that cannot be looked at any more, as by a daemon that has given up its rights, says
// nothing about what it leads to.
func TestCheckWithoutRights(t *testing.T) {
	above := filepath.Join(t.TempDir(), "closed")
	check(t, os.MkdirAll(filepath.Join(above, "log"), 0o700))
	d := hold(t, OS, filepath.Join(above, "log"))
	check(t, os.Chmod(above, 0))
	defer os.Chmod(above, 0o700)
	if os.Getuid() == 0 {
		runtime.LockOSThread() // the right to look everywhere is that of a thread
		defer runtime.UnlockOSThread()
		check(t, unix.Setfsuid(65534))
		defer unix.Setfsuid(0)
	}
	if _, err := os.Stat(d.Path); !os.IsPermission(err) {
		t.Fatalf("the folder can be looked at: %v", err)
	}
	check(t, d.Check())
}
