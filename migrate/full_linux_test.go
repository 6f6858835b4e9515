package migrate_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/loopfs"
	"github.com/raft-ballast/ballast/migrate"
)

// On a disk that is too small nothing is left of the copy, and the old store is as it was. With another disk all goes well: the old
// store and the new one are on different ones then.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	dir := loopfs.ForTest(t, loopfs.Ext4, 32<<20)
	path := filepath.Join(dir, "raft.db")
	model := fillMuch(t, filepath.Join(t.TempDir(), "raft.db"), path)
	fill, err := os.Create(filepath.Join(dir, "filler"))
	must(t, err)
	for err == nil {
		_, err = fill.Write(make([]byte, 256<<10))
	}
	size, _ := fill.Seek(0, io.SeekCurrent)
	must(t, errors.Join(fill.Truncate(size-3<<20), fill.Sync(), fill.Close())) // the copy needs more
	before := names(t, dir)
	s, err := migrate.Open(t.Context(), filepath.Join(dir, "wal"), bolt(path), nil)
	if err == nil {
		_ = s.Close() // the test has failed
	}
	if !errors.Is(err, ballast.ErrNoSpace) || names(t, dir) != before {
		t.Errorf("%v; there is %s", err, names(t, dir))
	}
	place := filepath.Join(t.TempDir(), "wal")
	s, err = migrate.Open(t.Context(), place, bolt(path), nil)
	must(t, err)
	checkModel(t, model, s)
	must(t, s.Close())
	if got := names(t, dir); got != "filler lost+found raft.db raft.db.migrated" || names(t, filepath.Dir(place)) != "wal" {
		t.Errorf("there is %s, and %s", got, names(t, filepath.Dir(place)))
	}
}
