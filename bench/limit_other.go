//go:build !linux

package main

import "os"

func openDurable(path string) (*os.File, error) { return os.OpenFile(path, os.O_WRONLY, 0) }

// writeDurable writes and syncs: what is faster is known of Linux only.
func writeDurable(file *os.File, buf []byte, at int64) error {
	if _, err := file.WriteAt(buf, at); err != nil {
		return err
	}
	return file.Sync()
}

func reserve(*os.File, int64) error { return nil }
