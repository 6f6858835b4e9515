package ballast_test

import (
	"os"
	"strings"
	"testing"
)

// The example in the README is the one that Example runs.
func TestReadmeShowsTheExample(t *testing.T) {
	read := func(name string) string {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	_, code, ok := strings.Cut(read("example_test.go"), "// README begin\n")
	code, _, found := strings.Cut(code, "\n// README end")
	if !ok || !found {
		t.Fatal("example_test.go has lost its marks")
	}
	if !strings.Contains(read("README.md"), "```go\n"+code+"```") {
		t.Fatalf("README.md does not hold this part of example_test.go:\n%s", code)
	}
}
