package raftwal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/hashicorp/raft"
	"go.etcd.io/bbolt"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/boltmeta"
)

// What is no log of raft-wal, or a damaged one, is refused with an error that says which.
func TestRefused(t *testing.T) {
	edit := func(name string, f func([]byte) []byte) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) {
			data, err := os.ReadFile(filepath.Join(dir, name))
			must(t, err)
			must(t, os.WriteFile(filepath.Join(dir, name), f(data), 0o600))
		}
	}
	sealed, tail := segmentName(1, 0), segmentName(7, 1)
	for _, c := range []struct {
		name   string
		change func(t *testing.T, dir string)
		want   error
		text   string // part of the message
	}{
		{"the first segment is missing", func(t *testing.T, dir string) { must(t, os.Remove(filepath.Join(dir, sealed))) }, ballast.ErrCorrupt, sealed},
		{"wal-meta.db is missing", func(t *testing.T, dir string) { must(t, os.Remove(filepath.Join(dir, metaName))) }, ballast.ErrCorrupt, metaName},
		{"wal-meta.db is empty", edit(metaName, func([]byte) []byte { return nil }), ballast.ErrCorrupt, metaName},
		{"wal-meta.db is short", edit(metaName, func(b []byte) []byte { return b[:100] }), ballast.ErrCorrupt, metaName},
		{"wal-meta.db is cut", edit(metaName, func(b []byte) []byte { return b[:2*4096] }), ballast.ErrCorrupt, metaName},
		{"wal-meta.db is something else", edit(metaName, func(b []byte) []byte { return []byte(strings.Repeat("text ", 4000)) }), ballast.ErrCorrupt, metaName},
		{"one meta page is damaged", edit(metaName, func(b []byte) []byte { b[4096+40]++; return b }), ballast.ErrCorrupt, "page 1"},
		{"a later version of bbolt", edit(metaName, func(b []byte) []byte {
			size := int(native.Uint32(b[pageHeader+8:]))
			for _, at := range []int{0, size} {
				native.PutUint32(b[at+pageHeader+4:], boltmeta.Version+1)
				signMeta(b, at)
			}
			return b
		}), ballast.ErrUnknownVersion, "version 3"},
		{"a segment is empty", edit(sealed, func([]byte) []byte { return nil }), ballast.ErrCorrupt, sealed},
		{"a segment's header is cut", edit(sealed, func(b []byte) []byte { return b[:31] }), ballast.ErrCorrupt, sealed},
		{"a segment's magic", edit(sealed, func(b []byte) []byte { b[0]++; return b }), ballast.ErrCorrupt, sealed},
		{"a segment's number", edit(sealed, func(b []byte) []byte { b[16]++; return b }), ballast.ErrCorrupt, sealed},
		{"a segment's codec", edit(sealed, func(b []byte) []byte { b[24]++; return b }), ballast.ErrCorrupt, sealed},
		{"the last segment's number", edit(tail, func(b []byte) []byte { b[16]++; return b }), ballast.ErrCorrupt, tail},
		{"a segment's version", edit(sealed, func(b []byte) []byte { b[7]++; return b }), ballast.ErrUnknownVersion, "version 1"},
		{"the last segment's version", edit(tail, func(b []byte) []byte { b[7]++; return b }), ballast.ErrUnknownVersion, "version 1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := writeDir(t, newSegment(1, 0).append(6).seal(), newSegment(7, 1).append(2).append(2))
			c.change(t, dir)
			refused(t, dir, c.want, c.text)
			if !strings.HasSuffix(c.text, segmentSuffix) {
				return // bbolt does not survive such a file when it may write
			}
			db, err := bbolt.Open(filepath.Join(dir, metaName), 0o600, &bbolt.Options{Timeout: 1})
			if err != nil {
				t.Fatalf("what was refused is still locked: %v", err)
			}
			must(t, db.Close())
		})
	}
}

// refused checks that a directory is, and that the error is what it should be.
func refused(t *testing.T, dir string, want error, text string) {
	t.Helper()
	l, err := Open(dir)
	if err == nil {
		_ = l.Close()
		t.Fatal("it was opened")
	}
	if !errors.Is(err, want) || !strings.Contains(err.Error(), text) {
		t.Errorf("%v; want one that matches %q and tells of %q", err, want, text)
	}
	if want == ballast.ErrUnknownVersion && errors.Is(err, ballast.ErrCorrupt) {
		t.Errorf("an unknown version is not damage: %v", err)
	}
}

