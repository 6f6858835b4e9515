package cli

import (
	"os/exec"
	"strings"
	"testing"
)

// Only who imports a sink builds what it needs, and only this command does.
func TestSinksStayOutOfOthers(t *testing.T) {
	t.Parallel()
	const module = "github.com/raft-ballast/ballast"
	backends := []string{module + "/metrics/", "github.com/prometheus/"}
	for _, pkg := range []string{"", "/wal", "/boltstore", "/badgerstore", "/memstore", "/logcache", "/storetest", "/metrics", "/stepdown", "/hclogslog"} {
		out, err := exec.Command("go", "list", "-deps", module+pkg).CombinedOutput()
		if err != nil {
			t.Fatalf("go list: %v\n%s", err, out)
		}
		for dep := range strings.Lines(string(out)) {
			for _, backend := range backends {
				if strings.HasPrefix(dep, backend) {
					t.Errorf("%s%s imports %s", module, pkg, dep)
				}
			}
		}
	}
}
