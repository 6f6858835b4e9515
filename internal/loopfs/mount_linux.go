package loopfs

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// MountForTest mounts what the arguments of mount(2) say at dir until the test ends. It skips the
// test, with the reason, where that is not allowed.
func MountForTest(t testing.TB, source, dir, kind string, flags uintptr, data string) {
	t.Helper()
	if !mayMount() {
		t.Skip("mounting needs root")
	}
	release, err := UnmountAfterDeath(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount(source, dir, kind, flags, data); err != nil {
		t.Skipf("mounting %s at %s: %v", kind, dir, err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			_ = unix.Unmount(dir, unix.MNT_DETACH) // the first error is the one that tells
			t.Errorf("unmounting %s: %v", dir, err)
		}
		if err := release(); err != nil {
			t.Error(err)
		}
	})
}

// TmpfsForTest mounts a new tmpfs at dir.
func TmpfsForTest(t testing.TB, dir string) {
	t.Helper()
	MountForTest(t, "tmpfs", dir, "tmpfs", 0, "size=300m")
}

// BindForTest mounts a file or a folder at another place, as docker does with a volume.
func BindForTest(t testing.TB, from, to string) {
	t.Helper()
	MountForTest(t, from, to, "", unix.MS_BIND, "")
}

// ReadOnlyForTest makes a folder a mount that nobody may write to. What is mounted below it before
// stays writable.
func ReadOnlyForTest(t testing.TB, dir string) {
	t.Helper()
	BindForTest(t, dir, dir)
	if err := unix.Mount("", dir, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Skipf("mounting %s read-only: %v", dir, err)
	}
}

// OverlayForTest returns the root of an overlayfs, as a container has it: what fill makes is on its
// lower layer.
func OverlayForTest(t testing.TB, fill func(dir string)) string {
	t.Helper()
	root := t.TempDir()
	dirs := make(map[string]string)
	for _, name := range []string{"lower", "upper", "work", "merged"} {
		dirs[name] = filepath.Join(root, name)
		if err := os.Mkdir(dirs[name], 0o700); err != nil {
			t.Fatal(err)
		}
	}
	fill(dirs["lower"])
	MountForTest(t, "overlay", dirs["merged"], "overlay", 0, "lowerdir="+dirs["lower"]+",upperdir="+dirs["upper"]+",workdir="+dirs["work"])
	return dirs["merged"]
}
