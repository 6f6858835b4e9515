package wal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/boltstore"
	"github.com/raft-ballast/ballast/internal/engine"
	"github.com/raft-ballast/ballast/internal/oracle"
	"github.com/raft-ballast/ballast/internal/vfs"
	"github.com/raft-ballast/ballast/memstore"
)

// largestThatFits returns the largest Data of an entry that does not make the tail full.
func largestThatFits(s *Store) int {
	w := &s.j.writer
	n := 0
	for step := 1 << 20; step > 0; step /= 2 {
		size := frameHeaderBytes + recordHeaderBytes + padded(recordHeaderBytes+int64(n+step))
		if w.fits(frameStart(w.seg.end)+size, 1) {
			n += step
		}
	}
	return n
}

// A log that is closed right after the append that fills a segment, to the byte or not quite, is opened and
// appended to again.
func TestClosedAtTheEndOfASegment(t *testing.T) {
	full := newTestLog(t, vfs.NewMem(), 1)
	for largestThatFits(full.Store) > 100<<10 {
		full.fill(1, 50<<10)
	}
	full.close()
	rotations := make(map[bool]int)
	for delta := -17; delta <= 24; delta++ {
		mem := full.fs.(*vfs.Mem).Clone()
		l := newTestLog(t, mem, 2)
		l.model = full.model.Clone()
		tail := l.j.tail.number
		logs := []*raft.Log{oracle.EntryOf(l.model.Last()+1, oracle.Bytes(l.rng, largestThatFits(l.Store)+delta))}
		must(t, l.StoreLogs(logs))
		l.model.Put(logs, 0)
		rotated := l.j.tail.number != tail
		rotations[rotated]++
		for i := range 3 {
			l.close()
			l.open()
			l.check()
			switch i {
			case 0:
				l.fill(1, 10)
			case 1:
				l.set("key", fmt.Sprint(delta))
			}
		}
		if want := delta > 0; rotated != want && (delta <= 0 || delta >= 8) {
			t.Errorf("an entry %d bytes above what fits: rotated %v", delta, rotated)
		}
	}
	t.Logf("rotations by the last append before closing: %v", rotations)
}

// A log that is closed after every append, over several segments.
func TestClosedAfterEachAppend(t *testing.T) {
	for size, openings := range map[int]int{300: 60, 30 << 10: 100, 400 << 10: 20} {
		l := newTestLog(t, vfs.NewMem(), uint64(size))
		for i := range openings {
			l.fill(1+i%3, size/(1+i%2))
			l.close()
			l.open()
			if i%10 == 9 {
				l.check()
				l.remove(1, l.model.Last()/2)
			}
		}
		t.Logf("entries of up to %d bytes: %d openings, %d segments", size, openings, l.j.tail.number)
	}
}

// A tail that is full is closed again and again, with and without a small write in between.
func TestClosedWhileFull(t *testing.T) {
	l := newTestLog(t, vfs.NewMem(), 3)
	for largestThatFits(l.Store) > 2<<10 {
		l.fill(1, min(40<<10, largestThatFits(l.Store)/2))
	}
	for i := range 40 {
		l.close()
		l.open()
		l.check()
		switch i % 4 {
		case 0:
			l.set(fmt.Sprint("key ", i), strings.Repeat("x", 100*i))
		case 1:
			l.remove(l.model.Last(), l.model.Last())
		case 2:
			l.fill(1, 10)
		}
	}
}

// A segment that holds the index of an earlier closing is full now, and its own index could not be written. Its entries are found all the
// same, also those that the earlier index does not know.
func TestIndexOfAnEarlierClosing(t *testing.T) {
	mem := vfs.NewMem()
	l := newTestLog(t, mem, 10)
	l.fill(10, 100)
	l.close()
	l.open()
	l.fill(1, 10)
	first := l.j.tail
	mem.SetHook(func(c *vfs.Call) error {
		if c.Op == vfs.OpWrite && c.Off == markerOffset {
			return syscall.EIO
		}
		return nil
	})
	l.rotate()
	l.fill(5, 10)
	l.abandon()
	mem.SetHook(nil)
	r, err := OpenReadOnly(dataDir, memOptions(mem))
	must(t, err)
	must(t, check(l.model, r))
	must(t, r.Close())
	for range 2 {
		l.open()
		l.check()
		l.close()
	}
	if l.j.tail.number == first.number {
		t.Error("the log has not left its first segment")
	}
}

