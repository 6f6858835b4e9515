package wal

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/engine"
	"github.com/raft-ballast/ballast/internal/loopfs"
	"github.com/raft-ballast/ballast/internal/oracle"
	"github.com/raft-ballast/ballast/internal/vfs"
)

// underFS has dataDir in a folder of the real file system.
type underFS struct {
	vfs.FS
	dir string
}

func (u underFS) at(path string) string { return filepath.Join(u.dir, path) }

func (u underFS) MkdirAll(dir string) error                  { return u.FS.MkdirAll(u.at(dir)) }
func (u underFS) List(dir string) ([]string, error)          { return u.FS.List(u.at(dir)) }
func (u underFS) Create(path string) (vfs.File, error)       { return u.FS.Create(u.at(path)) }
func (u underFS) Open(path string) (vfs.File, error)         { return u.FS.Open(u.at(path)) }
func (u underFS) OpenRead(path string) (vfs.File, error)     { return u.FS.OpenRead(u.at(path)) }
func (u underFS) Rename(from, to string) error               { return u.FS.Rename(u.at(from), u.at(to)) }
func (u underFS) Remove(path string) error                   { return u.FS.Remove(u.at(path)) }
func (u underFS) SyncDir(dir string) error                   { return u.FS.SyncDir(u.at(dir)) }
func (u underFS) DiskUsage(path string) (int64, error)       { return u.FS.DiskUsage(u.at(path)) }
func (u underFS) Lock(path string) (lock io.Closer, e error) { return u.FS.Lock(u.at(path)) }

func (u underFS) Hold(dir string) (*vfs.Dir, error) {
	d, err := holdThrough(u, u.FS, u.at(dir))
	if err == nil {
		d.Path, d.Name = dir, dir
	}
	return d, err
}

// disk is a small ext4 of its own.
type disk struct {
	t       testing.TB
	dir     string
	fillers int
}

func newDisk(t testing.TB, bytes int64) *disk {
	t.Helper()
	d := &disk{t: t, dir: loopfs.ForTest(t, loopfs.Ext4, bytes)}
	must(t, os.WriteFile(filepath.Join(d.dir, "filler 0"), make([]byte, bytes/4), 0o600)) // what somebody else can give back
	return d
}

// fill takes all that is free, to the last block, also of what is root's only. A few blocks stay that ext4 gives to no file.
func (d *disk) fill() {
	d.t.Helper()
	for taken := true; taken; {
		d.settle()
		taken = d.take() > 0
	}
}

// settle makes free what was removed: it is that when the journal has it.
func (d *disk) settle() {
	d.t.Helper()
	dir, err := os.Open(d.dir)
	must(d.t, err)
	must(d.t, unix.Syncfs(int(dir.Fd())))
	must(d.t, dir.Close())
}

// take fills a file and returns how many bytes it has got.
func (d *disk) take() (end int64) {
	d.t.Helper()
	d.fillers++
	path := filepath.Join(d.dir, fmt.Sprintf("filler %d", d.fillers))
	f, err := os.Create(path)
	must(d.t, err)
	for step := int64(16 << 20); step >= blockBytes; {
		err := unix.Fallocate(int(f.Fd()), 0, end, step)
		if err == nil {
			end += step
		} else if step /= 2; err != unix.ENOSPC && err != unix.EINTR {
			d.t.Fatal(err)
		}
	}
	must(d.t, f.Close())
	if end == 0 {
		must(d.t, os.Remove(path))
	}
	return end
}

// relieve gives back what fill took.
func (d *disk) relieve() {
	d.t.Helper()
	fillers, err := filepath.Glob(filepath.Join(d.dir, "filler *"))
	must(d.t, err)
	for _, path := range fillers {
		must(d.t, os.Remove(path))
	}
}

// full expects that not a block is free.
func (d *disk) full() {
	d.t.Helper()
	if n := d.take(); n > 0 {
		d.t.Errorf("%d bytes are free, the disk should be full", n)
	}
}

// fullLog fills a disk with a log, and the rest of it with something else.
func (d *disk) fullLog(change func(*Options)) *testLog {
	d.t.Helper()
	l := newTestLogWith(d.t, underFS{vfs.OS, d.dir}, 1, change)
	l.set("term", "1")
	d.crowd(l)
	return l
}

