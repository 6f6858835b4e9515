package vfs

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// maxBuffers is how many buffers pwritev takes in one call, IOV_MAX.
const maxBuffers = 1024

type osFile struct {
	file *os.File // through the page cache

	// direct is nil where the file system refuses O_DIRECT in open.
	direct *os.File

	// syncing is held from a buffered write to the end of its sync: the kernel tells of a page that it could not write
	// once, and that has to be who wrote it.
	syncing sync.Mutex

	// refused is set when the file system has refused O_DIRECT in a write.
	refused atomic.Bool

	// most is how many bytes are written in one call, 0 for no limit: tests have short writes by it.
	most int

	// datasync is called in the place of fdatasync, nil for that itself: tests have it fail.
	datasync func(*os.File) error
}

// prepare takes the steps that the platform needs after a file was opened.
func (f *osFile) prepare(at handle, direct bool) error {
	// Without this a read of a few bytes brings in much more than was asked for. It is advice: whoever refuses
	// it only reads more.
	_ = unix.Fadvise(int(f.file.Fd()), 0, 0, unix.FADV_RANDOM)
	if !direct {
		return nil
	}
	file, err := at.openFile(f.file.Name(), os.O_RDWR|unix.O_DIRECT|unix.O_DSYNC)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EOPNOTSUPP) {
		return nil
	}
	f.direct = file
	return err
}

func (f *osFile) WriteBlocks(bufs [][]byte, off int64) error {
	if err := checkBlocks(f.file.Name(), bufs, off); err != nil {
		return err
	}
	q := queue{bufs: bufs, off: off, most: f.most}
	q.advance(0)
	if f.direct != nil && !f.refused.Load() {
		if err := f.writeDirect(&q); err != nil {
			return &fs.PathError{Op: "write", Path: f.file.Name(), Err: err}
		}
	}
	if q.empty() {
		return nil
	}
	if err := f.writeBuffered(&q); err != nil {
		return &fs.PathError{Op: "write", Path: f.file.Name(), Err: err}
	}
	return nil
}

