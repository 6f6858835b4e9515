package badgerstore

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast"
)

// damageValueLog flips a byte of what begins with text in a value log file.
func damageValueLog(t *testing.T, dir, text string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*"+vlogSuffix))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range files {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if at := bytes.Index(content, []byte(text)); at >= 0 {
			patch(t, path, int64(at)+3, '!')
			return
		}
	}
	t.Fatalf("%q is in no file", text)
}

// checkRead reads entries of a directory without a change to it.
func checkRead(t *testing.T, dir string, want []*raft.Log) {
	t.Helper()
	o := smallFiles()
	o.ReadOnly = true
	s := mustOpen(t, dir, o)
	check(t, s, want)
	mustClose(t, s)
}

// Badger would cut the newest file off at a damaged record, also where nothing that is read lies there.
func TestDamagedRecordBeforeGoodEntries(t *testing.T) {
	for name, test := range map[string]struct {
		damaged string
		write   func(*Store) error
	}{
		"a deleted entry": {"entry 1;", func(s *Store) error {
			return errors.Join(s.StoreLogs(entries(1, 3, "entry", 100<<10)), s.StoreLogs(entries(4, 6, "entry", 100<<10)), s.DeleteRange(1, 3))
		}},
		"a stable value": {"stablestable", func(s *Store) error {
			return errors.Join(s.Set([]byte("big"), bytes.Repeat([]byte("stable"), 20<<10)), s.StoreLogs(entries(4, 6, "entry", 100<<10)))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			s := mustOpen(t, t.TempDir(), smallFiles())
			if err := test.write(s); err != nil {
				t.Fatal(err)
			}
			mustClose(t, s)
			damageValueLog(t, s.dir, test.damaged)
			for range 2 {
				damage, ok := errors.AsType[*ballast.CorruptionError](failOpen(t, s.dir, smallFiles()))
				if !ok || damage.Offset < vlogHeader {
					t.Errorf("Open: %v; want a CorruptionError with the offset", damage)
				}
				if err := Compact(t.Context(), s.dir, smallFiles()); !errors.Is(err, ballast.ErrCorrupt) {
					t.Errorf("Compact: %v; want ErrCorrupt", err)
				}
			}
			checkRead(t, s.dir, entries(4, 6, "entry", 100<<10))
		})
	}
}

// Badger would move the entries before a damaged record to another file, and remove this one.
func TestDamagedRecordOfAnOlderFile(t *testing.T) {
	s := mustOpen(t, t.TempDir(), smallFiles())
	for index := uint64(1); index <= 12; index++ {
		mustStore(t, s, entries(index, index, "entry", 200<<10))
	}
	if err := s.DeleteRange(1, 5); err != nil { // the first file keeps the last of its six
		t.Fatal(err)
	}
	mustClose(t, s)
	damageValueLog(t, s.dir, "entry 2;")
	for range 4 {
		mustClose(t, mustOpen(t, s.dir, smallFiles())) // which collects the garbage
		if err := Compact(t.Context(), s.dir, smallFiles()); !errors.Is(err, ballast.ErrCorrupt) {
			t.Errorf("Compact: %v; want ErrCorrupt", err)
		}
	}
	checkRead(t, s.dir, entries(6, 12, "entry", 200<<10))
}

// A crash has torn the last write: that is the end, and no damage.
func TestTornValueLogAfterACrash(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "crashed")
	s := mustOpen(t, t.TempDir(), smallFiles())
	mustStore(t, s, entries(1, 3, "entry", 100<<10))
	if err := os.CopyFS(dir, os.DirFS(s.dir)); err != nil {
		t.Fatal(err)
	}
	mustClose(t, s)
	path := filepath.Join(dir, "000001"+vlogSuffix)
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	end := int64(len(bytes.TrimRight(content, "\x00")))
	patch(t, path, end+100, 'x')
	s = mustOpen(t, dir, smallFiles())
	check(t, s, entries(1, 3, "entry", 100<<10))
	mustClose(t, s)
}