// crowd fills the disk with entries, and the rest of it with something else.
func (d *disk) crowd(l *testLog) {
	d.t.Helper()
	for _, size := range []int{100 << 10, 1 << 10} {
		for l.append(4, size) == nil {
		}
		l.refuses(size)
	}
	d.fill()
	for l.append(1, 100) == nil { // the log's own space, which nobody can take
	}
	l.refuses(1 << 10)
	l.check()
}

// kill ends a log as if its process were killed: nothing more is written, and the system closes its files.
func (l *testLog) kill() {
	l.t.Helper()
	l.abandon()
	l.j.keeper.drop()
}

// TestDiskFullExt4 is what a peer has to do on a full disk, and what gets it out of there, one after the other on the same real
// file system.
func TestDiskFullExt4(t *testing.T) {
	t.Parallel()
	d := newDisk(t, 40<<20)
	l := d.fullLog(nil)
	for _, step := range []struct {
		name string
		do   func()
	}{
		{"read", l.check},
		{"vote", func() { l.vote(300) }},
		{"stage a commit index, which goes with the entries that are refused", func() {
			must(t, l.StageCommitIndex(l.model.Last()))
			l.refuses(1 << 10)
		}},
		{"delete the suffix", func() { l.remove(l.model.Last()-1, l.model.Last()) }},
		{"delete in the middle", func() { l.remove(10, 12) }},
		{"close and open", func() { l.close(); l.open() }},
		{"kill and open", func() { l.kill(); l.open() }},
		{"vote again", func() { l.vote(100) }},
		{"killed again and again", func() {
			for range 4 {
				l.kill()
				l.open()
				l.vote(10)
			}
		}},
		{"closed again and again", func() {
			for range 4 {
				l.close()
				l.open()
				l.vote(10)
			}
		}},
		{"a deletion alone makes room", func() {
			for range 2 {
				d.full()
				l.remove(1, l.model.Last()-1)
				for range 3 {
					must(t, l.append(4, 20<<10))
				}
				l.check()
				d.crowd(l)
			}
		}},
	} {
		t.Log(step.name)
		step.do()
		l.check()
		l.refuses(100 << 10)
		must(t, l.SetUint64([]byte("vote"), 2))
		l.model.Stable["vote"] = engine.Uint64Bytes(2)
		d.fill()
	}
	d.full()
	d.relieve()
	l.rotate() // without opening it again
	l.rotate()
	l.check()
	l.kill()
	l.open()
	l.check()
	l.close()
	l.open()
	l.check()
}

// TestDiskFullDefaults is the same with the options that everybody has: a segment is larger than the disk.
func TestDiskFullDefaults(t *testing.T) {
	t.Parallel()
	d := newDisk(t, 48<<20)
	l := d.fullLog(func(o *Options) { o.SegmentBytes, o.CacheBytes = defaultSegmentBytes, defaultCacheBytes })
	l.vote(100)
	l.remove(5, 6)
	l.kill()
	l.open()
	l.check()
	l.refuses(1 << 10)
	l.close()
	l.open()
	l.check()
	d.fill()
	l.vote(10)
	l.remove(1, l.model.Last()-1)
	for range 3 {
		must(t, l.append(4, 20<<10))
	}
	l.check()
	d.crowd(l)
	d.relieve()
	for range 20 { // without opening it again
		l.fill(4, 100<<10)
	}
	l.check()
	l.kill()
	l.open()
	l.check()
}

// TestDiskFullWorkload makes random calls on a log of a disk that is full, has room, and is full again. Only entries are refused
// there, and only for want of space; nothing is lost.
func TestDiskFullWorkload(t *testing.T) {
	t.Parallel()
	for _, inline := range []bool{true, false} {
		t.Run(fmt.Sprintf("the keeper in the caller's goroutine: %v", inline), func(t *testing.T) {
			const seed = 7
			d := newDisk(t, 32<<20)
			l := newTestLogWith(t, underFS{vfs.OS, d.dir}, seed, func(o *Options) { o.inline = inline })
			w := oracle.Workload{Seed: seed, MaxBytes: 400 << 10}
			refused, opened, votes := 0, 0, 0
			for i := range uint64(400) {
				switch l.rng.IntN(30) {
				case 0, 1, 2, 3:
					d.fill()
				case 4:
					d.relieve()
				case 5:
					l.close()
					l.open()
					opened++
				case 6:
					if inline {
						l.kill()
						l.open()
						opened++
					}
				}
				c := w.Call(i, l.model)
				err := c.Do(l.Store)
				switch {
				case err == nil:
					c.Apply(l.model)
					if len(c.Logs) == 0 {
						votes++
					}
				case errors.Is(err, ballast.ErrNoSpace) && len(c.Logs) > 0:
					refused++
				default:
					t.Fatalf("seed %d, call %d, %v: %v", seed, i, c, err)
				}
				must(t, l.j.failed.Err())
				l.check()
			}
			t.Logf("%d calls were refused, %d votes and deletions were not; the log was opened %d times", refused, votes, opened)
			if refused == 0 {
				t.Error("the disk was never full")
			}
			d.relieve()
			l.rotate()
			l.close()
			l.open()
			l.check()
		})
	}
}

