package limit

import (
	"os"
	"path/filepath"
	"strings"
)

// Mount is where a folder is.
type Mount struct {
	Kind   string // of file system, as Linux names it
	Source string // the device, or what stands for it
}

// MountOf returns what a folder is on. Elsewhere than on Linux both are "unknown".
func MountOf(dir string) Mount {
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		dir = real
	}
	if abs, err := filepath.Abs(dir); err == nil {
		dir = abs
	}
	table, _ := os.ReadFile("/proc/self/mountinfo")
	return mountIn(string(table), dir)
}

// mountIn looks a path up in a table of mounts.
func mountIn(table, dir string) Mount {
	found, longest := Mount{"unknown", "unknown"}, -1
	for line := range strings.Lines(table) {
		// 27 1 254:0 / /mount/point rw,relatime - ext4 /dev/vda rw
		place, device, ok := strings.Cut(line, " - ")
		left, right := strings.Fields(place), strings.Fields(device)
		if !ok || len(left) < 5 || len(right) < 2 {
			continue
		}
		point := left[4]
		inside := point == "/" || dir == point || strings.HasPrefix(dir, point+"/")
		if inside && len(point) >= longest { // a later mount hides an earlier one
			found, longest = Mount{right[0], right[1]}, len(point)
		}
	}
	return found
}
