package loopfs

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// ForTest returns the root folder of a new file system of so many bytes, at least [Kind.MinBytes]; it is gone when the test ends. It
// skips the test, with the reason, where there can be none.
func ForTest(t testing.TB, kind Kind, bytes int64) string {
	t.Helper()
	if why := Missing(kind); why != "" {
		t.Skipf("no %s: %s", kind, why)
	}
	folder := t.TempDir()
	image, dir := filepath.Join(folder, "image"), filepath.Join(folder, string(kind))
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(image, bytes); err != nil {
		t.Fatal(err)
	}
	if err := Format(kind, image); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	release, err := unmountAfterDeath(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := release(); err != nil {
			t.Error(err)
		}
	})
	m, err := Mount(kind, image, dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Unmount(); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// unmountAfterDeath starts a process that unmounts dir when this one has ended without calling release: killed, or by the timeout of
// its tests. Otherwise the machine would keep the mount, and its device, for ever.
func unmountAfterDeath(dir string) (release func() error, err error) {
	cmd := exec.Command("/bin/sh", "-c", `read line || umount -l "$0"`, dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // what kills this process's group leaves it alone
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return func() error {
		_, _ = in.Write([]byte("\n")) // without it the process unmounts what is not mounted, and that fails
		return cmd.Wait()
	}, nil
}