// What TestKilledOnAFullDisk hands to the process that it kills.
const (
	fullDirEnv  = "BALLAST_WAL_TEST_FULL_DIR"
	fullFromEnv = "BALLAST_WAL_TEST_FULL_FROM" // the first call to make
)

var fullWork = oracle.Workload{Seed: 11, MaxBytes: 300 << 10}

// fullOptions are those of a log on a small disk.
func fullOptions() *Options {
	return &Options{SegmentBytes: minSegmentBytes, CacheBytes: minCacheBytes}
}

// TestKilledOnAFullDisk kills a process that writes to a log while the disk is full, again and again. The log opens there, and all that the process
// was told is there.
func TestKilledOnAFullDisk(t *testing.T) {
	if dir := os.Getenv(fullDirEnv); dir != "" {
		writeUntilKilled(t, dir)
		return
	}
	d := newDisk(t, 32<<20)
	rng := oracle.Random(3)
	dir := filepath.Join(d.dir, "raft")
	m, done, refused := oracle.NewModel(), uint64(0), 0
	for round := range 12 {
		if round > 2 {
			d.fill() // the first rounds fill it with entries
		}
		verdicts := runAndKill(t, dir, done, 40+rng.IntN(40))
		for _, ok := range verdicts {
			c := fullWork.Call(done, m)
			if done++; ok {
				c.Apply(m)
			} else {
				refused++
			}
		}
		s, err := Open(dir, fullOptions())
		must(t, err)
		after := m.Clone()
		fullWork.Call(done, m).Apply(after)
		found, err := oracle.Find(checkedStore{s}, m, after)
		if err != nil {
			t.Fatalf("round %d, killed after call %d: %v", round, done, err)
		}
		if found == 1 {
			m, done = after, done+1
		}
		must(t, s.SetUint64([]byte("term"), done))
		m.Stable["term"] = engine.Uint64Bytes(done)
		if round%2 == 0 {
			must(t, s.DeleteRange(0, m.Last()/2))
			m.Delete(0, m.Last()/2)
		}
		must(t, s.Close())
	}
	t.Logf("%d calls, of which %d were refused", done, refused)
	if refused == 0 {
		t.Error("the disk was never full")
	}
}

// runAndKill runs the child, kills it after so many calls, and returns which of them were acknowledged.
func runAndKill(t *testing.T, dir string, from uint64, calls int) (acknowledged []bool) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), fullDirEnv+"="+dir, fmt.Sprintf("%s=%d", fullFromEnv, from))
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	defer func() { _ = cmd.Wait() }() // it was killed
	said := []string{}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		switch text := lines.Text(); {
		case text == "acknowledged":
			acknowledged = append(acknowledged, true)
		case text == "refused":
			acknowledged = append(acknowledged, false)
		default:
			said = append(said, text)
		}
		if len(acknowledged) == calls {
			must(t, cmd.Process.Kill())
		}
	}
	if len(acknowledged) < calls {
		t.Fatalf("the process to kill ended by itself:\n%s", strings.Join(said, "\n"))
	}
	return acknowledged
}

// writeUntilKilled is the child: it makes one call after the other and tells what became of it.
func writeUntilKilled(t *testing.T, dir string) {
	from, err := strconv.ParseUint(os.Getenv(fullFromEnv), 10, 64)
	must(t, err)
	s, err := Open(dir, fullOptions())
	must(t, err)
	m, err := readAll(s)
	must(t, err)
	for i := from; ; i++ {
		c := fullWork.Call(i, m)
		switch err := c.Do(s); {
		case err == nil:
			c.Apply(m)
			fmt.Println("acknowledged")
		case errors.Is(err, ballast.ErrNoSpace) && len(c.Logs) > 0:
			fmt.Println("refused")
		default:
			t.Fatalf("call %d, %v: %v", i, c, err)
		}
	}
}
