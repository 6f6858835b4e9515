package cli

import (
	"bytes"
	"io"
	"os"
	"regexp"
	"strings"
	"testing"
	"unicode"
)

// The reference in docs/ is the one that the commands make.
func TestReference(t *testing.T) {
	const path = "../../docs/ballast.md"
	var made bytes.Buffer
	writeMarkdown(&made, newRoot(newStreams(strings.NewReader(""), io.Discard, io.Discard)))
	if *updateScripts {
		must(t, os.WriteFile(path, made.Bytes(), 0o644))
	}
	there, err := os.ReadFile(path)
	must(t, err)
	if !bytes.Equal(there, made.Bytes()) {
		t.Errorf("docs/ballast.md is not what the commands say; go test ./internal/cli -run Reference -update writes it")
	}
}

// Every command for users says what it does, has an example unless it is made of others, and a page.
func TestEveryCommandIsDocumented(t *testing.T) {
	root := newRoot(newStreams(strings.NewReader(""), io.Discard, io.Discard))
	for _, c := range documented(root) {
		what := c.CommandPath()
		if c.Short == "" || c.Long == "" || c.HasParent() && c.Example == "" {
			t.Errorf("%s has no short text, no long one, or no example", what)
		}
		if !strings.Contains(c.Long, "xit status") {
			t.Errorf("%s does not say what its exit status means", what)
		}
		if text := c.Short + c.Long + flagText(c) + c.Example; strings.ContainsFunc(text, func(r rune) bool { return r > unicode.MaxASCII }) {
			t.Errorf("%s has something in its help that not every terminal and not every man shows", what)
		}
		if json := c.Flags().Lookup("json"); !c.HasAvailableSubCommands() && json == nil {
			t.Errorf("%s has no --json", what)
		} else if json != nil && !strings.Contains(c.Long, "--json") {
			t.Errorf("%s does not say what --json prints", what)
		}
	}
}

// shownCommand is a command as the pages for users show it, up to a comment or a pipe.
var shownCommand = regexp.MustCompile(`(?m)^    ballast ([^#|\n]+)`)

// What the pages for users show is there: the commands, their flags, and as many arguments as they take.
func TestPagesShowCommands(t *testing.T) {
	for _, page := range []string{"README.md", "docs/MIGRATING.md", "docs/OPERATIONS.md", "docs/REPAIR.md"} {
		text, err := os.ReadFile("../../" + page)
		must(t, err)
		if bytes.Contains(text, []byte("go run ./cmd/ballast verify")) {
			t.Errorf("%s has a verify by go run, which does not end with its exit status", page)
		}
		for _, found := range shownCommand.FindAllSubmatch(text, -1) {
			root := newRoot(newStreams(strings.NewReader(""), io.Discard, io.Discard))
			cmd, args, err := root.Find(strings.Fields(string(found[1])))
			if err == nil {
				err = cmd.ParseFlags(args)
			}
			if err == nil {
				err = cmd.ValidateArgs(cmd.Flags().Args())
			}
			if err != nil || cmd == root {
				t.Errorf("%s shows `ballast %s`: %v", page, found[1], err)
			}
		}
	}
}
