package cli

import (
	"os"
	"path/filepath"

	"github.com/raft-ballast/ballast/internal/vfs"
)

// linkedFiles returns how many files of the store have more than one link, as cp -al makes them.
// What cannot be looked at does not count.
func (p place) linkedFiles() (n int) {
	paths := []string{p.path}
	if info, err := os.Stat(p.path); err != nil {
		return 0
	} else if info.IsDir() {
		entries, _ := os.ReadDir(p.path)
		paths = nil
		for _, e := range entries {
			if e.Type().IsRegular() {
				paths = append(paths, filepath.Join(p.path, e.Name()))
			}
		}
	}
	for _, path := range paths {
		f, err := vfs.OS.OpenRead(path)
		if err != nil {
			continue
		}
		if links, err := f.Links(); err == nil && links > 1 {
			n++
		}
		_ = f.Close() // it was only looked at
	}
	return n
}

// linkedText says what it means that files have more than one link.
func linkedText(engine string, files int) string {
	text := countText(files, "file has", "files have") + " more than one link, "
	if engine == defaultEngine {
		return text + "as a copy of hard links has (cp -al, rsnapshot); that is a copy, and nothing is written to it"
	}
	return text + "and what is written to one is in the other: a copy of hard links (cp -al, rsnapshot) " +
		"is none of this engine; stop the peer, and use cp -r"
}
