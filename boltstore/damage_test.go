package boltstore_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/raft"
	"go.etcd.io/bbolt"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/boltstore"
	"github.com/raft-ballast/ballast/memstore"
)

// write makes a store of n entries at path, and closes it.
func write(t *testing.T, path string, n uint64) {
	t.Helper()
	s := open(t, path, nil)
	for first := uint64(1); first <= n; first += 50 {
		var logs []*raft.Log
		for index := first; index < first+50 && index <= n; index++ {
			logs = append(logs, &raft.Log{Index: index, Term: 2, Data: fmt.Appendf(nil, "entry %d %s", index, strings.Repeat("x", 100))})
		}
		if err := s.StoreLogs(logs); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.SetUint64([]byte("CurrentTerm"), 2); err != nil {
		t.Fatal(err)
	}
	closeStore(t, s)
}

func open(t *testing.T, path string, opts *boltstore.Options) *boltstore.Store {
	t.Helper()
	s, err := boltstore.Open(path, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func closeStore(t *testing.T, s *boltstore.Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
}

// edit changes the raw value of a key.
func edit(t *testing.T, path, bucket string, key []byte, change func(value []byte) []byte) {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte(bucket))
		return b.Put(key, change(append([]byte{}, b.Get(key)...)))
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestDamagedEntry(t *testing.T) {
	cases := map[string]struct {
		change func(value []byte) []byte
		want   string
	}{
		"empty":          {func([]byte) []byte { return nil }, "ends early"},
		"cut":            {func(v []byte) []byte { return v[:len(v)-1] }, "ends early"},
		"longer":         {func(v []byte) []byte { return append(v, 0) }, "bytes behind its end"},
		"no map":         {func(v []byte) []byte { v[0] = 0x01; return v }, "does not begin a map"},
		"of other index": {func(v []byte) []byte { return []byte(strings.Replace(string(v), "Index\x05", "Index\x06", 1)) }, "holds an entry of index 6"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "raft.db")
			write(t, path, 10)
			edit(t, path, "logs", binary.BigEndian.AppendUint64(nil, 5), c.change)
			s := open(t, path, nil)
			held := raft.Log{Index: 99, Data: []byte("as before")}
			err := s.GetLog(5, &held)
			damage, ok := errors.AsType[*ballast.CorruptionError](err)
			if !ok || damage.Index != 5 || damage.Path != path || !errors.Is(err, ballast.ErrCorrupt) || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("GetLog of a damaged entry returned %v; want a CorruptionError of entry 5 that says %q", err, c.want)
			}
			if held.Index != 99 || string(held.Data) != "as before" {
				t.Fatalf("GetLog changed the log that it was given: %+v", held)
			}
			for _, index := range []uint64{4, 6} {
				if err := s.GetLog(index, &held); err != nil {
					t.Fatalf("GetLog(%d) beside the damage: %v", index, err)
				}
			}
		})
	}
}

func TestDamagedKeyInLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "raft.db")
	write(t, path, 10)
	edit(t, path, "logs", []byte("zzz"), func([]byte) []byte { return []byte("v") })
	if _, err := boltstore.Open(path, nil); !errors.Is(err, ballast.ErrCorrupt) {
		t.Fatalf("Open returned %v; want a CorruptionError", err)
	}
}

// A bit of a key flips: its entry and those that it hides are told as damaged, and never taken for a gap or for the end of the log.
func TestFlippedKeys(t *testing.T) {
	t.Parallel()
	const first, last = 21, 120
	path := filepath.Join(t.TempDir(), "raft.db")
	write(t, path, last)
	s := open(t, path, nil)
	if err := errors.Join(s.DeleteRange(1, first-1), s.Close()); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	flipped := filepath.Join(t.TempDir(), "flipped.db")
	for _, index := range []uint64{first, first + 1, 49, 50, 51, 100, last} { // of the first, a middle and the last page
		k := binary.BigEndian.AppendUint64(nil, index)
		inLeaf := append(append([]byte{}, k...), encodedEntry...)
		if !strings.Contains(string(whole), string(inLeaf)) {
			t.Fatalf("entry %d is not found in the file", index)
		}
		for _, bit := range []int{0, 40, 56, 57, 59, 61, 62, 63} {
			other := append([]byte{}, inLeaf...)
			other[bit/8] ^= 0x80 >> (bit % 8)
			if err := os.WriteFile(flipped, []byte(strings.ReplaceAll(string(whole), string(inLeaf), string(other))), 0o600); err != nil {
				t.Fatal(err)
			}
			if n, err := walk(flipped); err == nil {
				t.Errorf("entry %d, bit %d: %d entries are read, and no damage", index, bit, n)
			} else if !errors.Is(err, ballast.ErrCorrupt) {
				t.Errorf("entry %d, bit %d: %v", index, bit, err)
			}
		}
	}
	if n, err := walk(path); n != last-first+1 || err != nil {
		t.Errorf("of the whole file %d entries are read, %v", n, err)
	}
}

