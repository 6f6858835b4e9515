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
)

// describe says what was measured on.
func describe(dir string, c *Config) report.Machine {
	fs := fileSystem(dir)
	m := report.Machine{
		CPUs:       runtime.NumCPU(),
		CPU:        cpuModel(),
		Kernel:     runtime.GOOS + " " + firstLine("/proc/sys/kernel/osrelease"),
		FileSystem: fmt.Sprintf("%s on %s", fs.kind, fs.source),
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
		if fs := fileSystem(abs); fs.kind != "tmpfs" && fs.kind != "ramfs" {
			return abs, nil
		}
	}
	return "", fmt.Errorf("%v is in memory; give a folder on a disk with -dir", candidates)
}

// mount is where a folder is.
type mount struct{ kind, source string }

// fileSystem returns what a folder is on, as Linux tells it.
func fileSystem(dir string) mount {
	found, longest := mount{"unknown", "unknown"}, -1
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		dir = real
	}
	table, _ := os.ReadFile("/proc/self/mountinfo")
	for line := range strings.Lines(string(table)) {
		// 27 1 254:0 / /mount/point rw,relatime - ext4 /dev/vda rw
		place, device, ok := strings.Cut(line, " - ")
		left, right := strings.Fields(place), strings.Fields(device)
		if !ok || len(left) < 5 || len(right) < 2 {
			continue
		}
		point := left[4]
		inside := point == "/" || dir == point || strings.HasPrefix(dir, point+"/")
		if inside && len(point) >= longest { // a later mount hides an earlier one
			found, longest = mount{right[0], right[1]}, len(point)
		}
	}
	return found
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
