package cli

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/raft-ballast/ballast/internal/cli/demo"
	"github.com/raft-ballast/ballast/wal"
)

// Several raft groups in each peer survive the kills, all on one wal; and another number of groups is refused in the folder.
func TestDemoGroups(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "new")
	status, report, _ := demoJSON(t, "--groups", "6", "--dir", dir)
	wantSurvived(t, status, report, defaultEngine)
	if report["groups"] != 6.0 || report["fewest_in_group"].(float64) < 1 {
		t.Errorf("report %v", report)
	}
	for _, id := range demo.PeerIDs {
		gs, err := wal.OpenGroupsReadOnly(filepath.Join(dir, id, "wal"), nil)
		must(t, err)
		if list := gs.List(); len(list) != 6 || list[5].ID != 5 {
			t.Errorf("%s has groups %v", id, list)
		}
		must(t, gs.Close())
	}
	status, stdout, stderr := runBallast("demo", "--dir", dir, "--seconds", "3")
	if status != ExitFailure || !strings.Contains(stderr, "holds a demo of 6 raft groups; go on with --groups 6, or give a new --dir") {
		t.Errorf("another number: status %d, %s%s", status, stdout, stderr)
	}
	for _, args := range [][]string{{"--groups", "0"}, {"--groups", "65"}, {"--groups", "2", "--engine", "bolt"}, {"--groups", "4", "--writers", "3"}} {
		if status, _, stderr := runBallast(append([]string{"demo"}, args...)...); status != ExitUsage {
			t.Errorf("%v: status %d, %s", args, status, stderr)
		}
	}
}
