//go:build unix

package cli

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/raft-ballast/ballast/wal"
)

// Who may read a wal may copy it. The copy is his own, and he is told.
func TestBackupByAnother(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can be another user")
	}
	dir, err := os.MkdirTemp("", "ballast") // t.TempDir is for its owner alone
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	const other = 65534
	from, to := filepath.Join(dir, "wal"), filepath.Join(dir, "other")
	log, err := wal.Open(from, nil)
	must(t, err)
	must(t, log.StoreLog(command(1, 1)))
	must(t, log.Close()) // or it would prepare a segment that has not the mode of the others
	must(t, os.Mkdir(to, 0o700))
	must(t, os.Chown(to, other, other))
	must(t, os.Chmod(dir, 0o755))
	must(t, os.Chmod(from, 0o755))
	for _, path := range segmentsIn(t, from) {
		must(t, os.Chmod(path, 0o644))
	}
	this, err := os.Executable()
	must(t, err)
	code, err := os.ReadFile(this)
	must(t, err)
	executable := filepath.Join(dir, "ballast") // the test's own is in a folder for root alone
	must(t, os.WriteFile(executable, code, 0o755))

	cmd := exec.Command(executable, "backup", from, filepath.Join(to, "copy"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: other, Gid: other}}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "1 entry from 1 to 1, ") || !strings.Contains(string(out), "\nnote: the copy does not belong to ") {
		t.Fatalf("%v: %s", err, out)
	}
	info, err := os.Stat(segmentsIn(t, filepath.Join(to, "copy"))[0])
	must(t, err)
	if uid := info.Sys().(*syscall.Stat_t).Uid; uid != other {
		t.Errorf("the copy belongs to %d", uid)
	}
	s, err := wal.OpenReadOnly(filepath.Join(to, "copy"), nil)
	must(t, err)
	must(t, s.Close())
}

// segmentsIn returns the files of the segments of a wal, at least one.
func segmentsIn(t *testing.T, dir string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, "*.wal"))
	if err != nil || len(found) == 0 {
		t.Fatalf("%s holds no segment: %v", dir, err)
	}
	return found
}
