package vfs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// pattern returns n aligned bytes that differ by seed, sector and place.
func pattern(n int, seed byte) []byte {
	b := AlignedBytes(n)
	for i := range b {
		b[i] = seed + byte(i/SectorBytes)*7 + byte(i)
	}
	return b
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func create(t *testing.T, fsys FS, path string) File {
	t.Helper()
	f, err := fsys.Create(path)
	check(t, err)
	t.Cleanup(func() { _ = f.Close() }) // for those who have not closed it
	return f
}

func write(t *testing.T, f File, off int64, bufs ...[]byte) {
	t.Helper()
	check(t, f.WriteBlocks(bufs, off))
}

// readAll reads an open file in odd pieces.
func readAll(t *testing.T, f File) []byte {
	t.Helper()
	size, err := f.Size()
	check(t, err)
	b := make([]byte, size)
	for at := 0; at < len(b); {
		n, err := f.ReadAt(b[at:min(at+10_007, len(b))], int64(at))
		if err != nil && err != io.EOF || n == 0 {
			t.Fatalf("read %d bytes at %d: %v", n, at, err)
		}
		at += n
	}
	return b
}

func list(t *testing.T, fsys FS, dir string) []string {
	t.Helper()
	names, err := fsys.List(dir)
	check(t, err)
	return names
}

// What holds for every file system. dir is an empty folder in it.
var conformance = []struct {
	name string
	test func(t *testing.T, fsys FS, dir string)
}{
	{"folders", testFolders},
	{"creating and opening", testOpening},
	{"a file opened for reading", testReadOnly},
	{"writing and reading", testWriting},
	{"more buffers than one call takes", testManyBuffers},
	{"writes that are refused", testRefusedWrites},
	{"allocating", testAllocate},
	{"truncating", testTruncate},
	{"renaming", testRename},
	{"folders that move", testMovedFolders},
	{"removing", testRemove},
	{"locking", testLock},
	{"a closed file", testClosed},
	{"many goroutines", testConcurrent},
	{"a folder that is held", testHold},
}

func TestConformance(t *testing.T) {
	systems := []struct {
		name string
		make func(t *testing.T) (FS, string)
	}{
		{"OS", func(t *testing.T) (FS, string) { return OS, t.TempDir() }},
		{"OS without O_DIRECT", func(t *testing.T) (FS, string) { return osFS{buffered: true}, t.TempDir() }},
		{"Mem", func(t *testing.T) (FS, string) { return NewMem(), "." }},
		{"Mem below a folder", func(t *testing.T) (FS, string) {
			m := NewMem()
			dir := filepath.Join(t.TempDir(), "a")
			check(t, m.MkdirAll(dir))
			return m, dir
		}},
		{"Faults", func(t *testing.T) (FS, string) { return NewFaults(NewMem()), "." }},
		{"a held folder", func(t *testing.T) (FS, string) { return held(t, OS, t.TempDir()) }},
		{"a held folder without O_DIRECT", func(t *testing.T) (FS, string) {
			return held(t, osFS{buffered: true}, t.TempDir())
		}},
		{"a held folder of Mem", func(t *testing.T) (FS, string) {
			return held(t, NewFaults(NewMem()), ".")
		}},
	}
	for _, system := range systems {
		t.Run(system.name, func(t *testing.T) {
			for _, c := range conformance {
				t.Run(c.name, func(t *testing.T) {
					fsys, dir := system.make(t)
					c.test(t, fsys, dir)
				})
			}
		})
	}
}

func testFolders(t *testing.T, fsys FS, dir string) {
	deep := filepath.Join(dir, "b", "c")
	for range 2 {
		check(t, fsys.MkdirAll(deep))
	}
	check(t, fsys.MkdirAll(filepath.Join(dir, "a")+string(filepath.Separator)))
	check(t, create(t, fsys, filepath.Join(dir, "B")).Close())
	if got := list(t, fsys, dir); !slices.Equal(got, []string{"B", "a", "b"}) {
		t.Errorf("got %q", got)
	}
	if got := list(t, fsys, deep); len(got) != 0 {
		t.Errorf("an empty folder has %q", got)
	}
	missing := filepath.Join(dir, "missing")
	if _, err := fsys.List(missing); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("List of a folder that is missing: %v", err)
	}
	if err := fsys.SyncDir(missing); runtime.GOOS != "windows" && !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("SyncDir of a folder that is missing: %v", err)
	}
	check(t, fsys.SyncDir(dir))
	for _, path := range []string{"B", filepath.Join("B", "x")} {
		if err := fsys.MkdirAll(filepath.Join(dir, path)); err == nil {
			t.Errorf("made the folder %s, where B is a file", path)
		}
	}
}

