package cli

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/raft-ballast/ballast/internal/cli/bench"
	"github.com/raft-ballast/ballast/internal/cli/demo"
)

// unsafeIn returns what of a text must not reach a terminal; "" for nothing.
func unsafeIn(text string) string {
	for i, r := range text {
		invalid := r == utf8.RuneError && !strings.HasPrefix(text[i:], "\ufffd")
		if invalid || !unicode.IsPrint(r) && r != '\n' && r != '\t' {
			return text[max(0, i-40):min(len(text), i+10)]
		}
	}
	return ""
}

// Whatever a store, a name or an argument holds, no command prints what does something to a
// terminal, nor a line that is none.
func TestHostileText(t *testing.T) {
	t.Parallel()
	stores := writeHostile(t)
	for path, runs := range everyCommand() {
		t.Run(path, func(t *testing.T) {
			for _, r := range runs {
				args := stores.args(t, r)
				status, stdout, stderr := runBallast(args...)
				found := status == ExitCorrupt || status == ExitDiffer
				if r.fails != (status != 0) || r.changes && found {
					t.Errorf("%q: status %d, %s%s", args, status, stdout, stderr)
				}
				if unsafeIn(stderr) != "" || strings.Contains(stderr, "\nrow") {
					t.Errorf("%q: standard error has %q", args, stderr)
				}
				if r.raw {
					continue
				}
				if bad := unsafeIn(stdout); bad != "" || strings.Contains(stdout, "\nrow") {
					t.Errorf("%q: standard output has %q in\n%q", args, bad, stdout)
				}
				if strings.Contains(r.line, "--json") {
					wantJSON(t, args, stdout)
				}
			}
		})
	}
}

// wantJSON checks that each line is JSON, without a text that has become another one.
func wantJSON(t *testing.T, args []string, text string) {
	t.Helper()
	for line := range strings.Lines(text) {
		if !json.Valid([]byte(line)) || strings.Contains(line, `\ufffd`) {
			t.Errorf("%q: no JSON, or not all of a text: %s", args, line)
		}
	}
}

// In JSON ids are what they are, and their bytes where they are no text.
func TestHostileIDs(t *testing.T) {
	stores := writeHostile(t)
	_, stdout, _ := runBallast("info", "--json", "wal:"+stores.dir+"/wal")
	var got struct {
		Store         string `json:"store"`
		Configuration struct {
			Servers []struct{ ID, Address string }
		}
		Stable map[string]any    `json:"stable"`
		Other  map[string][]byte `json:"stable_other"`
	}
	must(t, json.Unmarshal([]byte(stdout), &got))
	if want := jsonKey("wal:" + stores.dir + "/wal"); got.Store != want {
		t.Errorf("the store is %q, want %q", got.Store, want)
	}
	s, inHex := got.Configuration.Servers, jsonKey(hostileBytes)
	if len(s) != 5 || s[0].ID != hostile || s[0].Address != hostile || s[1].ID != inHex {
		t.Errorf("the servers are %q", s)
	}
	if got.Stable["LastVoteCand"] != hostile || string(got.Other[hostile]) != hostileBytes ||
		string(got.Other[inHex]) != hostileBytes {
		t.Errorf("the stable values are %q and %q", got.Stable, got.Other)
	}
	_, stdout, _ = runBallast("info", "wal:"+stores.dir+"/wal")
	for _, want := range []string{
		` Voter "" at ""` + "\n", ` Voter "a b" at "a b"` + "\n", ` Voter n1 at n1` + "\n",
		"\n" + `"two words"  `, ` Voter "\x1b[31m\nrow\tcell`,
	} {
		if !strings.Contains(stdout, want) {
			t.Errorf("%q is not in\n%s", want, stdout)
		}
	}
}

