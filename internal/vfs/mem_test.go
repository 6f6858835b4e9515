package vfs

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// letters returns aligned blocks, each filled with one letter.
func letters(blocks string) []byte {
	b := AlignedBytes(len(blocks) * BlockBytes)
	for i := range b {
		b[i] = blocks[i/BlockBytes]
	}
	return b
}

// describe returns the files and what is in them, a letter for each block: '.' for zeros, '~' where the sectors
// differ, '?' where a sector is torn, and the number of bytes where they are not whole blocks.
func describe(m *Mem) string {
	var out []string
	for _, path := range m.Files() {
		data := m.ReadFile(path)
		var s strings.Builder
		for block := range slices.Chunk(data, BlockBytes) {
			c := block[0]
			for sector := range slices.Chunk(block, SectorBytes) {
				if c != '?' && !bytes.Equal(sector, bytes.Repeat(sector[:1], len(sector))) {
					c = '?'
				} else if c != '?' && sector[0] != c {
					c = '~'
				}
			}
			s.WriteByte(c)
		}
		if n := len(data) % BlockBytes; n > 0 {
			fmt.Fprintf(&s, ":%d", n)
		}
		out = append(out, path+"="+strings.ReplaceAll(s.String(), "\x00", "."))
	}
	return strings.Join(out, " ")
}

// script makes calls on a Mem, each of which must return nil.
type script struct {
	t *testing.T
	m *Mem
	f map[string]File // open files by name
}

func newScript(t *testing.T) *script { return &script{t, NewMem(), make(map[string]File)} }

func (s *script) create(name string)          { s.f[name] = create(s.t, s.m, name) }
func (s *script) sync(name string)            { check(s.t, s.f[name].Sync()) }
func (s *script) syncDir()                    { check(s.t, s.m.SyncDir(".")) }
func (s *script) rename(from, to string)      { check(s.t, s.m.Rename(from, to)) }
func (s *script) remove(name string)          { check(s.t, s.m.Remove(name)) }
func (s *script) truncate(name string, n int) { check(s.t, s.f[name].Truncate(int64(n*BlockBytes))) }
func (s *script) write(name string, at int, blocks string) {
	write(s.t, s.f[name], int64(at*BlockBytes), letters(blocks))
}

// durable makes a file that is durable, with a letter for each block.
func (s *script) durable(name, blocks string) {
	s.create(name)
	s.write(name, 0, blocks)
	s.sync(name)
	s.syncDir()
}

// with has the hook return err during do, whose own error must match it.
func (s *script) with(err error, do func() error) {
	s.m.SetHook(func(*Call) error { return err })
	got := do()
	s.m.SetHook(nil)
	if late, ok := errors.AsType[*lateError](err); ok {
		err = late.err
	}
	if !errors.Is(got, err) {
		s.t.Fatalf("got %v, want %v", got, err)
	}
}

func (s *script) cut(do func() error)  { s.with(ErrCrashed, do) }
func (s *script) late(do func() error) { s.with(Late(syscall.EIO), do) }

