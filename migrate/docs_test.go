package migrate_test

import (
	"os"
	"strings"
	"testing"
)

// The code in docs/MIGRATING.md is the one that Example runs.
func TestDocsShowTheExample(t *testing.T) {
	example, err := os.ReadFile("example_test.go")
	must(t, err)
	docs, err := os.ReadFile("../docs/MIGRATING.md")
	must(t, err)
	parts := strings.Split(string(example), "// MIGRATING begin ")[1:]
	if len(parts) != 4 {
		t.Fatalf("example_test.go has %d parts", len(parts))
	}
	for _, part := range parts {
		code, _, found := strings.Cut(part, "\n// MIGRATING end")
		name, code, _ := strings.Cut(code, "\n")
		if !found || !strings.Contains(string(docs), "```go\n"+code+"```") {
			t.Errorf("docs/MIGRATING.md does not show this for %s:\n%s", name, code)
		}
	}
}