// What demo and bench print at the end, and progress.
func TestReportsOfLongCommands(t *testing.T) {
	report := &demo.Report{Engine: "wal", Problems: []string{hostileBytes}}
	measured := &bench.Report{
		Dir: hostileBytes, FileSystem: hostileBytes, Device: hostileBytes,
		Ways:      []bench.Way{{Extents: "x", Failed: hostileBytes}},
		Workloads: []bench.Workload{{Name: "x", Results: []bench.Result{{Failed: hostileBytes}}}},
		Advice:    []bench.Advice{{Text: hostileBytes}},
	}
	for name, write := range map[string]func(s streams) error{
		"demo":        func(s streams) error { return printReport(s.out, report, false) },
		"demo --json": func(s streams) error { return printReport(s.out, report, true) },
		"demo events": func(s streams) error {
			p := newProgress(s, false)
			p.head = "head"
			p.Event(0, hostileBytes)
			return s.out.failed()
		},
		"bench":        func(s streams) error { return writeBench(s.out, measured) },
		"bench --json": func(s streams) error { return writeJSON(s.out, measured) },
		"messages": func(s streams) error {
			s.tell("%s", hostileBytes)
			return writeLines(s.out, "x")
		},
		"what forgets it": func(s streams) error {
			for _, b := range []byte(hostileBytes) { // a character comes in pieces
				if _, err := s.out.Write([]byte{b}); err != nil {
					return err
				}
			}
			_, err := s.err.Write([]byte(hostileBytes))
			return err
		},
	} {
		var out, complaints bytes.Buffer
		s := newStreams(nil, &out, &complaints)
		status := s.end(write(s), nil)
		if status != 0 || unsafeIn(out.String()+complaints.String()) != "" {
			t.Errorf("%s: status %d, %q %q", name, status, out.String(), complaints.String())
		}
		if name != "what forgets it" && strings.Contains(out.String(), "\nrow") {
			t.Errorf("%s: a line that is none in %q", name, out.String())
		}
		if status := newStreams(nil, &failing{}, &complaints).end(nil, nil); status != 0 {
			t.Errorf("without output the status is %d", status)
		}
		complaints.Reset()
		s = newStreams(nil, &failing{err: errFull}, &complaints)
		status = s.end(write(s), nil)
		text := complaints.String()
		if status != ExitFailure || !strings.Contains(text, "writing to standard output: ") {
			t.Errorf("%s to a full disk: status %d, %q", name, status, text)
		}
	}
	var line bytes.Buffer
	r := newReading(newStreams(nil, &line, &line), 1, 2)
	r.w = &line
	r.draw(hostileBytes)
	text := strings.ReplaceAll(line.String(), "\r", "")
	if unsafeIn(text) != "" || strings.Contains(text, "\n") {
		t.Errorf("progress: %q", text)
	}
}

// What is printable is shown as it is; everything else can be told from all other texts.
func TestShown(t *testing.T) {
	for text, want := range map[string][3]string{ // shown, word, escaped
		"":           {"", `""`, ""},
		"n1":         {"n1", "n1", "n1"},
		"/a b/ü…世":   {"/a b/ü…世", `"/a b/ü…世"`, "/a b/ü…世"},
		`a"b`:        {`a"b`, `"a\"b"`, `a"b`},
		"\x1b[0m":    {`"\x1b[0m"`, `"\x1b[0m"`, `\x1b[0m`},
		"a\nb\t":     {`"a\nb\t"`, `"a\nb\t"`, `a\nb\t`},
		"\u202ea":    {`"\u202ea"`, `"\u202ea"`, `\u202ea`},
		"\U000e0041": {`"\U000e0041"`, `"\U000e0041"`, `\U000e0041`},
		"a\xffb":     {`"a\xffb"`, `"a\xffb"`, `a\xffb`},
		"\ufffd":     {"\ufffd", "\ufffd", "\ufffd"},
	} {
		if got := [3]string{shown(text), word(text), escaped(text)}; got != want {
			t.Errorf("%q is shown as %q, want %q", text, got, want)
		}
	}
	for _, text := range []string{hostile, "plain", "\U0001f600\u202e\U000e0041"} {
		b, err := json.Marshal(text)
		must(t, err)
		var back string
		err = json.Unmarshal(escapedJSON(b), &back)
		if err != nil || back != text || unsafeIn(string(escapedJSON(b))) != "" {
			t.Errorf("%q as JSON is %s, which is %q, %v", text, escapedJSON(b), back, err)
		}
	}
}