// crashes is what may be there after a power cut: after do every outcome is one of those of want, and each of them is
// seen.
var crashes = []struct {
	name string
	do   func(s *script)
	want []string
}{
	{"nothing", func(s *script) {}, []string{""}},

	{"a name", func(s *script) { s.create("f") }, []string{"", "f="}},
	{"a durable name", func(s *script) { s.create("f"); s.syncDir() }, []string{"f="}},
	{"the sync of a file does not keep its name", func(s *script) { s.create("f"); s.sync("f") }, []string{"", "f="}},
	{"two names", func(s *script) { s.create("f"); s.create("g") }, []string{"", "f=", "g=", "f= g="}},
	{"a new name", func(s *script) { s.durable("f", "a"); s.rename("f", "g") }, []string{"f=a", "g=a"}},
	{"a durable new name", func(s *script) { s.durable("f", "a"); s.rename("f", "g"); s.syncDir() }, []string{"g=a"}},
	{"two new names", func(s *script) { s.durable("f", "a"); s.rename("f", "g"); s.rename("g", "h") },
		[]string{"f=a", "g=a", "h=a"}},
	{"there and back", func(s *script) { s.durable("f", "a"); s.rename("f", "g"); s.rename("g", "f") },
		[]string{"f=a", "g=a"}},
	{"a name that was never durable, and a new one", func(s *script) { s.create("f"); s.rename("f", "g") },
		[]string{"", "f=", "g="}},
	{"replacing", func(s *script) { s.durable("f", "a"); s.durable("g", "b"); s.rename("f", "g") },
		[]string{"f=a g=b", "g=a"}},
	{"replacing what was not durable", func(s *script) { s.durable("f", "a"); s.create("g"); s.rename("f", "g") },
		[]string{"f=a", "f=a g=", "g=a"}},
	{"removing", func(s *script) { s.durable("f", "a"); s.remove("f") }, []string{"", "f=a"}},
	{"removing durably", func(s *script) { s.durable("f", "a"); s.remove("f"); s.syncDir() }, []string{""}},
	{"removing and creating", func(s *script) { s.durable("f", "a"); s.remove("f"); s.create("f") },
		[]string{"", "f=", "f=a"}},
	{"renaming and creating", func(s *script) { s.durable("f", "a"); s.rename("f", "g"); s.create("f") },
		[]string{"f=a", "g=a", "f= g=a"}},
	{"a folder's sync keeps to that folder", func(s *script) {
		check(s.t, s.m.MkdirAll("d"))
		s.create("d/f")
		s.syncDir()
	}, []string{"", "d/f="}},

	{"a write", func(s *script) { s.durable("f", "aa"); s.write("f", 1, "b") }, []string{"f=ab"}},
	{"a write in space that is durable", func(s *script) {
		s.create("f")
		s.truncate("f", 2)
		s.sync("f")
		s.syncDir()
		s.write("f", 1, "b")
	}, []string{"f=.b"}},
	{"a write beyond the durable size", func(s *script) { s.durable("f", ""); s.write("f", 1, "b") },
		[]string{"f=", "f=.b"}},
	{"two of them", func(s *script) { s.durable("f", ""); s.write("f", 0, "a"); s.write("f", 1, "b") },
		[]string{"f=", "f=a", "f=ab"}},
	{"and the sync", func(s *script) { s.durable("f", ""); s.write("f", 0, "a"); s.write("f", 1, "b"); s.sync("f") },
		[]string{"f=ab"}},
	{"a write over the durable size", func(s *script) { s.durable("f", "aa"); s.write("f", 1, "bb") },
		[]string{"f=ab", "f=abb"}},
	{"growing", func(s *script) { s.durable("f", "a"); s.truncate("f", 2) }, []string{"f=a", "f=a."}},
	{"allocating", func(s *script) { s.durable("f", "a"); check(s.t, s.f["f"].Allocate(0, 2*BlockBytes)) },
		[]string{"f=a", "f=a."}},
	{"allocating what is there", func(s *script) { s.durable("f", "a"); check(s.t, s.f["f"].Allocate(0, BlockBytes)) },
		[]string{"f=a"}},
	{"shrinking", func(s *script) { s.durable("f", "aa"); s.truncate("f", 1) }, []string{"f=aa", "f=a"}},
	{"shrinking durably", func(s *script) { s.durable("f", "aa"); s.truncate("f", 1); s.sync("f") }, []string{"f=a"}},
	{"shrinking and growing", func(s *script) { s.durable("f", "aa"); s.truncate("f", 1); s.truncate("f", 3) },
		[]string{"f=aa", "f=a", "f=a.."}},
	{"shrinking, growing and writing", func(s *script) {
		s.durable("f", "aa")
		s.truncate("f", 0)
		s.truncate("f", 2)
		s.write("f", 1, "b")
	}, []string{"f=ab", "f=", "f=.b"}},
	{"sizes inside a block", func(s *script) {
		s.durable("f", "a")
		check(s.t, s.f["f"].Truncate(100))
		check(s.t, s.f["f"].Truncate(700))
	}, []string{"f=a", "f=a:100", "f=?:700"}},
	{"changes of a file without a name", func(s *script) { s.durable("f", "a"); s.remove("f"); s.write("f", 0, "b") },
		[]string{"", "f=b"}},

	{"cut in a write", func(s *script) {
		s.durable("f", "ac")
		s.cut(func() error { return s.f["f"].WriteBlocks([][]byte{letters("b")}, 0) })
	}, []string{"f=ac", "f=bc", "f=~c"}},
	{"cut in a write beyond the durable size", func(s *script) {
		s.durable("f", "")
		s.cut(func() error { return s.f["f"].WriteBlocks([][]byte{letters("b")}, 0) })
	}, []string{"f=", "f=.", "f=b", "f=~"}},
	{"cut in a sync", func(s *script) {
		s.durable("f", "a")
		s.truncate("f", 0)
		s.cut(s.f["f"].Sync)
	}, []string{"f=", "f=a"}},
	{"cut in a change of the size", func(s *script) {
		s.durable("f", "a")
		s.cut(func() error { return s.f["f"].Truncate(0) })
	}, []string{"f=", "f=a"}},
	{"cut in an allocation", func(s *script) {
		s.durable("f", "a")
		s.cut(func() error { return s.f["f"].Allocate(0, 2*BlockBytes) })
	}, []string{"f=a", "f=a."}},
	{"cut in creating", func(s *script) { s.cut(func() error { _, err := s.m.Create("f"); return err }) }, []string{"", "f="}},
	{"cut in renaming", func(s *script) {
		s.durable("f", "a")
		s.cut(func() error { return s.m.Rename("f", "g") })
	}, []string{"f=a", "g=a"}},
	{"cut in removing", func(s *script) {
		s.durable("f", "a")
		s.cut(func() error { return s.m.Remove("f") })
	}, []string{"", "f=a"}},
	{"cut in the sync of a folder", func(s *script) {
		s.create("f")
		s.cut(func() error { return s.m.SyncDir(".") })
	}, []string{"", "f="}},

	{"a write that failed", func(s *script) {
		s.durable("f", "a")
		s.late(func() error { return s.f["f"].WriteBlocks([][]byte{letters("b")}, 0) })
	}, []string{"f=a", "f=b", "f=~"}},
	{"a write that failed, and a sync", func(s *script) {
		s.durable("f", "a")
		s.late(func() error { return s.f["f"].WriteBlocks([][]byte{letters("bc")}, 0) })
		s.sync("f")
	}, []string{"f=a.", "f=ac", "f=a~", "f=b.", "f=bc", "f=b~", "f=~.", "f=~c", "f=~~"}},
	{"a write that failed, and again", func(s *script) {
		s.durable("f", "a")
		s.late(func() error { return s.f["f"].WriteBlocks([][]byte{letters("b")}, 0) })
		s.write("f", 0, "b")
	}, []string{"f=b"}},
	{"two writes that failed", func(s *script) {
		s.durable("f", "a")
		s.late(func() error { return s.f["f"].WriteBlocks([][]byte{letters("b")}, 0) })
		s.late(func() error { return s.f["f"].WriteBlocks([][]byte{letters("c")}, 0) })
	}, []string{"f=a", "f=b", "f=c", "f=~"}},
	{"a sync that failed", func(s *script) {
		s.durable("f", "")
		s.write("f", 0, "a")
		s.late(s.f["f"].Sync)
	}, []string{"f=", "f=a"}},
}

