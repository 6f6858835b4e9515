package raftwal

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/fixture"
	"github.com/raft-ballast/ballast/memstore"
)

// fixtureDir was written by raft-wal v0.4.0, see internal/fixture. Its second segment is sealed and has no index.
const fixtureDir = "testdata/raft-wal"

// copyFixture returns a copy that may be damaged.
func copyFixture(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	must(t, os.CopyFS(dir, os.DirFS(fixtureDir)))
	return dir
}

func TestFixture(t *testing.T) {
	l := open(t, fixtureDir)
	fixture.Check(t, l)
	if err := l.Dropped(); err != nil {
		t.Errorf("nothing was dropped, and yet: %v", err)
	}
}

// What is read is copied, and the copy is what was read.
func TestCopy(t *testing.T) {
	l, store := open(t, fixtureDir), memstore.New()
	done, err := ballast.Copy(context.Background(), store, l, nil)
	must(t, err)
	if done.Entries != 270 {
		t.Errorf("%d entries were copied", done.Entries)
	}
	fixture.Check(t, store)
}

// Reading leaves every file as it was.
func TestFilesStay(t *testing.T) {
	dir := copyFixture(t)
	before := snapshot(t, dir)
	l, err := Open(dir)
	must(t, err)
	fixture.Check(t, l)
	must(t, l.Close())
	for name, want := range before {
		if got := snapshot(t, dir)[name]; !bytes.Equal(got, want) {
			t.Errorf("%s has changed", name)
		}
	}
	if n := len(snapshot(t, dir)); n != len(before) {
		t.Errorf("there are %d files, and there were %d", n, len(before))
	}
}

func snapshot(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	entries, err := os.ReadDir(dir)
	must(t, err)
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		data, err := os.ReadFile(path)
		must(t, err)
		info, err := e.Info()
		must(t, err)
		files[e.Name()] = append(data, info.ModTime().String()...)
	}
	return files
}

// Entries that raft-wal has truncated are in the files, and are not found.
func TestTruncatedStaysHidden(t *testing.T) {
	l := open(t, fixtureDir)
	for _, index := range []uint64{0, 1, 20, 291, 300} {
		if err := l.GetLog(index, new(raft.Log)); err != raft.ErrLogNotFound {
			t.Errorf("entry %d: %v", index, err)
		}
	}
}
