package badgerstore

import (
	"os"
	"testing"

	"github.com/raft-ballast/ballast/internal/killpoints"
)

const firstOpening = "BALLAST_TEST_FIRST_OPENING"

// Killed at any call of its first opening, and of the closing of what was written, a store opens
// again without help, with all that was acknowledged.
func TestKilledFirstOpening(t *testing.T) {
	if dir := os.Getenv(firstOpening); dir != "" {
		s := mustOpen(t, dir, partsOptions())
		if os.Getenv(firstOpening+"_WRITES") != "" {
			mustStore(t, s, entries(1, 30, "long", 40<<10))
		}
		mustClose(t, s)
		return
	}
	for _, writes := range []string{"", "1"} {
		dir := t.TempDir()
		argv := []string{os.Args[0], "-test.run=^TestKilledFirstOpening$"}
		left := killpoints.Snapshots(t, dir, argv, append(os.Environ(), firstOpening+"="+dir, firstOpening+"_WRITES="+writes))
		if len(left) < 10 {
			t.Fatalf("it was killed at %d points only", len(left))
		}
		acknowledged := false
		for i, dir := range left {
			names, _ := os.ReadDir(dir)
			s, err := Open(dir, partsOptions())
			if err != nil {
				t.Errorf("writes %q, killed at point %d of %d, which left %v: %v", writes, i, len(left), names, err)
				continue
			}
			last, err := s.LastIndex()
			if err != nil || acknowledged && last != 30 {
				t.Errorf("writes %q, killed at point %d of %d, which left %v: the last entry is %d, %v", writes, i, len(left), names, last, err)
			}
			acknowledged = last == 30
			mustStore(t, s, entries(31, 32, "behind", 10))
			mustClose(t, s)
		}
		if acknowledged != (writes != "") {
			t.Errorf("writes %q: acknowledged %v", writes, acknowledged)
		}
	}
}