func TestCrash(t *testing.T) {
	for _, tc := range crashes {
		t.Run(tc.name, func(t *testing.T) {
			s := newScript(t)
			tc.do(s)
			before := describe(s.m)
			got := make(map[string]bool)
			for seed := range uint64(400) {
				c := s.m.Crash(seed)
				got[describe(c)] = true
				if again := describe(s.m.Crash(seed)); again != describe(c) {
					t.Fatalf("seed %d gives %q and then %q", seed, describe(c), again)
				}
				if again := describe(c.Crash(seed + 1)); again != describe(c) {
					t.Fatalf("seed %d: %q, and after another power cut %q", seed, describe(c), again)
				}
				checkUsage(t, c)
				checkGrowth(t, c)
			}
			slices.Sort(tc.want)
			if outcomes := slices.Sorted(maps.Keys(got)); !slices.Equal(outcomes, tc.want) {
				t.Errorf("got  %q\nwant %q", outcomes, tc.want)
			}
			if after := describe(s.m); after != before {
				t.Errorf("it was %q, and is %q after the crashes", before, after)
			}
		})
	}
}

// checkGrowth makes every file longer: nothing that a crash has cut off comes back.
func checkGrowth(t *testing.T, m *Mem) {
	t.Helper()
	for _, path := range m.Files() {
		before := m.ReadFile(path)
		f, err := m.Open(path)
		check(t, err)
		check(t, f.Truncate(int64(len(before)+3*BlockBytes)))
		if after := m.ReadFile(path); !bytes.Equal(after, append(before, make([]byte, 3*BlockBytes)...)) {
			t.Errorf("%s was made longer and is not zeros there", path)
		}
		check(t, f.Close())
	}
}

