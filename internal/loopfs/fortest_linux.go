package loopfs

import (
	"os"
	"path/filepath"
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
	release, err := UnmountAfterDeath(dir)
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
