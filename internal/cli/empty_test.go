package cli

import (
	"path/filepath"
	"strings"
	"testing"
)

// A log without entries is a store like any other.
func TestEmptyLog(t *testing.T) {
	dir := t.TempDir()
	empty, cluster := "wal:"+filepath.Join(dir, "empty"), "wal:"+filepath.Join(dir, "cluster")
	openLog(t, filepath.Join(dir, "empty"))
	writeCluster(t, filepath.Join(dir, "cluster"), filepath.Join(dir, "cluster.db"))
	cases := []struct {
		args   []string
		status int
		want   string // in standard output
	}{
		{[]string{"info", empty}, 0, "\nentries       none\n"},
		{[]string{"info", "--json", empty}, 0, `"first_index":0,"last_index":0,"entries":0,"damaged":0,"terms":[],"live_bytes":0,`},
		{[]string{"verify", empty}, 0, "good, and without entries\n"},
		{[]string{"verify", "--json", empty}, 0, `"ok":true,"opens":true,"entries":0,`},
		{[]string{"dump", empty}, 0, "INDEX  TERM  TYPE "},
		{[]string{"segments", empty}, 0, "\n1       tail      -      -     0     0 "},
		{[]string{"stable", "list", empty}, 0, ""},
		{[]string{"stable", "list", "--json", empty}, 0, "{\"stable\":{}}\n"},
		{[]string{"diff", empty, empty}, 0, "both are empty\n"},
		{[]string{"diff", "--json", empty, empty}, 0, `"equal":true,"compared":0,`},
		{[]string{"diff", empty, cluster}, ExitFailure, "has: 1 to 11\n"},
	}
	for _, c := range cases {
		status, stdout, stderr := runBallast(c.args...)
		stderr = strings.TrimPrefix(stderr, "ballast: no entry to show; the log has none\n")
		if status != c.status || !strings.Contains(stdout, c.want) || (stderr == "") != (c.status == 0) {
			t.Errorf("%v: status %d, want %d; %s\nit should print %q, and prints\n%s", c.args, status, c.status, stderr, c.want, stdout)
		}
	}
}