// Every setting may change from one opening to the next.
func TestReopenedWithOtherSettings(t *testing.T) {
	dir, rng, m := t.TempDir(), oracle.Random(4), oracle.NewModel()
	for i, o := range []Options{
		{},
		{Compression: S2, SegmentBytes: 1 << 20, CacheBytes: 1 << 20},
		{Compression: Zstd, SegmentBytes: 8 << 20, MaxOpenFiles: 1},
		{MaxEntryBytes: 1000, SegmentBytes: 2 << 20, CacheBytes: 1},
		{Compression: S2, MaxEntryBytes: 2000, SegmentBytes: 1, MaxOpenFiles: 2},
		{Compression: Zstd, CacheBytes: 64 << 20},
		{SegmentBytes: 1 << 20, MaxOpenFiles: 1000},
	} {
		s, err := Open(dir, &o)
		must(t, err)
		if err := check(m, s); err != nil {
			t.Fatalf("opening %d with %+v: %v", i, o, err)
		}
		if limit := o.MaxEntryBytes; limit > 0 {
			large := oracle.EntryOf(m.Last()+1, make([]byte, limit+1))
			if err := s.StoreLog(large); !errors.Is(err, ballast.ErrEntryTooLarge) {
				t.Errorf("an entry of %d bytes: %v", limit+1, err)
			}
		}
		for j, size := range []int{0, 10, 63, 64, 300, 900, 20 << 10, 300 << 10, 300 << 10, 300 << 10, 900 << 10} {
			if o.MaxEntryBytes > 0 && size > o.MaxEntryBytes-20 {
				continue
			}
			logs := oracle.Entries(rng, m.Last()+1, 3, size)
			must(t, s.StoreLogs(logs))
			m.Put(logs, 0)
			key := fmt.Sprint("key ", j)
			m.Stable[key] = oracle.Bytes(rng, 300)
			must(t, s.Set([]byte(key), m.Stable[key]))
		}
		if err := check(m, s); err != nil {
			t.Fatalf("written with %+v: %v", o, err)
		}
		must(t, s.Close())
	}
}

// recordOf returns the record of an entry as it is stored.
func recordOf(t *testing.T, s *Store, index uint64) record {
	t.Helper()
	r := s.g.find(index)
	off := r.offset(index - r.first)
	b := make([]byte, recordHeaderBytes)
	must(t, s.j.gather(r.seg, off, b))
	b = make([]byte, recordLength(b))
	must(t, s.j.gather(r.seg, off, b))
	rec, err := parseRecord(b, r.seg.seed, off)
	must(t, err)
	return rec
}

// Data is compressed where that saves space, and only there.
func TestCompressedWhereItSavesSpace(t *testing.T) {
	noise := make([]byte, 5000)
	for i, rng := 0, oracle.Random(5); i < len(noise); i++ {
		noise[i] = byte(rng.Uint32())
	}
	text := bytes.Repeat([]byte("ballast "), 600)
	for _, c := range []struct {
		mode Compression
		flag byte
	}{{None, 0}, {S2, flagS2}, {Zstd, flagZstd}} {
		for _, e := range []struct {
			name       string
			data       []byte
			compresses bool
		}{
			{"nil", nil, false},
			{"empty", []byte{}, false},
			{"too short to try", text[:minCompressBytes-1], false},
			{"short", text[:minCompressBytes], true},
			{"text", text, true},
			{"zeros", make([]byte, 100<<10), true},
			{"noise", noise, false},
			{"noise and text", append(slices.Clone(noise), text...), true},
		} {
			opts := memOptions(vfs.NewMem())
			opts.Compression = c.mode
			s, err := Open(dataDir, opts)
			must(t, err)
			want := oracle.EntryOf(1, e.data)
			want.Extensions = []byte("extensions stay as they are")
			must(t, s.StoreLog(want))
			r := recordOf(t, s, 1)
			compressed := r.flags&(flagS2|flagZstd) != 0
			if compressed != (e.compresses && c.mode != None) || compressed && r.flags&c.flag == 0 {
				t.Errorf("%s, compression %d: the flags are %b", e.name, c.mode, r.flags)
			}
			if compressed && padded(int64(len(r.second))) >= padded(int64(len(e.data))) || !compressed && len(r.second) != len(e.data) {
				t.Errorf("%s, compression %d: %d bytes for %d", e.name, c.mode, len(r.second), len(e.data))
			}
			must(t, s.Close())
			opts.Compression = None
			s, err = Open(dataDir, opts)
			must(t, err)
			var got raft.Log
			must(t, s.GetLog(1, &got))
			if err := oracle.DiffEntry(want, &got); err != nil {
				t.Errorf("%s, compression %d: %v", e.name, c.mode, err)
			}
			must(t, s.Close())
		}
	}
}

