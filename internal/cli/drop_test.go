package cli

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	common "github.com/raft-ballast/ballast/internal/engine"
	"github.com/raft-ballast/ballast/wal"
)

// A log that somebody has open is refused, and nothing of it is deleted.
func TestDropInUse(t *testing.T) {
	dir := t.TempDir()
	writeStores(t, dir)
	path := filepath.Join(dir, "shared")
	log, err := wal.OpenGroups(path, nil)
	must(t, err)
	status, _, stderr := runBallast("drop", "--force", "--group", "7", "wal:"+path)
	if status != ExitFailure || !strings.Contains(stderr, "is locked") {
		t.Errorf("status %d, %s", status, stderr)
	}
	must(t, log.Close())
	log, err = wal.OpenGroups(path, nil)
	must(t, err)
	if ids := log.IDs(); !slices.Equal(ids, []uint64{0, 7}) {
		t.Errorf("the log has the groups %v, want 0 and 7", ids)
	}
	must(t, log.Close())
}

// A group that a migration has begun and not finished does not open, and can be deleted.
func TestDropUnfinished(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	log, err := wal.OpenGroups(path, nil)
	must(t, err)
	for _, id := range []uint64{1, 2} {
		store, err := log.Store(id)
		must(t, err)
		must(t, store.Set([]byte("key"), []byte("value")))
		if id == 2 {
			must(t, store.Set([]byte(common.UnfinishedKey), []byte("begun")))
		}
	}
	must(t, log.Close())
	status, stdout, stderr := runBallast("drop", "--force", "--group", "2", "wal:"+path)
	if status != 0 || !strings.Contains(stdout, "was deleted: what a migration had begun") {
		t.Errorf("status %d, %s%s", status, stdout, stderr)
	}
	if status, stdout, _ := runBallast("verify", "wal:"+path); status != 0 || strings.Contains(stdout, "unfinished") {
		t.Errorf("status %d, %s", status, stdout)
	}
}