func testOpening(t *testing.T, fsys FS, dir string) {
	path := filepath.Join(dir, "f")
	f := create(t, fsys, path)
	write(t, f, 0, pattern(BlockBytes, 1))
	if _, err := fsys.Create(path); !errors.Is(err, fs.ErrExist) || !strings.Contains(err.Error(), path) {
		t.Errorf("Create of a file that is there: %v", err)
	}
	again, err := fsys.Open(path)
	check(t, err)
	write(t, again, BlockBytes, pattern(BlockBytes, 2))
	want := slices.Concat(pattern(BlockBytes, 1), pattern(BlockBytes, 2))
	for _, f := range []File{f, again} {
		if !bytes.Equal(readAll(t, f), want) {
			t.Error("two that have a file open do not see the same")
		}
		check(t, f.Sync())
		check(t, f.Close())
	}

	missing := filepath.Join(dir, "missing")
	for name, call := range map[string]func() error{
		"Create":   func() error { _, err := fsys.Create(filepath.Join(missing, "f")); return err },
		"Open":     func() error { _, err := fsys.Open(missing); return err },
		"OpenRead": func() error { _, err := fsys.OpenRead(missing); return err },
		"Remove":   func() error { return fsys.Remove(missing) },
		"Rename":   func() error { return fsys.Rename(missing, path) },
		"Lock":     func() error { _, err := fsys.Lock(filepath.Join(missing, "f")); return err },
	} {
		if err := call(); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), missing) {
			t.Errorf("%s of what is missing: %v", name, err)
		}
	}
	if got := list(t, fsys, dir); !slices.Equal(got, []string{"f"}) {
		t.Errorf("there is %q", got)
	}
}

func testReadOnly(t *testing.T, fsys FS, dir string) {
	path := filepath.Join(dir, "f")
	f := create(t, fsys, path)
	write(t, f, 0, pattern(2*BlockBytes, 1))
	r, err := fsys.OpenRead(path)
	check(t, err)
	for name, err := range map[string]error{
		"WriteBlocks": r.WriteBlocks([][]byte{pattern(BlockBytes, 2)}, 0),
		"Allocate":    r.Allocate(0, 1<<20),
		"Truncate":    r.Truncate(0),
	} {
		if err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", name, err)
		}
	}
	write(t, f, BlockBytes, pattern(BlockBytes, 3))
	if got := readAll(t, r); !bytes.Equal(got, slices.Concat(pattern(BlockBytes, 1), pattern(BlockBytes, 3))) {
		t.Error("does not see what was written")
	}
	check(t, r.Close())
}

func testWriting(t *testing.T, fsys FS, dir string) {
	f := create(t, fsys, filepath.Join(dir, "f"))
	write(t, f, 0)
	write(t, f, BlockBytes, nil, []byte{})
	if size, err := f.Size(); size != 0 || err != nil {
		t.Fatalf("writing nothing made %d bytes, %v", size, err)
	}
	a, b, c := pattern(BlockBytes, 1), pattern(3*BlockBytes, 2), pattern(2*BlockBytes, 3)
	write(t, f, 2*BlockBytes, a, nil, b, c, []byte{})
	want := make([]byte, 8*BlockBytes)
	copy(want[2*BlockBytes:], slices.Concat(a, b, c))
	clear(b) // is the caller's again
	if !bytes.Equal(readAll(t, f), want) {
		t.Error("read something else, behind a hole")
	}
	write(t, f, 3*BlockBytes, pattern(BlockBytes, 9))
	copy(want[3*BlockBytes:], pattern(BlockBytes, 9))
	write(t, f, 0, AlignedBytes(BlockBytes))
	if !bytes.Equal(readAll(t, f), want) {
		t.Error("read something else after writing over it")
	}

	got := make([]byte, 100)
	for _, r := range []struct {
		off  int64
		want int
		err  error
	}{{8*BlockBytes - 100, 100, nil}, {8*BlockBytes - 30, 30, io.EOF}, {8 * BlockBytes, 0, io.EOF}, {1 << 40, 0, io.EOF}} {
		n, err := f.ReadAt(got, r.off)
		if n != r.want || err != r.err {
			t.Errorf("ReadAt of 100 bytes at %d: %d, %v", r.off, n, err)
		}
		if r.off < int64(len(want)) && !bytes.Equal(got[:n], want[r.off:r.off+int64(n)]) {
			t.Errorf("ReadAt at %d read something else", r.off)
		}
	}
	if _, err := f.ReadAt(got, -1); err == nil || err == io.EOF {
		t.Errorf("ReadAt before the start: %v", err)
	}
}

