//go:build unix

package cli

import (
	"bytes"
	"os"
	"os/exec"
	"testing"
	"time"
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

// Ctrl-C ends the measuring, and nothing is left of it.
func TestBenchInterrupted(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	executable, err := os.Executable()
	must(t, err)
	cmd := exec.Command(executable, "bench", "--seconds", "600", dir)
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	must(t, cmd.Start())
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if names, err := os.ReadDir(dir); err != nil || len(names) > 0 {
			break
		} else if time.Now().After(deadline) {
			t.Fatal("it writes nothing")
		}
	}
	must(t, cmd.Process.Signal(os.Interrupt))
	_ = cmd.Wait() // with exit status 1
	if names, err := os.ReadDir(dir); err != nil || len(names) > 0 {
		t.Errorf("there are %v, %v", names, err)
	}
	if want := "ballast: the measuring was interrupted; nothing is left of it, start it again\n"; cmd.ProcessState.ExitCode() != ExitFailure || complaint.String() != want {
		t.Errorf("exit status %d, %q", cmd.ProcessState.ExitCode(), complaint.String())
	}
}
