package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"time"
)

// machine is what was measured on, and when, and how.
type machine struct {
	CPUs       int               `json:"cpus"`
	CPU        string            `json:"cpu"`
	Kernel     string            `json:"kernel"`
	FileSystem string            `json:"fileSystem"`
	Go         string            `json:"go"`
	Date       string            `json:"date"`
	Commit     string            `json:"commit"`
	Peers      map[string]string `json:"peers"`
	Set        string            `json:"set"`
	Runs       int               `json:"runs"`
	Seed       uint64            `json:"seed"`
}

func describe(dir string, c config) machine {
	fs := fileSystem(dir)
	m := machine{
		CPUs:       runtime.NumCPU(),
		CPU:        cpuModel(),
		Kernel:     runtime.GOOS + " " + firstLine("/proc/sys/kernel/osrelease"),
		FileSystem: fmt.Sprintf("%s on %s", fs.kind, fs.source),
		Go:         runtime.Version() + " " + runtime.GOARCH,
		Date:       time.Now().UTC().Format("2006-01-02 15:04 MST"),
		Commit:     "unknown",
		Peers:      map[string]string{},
		Set:        c.set,
		Runs:       c.runs,
		Seed:       c.seed,
	}
	if out, err := exec.Command("git", "describe", "--always", "--dirty").Output(); err == nil {
		m.Commit = strings.TrimSpace(string(out))
	}
	if built, ok := debug.ReadBuildInfo(); ok {
		for _, dep := range built.Deps {
			for _, k := range kinds {
				if k.module == dep.Path {
					m.Peers[k.name] = dep.Version
				}
			}
		}
	}
	return m
}

func (m machine) String() string {
	var peers []string
	for _, name := range sortedNames(m.Peers) {
		peers = append(peers, name+" "+m.Peers[name])
	}
	return fmt.Sprintf("%d CPUs (%s), %s, %s, %s\n%s, commit %s, set %s, %d runs, seed %d\n%s", m.CPUs, m.CPU, m.Kernel,
		m.FileSystem, m.Go, m.Date, m.Commit, m.Set, m.Runs, m.Seed, strings.Join(peers, ", "))
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
