//go:build unix

package place

import "syscall"

// renameOnto is what os.Rename is not when there is a folder already: one call.
func renameOnto(from, to string) error { return syscall.Rename(from, to) }
