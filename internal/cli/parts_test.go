package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A badger directory without its manifest is named as such by every command, and left as it is.
func TestPartOfABadgerDirectory(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "store")
	must(t, os.CopyFS(dir, os.DirFS("../../badgerstore/testdata/raft-badger-default")))
	must(t, os.Remove(filepath.Join(dir, "MANIFEST")))
	names := func() (out []string) {
		entries, err := os.ReadDir(dir)
		must(t, err)
		for _, e := range entries {
			info, err := e.Info()
			must(t, err)
			out = append(out, e.Name(), info.ModTime().String())
		}
		return out
	}
	before := names()
	elsewhere := filepath.Join(t.TempDir(), "elsewhere")
	for _, args := range [][]string{
		{"info", dir}, {"info", "badger:" + dir}, {"verify", dir}, {"dump", dir}, {"stable", "get", dir, "CurrentTerm"},
		{"repair", dir}, {"repair", "--write", dir}, {"migrate", "badger:" + dir, "wal:" + elsewhere}, {"export", dir, elsewhere},
		{"compact", "badger:" + dir}, {"stable", "set", "--force", "badger:" + dir, "k", "v"}, {"diff", dir, dir},
	} {
		status, out, err := runBallast(args...)
		if status == 0 || !strings.Contains(out+err, "this is part of a badger directory") {
			t.Errorf("%v: status %d, %s%s", args, status, out, err)
		}
		if now := names(); strings.Join(now, " ") != strings.Join(before, " ") {
			t.Fatalf("%v changed the folder: %v", args, now)
		}
	}
	if status, _, err := runBallast("info", "wal:"+dir); status == 0 || !strings.Contains(err, "part of a badger directory") {
		t.Errorf("as a wal: status %d, %s", status, err)
	}
	if _, err := os.Stat(elsewhere); err == nil {
		t.Error("something was made of it")
	}
}
