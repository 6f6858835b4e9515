package ballast_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	testName    = regexp.MustCompile("`((?:Test|Fuzz)[A-Z]\\w*)`")
	packageName = regexp.MustCompile("`((?:internal/)?[a-z]+)` *$")
)

// TestCrashSafety looks for each test that docs/CRASH-SAFETY.md names in the package that is named in front of it.
func TestCrashSafety(t *testing.T) {
	page, err := os.ReadFile("docs/CRASH-SAFETY.md")
	if err != nil {
		t.Fatal(err)
	}
	named := 0
	for _, line := range strings.Split(string(page), "\n") {
		if !strings.HasPrefix(line, "| ") {
			continue
		}
		dir := ""
		for _, at := range testName.FindAllStringSubmatchIndex(line, -1) {
			if p := packageName.FindStringSubmatch(line[:at[0]]); p != nil {
				dir = p[1]
			}
			named++
			if name := line[at[2]:at[3]]; !hasTest(t, dir, name) {
				t.Errorf("there is no %s in %q: %s", name, dir, line)
			}
		}
	}
	if named < 30 {
		t.Errorf("only %d tests are named", named)
	}
}

func hasTest(t *testing.T, dir, name string) bool {
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if dir != "" && strings.Contains(string(source), "\nfunc "+name+"(") {
			return true
		}
	}
	return false
}
