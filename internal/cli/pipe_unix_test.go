//go:build unix

package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A pipe where a file of a store should be is an error at once, which names it: nobody writes into
// it, so who opens it waits for ever. Who only reads does without LOCK.
func TestPipesInStores(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	log, bolt := filepath.Join(dir, "log"), filepath.Join(dir, "raft.db")
	writeCluster(t, log, bolt)
	segments, err := filepath.Glob(filepath.Join(log, "*.wal"))
	must(t, err)
	lock := filepath.Join(log, "LOCK")
	for path, stores := range map[string][]string{
		segments[0]: {"wal:" + log, log},
		lock:        {"wal:" + log},
		bolt:        {"bolt:" + bolt, bolt},
	} {
		must(t, os.Rename(path, filepath.Join(dir, "kept")))
		must(t, unix.Mkfifo(path, 0o600))
		for _, store := range stores {
			for _, args := range [][]string{
				{"info", store}, {"verify", store}, {"dump", store}, {"stable", "list", store},
				{"diff", store, store}, {"export", store, filepath.Join(dir, "export")},
				{"repair", store}, {"repair", "--write", store}, {"compact", store},
				{"migrate", store, "wal:" + filepath.Join(dir, "new")},
				{"stable", "set", "--force", store, "a", "b"},
			} {
				status, _, stderr := runBallast(args...)
				if path != lock && (status == 0 || !strings.Contains(stderr, path)) {
					t.Errorf("%s is a pipe, %q: status %d, %s", path, args, status, stderr)
				}
			}
		}
		must(t, os.Rename(filepath.Join(dir, "kept"), path))
	}
}