// writeDirect writes as much of q as can be written past the page cache.
func (f *osFile) writeDirect(q *queue) error {
	// After a short write the rest may begin inside a block, which O_DIRECT does not take.
	for !q.empty() && q.skip%BlockBytes == 0 {
		err := q.write(f.direct)
		if err == unix.EINVAL {
			f.refused.Store(true)
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// writeBuffered writes all of q through the page cache and syncs it. The sync is not tried again whatever it
// returns: the kernel may have dropped what it could not write, and the second time it would say nil.
func (f *osFile) writeBuffered(q *queue) error {
	f.syncing.Lock()
	defer f.syncing.Unlock()
	for !q.empty() {
		if err := q.write(f.file); err != nil {
			return err
		}
	}
	return f.flush()
}

func (f *osFile) Allocate(off, n int64) error {
	if err := checkRange(f.file.Name(), off, n); err != nil {
		return err
	}
	err := error(unix.EINTR)
	for err == unix.EINTR {
		err = unix.Fallocate(int(f.file.Fd()), 0, off, n)
	}
	runtime.KeepAlive(f.file)
	switch {
	case err == nil:
		return nil
	case err == unix.EOPNOTSUPP || err == unix.ENOSYS:
		return f.grow(off + n)
	}
	return &fs.PathError{Op: "allocate", Path: f.file.Name(), Err: err}
}

// Prefetch begins to read into the page cache.
func (f *osFile) Prefetch(off, n int64) {
	_ = unix.Fadvise(int(f.file.Fd()), off, n, unix.FADV_WILLNEED) // it is advice
	runtime.KeepAlive(f.file)
}

const hugePageBytes = 2 << 20

// adviseHuge asks for huge pages around b as well, since only whole ones are given. It is advice, and says nothing about
// what is in the memory.
func adviseHuge(b []byte) {
	from := address(b) &^ (hugePageBytes - 1)
	to := (address(b) + uintptr(len(b)) + hugePageBytes - 1) &^ (hugePageBytes - 1)
	_, _, _ = unix.Syscall(unix.SYS_MADVISE, from, to-from, unix.MADV_HUGEPAGE)
	runtime.KeepAlive(b)
}

// hugePagesWanted reports whether whoever runs the system allows huge pages: unlike other advice, MADV_COLLAPSE does not ask.
var hugePagesWanted = sync.OnceValue(func() bool {
	setting, err := os.ReadFile("/sys/kernel/mm/transparent_hugepage/enabled")
	return err == nil && !strings.Contains(string(setting), "[never]")
})

// HugePages moves the memory around b into huge pages, which takes some milliseconds, and what is in it stays, also while it is used. Memory that the process
// has used before for something else lies in small ones: then a write of 256 KiB takes a quarter more time, and a copy twice as much. It reports
// whether it is worth trying again: memory that the disk is just reading does not move.
func HugePages(b []byte) (again bool) {
	if !hugePagesWanted() {
		return false
	}
	for from := address(b) &^ (hugePageBytes - 1); from < address(b)+uintptr(len(b)); from += hugePageBytes {
		_, _, errno := unix.Syscall(unix.SYS_MADVISE, from, hugePageBytes, unix.MADV_COLLAPSE)
		again = again || errno == unix.EAGAIN || errno == unix.EBUSY
	}
	runtime.KeepAlive(b)
	return again
}

// Sync is fdatasync, which leaves out the times of the file only: the size and whatever else is needed to read
// the content back are made durable.
func (f *osFile) Sync() error {
	f.syncing.Lock()
	defer f.syncing.Unlock()
	if err := f.flush(); err != nil {
		return &fs.PathError{Op: "sync", Path: f.file.Name(), Err: err}
	}
	return nil
}

func (f *osFile) Close() error {
	if f.direct == nil {
		return f.file.Close()
	}
	return errors.Join(f.direct.Close(), f.file.Close())
}

// flush is fdatasync. After one that failed the kernel takes pages for clean that it has not written, and ext4 takes the allocated blocks
// below them for written: what is written there again, and synced with success, would still be read as zeros when the pages are
// gone. So they are dropped at once, and who reads them sees what the disk has.
func (f *osFile) flush() error {
	err := f.fdatasync()
	if err != nil {
		_ = unix.Fadvise(int(f.file.Fd()), 0, 0, unix.FADV_DONTNEED) // the first error is the one that tells
		runtime.KeepAlive(f.file)
	}
	return err
}

func (f *osFile) fdatasync() error {
	if f.datasync != nil {
		return f.datasync(f.file)
	}
	err := unix.Fdatasync(int(f.file.Fd()))
	runtime.KeepAlive(f.file)
	return err
}

// queue is what of a WriteBlocks is still to be written: bufs without the first skip bytes, from offset off. It
// leaves the caller's slice as it is.
type queue struct {
	bufs [][]byte
	skip int // less than the length of bufs[0], 0 where there is none
	off  int64
	most int
}

func (q *queue) empty() bool { return len(q.bufs) == 0 }

// write makes one call and advances by what it has written.
func (q *queue) write(file *os.File) error {
	var n int
	var err error
	for {
		if b := q.bufs[0][q.skip:]; q.most > 0 {
			n, err = unix.Pwrite(int(file.Fd()), b[:min(len(b), q.most)], q.off)
		} else if len(q.bufs) == 1 || q.skip > 0 {
			n, err = unix.Pwrite(int(file.Fd()), b, q.off)
		} else {
			n, err = unix.Pwritev(int(file.Fd()), q.bufs[:min(len(q.bufs), maxBuffers)], q.off)
		}
		if err != unix.EINTR {
			break
		}
	}
	runtime.KeepAlive(file)
	if err != nil {
		return err
	}
	if n == 0 {
		return io.ErrShortWrite
	}
	q.advance(n)
	return nil
}

// advance takes n bytes from the front, and empty buffers that are then there.
func (q *queue) advance(n int) {
	q.off += int64(n)
	n += q.skip
	for len(q.bufs) > 0 && n >= len(q.bufs[0]) {
		n -= len(q.bufs[0])
		q.bufs = q.bufs[1:]
	}
	q.skip = n
}
