package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/raft-ballast/ballast"
)

// holderText says which process has a store open that is locked, where the system tells; "" otherwise.
func holderText(err error) string {
	locked, ok := errors.AsType[*ballast.LockedError](err)
	if !ok {
		return ""
	}
	// A wal has a file for its lock; the others lock what they are.
	for _, path := range []string{filepath.Join(locked.Path, "LOCK"), locked.Path} {
		info, err := os.Stat(path)
		if err != nil {
			continue
		}
		if pid := holder(info); pid != 0 {
			name, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid)) // it may have ended meanwhile
			return fmt.Sprintf("; process %d (%s) has it", pid, word(strings.TrimSpace(string(name))))
		}
	}
	return ""
}

// holder returns a process that holds locks and has a file open, as Linux tells it; 0 where none is known.
func holder(file os.FileInfo) int {
	table, _ := os.ReadFile("/proc/locks")
	for line := range strings.Lines(string(table)) {
		// 1: FLOCK  ADVISORY  WRITE 1234 fe:00:5678 0 EOF
		fields := strings.Fields(line)
		if len(fields) < 5 || fields[1] != "FLOCK" {
			continue
		}
		pid, err := strconv.Atoi(fields[4])
		if err != nil || pid <= 0 {
			continue // of another container
		}
		open, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
		for _, link := range open {
			if info, err := os.Stat(link); err == nil && os.SameFile(info, file) {
				return pid
			}
		}
	}
	return 0
}