// A log goes through the other engines and comes back the same.
func TestCopiedToOtherEnginesAndBack(t *testing.T) {
	src := newTestLog(t, vfs.NewMem(), 6)
	for range 30 {
		src.fill(50, 1000)
	}
	src.remove(1, 120)
	src.remove(600, 700)
	src.set("CurrentTerm", "12345678")
	src.set("LastVoteCand", "peer 3")
	src.set("something else", "")
	must(t, src.StageCommitIndex(900))
	logs := oracle.Entries(src.rng, 5000, 10, 100)
	must(t, src.StoreLogs(logs))
	src.model.Put(logs, 900)
	src.check()

	mem := memstore.New()
	bolt, err := boltstore.Open(filepath.Join(t.TempDir(), "raft.db"), nil)
	must(t, err)
	back, err := Open(t.TempDir(), &Options{Compression: Zstd, SegmentBytes: 1})
	must(t, err)
	last := newTestLog(t, vfs.NewMem(), 6)
	from := ballast.Store(src)
	for _, to := range []ballast.Store{mem, back, bolt, last} {
		done, err := ballast.Copy(t.Context(), to, from, nil)
		if err != nil || done.Entries != uint64(len(src.model.Logs)) {
			t.Fatalf("from %T to %T: %+v, %v", from, to, done, err)
		}
		from = to
	}
	for name, s := range map[string]*Store{"with compression": back, "in the end": last.Store} {
		if err := check(src.model, s); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	must(t, errors.Join(mem.Close(), bolt.Close(), back.Close()))
}

const openerEnv = "BALLAST_WAL_SECOND_OPENER" // the folder that another process opens

// A second opener is told at once, in this process and in another one; one that only reads is let in.
func TestSecondOpener(t *testing.T) {
	dir := os.Getenv(openerEnv)
	if dir != "" { // in the other process
		sayWhatOpens(dir)
		return
	}
	dir = t.TempDir()
	s, err := Open(dir, nil)
	must(t, err)
	must(t, s.StoreLog(oracle.EntryOf(1, nil)))
	for range 3 {
		second, err := Open(dir, nil)
		locked, ok := errors.AsType[*ballast.LockedError](err)
		if second != nil || !ok || locked.Path == "" {
			t.Fatalf("a second opener in this process: %v", err)
		}
	}
	other := func() string {
		cmd := exec.Command(os.Args[0], "-test.run=^TestSecondOpener$")
		cmd.Env = append(os.Environ(), openerEnv+"="+dir)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("another process: %v\n%s", err, out)
		}
		return string(out)
	}
	if out := other(); !strings.Contains(out, "Open: locked\n") || !strings.Contains(out, "OpenReadOnly: last index 1\n") {
		t.Errorf("another process beside an open store said:\n%s", out)
	}
	must(t, s.StoreLog(oracle.EntryOf(2, nil))) // and nobody has disturbed the first one
	must(t, s.Close())
	if out := other(); !strings.Contains(out, "Open: last index 2\n") {
		t.Errorf("another process behind a closed store said:\n%s", out)
	}
	s, err = Open(dir, nil)
	must(t, err)
	must(t, s.Close())
}

// sayWhatOpens is the other process.
func sayWhatOpens(dir string) {
	for name, open := range map[string]func(string, *Options) (*Store, error){"Open": Open, "OpenReadOnly": OpenReadOnly} {
		s, err := open(dir, nil)
		if _, ok := errors.AsType[*ballast.LockedError](err); ok {
			fmt.Printf("%s: locked\n", name)
			continue
		}
		if err != nil {
			fmt.Printf("%s: %v\n", name, err)
			continue
		}
		last, _ := s.LastIndex()
		fmt.Printf("%s: last index %d\n", name, last)
		_ = s.Close()
	}
}

