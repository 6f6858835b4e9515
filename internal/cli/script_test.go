package cli

import (
	"bytes"
	"encoding/binary"
	"errors"
	"flag"
	"hash/crc32"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

var updateScripts = flag.Bool("update", false, "write what the commands print into the scripts of testdata/script; look at it afterwards")

// Each script runs in a folder of its own with copies of those stores of writeStores that it names.
func TestScripts(t *testing.T) {
	stores := t.TempDir()
	writeStores(t, stores)
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		UpdateScripts:       *updateScripts,
		RequireExplicitExec: true,
		Setup:               func(env *testscript.Env) error { return copyNamed(env.WorkDir, stores) },
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"status": cmdStatus,
			"flip":   cmdFlip,
			"zero":   cmdZero,
			"cut":    cmdCut,
			"newer":  cmdNewer,

			"newer-export": cmdNewerExport,
			"masked":       cmdMasked,
		},
	})
}

// copyNamed copies the stores that a script names into its folder, which is called script-NAME.
func copyNamed(to, stores string) error {
	name := strings.TrimPrefix(filepath.Base(to), "script-")
	script, err := os.ReadFile(filepath.Join("testdata/script", name+".txtar"))
	if err != nil {
		return err
	}
	entries, err := os.ReadDir(stores)
	for _, e := range entries {
		if err != nil || !bytes.Contains(script, []byte(e.Name())) {
			continue
		}
		from, at := filepath.Join(stores, e.Name()), filepath.Join(to, e.Name())
		if e.IsDir() {
			err = os.CopyFS(at, os.DirFS(from))
			continue
		}
		var data []byte
		if data, err = os.ReadFile(from); err == nil {
			err = os.WriteFile(at, data, 0o600)
		}
	}
	return err
}

// cmdStatus runs a command and checks its exit status: status 2 ballast verify wal
func cmdStatus(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status N command [args...]")
	}
	got := 0
	err := ts.Exec(args[1], args[2:]...)
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		got = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if strconv.Itoa(got) != args[0] {
		ts.Fatalf("the exit status is %d, want %s", got, args[0])
	}
}

// cmdFlip flips a bit of a file, at an offset, or in the first byte of the last place where it holds a text or so many bytes
// before it: flip wal/0000000000000001.wal 'entry 7;' -56
func cmdFlip(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 || len(args) > 3 {
		ts.Fatalf("usage: flip file offset|text [distance]")
	}
	path := ts.MkAbs(args[0])
	data, err := os.ReadFile(path)
	ts.Check(err)
	at := offsetOf(ts, data, args[1])
	if len(args) == 3 {
		distance, err := strconv.Atoi(args[2])
		ts.Check(err)
		at += distance
	}
	data[at] ^= 1
	ts.Check(os.WriteFile(path, data, 0o600))
}

// offsetOf takes an offset, or a text that data holds.
func offsetOf(ts *testscript.TestScript, data []byte, text string) int {
	at, err := strconv.Atoi(text)
	if err != nil {
		at = bytes.LastIndex(data, []byte(text))
		for at >= len(text) && bytes.HasPrefix(data[at-len(text):], []byte(text)) {
			at -= len(text) // to the first of those that follow one another
		}
	}
	if at < 0 || at >= len(data) {
		ts.Fatalf("there is no %s", text)
	}
	return at
}

// cmdZero makes all of a file zeros from a place on: zero wal/0000000000000001.wal 'entry 7;'
func cmdZero(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: zero file offset|text")
	}
	path := ts.MkAbs(args[0])
	data, err := os.ReadFile(path)
	ts.Check(err)
	clear(data[offsetOf(ts, data, args[1]):])
	ts.Check(os.WriteFile(path, data, 0o600))
}

// cmdCut cuts a file off: cut wal/0000000000000001.wal 'entry 7;'
func cmdCut(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: cut file offset|text")
	}
	path := ts.MkAbs(args[0])
	data, err := os.ReadFile(path)
	ts.Check(err)
	ts.Check(os.Truncate(path, int64(offsetOf(ts, data, args[1]))))
}

