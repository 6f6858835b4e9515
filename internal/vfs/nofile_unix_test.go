//go:build unix

package vfs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// What has the name of a file and is none is an error at once: to open a pipe waits until somebody
// opens its other end.
func TestOpenOfWhatIsNoFile(t *testing.T) {
	dir := t.TempDir()
	d := hold(t, OS, dir)
	pipe, folder := filepath.Join(dir, "pipe"), filepath.Join(dir, "folder")
	check(t, unix.Mkfifo(pipe, 0o600))
	check(t, os.Mkdir(folder, 0o700))
	link := filepath.Join(dir, "link")
	check(t, os.Symlink("pipe", link))
	for name, fsys := range map[string]FS{"by path": OS, "by handle": d.FS} {
		for _, path := range []string{pipe, folder, link} {
			calls := map[string]func() error{
				"Open":     func() error { _, err := fsys.Open(path); return err },
				"OpenRead": func() error { _, err := fsys.OpenRead(path); return err },
				"Lock":     func() error { _, err := fsys.Lock(path); return err },
			}
			for call, open := range calls {
				err := open()
				if err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "no file") {
					t.Errorf("%s of %s %s: %v", call, path, name, err)
				}
			}
		}
	}
}