func TestNotRaftWAL(t *testing.T) {
	dir := t.TempDir()
	refused(t, dir, fs.ErrNotExist, "no log of raft-wal")
	refused(t, filepath.Join(dir, "nowhere"), fs.ErrNotExist, "nowhere")
	if _, err := Open(""); err == nil {
		t.Error("an empty path was opened")
	}
	must(t, os.WriteFile(filepath.Join(dir, metaName+".tmp"), []byte("begun"), 0o600))
	refused(t, dir, fs.ErrNotExist, "no log of raft-wal")
	must(t, os.WriteFile(filepath.Join(dir, "raft.db"), []byte("other"), 0o600))
	refused(t, dir, ballast.ErrForeign, "raft.db")
	refused(t, filepath.Join(dir, "raft.db"), ballast.ErrForeign, "is a file")

	db, err := bbolt.Open(filepath.Join(dir, metaName), 0o600, nil)
	must(t, err)
	must(t, db.Close())
	refused(t, dir, ballast.ErrForeign, "buckets")
	must(t, os.Remove(filepath.Join(dir, metaName)))
	must(t, os.Mkdir(filepath.Join(dir, metaName), 0o700))
	refused(t, dir, ballast.ErrForeign, "not a file")
}

// A database that was made longer takes no more memory than its pages; one that is none of bbolt's
// is not read as a whole.
func TestLongMeta(t *testing.T) {
	dir := copyFixture(t)
	path := filepath.Join(dir, metaName)
	must(t, os.Truncate(path, 1<<40))
	l, err := Open(dir)
	must(t, err)
	must(t, l.Close())
	must(t, os.Truncate(path, 0))
	must(t, os.Truncate(path, 1<<40))
	refused(t, dir, ballast.ErrCorrupt, "no valid meta page")
}

// raft-wal creates wal-meta.db before it writes what is in the log.
func TestEmptyLog(t *testing.T) {
	fresh := newSegment(1, 0)
	fresh.data = make([]byte, 4096)
	for name, make := range map[string]func(dir string){
		"no state":    func(dir string) { writeMeta(t, dir, nil) },
		"no segment":  func(dir string) { writeMeta(t, dir, []byte(`{"NextSegmentID":0,"Segments":null}`)) },
		"empty list":  func(dir string) { writeMeta(t, dir, []byte(`{"NextSegmentID":0,"Segments":[]}`)) },
		"zeros":       func(dir string) { must(t, os.CopyFS(dir, os.DirFS(writeDir(t, fresh)))) },
		"header only": func(dir string) { must(t, os.CopyFS(dir, os.DirFS(writeDir(t, newSegment(1, 0))))) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			make(dir)
			l := open(t, dir)
			checkBounds(t, l, 0, 0)
			if next, err := l.NextIndex(0); next != 0 || err != nil {
				t.Errorf("NextIndex is %d, %v", next, err)
			}
			if term, err := l.GetUint64([]byte("CurrentTerm")); term != 258 || err != nil {
				t.Errorf("the stable state: %d, %v", term, err)
			}
		})
	}
}

// Without its last segment a log looks as it did before the segment was created, unless wal-meta.db knows better.
func TestMissingTail(t *testing.T) {
	s := newSegment(7, 1).append(4)
	dir := writeDir(t, newSegment(1, 0).append(6).seal(), s)
	must(t, os.Remove(filepath.Join(dir, s.name())))
	l := open(t, dir)
	checkBounds(t, l, 1, 6)
	if err := l.Dropped(); !errors.Is(err, ballast.ErrCorrupt) || !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), s.name()) {
		t.Errorf("what was dropped: %v", err)
	}
	s.info.MinIndex = 9
	dir = writeDir(t, s)
	checkBounds(t, open(t, dir), 9, 10)
	must(t, os.Remove(filepath.Join(dir, s.name())))
	refused(t, dir, ballast.ErrCorrupt, "begins with this entry")
}

// A log that a truncation made begin in a batch cannot end before that.
func TestTornBelowFirst(t *testing.T) {
	s := newSegment(7, 1).append(4).append(4)
	s.info.MinIndex = 12
	s.data[len(s.data)-20]++
	refused(t, writeDir(t, s), ballast.ErrCorrupt, "entry 12")
}

