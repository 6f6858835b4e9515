package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// asCommand makes the test binary be the command ballast, so that demos can start their peers.
const asCommand = "BALLAST_TEST_AS_COMMAND"

func TestMain(m *testing.M) {
	if dir := os.Getenv(asWriter); dir != "" {
		os.Exit(runWriter(dir, os.Stderr))
	}
	if os.Getenv(asCommand) != "" {
		os.Exit(Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
	}
	os.Setenv(asCommand, "1")
	testscript.Main(m, map[string]func(){
		"ballast": func() { os.Exit(Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) },
	})
}

// runBallast runs the command in this process.
func runBallast(args ...string) (status int, stdout, stderr string) {
	var out, err bytes.Buffer
	status = Main(args, strings.NewReader(""), &out, &err)
	return status, out.String(), err.String()
}

func TestBadInput(t *testing.T) {
	dir := t.TempDir()
	put := func(name, text string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	file := put("file", "")
	foreign := filepath.Dir(put("foreign/raft.db", "somebody's"))
	other := filepath.Dir(put("other/ballast-demo.json", `{"format":1,"engine":"elsewhere"}`))
	newer := filepath.Dir(put("newer/ballast-demo.json", `{"format":2,"engine":"bolt"}`))
	damaged := put("damaged/ballast-demo.json", `{`)

	cases := []struct {
		name   string
		args   []string
		status int
		want   string // on standard error, after "ballast: "
	}{
		{"unknown command", []string{"dmeo"}, ExitUsage, "there is no command \"dmeo\"; `ballast help` lists them"},
		{"unknown flag", []string{"demo", "--fast"}, ExitUsage, "unknown flag: --fast; `ballast demo --help` lists the flags"},
		{"an argument", []string{"demo", "bolt"}, ExitUsage, "ballast demo takes no argument \"bolt\"; `ballast demo --help` lists its flags"},
		{"unknown engine", []string{"demo", "--engine", "sqlite"}, ExitUsage, `there is no engine "sqlite"; use wal, bolt or badger`},
		{"memory engine", []string{"demo", "--engine", "mem"}, ExitUsage,
			"the engine mem cannot be used here: it keeps everything in memory and does not survive a kill; use wal, bolt or badger"},
		{"an engine that is only read", []string{"demo", "--engine", "raftwal"}, ExitUsage,
			"the engine raftwal cannot be used here: Ballast only reads what raft-wal wrote; use wal, bolt or badger"},
		{"too short", []string{"demo", "--seconds", "2"}, ExitUsage, "--seconds is 2; give 3 to 300"},
		{"too long", []string{"demo", "--seconds", "301"}, ExitUsage, "--seconds is 301; give 3 to 300"},
		{"no number", []string{"demo", "--seconds", "x"}, ExitUsage,
			"invalid argument \"x\" for \"--seconds\" flag: strconv.ParseInt: parsing \"x\": invalid syntax; `ballast demo --help` lists the flags"},
		{"no writers", []string{"demo", "--writers", "0"}, ExitUsage, "--writers is 0; give 1 to 1024"},
		{"metrics without a port", []string{"demo", "--metrics", "localhost"}, ExitUsage, `--metrics is "localhost"; give host:port, such as 127.0.0.1:9464`},
		{"metrics beyond the last port", []string{"demo", "--metrics", ":65534"}, ExitUsage, `--metrics is ":65534"; give host:port, such as 127.0.0.1:9464`},
		{"a peer by hand", []string{"demo-peer"}, ExitUsage, "demo-peer is started by `ballast demo`; use that"},
		{"somebody's folder", []string{"demo", "--dir", foreign}, ExitFailure,
			foreign + " is not empty and holds no demo (raft.db is there); give a new or an empty --dir"},
		{"another engine's demo", []string{"demo", "--dir", other}, ExitFailure,
			other + " holds a demo of the engine elsewhere; go on with --engine elsewhere, or give a new --dir"},
		{"a later format", []string{"demo", "--dir", newer}, ExitFailure,
			newer + " holds a demo of format 2, this release knows 1; give a new --dir"},
		{"a damaged marker", []string{"demo", "--dir", filepath.Dir(damaged)}, ExitFailure,
			damaged + " is damaged: unexpected end of JSON input; give a new --dir"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			status, stdout, stderr := runBallast(c.args...)
			if want := "ballast: " + c.want + "\n"; status != c.status || stderr != want || stdout != "" {
				t.Errorf("status %d, standard output %q, standard error:\n%swant %d, nothing, and\n%s",
					status, stdout, stderr, c.status, want)
			}
		})
	}
	t.Run("a folder below a file", func(t *testing.T) {
		status, _, stderr := runBallast("demo", "--dir", filepath.Join(file, "x"))
		if status != ExitFailure || strings.Count(stderr, "\n") != 1 ||
			!strings.HasPrefix(stderr, "ballast: cannot make the folder of the demo: ") ||
			!strings.HasSuffix(stderr, "; give another --dir\n") {
			t.Errorf("status %d, standard error: %s", status, stderr)
		}
	})
}

func TestHelp(t *testing.T) {
	for _, args := range [][]string{{}, {"help"}, {"--help"}} {
		status, stdout, stderr := runBallast(args...)
		if status != 0 || stderr != "" || !strings.Contains(stdout, "demo ") || strings.Contains(stdout, "demo-peer") {
			t.Errorf("ballast %q: status %d, standard error %q, standard output:\n%s", args, status, stderr, stdout)
		}
	}
}

func TestVersion(t *testing.T) {
	status, stdout, stderr := runBallast("version")
	if status != 0 || stderr != "" || !strings.HasPrefix(stdout, "ballast ") || strings.Count(stdout, "\n") != 1 {
		t.Errorf("status %d, %q, %q", status, stdout, stderr)
	}
	info := &debug.BuildInfo{
		Main:     debug.Module{Version: "v1.2.3"},
		Deps:     []*debug.Module{{Path: "github.com/hashicorp/raft", Version: "v1.7.3"}},
		Settings: []debug.BuildSetting{{Key: "vcs.revision", Value: "abc"}},
	}
	if got := newVersionJSON(info).text(); !strings.HasPrefix(got, "ballast v1.2.3, revision abc, hashicorp/raft v1.7.3, go") {
		t.Errorf("with all: %q", got)
	}
	if got := newVersionJSON(nil).text(); !strings.HasPrefix(got, "ballast (unknown), go") {
		t.Errorf("of a binary without modules: %q", got)
	}
}