// The key of an entry at an end of the log is damaged, or of the one beside it. For reading the log ends where its entries say, and what is damaged is not copied
// over; nothing is written behind it.
func TestFlippedKeysAtTheEnds(t *testing.T) {
	const first, last = 1001, 1100
	path := filepath.Join(t.TempDir(), "raft.db")
	s := open(t, path, nil)
	for index := uint64(first); index <= last; index++ {
		if err := s.StoreLog(&raft.Log{Index: index, Term: 1}); err != nil {
			t.Fatal(err)
		}
	}
	closeStore(t, s)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	flipped := filepath.Join(t.TempDir(), "flipped.db")
	for _, c := range []struct {
		index uint64
		bit   int // of the key, from the highest one
	}{{first, 47}, {first, 54}, {first + 1, 54}, {last - 1, 47}, {last, 47}, {last, 53}, {last, 63}, {last, 62}} {
		k := append(binary.BigEndian.AppendUint64(nil, c.index), encodedEntry...)
		other := append([]byte{}, k...)
		other[c.bit/8] ^= 0x80 >> (c.bit % 8)
		if err := os.WriteFile(flipped, []byte(strings.ReplaceAll(string(whole), string(k), string(other))), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := boltstore.Open(flipped, nil); !errors.Is(err, ballast.ErrCorrupt) {
			t.Errorf("entry %d, bit %d: opened for writing: %v", c.index, c.bit, err)
		}
		s := open(t, flipped, &boltstore.Options{ReadOnly: true})
		from, _ := s.FirstIndex()
		to, _ := s.LastIndex()
		if from != first || to != last {
			t.Errorf("entry %d, bit %d: it has entries from %d to %d; want %d to %d", c.index, c.bit, from, to, first, last)
		}
		if _, err := ballast.Copy(t.Context(), memstore.New(), s, nil); err == nil {
			t.Errorf("entry %d, bit %d: it was copied", c.index, c.bit)
		}
		if _, err := walk(flipped); !errors.Is(err, ballast.ErrCorrupt) {
			t.Errorf("entry %d, bit %d: read: %v", c.index, c.bit, err)
		}
		read := 0
		for index := uint64(first); index <= last; index++ {
			if s.GetLog(index, &raft.Log{}) == nil {
				read++
			}
		}
		if read < last-first-1 {
			t.Errorf("entry %d, bit %d: %d entries are read", c.index, c.bit, read)
		}
		closeStore(t, s)
	}
}

// encodedEntry is what each entry in a leaf begins with behind its key.
var encodedEntry = []byte{0x86}

// walk reads all entries of a file, and ends with what is damaged.
func walk(path string) (n int, err error) {
	s, err := boltstore.Open(path, &boltstore.Options{ReadOnly: true})
	if err != nil {
		return 0, err
	}
	defer s.Close()
	first, _ := s.FirstIndex()
	for index := first; ; n++ {
		var log raft.Log
		if index, err = s.NextIndex(index); index == 0 || err != nil {
			return n, err
		}
		if err := s.GetLog(index, &log); err != nil {
			return n, err
		}
		index++
	}
}

func TestDamagedCommitIndex(t *testing.T) {
	path := filepath.Join(t.TempDir(), "raft.db")
	s := open(t, path, nil)
	if err := errors.Join(s.StageCommitIndex(1), s.StoreLog(&raft.Log{Index: 1}), s.Close()); err != nil {
		t.Fatal(err)
	}
	edit(t, path, "ballast", []byte("CommitIndex"), func([]byte) []byte { return []byte("1") })
	if _, err := boltstore.Open(path, nil); !errors.Is(err, ballast.ErrCorrupt) {
		t.Fatalf("Open returned %v; want a CorruptionError", err)
	}
}

// readAll calls everything that reads. Damage may show as an error; it may not show as a panic.
func readAll(s *boltstore.Store, last uint64) {
	for index := range last + 2 {
		_ = s.GetLog(index, &raft.Log{})
	}
	_, _ = s.Get([]byte("CurrentTerm"))
	_, _ = s.GetUint64([]byte("CurrentTerm"))
	_, _ = s.StableKeys()
	_, _ = s.NextIndex(7)
	_, _ = s.FirstIndex()
	_, _ = s.LastIndex()
	_, _ = s.GetCommitIndex()
}

// try opens a damaged file, uses it, and closes it; and then proves that nothing stayed locked.
func try(t *testing.T, what, path string, last uint64) {
	t.Helper()
	if s, err := boltstore.Open(path, &boltstore.Options{NoSync: true}); err == nil {
		readAll(s, last)
		_ = s.StoreLog(&raft.Log{Index: last + 1, Data: []byte("written on damage")})
		_ = s.DeleteRange(1, 20)
		readAll(s, last)
		_ = s.Close()
	} else if errors.Is(err, ballast.ErrLocked) {
		t.Fatalf("%s: the lock is still held: %v", what, err)
	}
	s, err := boltstore.Open(path, nil)
	if err == nil {
		_ = s.Close()
	} else if errors.Is(err, ballast.ErrLocked) {
		t.Fatalf("%s: after the damage was met, the lock is still held: %v", what, err)
	}
}

func TestNoPanicOnDamagedPages(t *testing.T) {
	t.Parallel()
	const page, last = 4096, 300
	path := filepath.Join(t.TempDir(), "raft.db")
	write(t, path, last)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	used := 0 // pages up to the last that is not empty
	for i := 0; i < len(whole)/page; i++ {
		if string(whole[i*page:(i+1)*page]) != strings.Repeat("\x00", page) {
			used = i + 1
		}
	}
	damaged := filepath.Join(t.TempDir(), "damaged.db")
	check := func(what string, content []byte) {
		t.Helper()
		if err := os.WriteFile(damaged, content, 0o600); err != nil {
			t.Fatal(err)
		}
		defer func() {
			if p := recover(); p != nil {
				t.Errorf("%s: panic: %v", what, p)
			}
		}()
		try(t, what, damaged, last)
	}
	for i := range used {
		zeroed := append([]byte{}, whole...)
		clear(zeroed[i*page : (i+1)*page])
		check(fmt.Sprintf("page %d zeroed", i), zeroed)
		ones := append([]byte{}, whole...)
		for j := range page {
			ones[i*page+j] = 0xff
		}
		check(fmt.Sprintf("page %d all ones", i), ones)
		check(fmt.Sprintf("file cut at page %d", i), whole[:i*page])
		// The page's header is id, flags, count and overflow, of 8, 2, 2 and 4 bytes. The last is left alone: bbolt
		// frees as many pages as it says without looking, and takes memory for each.
		for b := range 12 {
			if !*everyPage && b%4 != 0 && b != 10 { // some of the id, the flags and the count
				continue
			}
			flipped := append([]byte{}, whole...)
			flipped[i*page+b] ^= 1 << (b % 8)
			check(fmt.Sprintf("page %d, byte %d flipped", i, b), flipped)
		}
	}
}

func TestShortFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "raft.db")
	write(t, path, 300)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	var used int64
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.View(func(tx *bbolt.Tx) error { used = tx.Size(); return nil })
	if err := errors.Join(err, db.Close()); err != nil || used >= info.Size() {
		t.Fatalf("%d of %d bytes are used: %v", used, info.Size(), err)
	}
	if err := os.Truncate(path, used-4096); err != nil {
		t.Fatal(err)
	}
	_, err = boltstore.Open(path, nil)
	if !errors.Is(err, ballast.ErrCorrupt) || !strings.Contains(err.Error(), "the file ends here") && !strings.Contains(err.Error(), "was the file cut?") {
		t.Fatalf("Open of a file that was cut returned %v", err)
	}
}

