//go:build unix

package cli

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// What the system gives is like what the other tests give: a device that is full, and a pipe that
// nobody reads any more.
func TestOutputOfTheSystem(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	must(t, openLog(t, filepath.Join(dir, "wal")).StoreLog(command(1, 1)))
	executable, err := os.Executable()
	must(t, err)
	run := func(out *os.File, args ...string) (*os.ProcessState, string) {
		cmd := exec.Command(executable, args...)
		var complaints bytes.Buffer
		cmd.Stdout, cmd.Stderr, cmd.Dir = out, &complaints, dir
		_ = cmd.Run() // its state says how it ended
		return cmd.ProcessState, complaints.String()
	}
	unread, pipe, err := os.Pipe()
	must(t, err)
	must(t, unread.Close())
	defer pipe.Close()
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err == nil {
		defer full.Close()
	}
	for _, line := range []string{
		"dump --limit 1 wal", "dump --limit 1 --json wal", "dump --limit 1 --raw wal",
		"dump --follow --limit 1 wal", "info wal", "export wal -", "version",
		"--version", "--help", "help dump", "completion bash", "__complete info x",
	} {
		args := strings.Fields(line)
		state, said := run(pipe, args...)
		status, _ := state.Sys().(syscall.WaitStatus)
		quiet := state.ExitCode() == ExitPipe || status.Signal() == syscall.SIGPIPE
		if !quiet || strings.Contains(said, "ballast: ") {
			t.Errorf("%s into a closed pipe: %v, %q", line, state, said)
		}
		if full == nil {
			continue // the system has none
		}
		state, said = run(full, args...)
		why := "writing to standard output: write /dev/stdout: no space left on device; make room"
		if state.ExitCode() != ExitFailure || !strings.Contains(said, why) {
			t.Errorf("%s to a full disk: %v, %q", line, state, said)
		}
	}
}
