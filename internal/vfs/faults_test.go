package vfs

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"syscall"
	"testing"
)

// everything makes each call once and returns their errors by the operation. The file f is there, and so is its
// content.
func everything(fsys FS) map[Op]error {
	errs := make(map[Op]error)
	opened := func(op Op, err error) bool {
		errs[op] = err
		return err == nil
	}
	closed := func(err error) { errs[OpClose] = errors.Join(errs[OpClose], err) }

	errs[OpMkdirAll] = fsys.MkdirAll("d")
	_, errs[OpList] = fsys.List(".")
	if f, err := fsys.Create("g"); opened(OpCreate, err) {
		closed(f.Close())
	}
	if f, err := fsys.OpenRead("f"); opened(OpOpenRead, err) {
		closed(f.Close())
	}
	if lock, err := fsys.Lock("LOCK"); opened(OpLock, err) {
		closed(lock.Close())
	}
	if d, err := fsys.Hold("."); opened(OpHold, err) {
		closed(d.Close())
	}
	if f, err := fsys.Open("f"); opened(OpOpen, err) {
		_, errs[OpRead] = f.ReadAt(make([]byte, 1), 0)
		errs[OpWrite] = f.WriteBlocks([][]byte{letters("b")}, 0)
		errs[OpAllocate] = f.Allocate(0, 2*BlockBytes)
		errs[OpTruncate] = f.Truncate(3 * BlockBytes)
		errs[OpSync] = f.Sync()
		_, errs[OpSize] = f.Size()
		closed(f.Close())
	}
	errs[OpRename] = fsys.Rename("f", "h")
	errs[OpRemove] = fsys.Remove("h")
	errs[OpSyncDir] = fsys.SyncDir(".")
	return errs
}

// failing makes every operation fail in turn, and hands over what there is afterwards.
func failing(t *testing.T, with error, then func(op Op, err error, m *Mem)) {
	t.Helper()
	for op := range Op(len(opNames)) {
		m := NewMem()
		m.WriteFile("f", letters("a"))
		faults := NewFaults(m)
		var failed []string
		faults.SetRule(func(o Op, path string, n int) error {
			if o != op || len(failed) > 0 {
				return nil
			}
			failed = append(failed, path)
			return with
		})
		errs := everything(faults)
		if pathErr, ok := errors.AsType[*fs.PathError](errs[op]); len(failed) != 1 || !ok || pathErr.Path != failed[0] {
			t.Errorf("%v: failed for the paths %q with %v", op, failed, errs[op])
		}
		then(op, errs[op], m)
	}
}

func TestFaults(t *testing.T) {
	failing(t, syscall.EIO, func(op Op, err error, m *Mem) {
		if !errors.Is(err, syscall.EIO) {
			t.Errorf("%v: %v", op, err)
		}
		done := map[Op]bool{
			OpCreate:   m.ReadFile("g") != nil,
			OpLock:     m.ReadFile("LOCK") != nil,
			OpMkdirAll: m.dirs["d"] != nil,
			OpRename:   m.ReadFile("f") == nil,
			OpRemove:   m.ReadFile("h") == nil && m.ReadFile("f") == nil,
			OpSyncDir:  len(m.dirs["."].pending) == 0,
		}
		if done[op] {
			t.Errorf("%v was made", op)
		}
	})
}

// What fails late was made, and what it opened is closed again.
func TestLate(t *testing.T) {
	failing(t, Late(syscall.EIO), func(op Op, err error, m *Mem) {
		if got := describe(m); !errors.Is(err, syscall.EIO) || got != "LOCK= g=" {
			t.Errorf("%v: %v, and there is %q", op, err, got)
		}
		if len(m.locks) > 0 || m.Usage() != 0 {
			t.Errorf("%v: something is still open", op)
		}
	})
	faults := NewFaults(NewMem())
	faults.SetRule(func(Op, string, int) error { return Late(syscall.EIO) })
	if err := faults.Remove("missing"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a call that fails by itself: %v", err)
	}
}

func TestShort(t *testing.T) {
	failing(t, Short(syscall.ENOSPC), func(op Op, err error, m *Mem) {
		if !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("%v: %v", op, err)
		}
	})
	for _, tc := range []struct {
		bufs []string
		want string
	}{
		{[]string{"a"}, ""},
		{[]string{"ab"}, "a"},
		{[]string{"abcde"}, "ab"},
		{[]string{"a", "", "bcd", "efgh"}, "abcd"},
		{[]string{"", "a", "b", "c"}, "a"},
	} {
		m := NewMem()
		faults := NewFaults(m)
		f := create(t, faults, "f")
		faults.SetRule(func(Op, string, int) error { return Short(syscall.ENOSPC) })
		var bufs [][]byte
		for _, b := range tc.bufs {
			bufs = append(bufs, letters(b))
		}
		if err := f.WriteBlocks(bufs, 0); !IsNoSpace(err) {
			t.Errorf("%q: %v", tc.bufs, err)
		}
		if got := m.ReadFile("f"); !bytes.Equal(got, letters(tc.want)) {
			t.Errorf("%q: %d bytes were written, want %q", tc.bufs, len(got), tc.want)
		}
	}
}

// Every call counts, and the rule is told the number.
func TestCount(t *testing.T) {
	m := NewMem()
	m.WriteFile("f", letters("a"))
	faults := NewFaults(m)
	var got []string
	faults.SetRule(func(op Op, path string, n int) error {
		got = append(got, fmt.Sprint(n, " ", op, " ", path))
		return nil
	})
	for op, err := range everything(faults) {
		if err != nil {
			t.Errorf("%v: %v", op, err)
		}
	}
	want := []string{
		"1 mkdir d", "2 list .", "3 create g", "4 close g", "5 open for reading f", "6 close f",
		"7 lock LOCK", "8 hold .", "9 open f", "10 read f", "11 write f", "12 allocate f",
		"13 truncate f", "14 sync f", "15 size f", "16 close f",
		"17 rename f", "18 remove h", "19 sync folder .",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	faults.SetRule(nil)
	check(t, faults.SyncDir("."))
	if n := faults.Count(); n != 20 {
		t.Errorf("Count = %d", n)
	}
}