// namesIn returns what a folder holds, each name with its content. The lock file says nothing.
func namesIn(t testing.TB, dir string) map[string]string {
	t.Helper()
	names, err := vfs.OS.List(dir)
	must(t, err)
	content := make(map[string]string)
	for _, name := range names {
		if name == engine.LockName {
			continue
		}
		b, err := os.ReadFile(filepath.Join(dir, name))
		must(t, err)
		content[name] = string(b)
	}
	return content
}

// diffNames returns which of the files of two folders differ.
func diffNames(a, b map[string]string) (names []string) {
	for name, content := range a {
		if other, ok := b[name]; !ok || other != content {
			names = append(names, name)
		}
	}
	for name := range b {
		if _, ok := a[name]; !ok {
			names = append(names, name)
		}
	}
	return names
}

// openFiles returns how many files this process has open, -1 where that cannot be found out.
func openFiles() int {
	names, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return -1
	}
	return len(names)
}

// damageFile changes a file, and returns what takes that back.
func damageFile(t *testing.T, path string, change func(b []byte)) (undo func()) {
	t.Helper()
	good, err := os.ReadFile(path)
	must(t, err)
	bad := slices.Clone(good)
	change(bad)
	must(t, os.WriteFile(path, bad, 0o600))
	return func() { must(t, os.WriteFile(path, good, 0o600)) }
}

// addFile makes a file, and returns what takes that back.
func addFile(t *testing.T, path string) (undo func()) {
	t.Helper()
	must(t, os.WriteFile(path, []byte("another store's"), 0o600))
	return func() { must(t, os.Remove(path)) }
}

// spoilers make an Open fail. What they return makes the next one succeed.
var spoilers = map[string]struct {
	opts  *Options
	want  error // nil for any
	spoil func(t *testing.T, dir string) (undo func())
}{
	"damaged header": {nil, ballast.ErrCorrupt, func(t *testing.T, dir string) func() {
		return damageFile(t, segmentPath(dir, 1), func(b []byte) { b[20]++ })
	}},
	"a newer version": {nil, ballast.ErrUnknownVersion, func(t *testing.T, dir string) func() {
		return damageFile(t, segmentPath(dir, 1), func(b []byte) {
			b[12] = formatVersion + 1
			binary.LittleEndian.PutUint32(b[8:], crc32.Checksum(b[12:headerBytes], castagnoli))
		})
	}},
	"raft-wal's folder": {nil, ballast.ErrForeign, func(t *testing.T, dir string) func() {
		return addFile(t, filepath.Join(dir, "wal-meta.db"))
	}},
	"badger's folder": {nil, ballast.ErrForeign, func(t *testing.T, dir string) func() {
		return addFile(t, filepath.Join(dir, "MANIFEST"))
	}},
	"locked": {nil, ballast.ErrLocked, func(t *testing.T, dir string) func() {
		s, err := Open(dir, &Options{SegmentBytes: 1, inline: true})
		must(t, err)
		return func() { must(t, s.Close()) }
	}},
	"an option below 0":      {&Options{CacheBytes: -1}, nil, func(*testing.T, string) func() { return func() {} }},
	"an unknown compression": {&Options{Compression: Zstd + 1}, nil, func(*testing.T, string) func() { return func() {} }},
}

// An Open that fails changes nothing, leaves nothing open and nothing locked, and a good one follows.
func TestFailedOpenThenAGoodOne(t *testing.T) {
	for name, c := range spoilers {
		t.Run(name, func(t *testing.T) {
			dir, m := t.TempDir(), oracle.NewModel()
			s, err := Open(dir, &Options{SegmentBytes: 1})
			must(t, err)
			logs := oracle.Entries(oracle.Random(7), 1, 20, 100)
			must(t, s.StoreLogs(logs))
			m.Put(logs, 0)
			must(t, s.Close())

			undo := c.spoil(t, dir)
			before, files := namesIn(t, dir), openFiles()
			for range 3 {
				s, err := Open(dir, c.opts)
				if s != nil || err == nil || c.want != nil && !errors.Is(err, c.want) {
					t.Fatalf("Open: %v", err)
				}
			}
			if names := diffNames(before, namesIn(t, dir)); names != nil {
				t.Errorf("a failed Open has changed %v", names)
			}
			if now := openFiles(); now != files {
				t.Errorf("%d files were open before, %d are now", files, now)
			}
			undo()
			if s, err = Open(dir, nil); err != nil {
				t.Fatalf("a good Open behind it: %v", err)
			}
			if err := check(m, s); err != nil {
				t.Error(err)
			}
			must(t, s.Close())
		})
	}
}

