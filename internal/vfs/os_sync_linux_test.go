package vfs

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/raft-ballast/ballast/internal/loopfs"
)

// kernel is what a system does that fails a sync: it drops the pages that it could not write, tells so once, and holds for
// written what it has.
type kernel struct {
	t     *testing.T
	disk  []byte // what is durable
	fails bool   // the next sync
	syncs int
}

func (k *kernel) datasync(file *os.File) error {
	k.syncs++
	now := make([]byte, len(k.disk))
	_, err := file.ReadAt(now, 0)
	check(k.t, err)
	if k.fails {
		k.fails = false
		_, err := file.WriteAt(k.disk, 0)
		check(k.t, err)
		return syscall.EIO
	}
	copy(k.disk, now)
	return nil
}

// TestFailedSync: a write through the page cache whose sync failed is an error at once, and nothing but writing it again makes it
// durable. What others write meanwhile is theirs.
func TestFailedSync(t *testing.T) {
	for _, most := range []int{0, 100, BlockBytes} {
		f, err := osFS{buffered: true}.Create(filepath.Join(t.TempDir(), "f"))
		check(t, err)
		check(t, f.Truncate(4*BlockBytes))
		check(t, f.Sync())
		k := &kernel{t: t, disk: make([]byte, 4*BlockBytes)}
		f.(*osFile).most, f.(*osFile).datasync = most, k.datasync
		a, b := pattern(2*BlockBytes, 1), pattern(BlockBytes, 2)

		k.fails = true
		if err := f.WriteBlocks([][]byte{a}, 0); !errors.Is(err, syscall.EIO) {
			t.Fatalf("WriteBlocks returns %v", err)
		}
		if k.syncs != 1 {
			t.Errorf("there were %d syncs, one that failed is not tried again", k.syncs)
		}
		write(t, f, 3*BlockBytes, b)
		check(t, f.Sync())
		if bytes.Contains(k.disk, a[:SectorBytes]) {
			t.Fatal("the kernel of this test is none")
		}
		write(t, f, 0, a)
		if !bytes.Equal(k.disk[:len(a)], a) || !bytes.Equal(k.disk[3*BlockBytes:], b) {
			t.Error("what was written again is not durable")
		}
		k.fails = true
		if err := f.Sync(); !errors.Is(err, syscall.EIO) || k.syncs != 5 {
			t.Errorf("Sync returns %v, there were %d", err, k.syncs)
		}
		check(t, f.Close())
	}
}

// TestFailedSyncIsTheWriters: of two that write the same file at once the one is told whose pages were not written. Each sync is for
// one write.
func TestFailedSyncIsTheWriters(t *testing.T) {
	const blocks = 8
	f, err := osFS{buffered: true}.Create(filepath.Join(t.TempDir(), "f"))
	check(t, err)
	check(t, f.Truncate(blocks*BlockBytes))
	seen := make([]byte, blocks*BlockBytes)
	f.(*osFile).datasync = func(file *os.File) error {
		now := make([]byte, len(seen))
		_, err := file.ReadAt(now, 0)
		check(t, err)
		changed := 0
		for i := range blocks {
			if !bytes.Equal(now[i*BlockBytes:][:BlockBytes], seen[i*BlockBytes:][:BlockBytes]) {
				changed++
			}
		}
		if changed != 1 {
			t.Errorf("a sync for the writes of %d callers", changed)
		}
		copy(seen, now)
		return nil
	}
	var wg sync.WaitGroup
	for i := range blocks {
		wg.Go(func() {
			for round := range 20 {
				if err := f.WriteBlocks([][]byte{pattern(BlockBytes, byte(round*blocks+i+1))}, int64(i)*BlockBytes); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	check(t, f.Close())
}

// TestFailedSyncExt4 is a real sync that fails: of an ext4 on a device that finds no space of its own for what it is given. What is written
// again is there when the file system is mounted anew. What the kernel says to another sync is printed; nothing rests on it.
func TestFailedSyncExt4(t *testing.T) {
	for _, buffered := range []bool{false, true} {
		outer := loopfs.ForTest(t, loopfs.Ext4, 64<<20)
		image, dir := filepath.Join(outer, "image"), filepath.Join(t.TempDir(), "inner")
		check(t, os.WriteFile(image, nil, 0o600))
		check(t, os.Truncate(image, 48<<20))
		check(t, loopfs.Format(loopfs.Ext4, image))
		check(t, os.Mkdir(dir, 0o700))
		m, err := loopfs.Mount(loopfs.Ext4, image, dir)
		check(t, err)
		failedSyncOn(t, m, outer, dir, image, buffered)
	}
}

func failedSyncOn(t *testing.T, m *loopfs.Mounted, outer, dir, image string, buffered bool) {
	t.Helper()
	const size = 4 << 20
	unmounted := false
	defer func() {
		if !unmounted {
			_ = m.Unmount() // the test has failed already
		}
	}()
	path, filler := filepath.Join(dir, "f"), filepath.Join(outer, "filler")
	f, err := osFS{buffered: buffered}.Create(path)
	check(t, err)
	check(t, f.Truncate(size))
	check(t, f.Allocate(0, size)) // takes space of the inner one only
	a := pattern(BlockBytes, 1)
	write(t, f, 0, a)
	check(t, f.Sync())
	check(t, OS.SyncDir(dir))
	unix.Sync()
	fillUp(t, filler)

	b := pattern(size/2, 2)
	err = f.WriteBlocks([][]byte{b}, size/2)
	if err == nil {
		t.Fatalf("buffered %v: a write to a device without space succeeds", buffered)
	}
	again := f.Sync()
	t.Logf("buffered %-5v the write: %v; another sync: %v", buffered, errors.Unwrap(err), again)
	check(t, os.Remove(filler))
	unix.Sync()
	write(t, f, size/2, b)
	check(t, f.Close())
	check(t, m.Unmount())
	unmounted = true

	m, err = loopfs.Mount(loopfs.Ext4, image, dir)
	check(t, err)
	got, err := os.ReadFile(path)
	check(t, err)
	check(t, m.Unmount())
	if !bytes.Equal(got[:BlockBytes], a) || !bytes.Equal(got[size/2:], b) {
		t.Errorf("buffered %v: what was written again is not there", buffered)
	}
}

// fillUp makes a file of all the space that there is.
func fillUp(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	check(t, err)
	end := int64(0)
	for step := int64(16 << 20); step >= BlockBytes; {
		if err := unix.Fallocate(int(f.Fd()), 0, end, step); err == nil {
			end += step
		} else if step /= 2; err != unix.ENOSPC && err != unix.EINTR {
			t.Fatal(err)
		}
	}
	check(t, f.Close())
}
