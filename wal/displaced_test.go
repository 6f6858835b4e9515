package wal

import (
	"bytes"
	"errors"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/oracle"
	"github.com/raft-ballast/ballast/internal/vfs"
)

// The name of the folder of an open log comes to mean another one. internal/displaced does the same
// to two processes, on every engine.

const oldDir = dataDir + ".old"

// displaced ends the test unless err says that the log is at oldDir now.
func displaced(t *testing.T, err error) {
	t.Helper()
	d, ok := errors.AsType[*ballast.DisplacedError](err)
	if !ok || d.Path != dataDir || d.Now != oldDir || !errors.Is(err, ballast.ErrDisplaced) {
		t.Fatalf("the error should be a DisplacedError of %s, now at %s: %v", dataDir, oldDir, err)
	}
}

// TestDisplaced: a log goes on in its folder up to its next rotation, says so there and takes no
// more writes; another one that was begun under the name never sees anything of it.
func TestDisplaced(t *testing.T) {
	for _, shared := range []bool{false, true} {
		mem := vfs.NewMem()
		var told bytes.Buffer
		first := newTestLogWith(t, mem, 1, func(o *Options) {
			o.Logger = slog.New(slog.NewTextHandler(&told, nil))
		})
		first.close()
		first.shared = shared
		first.open()
		first.rotate()
		first.vote(3)
		must(t, mem.Rename(dataDir, oldDir))
		second := newTestLog(t, mem, 2)
		tail := first.j.tail
		var refused error
		for n := 0; refused == nil && n < 40; n++ {
			second.fill(16, 4096)
			logs := oracle.Entries(first.rng, first.model.Last()+1, 16, 4096)
			if refused = first.StoreLogs(logs); refused == nil {
				first.model.Put(logs, 0)
			}
		}
		displaced(t, refused)
		if first.j.tail != tail || tail.end < tail.size/2 {
			t.Errorf("it was said when segment %d ended at %d", tail.number, tail.end)
		}
		first.check()
		displaced(t, first.Set([]byte("key"), []byte("value")))
		displaced(t, first.DeleteRange(1, 10))
		displaced(t, first.StoreLog(&raft.Log{Index: first.model.Last() + 1}))
		st := first.Stats()
		displaced(t, st.Failed)
		displaced(t, st.Displaced)
		if n := strings.Count(told.String(), "takes no more writes"); n != 1 {
			t.Errorf("the logger was told %d times:\n%s", n, &told)
		}
		second.rotate()
		first.close()
		second.check()
		if err := second.Stats().Displaced; err != nil {
			t.Errorf("the second one says %v", err)
		}
		second.close()
		checkReopened(t, second.model, mem)

		must(t, mem.Rename(dataDir, "/raft.second"))
		must(t, mem.Rename(oldDir, dataDir))
		first.open()
		if first.j.writer.marked.state != markerClosed {
			t.Error("the first one was not closed")
		}
		first.check()
		first.rotate()
		first.close()
	}
}

// A log whose folder was removed ends without an error that says something else, and makes nothing
// at the old name.
func TestFolderRemoved(t *testing.T) {
	mem := vfs.NewMem()
	l := newTestLog(t, mem, 1)
	l.rotate()
	for _, path := range mem.Files() {
		must(t, mem.Remove(path))
	}
	must(t, mem.Remove(dataDir))
	var refused error
	for n := 0; refused == nil && n < 40; n++ {
		logs := oracle.Entries(l.rng, l.model.Last()+1, 16, 4096)
		if refused = l.StoreLogs(logs); refused == nil {
			l.model.Put(logs, 0)
		}
	}
	if !errors.Is(refused, ballast.ErrDisplaced) {
		t.Fatal(refused)
	}
	if d, _ := errors.AsType[*ballast.DisplacedError](l.Stats().Failed); d == nil || d.Now != "" {
		t.Errorf("Stats say %+v", d)
	}
	must(t, l.Close())
	if files := mem.Files(); len(files) > 0 {
		t.Errorf("there is %q", files)
	}
	if _, err := mem.List(dataDir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the folder is there again: %v", err)
	}
}

// A log whose folder has its name back before its next rotation has nothing to tell.
func TestDisplacedForAMoment(t *testing.T) {
	mem := vfs.NewMem()
	l := newTestLog(t, mem, 1)
	l.rotate()
	must(t, mem.Rename(dataDir, oldDir))
	l.fill(1, 100)
	displaced(t, l.Stats().Displaced)
	must(t, mem.Rename(oldDir, dataDir))
	l.rotate()
	l.check()
	if st := l.Stats(); st.Displaced != nil || st.Failed != nil {
		t.Errorf("Stats say %v, %v", st.Displaced, st.Failed)
	}
	l.close()
}

