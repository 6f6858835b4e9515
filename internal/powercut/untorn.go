package powercut

import (
	"encoding/binary"

	"github.com/raft-ballast/ballast/internal/loopfs"
)

// untorn are the places where file systems rely on a disk that writes more than a sector as a whole: blocks that are written in place, with
// one checksum, and not written again by the recovery. A power cut that tears such a block leaves a file system that cannot be mounted, or
// reports damage later, and what it does to a store cannot be told. So these are not torn; all else is.
var untorn = map[loopfs.Kind]units{
	loopfs.Ext4: func(i int, _ *page) uint8 {
		if i == 0 { // the superblock, 1 KiB at 1 KiB
			return 0b1100
		}
		return 0
	},
	loopfs.XFS: func(_ int, p *page) uint8 {
		if isXFSBlock(p) {
			return wholePage
		}
		return 0
	},
	loopfs.Btrfs: func(i int, _ *page) uint8 {
		if i == 64<<10/pageBytes || i == 64<<20/pageBytes { // the superblock and its copy, 4 KiB
			return wholePage
		}
		return 0
	},
}

// isXFSBlock reports whether a page is a block of a tree or a directory of xfs. Its recovery does not write a block again whose first sector
// says that it is newer than the log, although the last sector may be older. The headers, inodes and the log of xfs are sectors.
func isXFSBlock(p *page) bool {
	switch string(p[:4]) {
	case "AB3B", "AB3C", "IAB3", "FIB3", "BMA3", "RMB3", "R3FC", // trees
		"XDB3", "XDD3", "XDF3", // directories
		"XARM", "XSLM": // attributes and links
		return true
	}
	switch binary.BigEndian.Uint16(p[8:]) {
	case 0x3df1, 0x3dff, 0x3ebe, 0x3bee: // leaves and nodes of directories and attributes
		return true
	}
	return false
}
