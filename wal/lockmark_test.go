package wal

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"testing"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/engine"
	"github.com/raft-ballast/ballast/internal/oracle"
	"github.com/raft-ballast/ballast/internal/vfs"
)

var lockPath = filepath.Join(dataDir, engine.LockName)

// aLog returns a log that was closed, with entries in two segments and the next one prepared.
func aLog(t *testing.T) (*vfs.Mem, *model) {
	t.Helper()
	mem := vfs.NewMem()
	l := newTestLog(t, mem, 1)
	l.rotate()
	l.close()
	return mem, l.model
}

// TestSegmentsGone: a folder in which there was a log and of which LOCK, or LOCK and what holds
// nothing, is left, is no new log: it is refused for writing and reading, untouched, whoever asks.
func TestSegmentsGone(t *testing.T) {
	for _, left := range [][]string{
		{}, {nextName}, {"0000000000000001.wal"}, {"0000000000000003.wal"}, {"0001000000000001.wal"}, {"notes.txt"},
	} {
		mem, _ := aLog(t)
		for _, path := range mem.Files() {
			if path != lockPath {
				must(t, mem.Remove(path))
			}
		}
		for _, name := range left {
			path := filepath.Join(dataDir, name)
			if number, ok := segmentNumber(name); ok { // prepared, and without a frame
				file := make([]byte, minSegmentBytes)
				putHeader(file, header{number: number, identity: 1, size: minSegmentBytes})
				mem.WriteFile(path, file)
				continue
			}
			mem.WriteFile(path, []byte("x"))
		}
		before := mem.Files()
		opts := memOptions(mem)
		for name, open := range map[string]func() error{
			"Open":               func() error { _, err := Open(dataDir, opts); return err },
			"OpenGroups":         func() error { _, err := OpenGroups(dataDir, opts); return err },
			"OpenReadOnly":       func() error { _, err := OpenReadOnly(dataDir, opts); return err },
			"OpenGroupsReadOnly": func() error { _, err := OpenGroupsReadOnly(dataDir, opts); return err },
			"Compact":            func() error { return Compact(dataDir, opts) },
			"Salvage":            func() error { _, err := Salvage(dataDir, opts); return err },
			"Backup": func() error {
				_, err := Backup(context.Background(), dataDir, "/backup", &BackupOptions{fs: mem})
				return err
			},
		} {
			err := open()
			if !errors.Is(err, ballast.ErrCorrupt) && !(name == "Salvage" && errors.Is(err, fs.ErrNotExist) && len(left) > 0) {
				t.Errorf("LOCK and %q left: %s: %v", left, name, err)
			}
			if files := mem.Files(); !slices.Equal(files, before) {
				t.Fatalf("LOCK and %q left: %s has left %q of %q", left, name, files, before)
			}
		}
	}
}

// TestLockOfAnotherKind: a LOCK that is empty, or that somebody else wrote, says nothing.
func TestLockOfAnotherKind(t *testing.T) {
	for _, content := range []string{"", "12", "12345\n"} {
		mem := vfs.NewMem()
		mem.WriteFile(lockPath, []byte(content))
		l := newTestLog(t, mem, 1)
		l.fill(1, 10)
		l.close()
		if !wasLog(t, mem) {
			t.Errorf("LOCK held %q, and is not marked", content)
		}
		checkReopened(t, l.model, mem)
	}
}

// TestLockOfAnOlderRelease: a log that a release before has made gets its mark when it is opened.
func TestLockOfAnOlderRelease(t *testing.T) {
	mem, m := aLog(t)
	mem.WriteFile(lockPath, nil)
	checkReopened(t, m, mem)
	if !wasLog(t, mem) {
		t.Error("LOCK is not marked")
	}
}

// TestFirstOpeningCutOff cuts the power, or kills, at each call of the first opening, and again at
// each of the one behind it: there is always a log, or none, and it opens without help. No LOCK
// says that there was a log before its first segment is durable.
func TestFirstOpeningCutOff(t *testing.T) {
	opens := func(mem *vfs.Mem) {
		t.Helper()
		s, err := Open(dataDir, memOptions(mem))
		must(t, err)
		_, err = oracle.Find(checkedStore{s}, oracle.NewModel())
		must(t, err)
		must(t, s.Close())
	}
	cuts := 0
	first := func(mem *vfs.Mem, each func(*vfs.Mem)) {
		mem.SetHook(func(c *vfs.Call) error {
			each(mem.Clone())
			for seed := range uint64(2) {
				each(c.Cut().Crash(seed))
			}
			return nil
		})
		s, err := Open(dataDir, memOptions(mem))
		must(t, err)
		mem.SetHook(nil)
		must(t, s.Close())
	}
	first(vfs.NewMem(), func(after *vfs.Mem) {
		cuts++
		opens(after.Clone())
		if cuts%20 == 0 {
			first(after, func(again *vfs.Mem) {
				cuts++
				opens(again)
			})
		}
	})
	t.Logf("%d cuts and kills", cuts)
}

// TestMarkFails: without the mark the log is what it is.
func TestMarkFails(t *testing.T) {
	mem := vfs.NewMem()
	mem.SetHook(func(c *vfs.Call) error {
		if c.Path == lockPath {
			return fs.ErrPermission
		}
		return nil
	})
	l := newTestLog(t, mem, 1)
	l.fill(1, 10)
	l.close()
	mem.SetHook(nil)
	checkReopened(t, l.model, mem)
	if !wasLog(t, mem) {
		t.Error("the next opening has not tried it again")
	}
}

func wasLog(t *testing.T, mem *vfs.Mem) bool {
	t.Helper()
	was, err := engine.WasLog(mem, dataDir)
	if err != nil {
		t.Fatal(err)
	}
	return was
}