// cmdNewer gives a segment the format version that follows, with the right checksum: newer wal/0000000000000001.wal
func cmdNewer(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: newer file")
	}
	path := ts.MkAbs(args[0])
	data, err := os.ReadFile(path)
	ts.Check(err)
	data[12]++
	binary.LittleEndian.PutUint32(data[8:], crc32.Checksum(data[12:64], crc32.MakeTable(crc32.Castagnoli)))
	ts.Check(os.WriteFile(path, data, 0o600))
}

// cmdNewerExport gives an exported file the format version that follows, with the right checksum: newer-export file
func cmdNewerExport(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: newer-export file")
	}
	path := ts.MkAbs(args[0])
	data, err := os.ReadFile(path)
	ts.Check(err)
	data[12]++
	binary.LittleEndian.PutUint32(data[8:], crc32.Checksum(data[12:16], crc32.MakeTable(crc32.Castagnoli)))
	ts.Check(os.WriteFile(path, data, 0o600))
}

// quarantined is the time in the name of what a repair has put aside.
var quarantined = regexp.MustCompile(`quarantine-[0-9TZ]+`)

// sizes are what depends on the file system.
var sizes = regexp.MustCompile(`(on disk +)[0-9.]+ [KM]?i?B|("disk_bytes":)[0-9]+`)

// cmdMasked writes what the last command has printed, without sizes on the disk and the time of a repair, into a file.
func cmdMasked(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: masked file")
	}
	text := sizes.ReplaceAllString(ts.ReadFile("stdout"), "${1}${2}0")
	text = quarantined.ReplaceAllString(text, "quarantine-20260102T030405Z")
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(text), 0o600))
}

// Nothing that only reads changes a file, not even its times, nor makes one.
func TestReadOnly(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	writeStores(t, dir)
	whole := snapshot(t, dir)
	for _, store := range []string{"wal:cluster", "wal:wal", "wal:cut", "wal:shared", "bolt:raft.db", "bolt:raft-v1.db", "badger:badger", "raftwal:raftwal"} {
		engine, path, _ := splitStore(store)
		at := engine + ":" + filepath.Join(dir, path)
		commands := [][]string{
			{"info", at}, {"dump", at}, {"dump", "--json", at}, {"stable", "list", at}, {"stable", "get", at, "CurrentTerm"},
			{"verify", at}, {"diff", at, at}, {"info", filepath.Join(dir, path)},
		}
		if engine == "wal" {
			commands = append(commands, []string{"segments", at}, []string{"dump", "--follow", "--limit", "3", at})
		}
		if path == "cluster" || engine == "bolt" || engine == "badger" {
			commands = append(commands, []string{"repair", at})
		}
		if path == "shared" {
			commands = [][]string{
				{"info", at}, {"verify", at}, {"segments", at}, {"info", "--group", "7", at}, {"verify", "--group", "7", at},
				{"segments", "--group", "7", at}, {"dump", "--group", "7", at}, {"dump", "--group", "7", "--follow", "--limit", "3", at},
				{"stable", "list", "--group", "0", at}, {"diff", "--group", "7", at, at},
			}
		}
		before := snapshot(t, filepath.Join(dir, path))
		for _, args := range commands {
			status, _, stderr := runBallast(args...)
			if status == ExitFailure || status == ExitUsage {
				t.Errorf("%v: status %d, %s", args, status, stderr)
			}
			before.compare(t, args, snapshot(t, filepath.Join(dir, path)))
		}
	}
	whole.compare(t, []string{"one of them"}, snapshot(t, dir))
}

// files is what there is in a folder, by name: mode, time of change and content.
type files map[string]string

func snapshot(t *testing.T, dir string) files {
	t.Helper()
	out := files{}
	err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err != nil {
			return err
		}
		var data []byte
		if info.Mode().IsRegular() {
			if data, err = os.ReadFile(path); err != nil {
				return err
			}
		}
		out[path] = info.Mode().String() + info.ModTime().String() + string(data)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// compare fails when a command has changed something.
func (f files) compare(t *testing.T, args []string, now files) {
	t.Helper()
	for path, was := range f {
		if now[path] != was {
			t.Errorf("%v has changed %s", args, path)
		}
	}
	for path := range now {
		if _, ok := f[path]; !ok {
			t.Errorf("%v has made %s", args, path)
		}
	}
}
