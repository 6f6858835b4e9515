package boltstore_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/hashicorp/raft"
	"go.etcd.io/bbolt"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/boltstore"
	"github.com/raft-ballast/ballast/memstore"
	"github.com/raft-ballast/ballast/metrics"
)

const (
	page      = 4096 // of the files that boltstore makes here
	metaTx    = 64   // what transaction a meta page is of, in it
	metaBytes = 80
)

// newestMeta returns where the page is that says which transaction is the last.
func newestMeta(t *testing.T, path string) int64 {
	t.Helper()
	if os.Getpagesize() != page {
		t.Skip("another page size")
	}
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true})
	must(t, err)
	defer db.Close()
	var id int
	must(t, db.View(func(tx *bbolt.Tx) error { id = tx.ID(); return nil }))
	return int64(id%2) * page
}

// overwrite changes bytes of a file.
func overwrite(t *testing.T, path string, offset int64, change func(b []byte)) {
	t.Helper()
	data, err := os.ReadFile(path)
	must(t, err)
	change(data[offset:])
	must(t, os.WriteFile(path, data, 0o600))
}

func flip(b []byte) { b[0] ^= 0xff }

// voted makes a file in which the last transaction is a vote, and damages the page that says so.
func voted(t *testing.T) (path string, at int64) {
	path = filepath.Join(t.TempDir(), "raft.db")
	write(t, path, 10)
	db, err := bbolt.Open(path, 0o600, nil) // as raft-boltdb, which writes nothing when it closes
	must(t, err)
	must(t, db.Update(func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte("conf")).Put([]byte("LastVoteCand"), []byte("peer 3"))
	}))
	must(t, db.Close())
	at = newestMeta(t, path)
	overwrite(t, path, at+metaTx, flip)
	return path, at
}

// The vote is gone, and the damaged page is all that says so: it opens, tells it, and is not copied or written anew.
func TestDamagedMeta(t *testing.T) {
	path, at := voted(t)
	content, err := os.ReadFile(path)
	must(t, err)
	told := func(what string, err error) {
		t.Helper()
		damage, ok := errors.AsType[*ballast.CorruptionError](err)
		if !ok || damage.Path != path || damage.Offset != at {
			t.Errorf("%s: %v", what, err)
		}
	}
	told("Compact", boltstore.Compact(t.Context(), path))
	for _, readOnly := range []bool{true, false} {
		sink := &corruptions{}
		s := open(t, path, &boltstore.Options{ReadOnly: readOnly, Metrics: sink})
		if _, err := s.Get([]byte("LastVoteCand")); !errors.Is(err, ballast.ErrKeyNotFound) {
			t.Errorf("the vote: %v", err)
		}
		told("Damaged", s.Damaged())
		dst := memstore.New()
		_, err := ballast.Copy(t.Context(), dst, s, nil)
		told("Copy", err)
		if last, err := dst.LastIndex(); last != 0 || err != nil {
			t.Errorf("entries up to %d were copied, %v", last, err)
		}
		if got := sink.read().Corruptions; got != 1 {
			t.Errorf("the metrics tell of %d corruptions", got)
		}
		closeStore(t, s)
	}
	if now, err := os.ReadFile(path); err != nil || string(now) != string(content) {
		t.Errorf("the file has changed, %v", err)
	}
}

// corruptions is a sink that keeps what reads the figures.
type corruptions struct{ read func() metrics.Stats }

func (c *corruptions) Attach(read func() metrics.Stats) (detach func()) {
	c.read = read
	return func() {}
}

func (c *corruptions) Observe(metrics.Distribution, float64) {}

func TestSoundMeta(t *testing.T) {
	path := filepath.Join(t.TempDir(), "raft.db")
	for range 3 { // a new file, and one after each of the two pages was written
		s := open(t, path, nil)
		if err := s.Damaged(); err != nil {
			t.Error(err)
		}
		closeStore(t, s)
		write(t, path, 10)
	}
}

