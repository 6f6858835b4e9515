package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

// repairScripts are those of which docs/REPAIR.md has the transcripts, in its order.
var repairScripts = []string{
	"entry", "segment", "header", "frame", "checkpoint", "vote", "cut", "newest", "disk", "foreign", "index", "torn", "version", "bolt", "page", "raftwal",
}

const (
	repairDoc       = "../../docs/REPAIR.md"
	transcriptsHere = "<!-- What follows is made of internal/cli/testdata/script by `go test ./internal/cli -run TestRepairDoc -update`. -->\n"
)

// TestRepairDoc checks that the transcripts of docs/REPAIR.md are those of the scripts, which TestScripts checks.
func TestRepairDoc(t *testing.T) {
	doc, err := os.ReadFile(repairDoc)
	must(t, err)
	head, was, ok := strings.Cut(string(doc), transcriptsHere)
	if !ok {
		t.Fatalf("%s has no line\n%s", repairDoc, transcriptsHere)
	}
	var b strings.Builder
	for _, name := range repairScripts {
		archive, err := txtar.ParseFile(filepath.Join("testdata/script", "repair_"+name+".txtar"))
		must(t, err)
		checkComplete(t, name, archive)
		transcript(&b, archive)
	}
	if *updateScripts {
		must(t, os.WriteFile(repairDoc, []byte(head+transcriptsHere+b.String()), 0o644))
	} else if b.String() != was {
		t.Errorf("%s is not what the scripts say; run go test ./internal/cli -run TestRepairDoc -update", repairDoc)
	}
}

// shownLine are the lines of a script that a reader sees: what is done to a store, and the
// commands.
var shownLine = regexp.MustCompile(`^(?:exec |status \d+ )?((?:ballast|rm|cp|flip|zero|cut|newer|symlink) .*)$`)

// compared names what a command has printed.
var compared = regexp.MustCompile(`^cmp (?:stdout|stderr|got.txt) (\S+)$`)

var (
	begins = regexp.MustCompile(`^(exec|status [1-9]) ballast `)
	silent = regexp.MustCompile(`^! (stdout|stderr) \.$`)
)

// checkComplete checks that a reader sees all that a command prints: standard output is compared or nothing, and so is standard error where
// the command fails.
func checkComplete(t *testing.T, name string, archive *txtar.Archive) {
	t.Helper()
	command, unseen := "", map[string]bool{}
	check := func() {
		for stream := range unseen {
			t.Errorf("repair_%s: the page does not show %s of %s", name, stream, command)
		}
		clear(unseen)
	}
	for line := range strings.Lines(string(archive.Comment)) {
		line = strings.TrimSpace(line)
		switch {
		case begins.MatchString(line):
			check()
			command, unseen["stdout"] = line, true
			if strings.HasPrefix(line, "status") {
				unseen["stderr"] = true
			}
		case compared.MatchString(line):
			stream := strings.Fields(line)[1]
			delete(unseen, strings.Replace(stream, "got.txt", "stdout", 1)) // what is masked
		case silent.MatchString(line):
			delete(unseen, silent.FindStringSubmatch(line)[1])
		}
	}
	check()
}

// transcript writes a script as a section: its first comment as heading and text, later ones as text, and then what was typed and printed.
func transcript(b *strings.Builder, archive *txtar.Archive) {
	files := make(map[string]string)
	for _, f := range archive.Files {
		files[f.Name] = string(f.Data)
	}
	fenced := false
	fence := func(want bool) {
		if fenced != want {
			b.WriteString("```\n")
			fenced = want
		}
	}
	heading := true
	for line := range strings.Lines(string(archive.Comment)) {
		line = strings.TrimSpace(line)
		text, comment := strings.CutPrefix(line, "#")
		switch {
		case comment && heading:
			fmt.Fprintf(b, "\n## %s\n", strings.TrimSpace(text))
			heading = false
		case comment:
			if fenced {
				fence(false)
				b.WriteString("\n")
			}
			fmt.Fprintln(b, strings.TrimSpace(text))
		case shownLine.MatchString(line):
			if !fenced {
				b.WriteString("\n")
			}
			fence(true)
			fmt.Fprintf(b, "$ %s\n", shownLine.FindStringSubmatch(line)[1])
		case compared.MatchString(line):
			b.WriteString(files[compared.FindStringSubmatch(line)[1]])
		}
	}
	fence(false)
}