// What raft-wal cannot have left in wal-meta.db.
func TestState(t *testing.T) {
	good := func() []map[string]any {
		return []map[string]any{newSegment(1, 0).append(6).seal().json(), newSegment(7, 1).append(2).json()}
	}
	set := func(i int, field string, value any) func([]map[string]any) any {
		return func(s []map[string]any) any {
			if s[i][field] = value; value == nil {
				delete(s[i], field)
			}
			return s
		}
	}
	cases := map[string]struct {
		change func(s []map[string]any) any
		want   error
	}{
		"no segment is sealed":    {set(0, "SealTime", "0001-01-01T00:00:00Z"), ballast.ErrCorrupt},
		"the tail has an end":     {set(1, "MaxIndex", 8), ballast.ErrCorrupt},
		"the tail has an index":   {set(1, "IndexStart", 100), ballast.ErrCorrupt},
		"a gap":                   {set(0, "MaxIndex", 5), ballast.ErrCorrupt},
		"an overlap":              {set(1, "BaseIndex", 6), ballast.ErrCorrupt},
		"it begins with 0":        {set(0, "BaseIndex", 0), ballast.ErrCorrupt},
		"it ends before it began": {set(0, "MinIndex", 7), ballast.ErrCorrupt},
		"the second is truncated": {set(1, "MinIndex", 8), ballast.ErrCorrupt},
		"a number below 0":        {set(0, "MinIndex", -1), ballast.ErrCorrupt},
		"a name for a number":     {set(0, "ID", "zero"), ballast.ErrCorrupt},
		"an own codec":            {set(0, "Codec", 1<<16), ballast.ErrUnknownVersion},
		"an own codec later":      {set(1, "Codec", 2), ballast.ErrUnknownVersion},
		"no list":                 {func([]map[string]any) any { return 5 }, ballast.ErrCorrupt},
		"not sorted": {func(s []map[string]any) any {
			s[0], s[1] = s[1], s[0]
			return s
		}, ballast.ErrCorrupt},
	}
	for _, field := range []string{"ID", "BaseIndex", "MinIndex", "MaxIndex", "Codec", "IndexStart", "SealTime"} {
		c := cases["a gap"]
		c.change = set(0, field, nil)
		cases[field+" is missing"] = c
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			dir := writeDir(t, newSegment(1, 0).append(6).seal(), newSegment(7, 1).append(2))
			writeMeta(t, dir, map[string]any{"NextSegmentID": 2, "Segments": c.change(good())})
			refused(t, dir, c.want, metaName)
		})
	}
	for _, text := range []string{"", "{", "[]", `"x"`, `{"Segments":[{}]}`, `{}`, `{"Segments":[1,2]}`, `{"NextSegmentID":1}`} {
		dir := t.TempDir()
		writeMeta(t, dir, []byte(text))
		refused(t, dir, ballast.ErrCorrupt, metaName)
	}
}

// A DeleteRange up to the highest number makes raft-wal write a MinIndex of 0, and keep everything.
func TestMinIndexZero(t *testing.T) {
	s := newSegment(5, 0).append(6)
	s.info.MinIndex = 0
	l := open(t, writeDir(t, s))
	checkBounds(t, l, 5, 10)
	checkEntries(t, l, [2]uint64{})
}

// While raft-wal has the directory open it is refused, and while it is being read raft-wal gets no lock. Two may read.
func TestLock(t *testing.T) {
	dir := writeDir(t, newSegment(1, 0).append(2))
	path := filepath.Join(dir, metaName)
	db, err := bbolt.Open(path, 0o600, nil)
	must(t, err)
	_, err = Open(dir)
	locked, ok := errors.AsType[*ballast.LockedError](err)
	if !ok || locked.Path != path || !errors.Is(err, ballast.ErrLocked) {
		t.Errorf("while it is locked: %v", err)
	}
	must(t, db.Close())

	one, two := open(t, dir), open(t, dir)
	checkEntries(t, one, [2]uint64{})
	checkEntries(t, two, [2]uint64{})
	if _, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: 1}); err == nil {
		t.Error("a writer got the lock")
	}
}

func TestReadOnly(t *testing.T) {
	l := open(t, writeDir(t, newSegment(1, 0).append(2)))
	for name, err := range writes(l) {
		if err != ballast.ErrReadOnly {
			t.Errorf("%s: %v", name, err)
		}
	}
	if l.IsMonotonic() {
		t.Error("it says that it is monotonic")
	}
}

