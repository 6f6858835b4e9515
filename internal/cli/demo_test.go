package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/cli/demo"
)

// demoJSON runs a short demo and returns what it printed.
func demoJSON(t *testing.T, args ...string) (status int, report map[string]any, stderr string) {
	t.Helper()
	status, stdout, stderr := runBallast(append([]string{"demo", "--json", "--seconds", "3", "--writers", "8", "--seed", "1"}, args...)...)
	t.Logf("standard error:\n%s", stderr)
	if strings.Count(stdout, "\n") != 1 || !strings.HasSuffix(stdout, "\n") {
		t.Fatalf("standard output is not one line: %q", stdout)
	}
	if err := json.Unmarshal([]byte(stdout), &report); err != nil {
		t.Fatal(err)
	}
	return status, report, stderr
}

// A demo survives its kills on every durable engine; a second one goes on in the folder; and when the
// client claims one write more than was acknowledged, that one is lost.
func TestDemo(t *testing.T) {
	t.Parallel()
	for _, e := range engines {
		if e.open == nil {
			continue
		}
		t.Run(e.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "new")
			status, report, _ := demoJSON(t, "--engine", e.name, "--dir", dir)
			wantSurvived(t, status, report, e.name)
			if e.name != defaultEngine {
				return
			}
			t.Run("locked", func(t *testing.T) { refusesLocked(t, e, dir) })
			t.Run("claimed", func(t *testing.T) { findsClaimed(t, dir, report) })
		})
	}
}

func wantSurvived(t *testing.T, status int, report map[string]any, engine string) {
	t.Helper()
	if status != 0 || report["engine"] != engine || report["lost"] != 0.0 || report["agree"] != true {
		t.Errorf("status %d, report %v", status, report)
	}
	if report["kills"].(float64) < 5 {
		t.Errorf("%v kills, want at least 5", report["kills"])
	}
	if report["acknowledged"] != report["recovered"] || report["acknowledged"].(float64) < 100 {
		t.Errorf("%v acknowledged, %v recovered", report["acknowledged"], report["recovered"])
	}
	for _, key := range []string{"writes_per_second", "p50_us", "p99_us", "bytes_on_disk", "seed", "seconds", "log_entries"} {
		if n, ok := report[key].(float64); !ok || n <= 0 {
			t.Errorf("%q is %v", key, report[key])
		}
	}
	if _, ok := report["snapshots"]; !ok {
		t.Error(`"snapshots" is missing`)
	}
}

func refusesLocked(t *testing.T, e engine, dir string) {
	store, err := e.openIn(filepath.Join(dir, "peer-2"))
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	status, stdout, stderr := runBallast("demo", "--json", "--dir", dir)
	last := stderr[strings.LastIndex(strings.TrimSpace(stderr), "\n")+1:]
	want := "ballast: peer-2 did not start: " + filepath.Join(dir, "peer-2", e.file) + " is locked: another store has it open; "
	if status != ExitFailure || stdout != "" || !strings.HasPrefix(last, want) {
		t.Errorf("status %d, standard output %q, last line of standard error: %s", status, stdout, last)
	}
}

func findsClaimed(t *testing.T, dir string, first map[string]any) {
	path := filepath.Join(dir, "ballast-demo.json")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var marker struct {
		Format  int    `json:"format"`
		Engine  string `json:"engine"`
		LastRun int    `json:"last_run"`
		Runs    []struct {
			Run          int    `json:"run"`
			Seed         uint64 `json:"seed"`
			Acknowledged []int  `json:"acknowledged"`
		} `json:"runs"`
	}
	if err := json.Unmarshal(data, &marker); err != nil {
		t.Fatal(err)
	}
	marker.Runs[0].Acknowledged[2] += 2 // the first of them may have been made, and its answer lost
	if data, err = json.Marshal(marker); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}

	status, report, stderr := demoJSON(t, "--dir", dir)
	lost := report["lost"].(float64)
	if status != ExitFailure || lost < 1 || lost > 2 {
		t.Errorf("status %d, %v lost, want %d and 1 or 2", status, lost, ExitFailure)
	}
	if report["run"] != 2.0 || report["acknowledged"] != report["recovered"] {
		t.Errorf("this run's own writes: %v", report)
	}
	if earlier := first["acknowledged"].(float64) + 2; report["earlier_acknowledged"] != earlier || report["earlier_recovered"] != earlier-lost {
		t.Errorf("%v of %v earlier recovered, want all but %v of %v", report["earlier_recovered"], report["earlier_acknowledged"], lost, earlier)
	}
	if !strings.Contains(stderr, "ballast: ") || !strings.Contains(stderr, "lost (peer-1 has not run1/writer2/") {
		t.Errorf("standard error does not say what is lost: %s", stderr)
	}
}

