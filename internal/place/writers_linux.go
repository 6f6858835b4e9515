package place

import (
	"errors"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// leasing are file systems that refuse a lease for no other reason than that somebody has the file open for writing. One on a network does so as well
// when its server has not delegated the file, always perhaps, and does not know who has it open elsewhere.
var leasing = []uint32{
	unix.EXT4_SUPER_MAGIC, // ext2 and ext3 too
	unix.XFS_SUPER_MAGIC,
	unix.BTRFS_SUPER_MAGIC,
	unix.F2FS_SUPER_MAGIC,
	unix.TMPFS_MAGIC,
	unix.OVERLAYFS_SUPER_MAGIC,
}

// writers asks for a lease, which the kernel refuses while anybody has the file open for writing, and which is given back at once. It is for the
// owner of a file.
func writers(path string) (open, known bool) {
	f, err := os.Open(path)
	if err != nil {
		return false, false
	}
	defer f.Close()
	var on unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &on); err != nil || !slices.Contains(leasing, uint32(on.Type)) {
		return false, false
	}
	_, err = unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_RDLCK)
	if err == nil {
		_, err = unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_UNLCK)
	}
	open = errors.Is(err, unix.EAGAIN)
	return open, open || err == nil
}
