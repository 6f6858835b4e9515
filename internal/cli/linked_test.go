package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestLinkedFilesAreTold: info and verify tell of files that a copy of hard links has too, and of
// which engines that is no copy. Nothing fails by it.
func TestLinkedFilesAreTold(t *testing.T) {
	dir := t.TempDir()
	_, _, whole := writeTwo(t, dir)
	for _, engine := range []string{"wal", "groups", "bolt", "badger"} {
		path := filepath.Join(dir, engine, "store")
		name, move := engine+":"+path, []string{"migrate", whole}
		if engine == "groups" {
			name, move = "wal:"+path, []string{"migrate", "--group", "1=" + whole, "--group", "2=" + whole}
		}
		must(t, os.Mkdir(filepath.Dir(path), 0o700))
		if status, _, stderr := runBallast(append(move, name)...); status != 0 {
			t.Fatal(engine, stderr)
		}
		for _, linked := range []bool{false, true} {
			if linked {
				linkTree(t, path, filepath.Join(dir, engine, "copy"))
			}
			for _, command := range []string{"info", "verify"} {
				status, stdout, stderr := runBallast(command, name)
				told := strings.Contains(stdout, "more than one link") &&
					strings.Contains(stdout, "that is a copy") == strings.HasPrefix(name, "wal:")
				if status != 0 || told != linked {
					t.Errorf("%s %s, linked %v: status %d, %s%s", command, name, linked, status, stdout, stderr)
				}
				status, stdout, stderr = runBallast(command, "--json", name)
				if status != 0 || strings.Contains(stdout, `"linked_files":`) != linked {
					t.Errorf("%s --json %s, linked %v: status %d, %s%s", command, name, linked, status, stdout, stderr)
				}
			}
		}
	}
}

// linkTree is cp -al.
func linkTree(t *testing.T, from, to string) {
	t.Helper()
	must(t, filepath.WalkDir(from, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		at := to + strings.TrimPrefix(path, from)
		if d.IsDir() {
			return os.Mkdir(at, 0o700)
		}
		if err := os.Link(path, at); err != nil {
			t.Skipf("no hard links here: %v", err)
		}
		return nil
	}))
}