// What is left is the page of an empty file: all is lost, and a new store in its place would hide it. Zeros are what a crash leaves of a file that
// was just being made.
func TestDamagedMetaOfAll(t *testing.T) {
	path := filepath.Join(t.TempDir(), "raft.db")
	db, err := bbolt.Open(path, 0o600, nil)
	must(t, err)
	must(t, db.Close())
	at := newestMeta(t, path)
	overwrite(t, path, at, func(b []byte) { clear(b[:metaBytes]) })
	s := open(t, path, nil)
	if err := s.Damaged(); err != nil {
		t.Errorf("a creation that was cut off: %v", err)
	}
	closeStore(t, s)

	must(t, os.Remove(path))
	db, err = bbolt.Open(path, 0o600, nil)
	must(t, err)
	must(t, db.Update(func(tx *bbolt.Tx) error { // all in one, as a compaction does it
		_, err := tx.CreateBucket([]byte("logs"))
		return err
	}))
	must(t, db.Close())
	whole, err := os.ReadFile(path)
	must(t, err)
	at = newestMeta(t, path)
	for name, damage := range map[string]func([]byte){
		"a flipped byte": func(b []byte) { flip(b[metaTx:]) },
		"zeros":          func(b []byte) { clear(b[:512]) },
	} {
		must(t, os.WriteFile(path, whole, 0o600))
		overwrite(t, path, at, damage)
		for _, readOnly := range []bool{true, false} {
			if _, err := boltstore.Open(path, &boltstore.Options{ReadOnly: readOnly}); !errors.Is(err, ballast.ErrCorrupt) {
				t.Errorf("%s, ReadOnly %v: Open returned %v", name, readOnly, err)
			}
		}
	}
}

// A bucket that the last transaction has made is not made anew over what says so.
func TestDamagedMetaOfABucket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "raft.db")
	db, err := bbolt.Open(path, 0o600, nil)
	must(t, err)
	for _, name := range []string{"logs", "conf"} {
		must(t, db.Update(func(tx *bbolt.Tx) error {
			_, err := tx.CreateBucket([]byte(name))
			return err
		}))
	}
	must(t, db.Close())
	at := newestMeta(t, path)
	overwrite(t, path, at+metaTx, flip)
	content, err := os.ReadFile(path)
	must(t, err)
	damage, ok := errors.AsType[*ballast.CorruptionError](func() error { _, err := boltstore.Open(path, nil); return err }())
	if !ok || damage.Offset != at {
		t.Errorf("Open returned %v", damage)
	}
	if now, err := os.ReadFile(path); err != nil || string(now) != string(content) {
		t.Errorf("the file has changed, %v", err)
	}
}

// A crash in the creation leaves any of the four pages, and what is opened is new or says what to do.
func TestCutCreation(t *testing.T) {
	if os.Getpagesize() != page {
		t.Skip("another page size")
	}
	path := filepath.Join(t.TempDir(), "raft.db")
	db, err := bbolt.Open(path, 0o600, nil)
	must(t, err)
	must(t, db.Close())
	whole, err := os.ReadFile(path)
	must(t, err)
	for kept := range 1 << 4 {
		content := make([]byte, len(whole))
		for i := range 4 {
			if kept>>i&1 == 1 {
				copy(content[i*page:(i+1)*page], whole[i*page:])
			}
		}
		must(t, os.WriteFile(path, content, 0o600))
		s, err := boltstore.Open(path, nil)
		if err == nil {
			must(t, s.StoreLog(&raft.Log{Index: 1}))
			closeStore(t, s)
		} else if !errors.Is(err, ballast.ErrCorrupt) || !strings.HasSuffix(err.Error(), "if its creation was cut off and nothing was ever stored, remove it") {
			t.Errorf("pages %04b: Open returned %v", kept, err)
		}
	}
}

// Of both pages something is damaged, and of one the magic: it is still a bbolt file.
func TestBothMetasDamaged(t *testing.T) {
	for _, offsets := range [][2]int64{{16, page + metaTx}, {metaTx, page + 16}} {
		path := filepath.Join(t.TempDir(), "raft.db")
		write(t, path, 1)
		for _, offset := range offsets {
			overwrite(t, path, offset, flip)
		}
		if _, err := boltstore.Open(path, nil); !errors.Is(err, ballast.ErrCorrupt) {
			t.Errorf("%v: Open returned %v", offsets, err)
		}
	}
}

// A compacted file has everything in each of the two pages' transactions.
func TestCompactedMeta(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("windows cannot replace a file that is open")
	}
	path := filepath.Join(t.TempDir(), "raft.db")
	write(t, path, 10)
	must(t, boltstore.Compact(t.Context(), path))
	whole, err := os.ReadFile(path)
	must(t, err)
	for _, at := range []int64{0, page} {
		t.Run(fmt.Sprint(at), func(t *testing.T) {
			must(t, os.WriteFile(path, whole, 0o600))
			overwrite(t, path, at+metaTx, flip)
			s := open(t, path, &boltstore.Options{ReadOnly: true})
			var log raft.Log
			if term, err := s.GetUint64([]byte("CurrentTerm")); term != 2 || err != nil {
				t.Errorf("the term is %d, %v", term, err)
			}
			must(t, s.GetLog(10, &log))
			if s.Damaged() == nil {
				t.Error("it is not told")
			}
			closeStore(t, s)
		})
	}
}