// However a demo's client ends, its peers end too.
func TestPeersDieWithTheirClient(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "demo")
	executable, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(executable, "demo", "--dir", dir, "--seconds", "60")
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	readUntil(t, stdout, "writers begin")
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // reports the kill
	e, err := durableEngine(defaultEngine)
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range demo.PeerIDs {
		awaitUnlocked(t, e, filepath.Join(dir, id))
	}
}

func awaitUnlocked(t *testing.T, e engine, dir string) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; {
		store, err := e.openIn(dir)
		if err == nil {
			if err := store.Close(); err != nil {
				t.Fatal(err)
			}
			return
		}
		if !errors.Is(err, ballast.ErrLocked) || time.Now().After(deadline) {
			t.Fatalf("the peer still lives: %v", err)
		}
	}
}

// readUntil reads until a text came by.
func readUntil(t *testing.T, r io.Reader, text string) {
	t.Helper()
	var all bytes.Buffer
	buf := make([]byte, 4096)
	for !strings.Contains(all.String(), text) {
		n, err := r.Read(buf)
		all.Write(buf[:n])
		if err != nil {
			t.Fatalf("%v before %q came; there was:\n%s", err, text, all.String())
		}
	}
}

func TestFolderStaysOrGoes(t *testing.T) {
	failure := errors.New("it failed")
	own := t.TempDir()
	cases := []struct {
		name  string
		flags demoFlags
		stays bool
		hint  bool
	}{
		{"temporary", demoFlags{}, false, true},
		{"temporary and kept", demoFlags{keep: true}, true, true},
		{"the user's", demoFlags{dir: own}, true, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			dir, remove, err := demoDir(c.flags)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { os.RemoveAll(dir) })
			if err := remove(); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(dir); (err == nil) != c.stays {
				t.Errorf("the folder stays: %v, want %v", err == nil, c.stays)
			}
			err = keptHint(failure, c.flags, dir)
			if !errors.Is(err, failure) || strings.Contains(err.Error(), "are kept in "+dir) != c.hint {
				t.Errorf("after a failure: %v, want a hint: %v", err, c.hint)
			}
		})
	}
}

func TestProgress(t *testing.T) {
	var out bytes.Buffer
	p := &progress{w: &out, width: func() int { return 60 }, head: "head"}
	p.Status(demo.Status{Elapsed: 5 * time.Second, Length: 10 * time.Second, Acknowledged: 1234, Kills: 2})
	p.Event(5500*time.Millisecond, "killed")
	p.finish()
	bar := "[==========          ]   5 of 10 s  1,234 acknowledged  kills: 2"[:59]
	blank := "\r" + strings.Repeat(" ", 59) + "\r"
	if want := "\r\r" + bar + blank + "head\n  5.5 s  killed\n" + "\r\r" + bar + blank; out.String() != want {
		t.Errorf("on a terminal:\n%q\nwant\n%q", out.String(), want)
	}

	out.Reset()
	p = &progress{w: &out}
	p.Status(demo.Status{Length: time.Second})
	p.Event(0, "killed")
	p.finish()
	if want := "  0.0 s  killed\n"; out.String() != want {
		t.Errorf("elsewhere: %q, want %q", out.String(), want)
	}
}

func TestTable(t *testing.T) {
	var out bytes.Buffer
	err := writeTable(&out, &demo.Report{
		Engine: "bolt", Acknowledged: 1200, Recovered: 1199, Lost: 1, Agree: false, Kills: 5,
		EarlierAcknowledged: 10, EarlierRecovered: 10, WritesPerSecond: 600, WritingSeconds: 2, Writers: 4,
		P50Micros: 1500, P99Micros: 20000, MaxMicros: 700000, BytesOnDisk: 3500000,
		PeerBytesOnDisk: map[string]int64{"peer-1": 1000000, "peer-2": 1000000, "peer-3": 1500000},
		Problems:        []string{"peer-2 has not run1/writer0/7"},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := `
engine           bolt
acknowledged     1,200 writes
recovered        1,199, on every peer with the right value
of earlier runs  10 of 10 recovered
lost             1
peers agree      no
kills            5 with SIGKILL
throughput       600 writes/s (acknowledged over 2.0 s of writing, outages included; 4 writers)
latency          p50 1.5 ms, p99 20.0 ms, longest 700.0 ms (first attempt to acknowledgement)
snapshots        0 taken, 0 sent to a follower that was too far behind
compacted        0 log entries, all peers together
on disk          3.5 MB, log and snapshots (peer-1 1.0 MB, peer-2 1.0 MB, peer-3 1.5 MB)
seed             0
time             0.0 s
problem          peer-2 has not run1/writer0/7
`
	if out.String() != want {
		t.Errorf("the table is\n%s\nwant\n%s", out.String(), want)
	}
}