// Whoever reads a log reads no other one: not when it reads the log anew, nor when it opens an
// older segment.
func TestReadersOfADisplacedLog(t *testing.T) {
	mem := vfs.NewMem()
	l := newTestLog(t, mem, 1)
	l.rotate()
	l.rotate()
	reader, err := OpenReadOnly(dataDir, memOptions(mem))
	must(t, err)
	defer reader.Close()
	salvaged, err := Salvage(dataDir, memOptions(mem))
	must(t, err)
	defer salvaged.Close()
	must(t, mem.Rename(dataDir, oldDir))
	other := newTestLog(t, mem, 2)
	other.rotate()
	other.rotate()
	for _, s := range []*Store{reader, salvaged.Log} {
		if err := check(l.model, s); err != nil {
			t.Error(err)
		}
		displaced(t, s.Stats().Displaced)
		if infos, err := s.Segments(); err != nil || len(infos) < 3 {
			t.Errorf("there are %d segments, %v", len(infos), err)
		}
	}
	must(t, l.DeleteRange(1, l.model.Last()-1))
	l.model.Delete(1, l.model.Last()-1)
	l.fill(1, 100) // the segments are gone, or used again
	_, err = reader.j.refresh(reader.Readings())
	must(t, err)
	if err := check(l.model, reader); err != nil {
		t.Errorf("read anew: %v", err)
	}
}

// A copy is that of the log that had the name when it began, and no copy is made in a folder that
// is not where it was asked for.
func TestBackupOfADisplacedLog(t *testing.T) {
	for _, dir := range []string{dataDir, "/copy"} {
		mem := vfs.NewMem()
		l := newTestLog(t, mem, 1)
		l.rotate()
		var other *testLog
		rename := func(BackupProgress) {
			if other == nil {
				must(t, mem.Rename(dir, dir+".old"))
				other = newTestLogAt(t, mem, dir)
				other.rotate()
			}
		}
		_, err := Backup(t.Context(), dataDir, "/copy", &BackupOptions{fs: mem, Progress: rename})
		copied := "/copy"
		if dir == copied {
			if d, ok := errors.AsType[*ballast.DisplacedError](err); !ok || d.Path != dir {
				t.Errorf("a copy elsewhere than it was asked for: %v", err)
			}
			copied += ".old"
		} else if err != nil {
			t.Error(err)
		}
		s, err := OpenReadOnly(copied, memOptions(mem))
		must(t, err)
		if err := check(l.model, s); err != nil {
			t.Error(err)
		}
		must(t, s.Close())
		other.check()
	}
}

// newTestLogAt is newTestLog in another folder.
func newTestLogAt(t *testing.T, fsys vfs.FS, dir string) *testLog {
	t.Helper()
	s, err := Open(dir, memOptions(fsys))
	must(t, err)
	t.Cleanup(func() { _ = s.Close() })
	return &testLog{Store: s, t: t, fs: fsys, rng: oracle.Random(3), model: oracle.NewModel()}
}

// byName is a file system without handles of folders, as that of windows: it looks before each name
// that is made, renamed or removed.
type byName struct {
	vfs.FS
	check func() error
}

func (b *byName) Hold(dir string) (*vfs.Dir, error) {
	d, err := b.FS.Hold(dir)
	if err == nil {
		d.FS = &byName{b.FS, d.Check}
	}
	return d, err
}

func (b *byName) looked(call func() error) error {
	if b.check != nil {
		if err := b.check(); err != nil {
			return err
		}
	}
	return call()
}

func (b *byName) Create(path string) (f vfs.File, err error) {
	err = b.looked(func() error { f, err = b.FS.Create(path); return err })
	return f, err
}

func (b *byName) Rename(from, to string) error {
	return b.looked(func() error { return b.FS.Rename(from, to) })
}

func (b *byName) Remove(path string) error {
	return b.looked(func() error { return b.FS.Remove(path) })
}

// TestDisplacedWithoutHandles: where a folder cannot be held the log makes, renames and removes
// nothing in another one, at whatever moment its name changes.
func TestDisplacedWithoutHandles(t *testing.T) {
	seed := rand.Uint64()
	rng := oracle.Random(seed)
	for range 20 {
		mem := vfs.NewMem()
		l := newTestLog(t, &byName{FS: mem}, rng.Uint64())
		for range 1 + rng.IntN(40) {
			l.fill(16, 4096)
		}
		must(t, l.DeleteRange(1, l.model.Last()/2))
		must(t, mem.Rename(dataDir, oldDir))
		must(t, mem.MkdirAll(dataDir))
		mem.WriteFile(filepath.Join(dataDir, nextName), []byte("another one's"))
		var refused error
		for range 40 {
			logs := oracle.Entries(l.rng, l.model.Last()+1, 16, 4096)
			if refused = l.StoreLogs(logs); refused != nil {
				break
			}
			last, err := l.LastIndex()
			must(t, err)
			must(t, l.DeleteRange(1, last-16))
		}
		displaced(t, refused)
		_ = l.Close() // cannot remove what holds nothing
		names, err := mem.List(dataDir)
		data := string(mem.ReadFile(filepath.Join(dataDir, nextName)))
		if err != nil || len(names) != 1 || data != "another one's" {
			t.Fatalf("seed %d: in the other folder there is %q, %v", seed, names, err)
		}
	}
}
