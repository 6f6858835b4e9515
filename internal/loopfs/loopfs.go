// Package loopfs makes real file systems for tests: in a file, on a loop device, mounted.
//
// It works on Linux, as root and where the programs that make the file systems are installed. [Missing] tells what is not there.
//
//	dir := loopfs.ForTest(t, loopfs.Ext4, 64<<20)
//
// No file system is told to discard: what is removed stays on the device, as on most disks of servers.
package loopfs

// Kind is a file system.
type Kind string

// The file systems that there are.
const (
	Ext4  Kind = "ext4"
	XFS   Kind = "xfs"
	Btrfs Kind = "btrfs"
)

// Kinds are all of them.
var Kinds = []Kind{Ext4, XFS, Btrfs}

// MinBytes returns the size in bytes of a small device that a file system of this kind can be made on.
func (k Kind) MinBytes() int64 {
	switch k {
	case XFS:
		return 320 << 20
	case Btrfs:
		return 128 << 20
	}
	return 16 << 20
}

// Mounted is a file system that is mounted on a loop device.
type Mounted struct {
	device string // its path
	dir    string
	detach func() error // nil when that is done
}

// Device returns the path of the loop device.
func (m *Mounted) Device() string { return m.device }
