package powercut

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

const (
	diskName = "disk"
	diskNode = 2 // its number; the folder's is fuse.FUSE_ROOT_ID

	maxWrite = 1 << 20

	// forEver is how long the kernel may believe what it was told about the file and its name.
	forEver = uint64(24 * time.Hour / time.Second)
)

// server is a file system with one file, whose content is a Disk. It may become another Disk when nobody has the file open: the
// kernel caches nothing of it.
type server struct {
	fuse.RawFileSystem // answers what is not here with ENOSYS

	dir   string
	bytes int64
	disk  atomic.Pointer[Disk]
	ended chan struct{}
}

// serve mounts the file system at dir, with a disk of so many bytes.
func serve(dir string, bytes int64) (*server, error) {
	s := &server{RawFileSystem: fuse.NewDefaultRawFileSystem(), dir: dir, bytes: bytes, ended: make(chan struct{})}
	// The library would let processes that are started inherit the descriptor. Then the kernel would wait for answers for ever when
	// this process is killed and one of those lives on.
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: "/dev/fuse", Err: err}
	}
	options := fmt.Sprintf("fd=%d,rootmode=40000,user_id=%d,group_id=%d,max_read=%d", fd, os.Geteuid(), os.Getegid(), maxWrite)
	if err := unix.Mount("powercut", dir, "fuse", unix.MS_NOSUID|unix.MS_NODEV, options); err != nil {
		_ = unix.Close(fd) // nothing was written
		return nil, &fs.PathError{Op: "mount", Path: dir, Err: err}
	}
	f, err := fuse.NewServer(s, fmt.Sprintf("/dev/fd/%d", fd), &fuse.MountOptions{
		Name: "powercut", MaxWrite: maxWrite, DisableXAttrs: true, Logger: log.New(io.Discard, "", 0),
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("serving %s: %w", dir, err), unix.Unmount(dir, unix.MNT_FORCE))
	}
	go f.Serve()
	return s, nil
}

// path returns where the disk is.
func (s *server) path() string { return filepath.Join(s.dir, diskName) }

// abort ends all requests that wait for an answer, and all later ones, with an error. Who waits for the kernel to get an answer can
// not be ended in another way.
func (s *server) abort() { _ = unix.Unmount(s.dir, unix.MNT_FORCE) } // it aborts although the file is open, and then says so

// close ends it, when nobody has the file open.
func (s *server) close() error {
	if err := unix.Unmount(s.dir, 0); err != nil {
		_ = unix.Unmount(s.dir, unix.MNT_FORCE|unix.MNT_DETACH) // the first error is the one that tells
		return &fs.PathError{Op: "unmount", Path: s.dir, Err: err}
	}
	<-s.ended
	return nil
}

// OnUnmount is called when the kernel has gone.
func (s *server) OnUnmount() { close(s.ended) }

func (s *server) attr(node uint64, out *fuse.Attr) fuse.Status {
	*out = fuse.Attr{Ino: node, Mode: fuse.S_IFDIR | 0o700, Nlink: 2}
	switch node {
	case fuse.FUSE_ROOT_ID:
	case diskNode:
		*out = fuse.Attr{Ino: node, Mode: fuse.S_IFREG | 0o600, Nlink: 1, Size: uint64(s.bytes),
			Blocks: uint64(s.bytes / SectorBytes), Blksize: pageBytes}
	default:
		return fuse.ENOENT
	}
	return fuse.OK
}

func (s *server) Lookup(_ <-chan struct{}, header *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	if header.NodeId != fuse.FUSE_ROOT_ID || name != diskName {
		return fuse.ENOENT
	}
	out.NodeId, out.EntryValid, out.AttrValid = diskNode, forEver, forEver
	return s.attr(diskNode, &out.Attr)
}

func (s *server) GetAttr(_ <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	out.AttrValid = forEver
	return s.attr(in.NodeId, &out.Attr)
}

func (s *server) Open(_ <-chan struct{}, _ *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	out.OpenFlags = fuse.FOPEN_DIRECT_IO
	return fuse.OK
}

func (s *server) Read(_ <-chan struct{}, in *fuse.ReadIn, buf []byte) (fuse.ReadResult, fuse.Status) {
	if in.Offset >= uint64(s.bytes) {
		return fuse.ReadResultData(nil), fuse.OK
	}
	buf = buf[:min(uint64(len(buf)), uint64(s.bytes)-in.Offset)]
	if _, err := s.disk.Load().ReadAt(buf, int64(in.Offset)); err != nil {
		return nil, fuse.EIO
	}
	return fuse.ReadResultData(buf), fuse.OK
}

func (s *server) Write(_ <-chan struct{}, in *fuse.WriteIn, data []byte) (uint32, fuse.Status) {
	n, err := s.disk.Load().WriteAt(data, int64(in.Offset))
	if err != nil {
		return 0, fuse.EINVAL
	}
	return uint32(n), fuse.OK
}

func (s *server) Fsync(<-chan struct{}, *fuse.FsyncIn) fuse.Status {
	s.disk.Load().Flush()
	return fuse.OK
}

// Fallocate takes what the kernel makes of discarding and of writing zeros.
func (s *server) Fallocate(_ <-chan struct{}, in *fuse.FallocateIn) fuse.Status {
	if in.Mode&(unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_ZERO_RANGE) == 0 {
		return fuse.Status(unix.EOPNOTSUPP)
	}
	if err := s.disk.Load().Zero(int64(in.Offset), int64(in.Length)); err != nil {
		return fuse.EINVAL
	}
	return fuse.OK
}

// Flush is what closing a descriptor asks for. It is no flush of the disk.
func (s *server) Flush(<-chan struct{}, *fuse.FlushIn) fuse.Status { return fuse.OK }
