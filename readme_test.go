package ballast_test

import (
	"os"
	"strings"
	"testing"
)

// The code in the README is that of the examples, which are run.
func TestReadmeShowsTheExamples(t *testing.T) {
	read := func(name string) string {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	for name, mark := range map[string]string{"example_test.go": "// README ", "example_groups_test.go": "// README groups "} {
		_, code, ok := strings.Cut(read(name), mark+"begin\n")
		code, _, found := strings.Cut(code, "\n"+mark+"end")
		if !ok || !found {
			t.Fatalf("%s has lost its marks", name)
		}
		if !strings.Contains(read("README.md"), "```go\n"+code+"```") {
			t.Errorf("README.md does not hold this part of %s:\n%s", name, code)
		}
	}
}