// A folder of another store has no file more after a failed Open, not even a lock.
func TestForeignFolderIsLeftAsItIs(t *testing.T) {
	for _, name := range []string{"wal-meta.db", "MANIFEST"} {
		dir := t.TempDir()
		for _, name := range []string{name, "something.tmp"} {
			must(t, os.WriteFile(filepath.Join(dir, name), nil, 0o600))
		}
		if _, err := Open(dir, nil); !errors.Is(err, ballast.ErrForeign) {
			t.Fatalf("Open beside %s: %v", name, err)
		}
		names, err := vfs.OS.List(dir)
		must(t, err)
		if len(names) != 2 || !slices.Contains(names, name) || !slices.Contains(names, "something.tmp") {
			t.Errorf("there is %v, before there was %s and something.tmp", names, name)
		}
	}
}

func TestOpenBelowAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(path, nil, 0o600))
	for name, open := range map[string]func(string, *Options) (*Store, error){"Open": Open, "OpenReadOnly": OpenReadOnly} {
		if s, err := open(path, nil); s != nil || err == nil {
			t.Errorf("%s of a file: %v", name, err)
		}
	}
}

// After Close every call returns ErrClosed, whether what it asks for is in memory or on the disk.
func TestCallsAfterClose(t *testing.T) {
	l := newTestLog(t, vfs.NewMem(), 8)
	for range 40 {
		l.fill(16, 4<<10)
	}
	last := l.model.Last()
	l.set("key", "value")
	l.close()
	for name, call := range map[string]func() error{
		"FirstIndex":       func() error { _, err := l.FirstIndex(); return err },
		"LastIndex":        func() error { _, err := l.LastIndex(); return err },
		"GetLog cold":      func() error { return l.GetLog(1, new(raft.Log)) },
		"GetLog warm":      func() error { return l.GetLog(last, new(raft.Log)) },
		"GetLog missing":   func() error { return l.GetLog(last+1, new(raft.Log)) },
		"StoreLog":         func() error { return l.StoreLog(oracle.EntryOf(last+1, nil)) },
		"StoreLogs":        func() error { return l.StoreLogs([]*raft.Log{oracle.EntryOf(last+1, nil)}) },
		"StoreLogs none":   func() error { return l.StoreLogs(nil) },
		"DeleteRange":      func() error { return l.DeleteRange(1, 2) },
		"DeleteRange none": func() error { return l.DeleteRange(2, 1) },
		"Set":              func() error { return l.Set([]byte("key"), nil) },
		"SetUint64":        func() error { return l.SetUint64([]byte("key"), 1) },
		"Get":              func() error { _, err := l.Get([]byte("key")); return err },
		"GetUint64":        func() error { _, err := l.GetUint64([]byte("key")); return err },
		"StageCommitIndex": func() error { return l.StageCommitIndex(1) },
		"GetCommitIndex":   func() error { _, err := l.GetCommitIndex(); return err },
		"NextIndex":        func() error { _, err := l.NextIndex(1); return err },
		"StableKeys":       func() error { _, err := l.StableKeys(); return err },
	} {
		if err := call(); err != ballast.ErrClosed {
			t.Errorf("%s after Close: %v", name, err)
		}
	}
	if l.Stats() != (Stats{}) {
		t.Errorf("Stats after Close: %+v", l.Stats())
	}
	l.close() // closing again does nothing
	l.open()
	l.check()
}