func TestNotOurs(t *testing.T) {
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	foreign := filepath.Join(dir, "wal-meta.db") // what raft-wal keeps
	db, err := bbolt.Open(foreign, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucket([]byte("wal-state"))
		return err
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	newer := filepath.Join(dir, "newer.db")
	write(t, newer, 1)
	raw, err := os.ReadFile(newer)
	if err != nil {
		t.Fatal(err)
	}
	raw[20], raw[4096+20] = 99, 99 // the version in both meta pages
	if err := os.WriteFile(newer, raw, 0o600); err != nil {
		t.Fatal(err)
	}

	cases := map[string]struct {
		path string
		opts *boltstore.Options
		is   error
		says string
	}{
		"text":                  {file("notes.txt", strings.Repeat("just some notes\n", 1000)), nil, ballast.ErrForeign, "not a bbolt file"},
		"short text":            {file("short.txt", "x"), nil, ballast.ErrForeign, "not a bbolt file"},
		"other bolt file":       {foreign, nil, ballast.ErrForeign, `with the bucket "wal-state"`},
		"folder":                {dir, nil, ballast.ErrForeign, "raft.db"},
		"zeros":                 {file("zeros.db", strings.Repeat("\x00", 16384)), nil, ballast.ErrCorrupt, "remove it"},
		"later version":         {newer, nil, ballast.ErrUnknownVersion, "not known"},
		"missing folder":        {filepath.Join(dir, "no", "raft.db"), nil, os.ErrNotExist, "create the folder first"},
		"read-only and missing": {filepath.Join(dir, "no.db"), &boltstore.Options{ReadOnly: true}, os.ErrNotExist, "no.db"},
		"read-only and empty":   {file("empty.db", ""), &boltstore.Options{ReadOnly: true}, ballast.ErrForeign, "nothing was ever stored; check the path"},
		"bad limit":             {filepath.Join(dir, "new.db"), &boltstore.Options{MaxEntryBytes: -1}, nil, "MaxEntryBytes"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			before, _ := os.ReadFile(c.path)
			for range 2 { // the second shows that the first left nothing locked
				_, err := boltstore.Open(c.path, c.opts)
				if err == nil || c.is != nil && !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.says) {
					t.Fatalf("Open returned %v; want %v and the text %q", err, c.is, c.says)
				}
			}
			if after, _ := os.ReadFile(c.path); string(after) != string(before) {
				t.Fatal("Open changed a file that is not its own")
			}
		})
	}
}