// The same holds when the call that is cut goes on, and the cut is looked at in a copy.
func TestCut(t *testing.T) {
	s := newScript(t)
	s.durable("f", "a")
	s.durable("g", "b")
	var got []string
	s.m.SetHook(func(c *Call) error {
		before := describe(s.m)
		cut := c.Cut()
		if _, err := cut.List("."); !errors.Is(err, ErrCrashed) {
			t.Errorf("%v: the copy goes on: %v", c.Op, err)
		}
		if describe(s.m) != before {
			t.Errorf("%v: the copy has changed the original", c.Op)
		}
		outcomes := make(map[string]bool)
		for seed := range uint64(200) {
			outcomes[describe(cut.Crash(seed))] = true
		}
		got = append(got, fmt.Sprint(c.Op, " ", c.Path, ": ", strings.Join(slices.Sorted(maps.Keys(outcomes)), ", ")))
		return nil
	})
	s.write("f", 0, "c")
	s.truncate("f", 2)
	s.sync("f")
	check(t, s.f["f"].Allocate(BlockBytes, 2*BlockBytes))
	s.sync("f")
	s.rename("f", "g")
	s.syncDir()
	s.write("g", 0, "x") // has no name any more
	s.remove("g")
	s.syncDir()
	s.create("h")
	want := []string{
		"write f: f=a g=b, f=c g=b, f=~ g=b",
		"truncate f: f=c g=b, f=c. g=b",
		"sync f: f=c g=b, f=c. g=b",
		"allocate f: f=c. g=b, f=c.. g=b",
		"sync f: f=c. g=b, f=c.. g=b",
		"rename f: f=c.. g=b, g=c..",
		"sync folder .: f=c.. g=b, g=c..",
		"write g: g=c..",
		"remove g: , g=c..",
		"sync folder .: , g=c..",
		"create h: , h=",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if got := describe(s.m); got != "h=" {
		t.Errorf("in the end there is %q", got)
	}
}

func TestCutFolder(t *testing.T) {
	m := NewMem()
	check(t, m.MkdirAll("a"))
	m.SetHook(func(*Call) error { return ErrCrashed })
	if err := m.MkdirAll("a/b/c"); !errors.Is(err, ErrCrashed) {
		t.Fatal(err)
	}
	got := make(map[string]bool)
	for seed := range uint64(100) {
		c := m.Clone().Crash(seed)
		deepest := "a"
		for _, dir := range []string{"a/b", "a/b/c"} {
			if _, err := c.List(dir); err == nil {
				if filepath.ToSlash(filepath.Dir(dir)) != deepest {
					t.Errorf("%s is there without the folder that it is in", dir)
				}
				deepest = dir
			}
		}
		got[deepest] = true
		check(t, c.MkdirAll("a/b/c"))
		if list(t, c.Crash(seed), "a/b")[0] != "c" {
			t.Fatal("a folder is lost after it was made again")
		}
	}
	if !maps.Equal(got, map[string]bool{"a": true, "a/b": true, "a/b/c": true}) {
		t.Errorf("got %v", got)
	}
}

// Once the power is cut nothing works any more, and a copy after the crash has neither the hook nor the locks.
func TestCrashed(t *testing.T) {
	s := newScript(t)
	s.durable("f", "a")
	lock, err := s.m.Lock("LOCK")
	check(t, err)
	s.cut(s.f["f"].Sync)

	f := s.f["f"]
	_, createErr := s.m.Create("g")
	_, openErr := s.m.Open("f")
	_, openReadErr := s.m.OpenRead("f")
	_, listErr := s.m.List(".")
	_, lockErr := s.m.Lock("LOCK2")
	_, readErr := f.ReadAt(make([]byte, 1), 0)
	_, sizeErr := f.Size()
	for name, err := range map[string]error{
		"MkdirAll": s.m.MkdirAll("d"), "List": listErr, "Create": createErr, "Open": openErr, "OpenRead": openReadErr,
		"Rename": s.m.Rename("f", "g"), "Remove": s.m.Remove("f"), "SyncDir": s.m.SyncDir("."), "Lock": lockErr,
		"ReadAt": readErr, "WriteBlocks": f.WriteBlocks(nil, 0), "Allocate": f.Allocate(0, 1), "Truncate": f.Truncate(0),
		"Sync": f.Sync(), "Size": sizeErr, "Close": f.Close(),
	} {
		if _, ok := errors.AsType[*fs.PathError](err); !errors.Is(err, ErrCrashed) || !ok {
			t.Errorf("%s: %v", name, err)
		}
	}
	s.m.SetHook(func(*Call) error { panic("of another file system") })
	c := s.m.Crash(0)
	again, err := c.Lock("LOCK")
	check(t, err)
	check(t, lock.Close())
	if _, err := c.Lock("LOCK"); !errors.Is(err, ErrLocked) {
		t.Errorf("the lock of the other file system let go of this one's: %v", err)
	}
	check(t, again.Close())
	check(t, c.Remove("f"))
	if describe(s.m) != "LOCK= f=a" {
		t.Errorf("what was done after the crash is seen before it: %q", describe(s.m))
	}
}

func TestFail(t *testing.T) {
	s := newScript(t)
	s.durable("f", "a")
	s.m.Fail(syscall.EIO)
	if err := s.f["f"].Sync(); !errors.Is(err, syscall.EIO) {
		t.Error(err)
	}
	if _, err := s.m.Open("f"); !errors.Is(err, syscall.EIO) {
		t.Error(err)
	}
	s.m.Fail(nil)
	s.sync("f")
}

func TestHook(t *testing.T) {
	s := newScript(t)
	s.durable("f", "aaa")
	var got []Call
	cause := errors.New("cause")
	s.m.SetHook(func(c *Call) error {
		got = append(got, Call{Op: c.Op, Path: c.Path, To: c.To, Off: c.Off, Len: c.Len})
		return cause
	})
	f := s.f["f"]
	createG := func() error { _, err := s.m.Create("g"); return err }
	errs := []error{
		s.m.MkdirAll("d"), createG(), s.m.Rename("f", "g"), s.m.Remove("f"), s.m.SyncDir("."),
		f.WriteBlocks([][]byte{letters("b"), letters("cc")}, BlockBytes), f.Allocate(100, 200), f.Truncate(300), f.Sync(),
	}
	for i, err := range errs {
		if pathErr, ok := errors.AsType[*fs.PathError](err); !ok || !errors.Is(err, cause) || pathErr.Op != got[i].Op.String() {
			t.Errorf("call %d: %v", i, err)
		}
	}
	want := []Call{
		{Op: OpMkdirAll, Path: "d"}, {Op: OpCreate, Path: "g"}, {Op: OpRename, Path: "f", To: "g"}, {Op: OpRemove, Path: "f"},
		{Op: OpSyncDir, Path: "."}, {Op: OpWrite, Path: "f", Off: BlockBytes, Len: 3 * BlockBytes},
		{Op: OpAllocate, Path: "f", Off: 100, Len: 200}, {Op: OpTruncate, Path: "f", Off: 300}, {Op: OpSync, Path: "f"},
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	if describe(s.m) != "f=aaa" || len(list(t, s.m, ".")) != 1 {
		t.Errorf("what failed was done: %q", describe(s.m))
	}
	if _, err := s.m.Open("f"); err != nil {
		t.Errorf("opening changes nothing and does not go through the hook: %v", err)
	}
}

// A call that fails late was made, and nothing stays open.
func TestHookLate(t *testing.T) {
	s := newScript(t)
	s.late(func() error { _, err := s.m.Create("f"); return err })
	f, err := s.m.Open("f")
	check(t, err)
	s.late(func() error { return f.WriteBlocks([][]byte{letters("a")}, 0) })
	if got := describe(s.m); got != "f=a" {
		t.Errorf("there is %q", got)
	}
	s.late(func() error { return s.m.Remove("f") })
	check(t, f.Close())
	if n := s.m.Usage(); n != 0 {
		t.Errorf("%d bytes are still in use", n)
	}
	s.m.SetHook(func(*Call) error { return Late(syscall.EIO) })
	if err := s.m.Remove("f"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a call that fails by itself: %v", err)
	}
}

// checkUsage compares the count that is kept with what is there.
func checkUsage(t *testing.T, m *Mem) {
	t.Helper()
	want := int64(0)
	for _, path := range m.Files() {
		n, err := m.lookup(path)
		check(t, err)
		blocks := int64(0)
		for _, k := range n.now.chunks {
			blocks += k.blocks()
		}
		if blocks != n.now.blocks {
			t.Errorf("%s has %d blocks and counts %d", path, blocks, n.now.blocks)
		}
		want += blocks * BlockBytes
	}
	if got := m.Usage(); got != want {
		t.Errorf("Usage = %d, want %d", got, want)
	}
}

func TestUsage(t *testing.T) {
	s := newScript(t)
	usage := func(blocks int64) {
		t.Helper()
		if got := s.m.Usage(); got != blocks*BlockBytes {
			t.Errorf("Usage = %d, want %d blocks", got, blocks)
		}
		checkUsage(t, s.m.Clone())
	}
	s.create("f")
	s.truncate("f", 100_000)
	usage(0)
	s.write("f", 1000, "ab")
	s.write("f", 1001, "cd")
	usage(3)
	s.write("f", 50_000, "\x00")
	usage(4)
	check(t, s.f["f"].Allocate(1000*BlockBytes-1, 500*BlockBytes))
	usage(502)
	check(t, s.f["f"].Allocate(1000*BlockBytes-1, 500*BlockBytes))
	usage(502)
	s.truncate("f", 1100)
	usage(101)
	check(t, s.f["f"].Truncate(1000*BlockBytes+1))
	usage(2)
	s.truncate("f", 2000)
	usage(2)
	s.create("g")
	s.write("g", 0, "abc")
	usage(5)
	s.rename("f", "g")
	usage(5)
	check(t, s.f["g"].Close()) // which has no name any more
	usage(2)
	s.remove("g")
	s.write("f", 0, "a")
	if got := s.m.Usage(); got != 3*BlockBytes {
		t.Errorf("an open file without a name takes %d bytes", got)
	}
	check(t, s.f["f"].Close())
	usage(0)
}

func TestCapacity(t *testing.T) {
	s := newScript(t)
	s.durable("f", "aa")
	s.m.SetCapacity(4 * BlockBytes)
	for range 2 {
		s.write("f", 0, "bb")
		s.write("f", 8, "cd")
		for name, err := range map[string]error{
			"WriteBlocks": s.f["f"].WriteBlocks([][]byte{letters("xyz")}, 7*BlockBytes),
			"Allocate":    s.f["f"].Allocate(0, 3*BlockBytes),
		} {
			if !IsNoSpace(err) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if got := describe(s.m); got != "f=bb......cd" {
			t.Errorf("after errors there is %q", got)
		}
		check(t, s.f["f"].Allocate(8*BlockBytes, 2*BlockBytes))
		s.truncate("f", 3_000)
		s.truncate("f", 2)
	}
	check(t, s.f["f"].Allocate(0, 4*BlockBytes))
	s.create("g") // takes no space
	c := s.m.Crash(1)
	if g, err := c.Create("h"); err != nil || !IsNoSpace(g.Allocate(0, 1<<20)) {
		t.Error("there is no limit after a crash:", err)
	}
	s.m.SetCapacity(0)
	check(t, s.f["f"].Allocate(0, 1<<30))
}

func TestMemHelpers(t *testing.T) {
	m := NewMem()
	path := filepath.Join("d", "e", "f")
	data := pattern(3*BlockBytes+100, 1)
	m.WriteFile(path, data)
	check(t, m.Remove(path))
	m.WriteFile(path, data)
	data[0]++ // is the caller's
	want := pattern(3*BlockBytes+100, 1)
	if got := m.Crash(1).ReadFile(path); !bytes.Equal(got, want) {
		t.Errorf("what is durable has %d bytes", len(got))
	}
	f, err := m.Open(path)
	check(t, err)
	check(t, f.Truncate(10*BlockBytes))
	m.Flip(path, 4097, 0x41)
	m.Flip(path, 8*BlockBytes+1, 1) // in a hole
	want = append(want, make([]byte, 7*BlockBytes-100)...)
	want[4097] ^= 0x41
	want[8*BlockBytes+1] = 1
	for seed := range uint64(10) {
		if !bytes.Equal(m.Crash(seed).ReadFile(path), want) {
			t.Fatal("flipping a bit made something else")
		}
	}
	checkUsage(t, m)
	m.WriteFile(path, nil)
	if got := m.ReadFile(path); got == nil || len(got) != 0 || !slices.Equal(m.Files(), []string{path}) {
		t.Errorf("there is %q with %d bytes", m.Files(), len(got))
	}
	if m.ReadFile("missing") != nil || m.ReadFile("d") != nil {
		t.Error("read what is no file")
	}
}

// Neither of a file system and its clone sees what happens to the other.
func TestClone(t *testing.T) {
	s := newScript(t)
	s.durable("f", "abc")
	s.write("f", 3, "d")
	s.create("g")
	for range 4 {
		s.write("f", 2, "c")
	}
	c := s.m.Clone()
	s.write("f", 0, "x")
	s.remove("g")
	f, err := c.Open("f")
	check(t, err)
	write(t, f, BlockBytes, letters("y"))
	check(t, c.Rename("f", "h"))
	if got := describe(s.m); got != "f=xbcd" {
		t.Errorf("the original is %q", got)
	}
	if got := describe(c); got != "g= h=aycd" {
		t.Errorf("the clone is %q", got)
	}
	got := make(map[string]bool)
	for seed := range uint64(200) {
		got[describe(c.Crash(seed))] = true
		if s := describe(s.m.Crash(seed)); s != "f=xbc" && s != "f=xbcd" && s != "f=xbc g=" && s != "f=xbcd g=" {
			t.Errorf("a crash of the original gives %q", s)
		}
	}
	want := []string{"f=ayc", "f=ayc g=", "f=aycd", "f=aycd g=", "g= h=ayc", "g= h=aycd", "h=ayc", "h=aycd"}
	if outcomes := slices.Sorted(maps.Keys(got)); !slices.Equal(outcomes, want) {
		t.Errorf("crashes of the clone give\n%q, want\n%q", outcomes, want)
	}
}

// Holes and zeros cost nothing, however large the file is.
func TestSparse(t *testing.T) {
	m := NewMem()
	f := create(t, m, "f")
	check(t, f.Allocate(0, 64<<20))
	if n := m.Usage(); n != 64<<20 {
		t.Errorf("allocated %d bytes", n)
	}
	write(t, f, 32<<20, letters("a"))
	n, err := m.lookup("f")
	check(t, err)
	own := 0
	for _, k := range n.now.chunks {
		if k != zeroChunk {
			own++
		}
	}
	if own != 1 || n.now.page(0) != &zeroPage {
		t.Errorf("%d chunks of the table are the file's own", own)
	}
}

func BenchmarkCrash(b *testing.B) {
	m := NewMem()
	for i := range 8 {
		f, err := m.Create(fmt.Sprint("segment-", i))
		if err != nil {
			b.Fatal(err)
		}
		if err := errors.Join(f.Allocate(0, 64<<20), f.WriteBlocks([][]byte{pattern(1<<20, 1)}, 0), f.Sync()); err != nil {
			b.Fatal(err)
		}
	}
	if err := m.SyncDir("."); err != nil {
		b.Fatal(err)
	}
	var cut *Mem
	m.SetHook(func(c *Call) error { cut = c.Cut(); return nil })
	f, err := m.Open("segment-7")
	if err != nil {
		b.Fatal(err)
	}
	block := [][]byte{pattern(BlockBytes, 2)}
	for b.Loop() {
		if err := f.WriteBlocks(block, 1<<20); err != nil {
			b.Fatal(err)
		}
		after := cut.Crash(1)
		g, err := after.Open("segment-7")
		if err != nil {
			b.Fatal(err)
		}
		if err := g.WriteBlocks(block, 2<<20); err != nil {
			b.Fatal(err)
		}
	}
}