// useUntilClosed makes calls of all kinds at once until they return ErrClosed, or many of them. stop waits for that and returns which
// entries were acknowledged.
func useUntilClosed(t *testing.T, s *Store, next *atomic.Uint64) (stop func() []uint64) {
	var wg sync.WaitGroup
	acked := make([][]uint64, 2)
	until := func(name string, call func() error) {
		wg.Go(func() {
			for range 50 { // a round has to end, and most do not get so far
				switch err := call(); err {
				case nil, raft.ErrLogNotFound:
				case ballast.ErrClosed:
					return
				default:
					t.Errorf("%s while the store is closed: %v", name, err)
					return
				}
			}
		})
	}
	old := next.Load()
	for i := range acked {
		until("StoreLogs", func() error {
			index := next.Add(2)
			err := s.StoreLogs([]*raft.Log{oracle.EntryOf(index-1, make([]byte, 500)), oracle.EntryOf(index, make([]byte, 3000))})
			if err == nil {
				acked[i] = append(acked[i], index-1, index)
			}
			return err
		})
	}
	until("GetLog", func() error {
		last, err := s.LastIndex()
		if err != nil {
			return err
		}
		var l raft.Log
		if err = s.GetLog(last, &l); err == nil && l.Index != last {
			t.Errorf("entry %d comes back as %d", last, l.Index)
		}
		return err
	})
	until("SetUint64", func() error { return s.SetUint64([]byte("key"), next.Load()) })
	until("DeleteRange", func() error { return s.DeleteRange(0, old) })
	return func() []uint64 {
		wg.Wait()
		return slices.Concat(acked...)
	}
}

// A store is closed while everything is in use, a thousand times. What was acknowledged is there when it is opened
// again.
func TestClosedWhileInUse(t *testing.T) {
	mem, rng := vfs.NewMem(), oracle.Random(9)
	opts := memOptions(mem)
	opts.inline = false
	var next atomic.Uint64
	var acked []uint64
	goroutines, total := runtime.NumGoroutine(), 0
	for round := range 1001 {
		s, err := Open(dataDir, opts)
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		for _, index := range acked {
			var l raft.Log
			if err := s.GetLog(index, &l); err != nil || l.Index != index {
				t.Fatalf("round %d: entry %d, which was acknowledged: %v", round, index, err)
			}
		}
		stop := useUntilClosed(t, s, &next)
		for range rng.IntN(6) {
			runtime.Gosched()
		}
		must(t, s.Close())
		acked = stop()
		total += len(acked)
	}
	for range 1000 {
		if runtime.NumGoroutine() <= goroutines {
			break
		}
		runtime.Gosched()
	}
	if n := runtime.NumGoroutine(); n > goroutines {
		t.Errorf("there were %d goroutines, there are %d", goroutines, n)
	}
	t.Logf("%d entries acknowledged", total)
}

func TestOptions(t *testing.T) {
	given := Options{}
	o, err := given.withDefaults()
	must(t, err)
	if !reflect.ValueOf(given).IsZero() {
		t.Errorf("the caller's options were changed: %+v", given)
	}
	if o.SegmentBytes != defaultSegmentBytes || o.MaxEntryBytes != ballast.DefaultMaxEntryBytes || o.CacheBytes != defaultCacheBytes ||
		o.MaxOpenFiles != defaultOpenFiles || o.Logger == nil || o.fs == nil {
		t.Errorf("the defaults are %+v", o)
	}
	if o, err = (*Options)(nil).withDefaults(); err != nil || o.SegmentBytes != defaultSegmentBytes {
		t.Errorf("nil options are %+v, %v", o, err)
	}
	o, err = (&Options{SegmentBytes: 1<<20 + 1, CacheBytes: 1}).withDefaults()
	if err != nil || o.SegmentBytes != 1<<20+blockBytes || o.CacheBytes != minCacheBytes {
		t.Errorf("rounded options are %+v, %v", o, err)
	}
	for name, bad := range map[string]Options{
		"SegmentBytes below 0":    {SegmentBytes: -1},
		"SegmentBytes too large":  {SegmentBytes: maxSegmentBytes},
		"MaxEntryBytes below 0":   {MaxEntryBytes: -1},
		"MaxEntryBytes too large": {MaxEntryBytes: maxMaxEntryBytes + 1},
		"CacheBytes below 0":      {CacheBytes: -1},
		"MaxOpenFiles below 0":    {MaxOpenFiles: -1},
		"Compression":             {Compression: 77},
	} {
		dir := filepath.Join(t.TempDir(), "log")
		if s, err := Open(dir, &bad); s != nil || err == nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: the folder was made", name)
		}
	}
}
