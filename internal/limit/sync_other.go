//go:build !linux

package limit

import "os"

// How a write becomes durable. Only Linux tells the others apart.
const (
	fsync  = "fsync"
	direct = ""
)

var syncs = []string{fsync}

func openDurable(path, _ string) (*os.File, error) {
	return os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o600)
}

func writeDurable(file *os.File, buf []byte, at int64, _ string) error {
	if _, err := file.WriteAt(buf, at); err != nil {
		return err
	}
	return file.Sync()
}

func reserve(file *os.File, size int64) error { return file.Truncate(size) }