func testManyBuffers(t *testing.T, fsys FS, dir string) {
	f := create(t, fsys, filepath.Join(dir, "f"))
	const n = 1024 + 1024 + 3
	all := pattern(n*BlockBytes, 1)
	bufs := slices.Collect(slices.Chunk(all, BlockBytes))
	write(t, f, BlockBytes, bufs...)
	if len(bufs) != n || &bufs[0][0] != &all[0] || !bytes.Equal(readAll(t, f)[BlockBytes:], all) {
		t.Error("read something else")
	}
}

func testRefusedWrites(t *testing.T, fsys FS, dir string) {
	path := filepath.Join(dir, "f")
	f := create(t, fsys, path)
	write(t, f, 0, pattern(2*BlockBytes, 1))
	b := AlignedBytes(4 * BlockBytes)
	for name, err := range map[string]error{
		"offset":          f.WriteBlocks([][]byte{b}, SectorBytes),
		"negative offset": f.WriteBlocks([][]byte{b}, -BlockBytes),
		"length":          f.WriteBlocks([][]byte{b[:BlockBytes], b[:100]}, 0),
		"address":         f.WriteBlocks([][]byte{b[8 : 8+BlockBytes]}, 0),
	} {
		if !errors.Is(err, syscall.EINVAL) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if !bytes.Equal(readAll(t, f), pattern(2*BlockBytes, 1)) {
		t.Error("a refused write has changed something")
	}
}

func testAllocate(t *testing.T, fsys FS, dir string) {
	f := create(t, fsys, filepath.Join(dir, "f"))
	check(t, f.Allocate(0, 1<<20))
	want := make([]byte, 1<<20)
	if !bytes.Equal(readAll(t, f), want) {
		t.Error("not 1 MiB of zeros")
	}
	write(t, f, 8*BlockBytes, pattern(BlockBytes, 1))
	copy(want[8*BlockBytes:], pattern(BlockBytes, 1))
	for _, r := range [][2]int64{{0, 1 << 19}, {8 * BlockBytes, 1}, {100, 9 * BlockBytes}} {
		check(t, f.Allocate(r[0], r[1]))
		if !bytes.Equal(readAll(t, f), want) {
			t.Fatalf("allocating %d bytes at %d has changed something", r[1], r[0])
		}
	}
	check(t, f.Allocate(1<<20-1, 102))
	if !bytes.Equal(readAll(t, f), append(want, make([]byte, 101)...)) {
		t.Error("allocating over the end did not add 101 zeros")
	}
	for _, r := range [][2]int64{{0, 0}, {0, -1}, {-1, 2}, {1, 1<<63 - 1}} {
		if err := f.Allocate(r[0], r[1]); !errors.Is(err, syscall.EINVAL) {
			t.Errorf("allocating %d bytes at %d: %v", r[1], r[0], err)
		}
	}
}

func testTruncate(t *testing.T, fsys FS, dir string) {
	f := create(t, fsys, filepath.Join(dir, "f"))
	write(t, f, 0, pattern(4*BlockBytes, 1))
	want := pattern(4*BlockBytes, 1)
	for _, size := range []int{4 * BlockBytes, BlockBytes + 700, BlockBytes + 600, 3 * BlockBytes, 0, 5, 2 * BlockBytes} {
		check(t, f.Truncate(int64(size)))
		if size > len(want) {
			want = append(want, make([]byte, size-len(want))...)
		}
		want = want[:size:size]
		if !bytes.Equal(readAll(t, f), want) {
			t.Fatalf("after the size became %d there is something else", size)
		}
		check(t, f.Sync())
	}
	check(t, f.Truncate(1<<32))
	write(t, f, 1<<32-BlockBytes, pattern(BlockBytes, 1))
	got := make([]byte, 2*BlockBytes)
	if _, err := f.ReadAt(got, 1<<32-2*BlockBytes); err != nil || !bytes.Equal(got[BlockBytes:], pattern(BlockBytes, 1)) {
		t.Errorf("at the end of a large file: %v", err)
	}
	if err := f.Truncate(-1); err == nil {
		t.Error("a size of -1 was taken")
	}
}

func testRename(t *testing.T, fsys FS, dir string) {
	a, b, c := filepath.Join(dir, "a"), filepath.Join(dir, "b"), filepath.Join(dir, "c")
	f := create(t, fsys, a)
	write(t, f, 0, pattern(BlockBytes, 1))
	check(t, f.Close())
	check(t, create(t, fsys, b).Close())
	check(t, fsys.Rename(a, c))
	check(t, fsys.Rename(c, b))
	check(t, fsys.Rename(b, b))
	check(t, fsys.SyncDir(dir))
	if got := list(t, fsys, dir); !slices.Equal(got, []string{"b"}) {
		t.Errorf("there is %q", got)
	}
	f, err := fsys.OpenRead(b)
	check(t, err)
	if !bytes.Equal(readAll(t, f), pattern(BlockBytes, 1)) {
		t.Error("b is not what was a")
	}
	check(t, f.Close())
}

func testMovedFolders(t *testing.T, fsys FS, dir string) {
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	check(t, fsys.MkdirAll(filepath.Join(a, "sub")))
	check(t, create(t, fsys, filepath.Join(a, "f")).Close())
	check(t, create(t, fsys, filepath.Join(a, "sub", "g")).Close())
	check(t, fsys.Rename(a, b))
	if err := fsys.Rename(b, b); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a folder has replaced itself: %v", err)
	}
	check(t, fsys.SyncDir(dir))
	for folder, want := range map[string][]string{dir: {"b"}, b: {"f", "sub"}, filepath.Join(b, "sub"): {"g"}} {
		if got := list(t, fsys, folder); !slices.Equal(got, want) {
			t.Errorf("in %s there is %q, want %q", folder, got, want)
		}
	}
	if _, err := fsys.List(a); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the old name: %v", err)
	}
	check(t, create(t, fsys, filepath.Join(dir, "file")).Close())
	if err := fsys.Rename(b, filepath.Join(dir, "file")); err == nil {
		t.Error("a folder has replaced a file")
	}
	for _, full := range []string{b, filepath.Join(b, "sub")} {
		if err := fsys.Remove(full); err == nil {
			t.Errorf("%s was removed, with what is in it", full)
		}
	}
	for _, path := range []string{"b/sub/g", "b/sub", "b/f", "b", "file"} {
		check(t, fsys.Remove(filepath.Join(dir, filepath.FromSlash(path))))
	}
	if got := list(t, fsys, dir); len(got) != 0 {
		t.Errorf("there is %q", got)
	}
}

