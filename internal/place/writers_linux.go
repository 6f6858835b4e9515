package place

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// writers asks for a lease, which the kernel refuses while anybody has the file open for writing, and which is given back at once. It is for the
// owner of a file, and for file systems that have leases.
func writers(path string) (open, known bool) {
	f, err := os.Open(path)
	if err != nil {
		return false, false
	}
	defer f.Close()
	_, err = unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_RDLCK)
	if err == nil {
		_, err = unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_UNLCK)
	}
	open = errors.Is(err, unix.EAGAIN)
	return open, open || err == nil
}
