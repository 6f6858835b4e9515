//go:build unix

package cli

import (
	"os"
	"os/exec"
	"testing"
)

// Ctrl-C is how one ends it, and no failure.
func TestFollowInterrupted(t *testing.T) {
	dir := t.TempDir()
	must(t, openLog(t, dir).StoreLog(command(1, 1)))
	executable, err := os.Executable()
	must(t, err)
	cmd := exec.Command(executable, "dump", "--follow", dir)
	stdout, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	readUntil(t, stdout, "command 1 of term 1")
	must(t, cmd.Process.Signal(os.Interrupt))
	if err := cmd.Wait(); err != nil {
		t.Errorf("it ended with %v", err)
	}
}