func testRemove(t *testing.T, fsys FS, dir string) {
	path := filepath.Join(dir, "f")
	f := create(t, fsys, path)
	write(t, f, 0, pattern(BlockBytes, 1))
	if runtime.GOOS == "windows" { // does not remove what is open
		check(t, f.Close())
		check(t, fsys.Remove(path))
		return
	}
	check(t, fsys.Remove(path))
	if got := list(t, fsys, dir); len(got) != 0 {
		t.Errorf("there is %q", got)
	}
	write(t, f, BlockBytes, pattern(BlockBytes, 2))
	if !bytes.Equal(readAll(t, f), slices.Concat(pattern(BlockBytes, 1), pattern(BlockBytes, 2))) {
		t.Error("who has a removed file open does not read it any more")
	}
	again := create(t, fsys, path)
	if got := readAll(t, again); len(got) != 0 {
		t.Errorf("a new file has %d bytes", len(got))
	}
	check(t, fsys.SyncDir(dir))
}

func testLock(t *testing.T, fsys FS, dir string) {
	path := filepath.Join(dir, "LOCK")
	var stale io.Closer
	for range 2 { // the second time with the file of the first
		lock, err := fsys.Lock(path)
		check(t, err)
		if stale != nil {
			check(t, stale.Close()) // has let go already, and leaves the second holder alone
		}
		if _, err := fsys.Lock(path); !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), path) {
			t.Errorf("the second holder: %v", err)
		}
		other, err := fsys.Lock(filepath.Join(dir, "OTHER"))
		check(t, err)
		check(t, other.Close())
		check(t, lock.Close())
		stale = lock
	}
	if got := list(t, fsys, dir); !slices.Equal(got, []string{"LOCK", "OTHER"}) {
		t.Errorf("there is %q", got)
	}
}

