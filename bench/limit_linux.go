package main

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// openDurable opens a file past the page cache. Each write returns when it is durable.
func openDurable(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_WRONLY|unix.O_DIRECT|unix.O_DSYNC, 0)
	if err != nil {
		return nil, fmt.Errorf("%w; the limit needs a file system with O_DIRECT, give a folder on one with -dir", err)
	}
	return file, nil
}

// writeDurable writes all of buf durably.
func writeDurable(file *os.File, buf []byte, at int64) error {
	_, err := file.WriteAt(buf, at)
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
