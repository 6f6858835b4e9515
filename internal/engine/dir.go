package engine

import (
	"errors"
	"fmt"
	"os"
	"runtime"
)

// SyncDir makes the names in a folder durable. A file whose content was synced is still lost in a power
// cut when its name was not. Windows has no such call and needs none.
func SyncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("opening the folder to sync it: %w", err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("syncing the folder %s: %w", dir, err)
	}
	return nil
}
