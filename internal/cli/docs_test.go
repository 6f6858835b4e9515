package cli

import (
	"bytes"
	"io"
	"os"
	"strings"
	"testing"
)

// The reference in docs/ is the one that the commands make.
func TestReference(t *testing.T) {
	const path = "../../docs/ballast.md"
	var made bytes.Buffer
	writeMarkdown(&made, newRoot(streams{strings.NewReader(""), io.Discard, io.Discard}))
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
	root := newRoot(streams{strings.NewReader(""), io.Discard, io.Discard})
	for _, c := range documented(root) {
		what := c.CommandPath()
		if c.Short == "" || c.Long == "" || c.HasParent() && c.Example == "" {
			t.Errorf("%s has no short text, no long one, or no example", what)
		}
		if !strings.Contains(c.Long, "xit status") {
			t.Errorf("%s does not say what its exit status means", what)
		}
		if json := c.Flags().Lookup("json"); !c.HasAvailableSubCommands() && json == nil {
			t.Errorf("%s has no --json", what)
		} else if json != nil && !strings.Contains(c.Long, "--json") {
			t.Errorf("%s does not say what --json prints", what)
		}
	}
}