func writes(l *Log) map[string]error {
	return map[string]error{
		"StoreLog":         l.StoreLog(entry(3)),
		"StoreLogs":        l.StoreLogs([]*raft.Log{entry(3)}),
		"DeleteRange":      l.DeleteRange(1, 2),
		"Set":              l.Set([]byte("k"), nil),
		"SetUint64":        l.SetUint64([]byte("k"), 1),
		"StageCommitIndex": l.StageCommitIndex(1),
	}
}

func TestStable(t *testing.T) {
	l := open(t, writeDir(t, newSegment(1, 0)))
	value, err := l.Get([]byte("CurrentTerm"))
	if err != nil || binary.LittleEndian.Uint64(value) != 258 {
		t.Errorf("Get(CurrentTerm): %x, %v", value, err)
	}
	value[0]++ // the caller's
	if term, err := l.GetUint64([]byte("CurrentTerm")); term != 258 || err != nil {
		t.Errorf("GetUint64(CurrentTerm): %d, %v", term, err)
	}
	if _, err := l.GetUint64([]byte("LastVoteCand")); !errors.Is(err, ballast.ErrNotUint64) {
		t.Errorf("GetUint64(LastVoteCand): %v", err)
	}
	if value, err := l.Get([]byte("other")); value != nil || err != ballast.ErrKeyNotFound {
		t.Errorf("Get(other): %x, %v", value, err)
	}
	if value, err := l.GetUint64([]byte("other")); value != 0 || err != ballast.ErrKeyNotFound {
		t.Errorf("GetUint64(other): %d, %v", value, err)
	}
	keys, err := l.StableKeys()
	if want := [][]byte{[]byte("CurrentTerm"), []byte("LastVoteCand")}; err != nil || !reflect.DeepEqual(keys, want) {
		t.Errorf("StableKeys: %q, %v", keys, err)
	}
	if commit, err := l.GetCommitIndex(); commit != 0 || err != nil {
		t.Errorf("GetCommitIndex: %d, %v", commit, err)
	}
}

func TestNextIndex(t *testing.T) {
	first := newSegment(5, 0).append(4).seal()
	first.info.MinIndex = 7
	l := open(t, writeDir(t, first, newSegment(9, 1).append(2)))
	for index, want := range map[uint64]uint64{0: 7, 1: 7, 7: 7, 8: 8, 9: 9, 10: 10, 11: 0, 1 << 63: 0} {
		if got, err := l.NextIndex(index); got != want || err != nil {
			t.Errorf("NextIndex(%d) is %d, %v; want %d", index, got, err, want)
		}
	}
}

func TestClosed(t *testing.T) {
	l, err := Open(writeDir(t, newSegment(1, 0).append(2)))
	must(t, err)
	for range 2 {
		must(t, l.Close())
	}
	_, first := l.FirstIndex()
	_, last := l.LastIndex()
	_, get := l.Get(nil)
	_, number := l.GetUint64(nil)
	_, next := l.NextIndex(1)
	_, keys := l.StableKeys()
	_, commit := l.GetCommitIndex()
	calls := map[string]error{"FirstIndex": first, "LastIndex": last, "Get": get, "GetUint64": number, "NextIndex": next,
		"StableKeys": keys, "GetCommitIndex": commit, "GetLog": l.GetLog(1, new(raft.Log))}
	maps.Copy(calls, writes(l))
	for name, err := range calls {
		if err != ballast.ErrClosed {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Everybody reads at once, also what nobody has read before, and Close comes in between.
func TestConcurrent(t *testing.T) {
	var segments []*segmentFile
	base := uint64(1)
	for id := range uint64(8) {
		s := newSegment(base, id).append(5).append(5)
		if base = s.next(); id < 7 {
			s.seal()
		}
		segments = append(segments, s)
	}
	dir := writeDir(t, segments...)
	for _, early := range []bool{false, true} {
		l, err := Open(dir)
		must(t, err)
		var wg sync.WaitGroup
		for i := range uint64(6) {
			wg.Go(func() {
				for n := range uint64(240) {
					index := (n*7+i*13)%80 + 1
					var got raft.Log
					err := l.GetLog(index, &got)
					if early && err == ballast.ErrClosed {
						return
					}
					if err != nil || !reflect.DeepEqual(&got, entry(index)) {
						panic(fmt.Sprint(index, err, got))
					}
					_, _ = l.Get([]byte("CurrentTerm"))
					_, _ = l.StableKeys()
				}
			})
		}
		if early {
			must(t, l.Close())
		}
		wg.Wait()
		must(t, l.Close())
	}
}
