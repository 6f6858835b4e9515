package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast/internal/vfs"
	"github.com/raft-ballast/ballast/wal"
)

// bytesRead returns how many bytes of a wal a command reads.
func bytesRead(t *testing.T, args ...string) int64 {
	t.Helper()
	w := &vfs.Watch{FS: vfs.OS}
	defer func(before vfs.FS) { vfs.OS = before }(vfs.OS)
	vfs.OS = w
	if status, _, stderr := runBallast(args...); status != 0 && status != ExitCorrupt {
		t.Errorf("%v: status %d, %s", args, status, stderr)
	}
	return w.Bytes()
}

// smallEntries writes a wal of several segments of small entries, and returns its segments.
func smallEntries(t *testing.T, dir string) (segments []string) {
	t.Helper()
	log, err := wal.Open(dir, &wal.Options{SegmentBytes: 1 << 20})
	must(t, err)
	for index := uint64(1); len(segments) < 4; {
		var logs []*raft.Log
		for range 256 {
			l := command(index, 1)
			l.Extensions = bytes.Repeat([]byte{byte(index)}, 800)
			logs = append(logs, l)
			index++
		}
		must(t, log.StoreLogs(logs))
		infos, err := log.Segments()
		must(t, err)
		segments = segments[:0]
		for _, info := range infos {
			if info.Live > 0 {
				segments = append(segments, filepath.Base(info.Path))
			}
		}
	}
	must(t, log.Close())
	// Without its marker the log is as a kill would leave it.
	must(t, os.CopyFS(dir+"-left", os.DirFS(dir)))
	editFile(t, filepath.Join(dir+"-left", segments[len(segments)-1]), func(b []byte) { clear(b[4096:8192]) })
	return segments
}

// editFile changes what is in a file.
func editFile(t *testing.T, path string, edit func(b []byte)) {
	t.Helper()
	b, err := os.ReadFile(path)
	must(t, err)
	edit(b)
	must(t, os.WriteFile(path, b, 0o600))
}

// What a command reads of a damaged wal is at most three times what it reads of one without damage,
// whatever is damaged and in however many places.
func TestBytesReadOfADamagedLog(t *testing.T) {
	dir := t.TempDir()
	good := filepath.Join(dir, "closed")
	segments := smallEntries(t, good)
	second := segments[1]
	spots := func(b []byte) {
		for n, at := 0, 0; ; n++ {
			next := bytes.Index(b[at:], []byte("command "))
			if next < 0 {
				return
			}
			if at += next + 1; n%10 == 0 {
				b[at]++
			}
		}
	}
	kinds := map[string]func(dir string){
		"many damaged entries": func(dir string) {
			for _, name := range segments {
				editFile(t, filepath.Join(dir, name), spots)
			}
		},
		"a missing segment":  func(dir string) { must(t, os.Remove(filepath.Join(dir, second))) },
		"a segment of zeros": func(dir string) { editFile(t, filepath.Join(dir, second), func(b []byte) { clear(b) }) },
		"each sector of a segment": func(dir string) {
			editFile(t, filepath.Join(dir, second), func(b []byte) {
				for at := 8192 + 70; at < len(b); at += 512 {
					b[at]++
				}
			})
		},
	}
	commands := map[string]func(store string) []string{
		"verify": func(store string) []string { return []string{"verify", store} },
		"info":   func(store string) []string { return []string{"info", store} },
		"repair": func(store string) []string { return []string{"repair", store} },
		"dump":   func(store string) []string { return []string{"dump", "--json", store} },
		"diff":   func(store string) []string { return []string{"diff", store, "wal:" + good} },
		"export": func(store string) []string { return []string{"export", store, filepath.Join(dir, "out")} },
		"backup": func(store string) []string { return []string{"backup", store, filepath.Join(dir, "copy")} },
	}
	for _, of := range []string{good, good + "-left"} {
		for name, command := range commands {
			run := func(at string) int64 {
				defer os.RemoveAll(filepath.Join(dir, "copy"))
				defer os.RemoveAll(filepath.Join(dir, "out"))
				return bytesRead(t, command("wal:"+at)...)
			}
			healthy := run(of)
			for kind, damage := range kinds {
				at := filepath.Join(dir, "damaged")
				must(t, os.CopyFS(at, os.DirFS(of)))
				damage(at)
				if got := run(at); got > 3*healthy {
					t.Errorf("%s of %s with %s reads %d bytes, %d without damage", name,
						filepath.Base(of), kind, got, healthy)
				}
				must(t, os.RemoveAll(at))
			}
		}
	}
}