func testClosed(t *testing.T, fsys FS, dir string) {
	f := create(t, fsys, filepath.Join(dir, "f"))
	check(t, f.Close())
	_, readErr := f.ReadAt(make([]byte, 1), 0)
	_, sizeErr := f.Size()
	for name, err := range map[string]error{
		"ReadAt":      readErr,
		"Size":        sizeErr,
		"WriteBlocks": f.WriteBlocks([][]byte{AlignedBytes(BlockBytes)}, 0),
		"Allocate":    f.Allocate(0, 1),
		"Truncate":    f.Truncate(0),
		"Sync":        f.Sync(),
		"Close":       f.Close(),
	} {
		if err == nil {
			t.Errorf("%s of a closed file", name)
		}
	}
}

func testConcurrent(t *testing.T, fsys FS, dir string) {
	f := create(t, fsys, filepath.Join(dir, "f"))
	const workers, rounds = 4, 8
	check(t, f.Truncate(workers*BlockBytes))
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			if err := testWorker(fsys, f, filepath.Join(dir, fmt.Sprint(w)), int64(w)*BlockBytes, rounds); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

// testWorker works on a block of a file that it shares, and on a file of its own.
func testWorker(fsys FS, f File, path string, off int64, rounds int) error {
	got := make([]byte, BlockBytes)
	for round := range rounds {
		b := pattern(BlockBytes, byte(round)+byte(off/BlockBytes)*16)
		if err := f.WriteBlocks([][]byte{b}, off); err != nil {
			return err
		}
		if _, err := f.ReadAt(got, off); err != nil && err != io.EOF || !bytes.Equal(got, b) {
			return fmt.Errorf("read something else: %v", err)
		}
		own, err := fsys.Create(path)
		if err != nil {
			return err
		}
		_, sizeErr := f.Size()
		if err := errors.Join(own.Truncate(100), own.Sync(), f.Sync(), sizeErr, own.Close(), fsys.Remove(path)); err != nil {
			return err
		}
	}
	return nil
}

func TestIsNoSpace(t *testing.T) {
	for _, tc := range []struct {
		err  error
		want bool
	}{
		{nil, false},
		{syscall.ENOSPC, true},
		{&fs.PathError{Err: syscall.EDQUOT}, true},
		{fmt.Errorf("a: %w", errors.Join(syscall.EIO, syscall.ENOSPC)), true},
		{syscall.EIO, false},
		{syscall.Errno(112), runtime.GOOS == "windows"},
		{&fs.PathError{Err: syscall.Errno(39)}, runtime.GOOS == "windows"},
	} {
		if got := IsNoSpace(tc.err); got != tc.want {
			t.Errorf("IsNoSpace(%v) = %v", tc.err, got)
		}
	}
}

func TestAlignedBytes(t *testing.T) {
	for _, n := range []int{0, 1, BlockBytes, 3 * BlockBytes, 100_000} {
		if b := AlignedBytes(n); len(b) != n || cap(b) != n || address(b)%BlockBytes != 0 {
			t.Errorf("AlignedBytes(%d) has the length %d and the capacity %d, at %x", n, len(b), cap(b), address(b))
		}
	}
}
