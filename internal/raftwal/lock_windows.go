package raftwal

import (
	"errors"
	"math"
	"os"

	"golang.org/x/sys/windows"
)

// lockShared takes the lock that bbolt takes for reading, the last byte that a file can have, and reports whether nobody writes. Closing
// the file lets go of it.
func lockShared(f *os.File) (held bool, err error) {
	at := windows.Overlapped{Offset: math.MaxUint32, OffsetHigh: math.MaxUint32}
	err = windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, &at)
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
		return false, nil
	}
	return err == nil, err
}
