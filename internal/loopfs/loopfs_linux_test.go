package loopfs

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// magics are what statfs says a file system is.
var magics = map[Kind]int64{Ext4: unix.EXT4_SUPER_MAGIC, XFS: unix.XFS_SUPER_MAGIC, Btrfs: unix.BTRFS_SUPER_MAGIC}

// newImage returns a file with a new file system.
func newImage(t *testing.T, kind Kind) string {
	t.Helper()
	if why := Missing(kind); why != "" {
		t.Skipf("no %s: %s", kind, why)
	}
	image := filepath.Join(t.TempDir(), "image")
	if err := errors.Join(os.WriteFile(image, nil, 0o600), os.Truncate(image, kind.MinBytes()), Format(kind, image)); err != nil {
		t.Fatal(err)
	}
	return image
}

// What is written is there when the image is mounted again, and the image is all that is needed for that.
func TestMount(t *testing.T) {
	for _, kind := range Kinds {
		t.Run(string(kind), func(t *testing.T) {
			image, dir := newImage(t, kind), t.TempDir()
			for i := range 3 {
				m, err := Mount(kind, image, dir)
				if err != nil {
					t.Fatal(err)
				}
				defer m.Unmount()
				var is unix.Statfs_t
				if err := unix.Statfs(dir, &is); err != nil {
					t.Fatal(err)
				}
				if int64(is.Type) != magics[kind] {
					t.Errorf("mounted is %#x, not %s", is.Type, kind)
				}
				file := filepath.Join(dir, "file")
				if got, err := os.ReadFile(file); i > 0 && (err != nil || string(got) != fmt.Sprint(i-1)) {
					t.Fatalf("%q, %v was read, %d was written", got, err, i-1)
				}
				if err := os.WriteFile(file, fmt.Append(nil, i), 0o600); err != nil {
					t.Fatal(err)
				}
				if err := m.Unmount(); err != nil {
					t.Fatal(err)
				}
				if _, err := os.Stat(file); !os.IsNotExist(err) {
					t.Fatalf("after Unmount: %v", err)
				}
				if err := m.Unmount(); err != nil {
					t.Errorf("Unmount again: %v", err)
				}
				if who := users(t, image); who != "" {
					t.Errorf("%s still has the image", who)
				}
			}
		})
	}
}

// users returns which loop devices have a file.
func users(t *testing.T, image string) (who string) {
	t.Helper()
	list, err := filepath.Glob("/sys/block/loop*/loop/backing_file")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range list {
		if name, err := os.ReadFile(path); err == nil && strings.TrimSpace(string(name)) == image {
			who += path
		}
	}
	return who
}

// Many at once get a device each.
func TestMountAtOnce(t *testing.T) {
	image := newImage(t, Ext4)
	content, err := os.ReadFile(image)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 8 {
		folder := t.TempDir()
		wg.Go(func() {
			mine, dir := filepath.Join(folder, "image"), filepath.Join(folder, "dir")
			if err := errors.Join(os.WriteFile(mine, content, 0o600), os.Mkdir(dir, 0o700)); err != nil {
				t.Error(err)
				return
			}
			for range 4 {
				m, err := Mount(Ext4, mine, dir)
				if err != nil {
					t.Error(err)
					return
				}
				name := filepath.Join(dir, filepath.Base(m.Device()))
				if err := os.WriteFile(name, nil, 0o600); err != nil {
					t.Error(err)
				}
				if err := m.Unmount(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

// An image without a file system is refused, and leaves no device behind.
func TestMountFails(t *testing.T) {
	image := newImage(t, Ext4)
	if _, err := Mount(XFS, image, t.TempDir()); err == nil {
		t.Error("ext4 was mounted as xfs")
	}
	if _, err := Mount(Ext4, image, filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("mounted at a folder that is not there: %v", err)
	}
	if who := users(t, image); who != "" {
		t.Errorf("%s still has the image", who)
	}
	if _, err := Mount(Ext4, filepath.Join(t.TempDir(), "none"), t.TempDir()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("an image that is not there: %v", err)
	}
}

func TestForTest(t *testing.T) {
	for _, kind := range Kinds {
		t.Run(string(kind), func(t *testing.T) {
			var dir string
			t.Run("in use", func(t *testing.T) {
				dir = ForTest(t, kind, kind.MinBytes())
				if !mounted(t, dir) {
					t.Errorf("%s is not mounted", dir)
				}
			})
			if dir != "" && mounted(t, dir) {
				t.Errorf("%s is mounted after the test", dir)
			}
		})
	}
}

func mounted(t *testing.T, dir string) bool {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Contains(mounts, []byte(" "+dir+" "))
}

// A test that is killed leaves no mount behind. The test starts itself again for that.
func TestKilled(t *testing.T) {
	const variable = "LOOPFS_TEST_KILLED"
	if os.Getenv(variable) != "" {
		fmt.Println("\n" + variable + ForTest(t, Ext4, Ext4.MinBytes()))
		time.Sleep(time.Minute)
		t.Fatal("nobody killed this process")
	}
	if why := Missing(Ext4); why != "" {
		t.Skipf("no %s: %s", Ext4, why)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestKilled$")
	cmd.Env = append(os.Environ(), variable+"=1", "TMPDIR="+t.TempDir())
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if dir, found := strings.CutPrefix(lines.Text(), variable); found {
			if !mounted(t, dir) {
				t.Fatalf("%s is not mounted", dir)
			}
			_ = cmd.Process.Kill()
			for mounted(t, dir) { // the time limit of the tests ends this
				time.Sleep(time.Millisecond)
			}
			return
		}
	}
	t.Fatal("the process said nothing")
}
