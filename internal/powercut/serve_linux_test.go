package powercut

import (
	"bytes"
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/raft-ballast/ballast/internal/loopfs"
	"github.com/raft-ballast/ballast/internal/oracle"
)

func served(t *testing.T, d *Disk) *server {
	t.Helper()
	if why := Missing(loopfs.Ext4); why != "" {
		t.Skip(why)
	}
	s, err := serve(t.TempDir(), d.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	s.disk.Store(d)
	t.Cleanup(func() {
		if err := s.close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// openDisk opens the served file without asking whether it can be polled, see loopfs.
func openDisk(t *testing.T, s *server) int {
	t.Helper()
	fd, err := unix.Open(s.path(), unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) }) // what matters was checked
	return fd
}

// What is done to the file is done to the disk, and a flush is one.
func TestServe(t *testing.T) {
	const size = 4 << 20
	d, rng := NewDisk(size), oracle.Random(1)
	s := served(t, d)
	fd := openDisk(t, s)
	var is unix.Stat_t
	if err := unix.Fstat(fd, &is); err != nil || is.Size != size {
		t.Fatalf("the file has %d bytes: %v", is.Size, err)
	}
	want := make([]byte, size)
	expect := func(what string, pending bool) {
		t.Helper()
		if !bytes.Equal(content(t, d), want) {
			t.Errorf("after %s the disk holds something else", what)
		}
		got := make([]byte, size)
		if n, err := unix.Pread(fd, got, 0); err != nil || !bytes.Equal(got[:n], want[:n]) || n == 0 {
			t.Errorf("after %s the file holds something else: %v", what, err)
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		if len(d.pending) > 0 != pending {
			t.Errorf("after %s there are %d writes to be flushed", what, len(d.pending))
		}
	}
	write := func(off, n int) {
		t.Helper()
		copy(want[off:], oracle.Bytes(rng, n))
		if got, err := unix.Pwrite(fd, want[off:off+n], int64(off)); err != nil || got != n {
			t.Fatalf("%d bytes of %d were written: %v", got, n, err)
		}
	}
	write(SectorBytes, 3*SectorBytes)
	write(1<<20, 2<<20)
	expect("writing", true)
	if err := unix.Fdatasync(fd); err != nil {
		t.Fatal(err)
	}
	expect("a flush", false)
	for _, mode := range []uint32{unix.FALLOC_FL_PUNCH_HOLE | unix.FALLOC_FL_KEEP_SIZE, unix.FALLOC_FL_ZERO_RANGE} {
		clear(want[1<<20 : 1<<20+5*SectorBytes])
		if err := unix.Fallocate(fd, mode, 1<<20, 5*SectorBytes); err != nil {
			t.Fatal(err)
		}
		expect(fmt.Sprintf("fallocate in mode %#x", mode), true)
		write(1<<20, pageBytes)
	}
	if err := unix.Fallocate(fd, 0, 0, size); err != unix.EOPNOTSUPP {
		t.Errorf("allocating space: %v", err)
	}
	if _, err := unix.Pwrite(fd, want[:SectorBytes], size); err == nil {
		t.Error("a write behind the end was accepted")
	}
	if n, err := unix.Pread(fd, make([]byte, 1), size); n != 0 || err != nil {
		t.Errorf("%d bytes were read behind the end: %v", n, err)
	}
	if _, err := os.Stat(s.path() + "2"); !os.IsNotExist(err) {
		t.Errorf("another file: %v", err)
	}
}

// Another disk is seen at once.
func TestServeAnother(t *testing.T) {
	a, b := NewDisk(pageBytes), NewDisk(pageBytes)
	if _, err := b.WriteAt(bytes.Repeat([]byte{1}, pageBytes), 0); err != nil {
		t.Fatal(err)
	}
	s := served(t, a)
	for i, d := range []*Disk{a, b, a} {
		s.disk.Store(d)
		var got [1]byte
		fd := openDisk(t, s)
		if _, err := unix.Pread(fd, got[:], 0); err != nil || int(got[0]) != i%2 {
			t.Errorf("%d was read from disk %d: %v", got[0], i, err)
		}
	}
}

// What the watchdog does ends a request that is never answered.
func TestServeAbort(t *testing.T) {
	d := NewDisk(pageBytes)
	s := served(t, d)
	fd := openDisk(t, s)
	stuck, answer := make(chan struct{}), make(chan struct{})
	d.setHook(func() {
		close(stuck)
		<-answer
	})
	result := make(chan error)
	go func() {
		_, err := unix.Pwrite(fd, make([]byte, pageBytes), 0)
		result <- err
	}()
	<-stuck
	s.abort()
	if err := <-result; err == nil {
		t.Error("a write that was aborted was acknowledged")
	}
	close(answer)
}
