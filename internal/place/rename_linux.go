package place

import (
	"errors"

	"golang.org/x/sys/unix"
)

// renameNew is os.Rename to a name that is free. It reports false where the file system cannot see to that.
func renameNew(from, to string) (bool, error) { return renameat2(from, to, unix.RENAME_NOREPLACE) }

// exchange has two names change places in one step. It reports false where the file system cannot do that.
func exchange(a, b string) (bool, error) { return renameat2(a, b, unix.RENAME_EXCHANGE) }

func renameat2(from, to string, flags uint) (can bool, err error) {
	err = unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, flags)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EOPNOTSUPP) {
		return false, nil
	}
	return true, err
}
