//go:build unix

package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// keepOwner gives the files of a folder that this process has made to whom the folder belongs. Root works on the store of a service, and
// the service has to be able to open it afterwards.
func keepOwner(path string) error {
	info, err := os.Stat(path)
	if err != nil || !info.IsDir() || os.Geteuid() != 0 {
		return err
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return err
	}
	for _, e := range entries {
		file, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		has, ok := file.Sys().(*syscall.Stat_t)
		if !ok || !file.Mode().IsRegular() || has.Uid != 0 || has.Uid == owner.Uid {
			continue
		}
		if err := os.Lchown(filepath.Join(path, e.Name()), int(owner.Uid), int(owner.Gid)); err != nil {
			return fmt.Errorf("giving a new file to the owner of the store: %w", err)
		}
	}
	return nil
}
