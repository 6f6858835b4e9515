package limit

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// How a write becomes durable.
const (
	fdatasync = "fdatasync"        // a write, and then this call
	dsync     = "O_DSYNC"          // the write returns when it is durable
	direct    = "O_DIRECT|O_DSYNC" // the same, past the page cache
)

var syncs = []string{fdatasync, dsync, direct}

func openDurable(path, sync string) (*os.File, error) {
	flags := map[string]int{fdatasync: 0, dsync: unix.O_DSYNC, direct: unix.O_DIRECT | unix.O_DSYNC}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|flags[sync], 0o600)
	if err != nil && sync == direct {
		return nil, fmt.Errorf("%w; the file system may have no O_DIRECT", err)
	}
	return file, err
}

// writeDurable writes all of buf durably.
func writeDurable(file *os.File, buf []byte, at int64, sync string) error {
	_, err := file.WriteAt(buf, at)
	if err == nil && sync == fdatasync {
		err = unix.Fdatasync(int(file.Fd()))
	}
	return err
}

// reserve takes the extents of a file at once, so that they lie together.
func reserve(file *os.File, size int64) error {
	err := unix.Fallocate(int(file.Fd()), 0, 0, size)
	if err == unix.EOPNOTSUPP {
		return nil
	}
	return err
}
