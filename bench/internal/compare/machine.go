package compare

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/raft-ballast/ballast/bench/internal/report"
	"github.com/raft-ballast/ballast/internal/limit"
)

// describe says what was measured on.
func describe(dir string, c *Config) report.Machine {
	fs := limit.MountOf(dir)
	m := report.Machine{
		CPUs:       runtime.NumCPU(),
		CPU:        cpuModel(),
		Kernel:     runtime.GOOS + " " + firstLine("/proc/sys/kernel/osrelease"),
		FileSystem: fmt.Sprintf("%s on %s", fs.Kind, fs.Source),
		Go:         runtime.Version() + " " + runtime.GOARCH,
		Date:       time.Now().UTC().Format("2006-01-02 15:04 MST"),
		Commit:     "unknown",
		Quick:      c.Quick,
		Seed:       c.Seed,
	}
	if out, err := exec.Command("git", "describe", "--always", "--dirty").Output(); err == nil {
		m.Commit = strings.TrimSpace(string(out))
	}
	return m
}

// ChooseDir returns the folder that was asked for, or one that is on a disk.
func ChooseDir(asked string) (string, error) {
	candidates := []string{asked}
	if asked == "" {
		candidates = []string{os.TempDir(), "."}
	}
	for _, dir := range candidates {
		abs, err := filepath.Abs(dir)
		if err != nil {
			return "", err
		}
		if fs := limit.MountOf(abs); fs.Kind != "tmpfs" && fs.Kind != "ramfs" {
			return abs, nil
		}
	}
	return "", fmt.Errorf("%v is in memory; give a folder on a disk with -dir", candidates)
}

func cpuModel() string {
	info, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(info)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

func firstLine(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return "unknown"
	}
	line, _, _ := strings.Cut(string(text), "\n")
	return line
}
