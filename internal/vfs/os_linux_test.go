package vfs

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

const shm = "/dev/shm" // is a tmpfs, which differs from disks in what it takes

func hasShm(t *testing.T) bool {
	if _, err := os.Stat(shm); err != nil {
		t.Log("there is no tmpfs to test on:", err)
		return false
	}
	return true
}

func shmDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp(shm, "ballast-vfs-")
	check(t, err)
	t.Cleanup(func() { check(t, os.RemoveAll(dir)) })
	return dir
}

func TestConformanceOfTmpfs(t *testing.T) {
	if !hasShm(t) {
		return
	}
	for _, c := range conformance {
		t.Run(c.name, func(t *testing.T) { c.test(t, OS, shmDir(t)) })
	}
}

// However short the writes are that the system makes, and whether O_DIRECT takes what is left or not.
func TestShortWrites(t *testing.T) {
	dirs := map[string]string{"disk": t.TempDir()}
	if hasShm(t) {
		dirs["tmpfs"] = shmDir(t)
	}
	for name, dir := range dirs {
		for _, buffered := range []bool{false, true} {
			for _, most := range []int{100, SectorBytes, 3000, BlockBytes, BlockBytes + SectorBytes, 3 * BlockBytes} {
				f, err := osFS{buffered: buffered}.Create(filepath.Join(dir, "f"))
				check(t, err)
				f.(*osFile).most = most
				a, b, c := pattern(BlockBytes, 1), pattern(4*BlockBytes, 2), pattern(BlockBytes, 3)
				write(t, f, BlockBytes, a, nil, b, c)
				if !bytes.Equal(readAll(t, f), slices.Concat(make([]byte, BlockBytes), a, b, c)) {
					t.Errorf("%s, at most %d bytes a call: read something else", name, most)
				}
				check(t, f.Close())
				check(t, OS.Remove(filepath.Join(dir, "f")))
			}
		}
	}
}

// A file system that refuses O_DIRECT in the first write, here for the length, is asked once.
func TestDirectRefusedInWrite(t *testing.T) {
	f := create(t, OS, filepath.Join(t.TempDir(), "f")).(*osFile)
	if f.direct == nil {
		t.Log("the temporary folder takes no O_DIRECT, which is another case")
		return
	}
	f.most = 100
	write(t, f, 0, pattern(BlockBytes, 1))
	if !f.refused.Load() {
		t.Error("will try O_DIRECT again")
	}
	f.most = 0
	write(t, f, BlockBytes, pattern(BlockBytes, 2), pattern(BlockBytes, 3))
	if !bytes.Equal(readAll(t, f), slices.Concat(pattern(BlockBytes, 1), pattern(BlockBytes, 2), pattern(BlockBytes, 3))) {
		t.Error("read something else")
	}
}

// A write in steady state leaves nothing for the collector, on either path.
func TestWriteBlocksAllocates(t *testing.T) {
	for _, buffered := range []bool{false, true} {
		f := create(t, osFS{buffered: buffered}, filepath.Join(t.TempDir(), "f"))
		for _, n := range []int{1, 2, 8} {
			bufs := slices.Collect(slices.Chunk(pattern(n*BlockBytes, 1), BlockBytes))
			if got := testing.AllocsPerRun(20, func() { check(t, f.WriteBlocks(bufs, 0)) }); got != 0 {
				t.Errorf("%d buffers, buffered %v: %v allocations", n, buffered, got)
			}
		}
		b := make([]byte, 100)
		if got := testing.AllocsPerRun(20, func() { _, err := f.ReadAt(b, 10); check(t, err) }); got != 0 {
			t.Errorf("reading: %v allocations", got)
		}
	}
}

func TestQueue(t *testing.T) {
	bufs := [][]byte{nil, make([]byte, 3), {}, make([]byte, 5), {}, {}}
	for n := range 9 {
		q := queue{bufs: bufs, off: 100}
		q.advance(0)
		for range n {
			q.advance(1)
		}
		left := -q.skip
		for _, b := range q.bufs {
			left += len(b)
		}
		if left != 8-n || q.off != int64(100+n) || q.empty() != (n == 8) || !q.empty() && q.skip >= len(q.bufs[0]) {
			t.Errorf("after %d bytes: %+v", n, q)
		}
		whole := queue{bufs: bufs, off: 100}
		whole.advance(n)
		if whole.off != q.off || whole.skip != q.skip || len(whole.bufs) != len(q.bufs) {
			t.Errorf("%d bytes at once: %+v, one by one: %+v", n, whole, q)
		}
	}
}

// What a write, or the sync behind it, returns is the error of WriteBlocks.
func TestErrorsOfTheSystem(t *testing.T) {
	block := [][]byte{AlignedBytes(BlockBytes)}
	full, err := OS.Open("/dev/full")
	check(t, err)
	if err := full.WriteBlocks(block, 0); !IsNoSpace(err) || !strings.Contains(err.Error(), "/dev/full") {
		t.Errorf("a write to a full device: %v", err)
	}
	check(t, full.Close())
	null, err := OS.Open("/dev/null") // takes every write and no sync
	check(t, err)
	for name, err := range map[string]error{"WriteBlocks": null.WriteBlocks(block, 0), "Sync": null.Sync()} {
		pathErr, ok := errors.AsType[*fs.PathError](err)
		if !ok || !errors.Is(err, syscall.EINVAL) || pathErr.Path != "/dev/null" {
			t.Errorf("%s of a device that does not sync: %v", name, err)
		}
	}
	check(t, null.Close())
	if !hasShm(t) {
		return
	}
	f := create(t, OS, filepath.Join(shmDir(t), "f"))
	if err := f.Allocate(0, 1<<45); !IsNoSpace(err) { // a tmpfs refuses that before it allocates anything
		t.Errorf("allocating 32 TiB: %v", err)
	}
	if size, err := f.Size(); size != 0 || err != nil {
		t.Errorf("and then the size is %d, %v", size, err)
	}
}

