package wal

import (
	"errors"
	"io/fs"
	"testing"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/oracle"
	"github.com/raft-ballast/ballast/internal/vfs"
)

// usage returns what all files of the log take.
func usage(t *testing.T, mem *vfs.Mem) (bytes int64) {
	t.Helper()
	names, err := mem.List(dataDir)
	must(t, err)
	for _, name := range names {
		n, err := mem.DiskUsage(dataDir + "/" + name)
		must(t, err)
		bytes += n
	}
	return bytes
}

// aLife gives a log entries in several segments, some of which are deleted, and stable values.
func aLife(t *testing.T, mem *vfs.Mem) *testLog {
	l := newTestLog(t, mem, 1)
	l.set("CurrentTerm", "12345678")
	for range 3 {
		l.rotate()
	}
	l.fill(5, 2<<10)
	l.remove(1, l.model.Last()-20)
	return l
}

// TestCompact gives space back, and the log is the same before and after, however it was left.
func TestCompact(t *testing.T) {
	for name, leave := range map[string]func(*testLog){"closed": (*testLog).close, "cut off": (*testLog).abandon} {
		t.Run(name, func(t *testing.T) {
			mem := vfs.NewMem()
			l := aLife(t, mem)
			leave(l)
			before := usage(t, mem)
			must(t, Compact(dataDir, memOptions(mem)))
			after := usage(t, mem)
			seg := l.j.tail
			if limit := roundUp(seg.end, blockBytes) + 64<<10; after >= before || after > limit {
				t.Errorf("it takes %d bytes, %d before, and the last frame ends at %d", after, before, seg.end)
			}
			must(t, Compact(dataDir, memOptions(mem)))
			if again := usage(t, mem); again != after {
				t.Errorf("a second time changes what it takes from %d to %d bytes", after, again)
			}
			l.open()
			l.check()
			l.rotate()
			l.close()
			checkReopened(t, l.model, mem)
		})
	}
}

// TestCompactCrash cuts the power in every call to the file system.
func TestCompactCrash(t *testing.T) {
	for name, leave := range map[string]func(*testLog){"closed": (*testLog).close, "cut off": (*testLog).abandon} {
		t.Run(name, func(t *testing.T) {
			mem := vfs.NewMem()
			l := aLife(t, mem)
			leave(l)
			cuts := 0
			mem.SetHook(func(call *vfs.Call) error {
				cut := call.Cut()
				for range 4 {
					cuts++
					disk := cut.Crash(uint64(cuts))
					if cuts%2 == 0 { // once more before it is opened
						if err := Compact(dataDir, memOptions(disk)); err != nil {
							t.Errorf("power cut %d (%v of %s): %v", cuts, call.Op, call.Path, err)
						}
					}
					s := openMem(t, disk)
					if _, err := oracle.Find(checkedStore{s}, l.model); err != nil {
						t.Errorf("power cut %d (%v of %s): %v", cuts, call.Op, call.Path, err)
					}
					must(t, s.Close())
				}
				return nil
			})
			must(t, Compact(dataDir, memOptions(mem)))
			mem.SetHook(nil)
			if cuts < 20 {
				t.Errorf("only %d power cuts", cuts)
			}
		})
	}
}

// TestCompactFails: when a call fails, the log is what it was and not locked.
func TestCompactFails(t *testing.T) {
	for n := 1; ; n++ {
		mem := vfs.NewMem()
		l := aLife(t, mem)
		l.close()
		calls, failed := 0, errors.New("no")
		mem.SetHook(func(call *vfs.Call) error {
			if calls++; calls == n {
				return failed
			}
			return nil
		})
		err := Compact(dataDir, memOptions(mem))
		mem.SetHook(nil)
		if calls < n {
			must(t, err)
			return
		}
		if !errors.Is(err, failed) {
			t.Errorf("call %d fails, and Compact returns %v", n, err)
		}
		l.open()
		l.check()
		l.close()
	}
}

func TestCompactRefuses(t *testing.T) {
	mem := vfs.NewMem()
	if err := Compact(dataDir, memOptions(mem)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a folder: %v", err)
	}
	must(t, mem.MkdirAll(dataDir))
	if err := Compact(dataDir, memOptions(mem)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a log: %v", err)
	}
	if names, err := mem.List(dataDir); err != nil || len(names) > 0 {
		t.Errorf("it has made %v, %v", names, err)
	}
	newTestLog(t, mem, 1)
	if err := Compact(dataDir, memOptions(mem)); !errors.Is(err, ballast.ErrLocked) {
		t.Errorf("of a log in use: %v", err)
	}
}
