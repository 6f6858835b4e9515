package boltstore_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast/boltstore"
	"github.com/raft-ballast/ballast/internal/killpoints"
)

const firstOpening = "BALLAST_TEST_FIRST_OPENING"

// Killed at any call of its first opening, a store opens again without help, and leaves no other
// file.
func TestKilledFirstOpening(t *testing.T) {
	if path := os.Getenv(firstOpening); path != "" {
		s, err := boltstore.Open(path, nil)
		must(t, err)
		must(t, s.Close())
		return
	}
	dir := t.TempDir()
	argv := []string{os.Args[0], "-test.run=^TestKilledFirstOpening$"}
	left := killpoints.Snapshots(t, dir, argv, append(os.Environ(), firstOpening+"="+filepath.Join(dir, "raft.db")))
	if len(left) < 6 {
		t.Fatalf("it was killed at %d points only", len(left))
	}
	for i, dir := range left {
		path := filepath.Join(dir, "raft.db")
		s, err := boltstore.Open(path, nil)
		if err != nil {
			entries, _ := os.ReadDir(dir)
			t.Errorf("killed at point %d, which left %v: %v", i, entries, err)
			continue
		}
		must(t, errors.Join(s.StoreLog(&raft.Log{Index: 1}), s.Close()))
		if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
			t.Errorf("killed at point %d: there are %v, %v", i, entries, err)
		}
	}
}
