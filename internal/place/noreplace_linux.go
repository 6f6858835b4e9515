package place

import (
	"errors"

	"golang.org/x/sys/unix"
)

// renameNew is os.Rename to a name that is free. It reports false where the file system cannot see to that.
func renameNew(from, to string) (bool, error) {
	err := unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EOPNOTSUPP) {
		return false, nil
	}
	return true, err
}