// Where there is no second descriptor to be had there is no file either, and Create can be called again.
func TestNoDescriptorLeft(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	next, err := os.Open(os.DevNull)
	check(t, err)
	free := uint64(next.Fd())
	check(t, next.Close())
	var limit syscall.Rlimit
	check(t, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit))
	check(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: free + 1, Max: limit.Max}))
	f, createErr := OS.Create(path)
	check(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit))
	if createErr == nil { // the folder takes no O_DIRECT, so that one was enough
		check(t, f.Close())
		check(t, OS.Remove(path))
	} else if !errors.Is(createErr, syscall.EMFILE) || !strings.Contains(createErr.Error(), path) {
		t.Error(createErr)
	}
	create(t, OS, path)
}

func BenchmarkWriteBlocks(b *testing.B) {
	for _, buffered := range []bool{false, true} {
		for _, size := range []int{BlockBytes, 64 * BlockBytes} {
			b.Run(fmt.Sprintf("buffered=%v/%dKiB", buffered, size>>10), func(b *testing.B) {
				f, err := osFS{buffered: buffered}.Create(filepath.Join(b.TempDir(), "f"))
				if err != nil {
					b.Fatal(err)
				}
				bufs := [][]byte{pattern(size, 1)}
				for off := range int64(64) { // written before, which is much faster than not
					if err := f.WriteBlocks(bufs, off*int64(size)); err != nil {
						b.Fatal(err)
					}
				}
				for i := int64(0); b.Loop(); i++ {
					if err := f.WriteBlocks(bufs, i%64*int64(size)); err != nil {
						b.Fatal(err)
					}
				}
				if err := f.Close(); err != nil {
					b.Fatal(err)
				}
			})
		}
	}
}

// Space that was allocated is the file's before anything is written; a size that was set costs nothing.
func TestAllocateTakesSpace(t *testing.T) {
	blocks := func(f File) int64 {
		info, err := f.(*osFile).file.Stat()
		check(t, err)
		return info.Sys().(*syscall.Stat_t).Blocks
	}
	f := create(t, OS, filepath.Join(t.TempDir(), "f"))
	check(t, f.Truncate(1<<20))
	check(t, f.Sync())
	before := blocks(f)
	check(t, f.Allocate(0, 1<<20))
	if got := blocks(f); before*512 > 1<<19 || got*512 < 1<<20 {
		t.Errorf("%d sectors after setting the size to 1 MiB, %d after allocating it", before, got)
	}
	check(t, f.(*osFile).grow(1<<19))
	check(t, f.(*osFile).grow(1<<20+1))
	if size, err := f.Size(); size != 1<<20+1 || err != nil {
		t.Errorf("growing made it %d bytes, %v", size, err)
	}
}

// What others may do is up to the folder's owner alone.
func TestModes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	check(t, OS.MkdirAll(dir))
	create(t, OS, filepath.Join(dir, "f"))
	lock, err := OS.Lock(filepath.Join(dir, "LOCK"))
	check(t, err)
	check(t, lock.Close())
	for path, want := range map[string]fs.FileMode{
		filepath.Dir(dir): fs.ModeDir | 0o700, dir: fs.ModeDir | 0o700,
		filepath.Join(dir, "f"): 0o600, filepath.Join(dir, "LOCK"): 0o600,
	} {
		info, err := os.Stat(path)
		check(t, err)
		if info.Mode() != want {
			t.Errorf("%s has the mode %v, want %v", path, info.Mode(), want)
		}
	}
}

// hugeBytes returns how many bytes of the process lie in huge pages.
func hugeBytes(t *testing.T) (kib int) {
	t.Helper()
	text, err := os.ReadFile("/proc/self/smaps_rollup")
	if err != nil {
		t.Skip(err)
	}
	_, rest, _ := strings.Cut(string(text), "AnonHugePages:")
	if _, err := fmt.Sscan(rest, &kib); err != nil {
		t.Fatal(err)
	}
	return kib << 10
}

// TestHugePages: memory moves into huge pages, and what is in it stays, also while it is written.
func TestHugePages(t *testing.T) {
	b := make([]byte, 8<<20)
	from := (address(b)+hugePageBytes-1)&^(hugePageBytes-1) - address(b)
	whole := b[from : from+3*hugePageBytes]
	advise := func(advice int) {
		if err := unix.Madvise(whole, advice); err != nil {
			t.Skipf("this system gives no huge pages: %v", err)
		}
	}
	if !hugePagesWanted() {
		t.Skip("this system allows no huge pages")
	}
	advise(unix.MADV_DONTNEED) // what an earlier test may have moved
	advise(unix.MADV_NOHUGEPAGE)
	for i := range b {
		b[i] = byte(i >> 12)
	}
	advise(unix.MADV_HUGEPAGE) // takes back the one before, and moves nothing by itself
	before := hugeBytes(t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; i < len(b); i += BlockBytes {
			b[i]++
		}
	}()
	for tries := 0; HugePages(b) && tries < 3; tries++ {
	}
	<-done
	if n := hugeBytes(t) - before; n < len(whole) {
		if err := unix.Madvise(whole, unix.MADV_COLLAPSE); err != nil { // of an old kernel, or there is no such memory left
			t.Skipf("this system moves nothing: %v", err)
		}
		t.Errorf("%d bytes have moved", n)
	}
	for i := range b {
		if want := byte(i >> 12); b[i] != want && !(i%BlockBytes == 0 && b[i] == want+1) {
			t.Fatalf("byte %d is %d", i, b[i])
		}
	}
}
