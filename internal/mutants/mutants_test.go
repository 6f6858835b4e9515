package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
)

const root = "../.."

// TestMutantsApply: each fault changes the present source, and what comes out compiles. Otherwise nobody would notice
// that it tests nothing any more.
func TestMutantsApply(t *testing.T) {
	all, err := allMutants()
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 12 {
		t.Errorf("there are %d faults", len(all))
	}
	imports, packages := load(t, "./wal", "./internal/vfs")
	for _, m := range all {
		t.Run(m.name, func(t *testing.T) {
			changed, err := m.apply(root)
			if err != nil {
				t.Fatal(err)
			}
			for file := range changed {
				if strings.HasSuffix(file, "_linux.go") && runtime.GOOS != "linux" {
					continue // it is not compiled here
				}
				if err := check(imports, packages[path.Dir(file)], changed); err != nil {
					t.Errorf("it does not compile: %v", err)
				}
			}
		})
	}
}

// listed is what the go command says about a package.
type listed struct {
	Dir, ImportPath, Export string
	GoFiles                 []string
}

// load returns what the packages import, compiled, and their files.
func load(t *testing.T, packages ...string) (types.Importer, map[string]listed) {
	args := []string{"list", "-export", "-deps", "-json=Dir,ImportPath,Export,GoFiles"}
	cmd := exec.Command("go", append(args, packages...)...)
	cmd.Dir = root
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	exports, ours := make(map[string]string), make(map[string]listed)
	for d := json.NewDecoder(bytes.NewReader(out)); d.More(); {
		var p listed
		if err := d.Decode(&p); err != nil {
			t.Fatal(err)
		}
		exports[p.ImportPath] = p.Export
		for _, name := range packages {
			if strings.HasSuffix(p.ImportPath, "/ballast/"+path.Clean(name)) {
				ours[path.Clean(name)] = p
			}
		}
	}
	return importer.ForCompiler(token.NewFileSet(), "gc", func(path string) (io.ReadCloser, error) {
		return os.Open(exports[path])
	}), ours
}

// check returns why a package does not compile with some files changed.
func check(imports types.Importer, p listed, changed map[string]string) error {
	if len(p.GoFiles) == 0 {
		return fmt.Errorf("none of its packages is one that faults are known for")
	}
	set, parsed := token.NewFileSet(), []*ast.File(nil)
	for _, name := range p.GoFiles {
		var source any
		for file, text := range changed {
			if path.Base(file) == name {
				source = text
			}
		}
		f, err := parser.ParseFile(set, filepath.Join(p.Dir, name), source, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		parsed = append(parsed, f)
	}
	config := types.Config{Importer: imports}
	_, err := config.Check(p.ImportPath, set, parsed, nil)
	return err
}

// TestTiers: each expression is for a test that there is.
func TestTiers(t *testing.T) {
	declared := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	for _, tier := range tiers {
		files, err := filepath.Glob(filepath.Join(root, tier.pkg, "*_test.go"))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s has no tests: %v", tier.pkg, err)
		}
		var names []string
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, found := range declared.FindAllSubmatch(text, -1) {
				names = append(names, string(found[1]))
			}
		}
		for _, expression := range tier.run {
			name, _, _ := strings.Cut(expression, "/")
			if !slices.ContainsFunc(names, regexp.MustCompile(name).MatchString) {
				t.Errorf("tier %s: %s matches no test of %s", tier.name, expression, tier.pkg)
			}
		}
	}
}

func TestParseMutant(t *testing.T) {
	m, err := parseMutant("x", "fault: F.\nbreaks: B.\ntiers: crash faults\nfirst: faults\n\n"+
		"== wal/a.go\n-- old\n\ta: 1\n\n\tb\n-- new\n-- old\nc\n-- new\nd\n== wal/b.go\n-- old\ne\n-- new\nf\n")
	if err != nil {
		t.Fatal(err)
	}
	want := []edit{{"wal/a.go", "\ta: 1\n\n\tb\n", ""}, {"wal/a.go", "c\n", "d\n"}, {"wal/b.go", "e\n", "f\n"}}
	if m.fault != "F." || m.breaks != "B." || !slices.Equal(m.tiers, []string{"crash", "faults"}) || !slices.Equal(m.edits, want) {
		t.Errorf("got %+v", m)
	}
	if order := m.tiersOf(); len(order) != 2 || order[0].name != "faults" || order[1].name != "crash" {
		t.Errorf("the order is %+v", order)
	}
	for _, text := range []string{
		"", "fault: F.\nbreaks: B.\n", "fault: F.\n== a\n-- old\nb\n-- new\n",
		"fault: F.\nbreaks: B.\n== a\n-- new\nb\n", "fault: F.\nbreaks: B.\n== a\n-- old\nb\n-- new\nb\n",
		"fault: F.\nbreaks: B.\ntiers: nowhere\n== a\n-- old\nb\n-- new\n",
		"what: F.\nfault: F.\nbreaks: B.\n== a\n-- old\nb\n-- new\n",
	} {
		if _, err := parseMutant("x", text); err == nil {
			t.Errorf("no error for %q", text)
		}
	}
}

func TestReplaceLines(t *testing.T) {
	for _, c := range []struct{ text, from, to, want string }{
		{"a\n\tb\nc\n", "\tb\n", "d\ne\n", "a\nd\ne\nc\n"},
		{"a\n\tb\n", "b\n", "c\n", ""},           // not from the beginning of a line
		{"a\nb\na\n", "a\n", "c\n", ""},          // twice
		{"\tb\n\t\tb\n", "\tb\n", "", "\t\tb\n"}, // once
		{"a\nb", "b\n", "", ""},
	} {
		got, err := replaceLines(c.text, c.from, c.to)
		if got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("replaceLines(%q, %q, %q) is %q, %v", c.text, c.from, c.to, got, err)
		}
	}
}

func TestReadFailure(t *testing.T) {
	for _, c := range []struct{ out, test, how string }{
		{"--- FAIL: TestA (0.1s)\n    --- FAIL: TestA/b (0.1s)\n        x_test.go:1: no\nFAIL\n", "TestA", "failed"},
		{"panic: boom\n\ngoroutine 7 [running]:\ngithub.com/x/wal.TestB.func1(0x1)\n", "TestB", "panicked"},
		{"--- FAIL: TestC (0.0s)\npanic: boom [recovered]\n\ngoroutine\n", "TestC", "panicked"},
		{"panic: test timed out after 3m0s\n\trunning tests:\n\t\tTestD/e (3m0s)\n", "TestD/e", "timed out"},
		{"fatal error: all goroutines are asleep - deadlock!\n", "", "panicked"},
	} {
		if got := readFailure([]byte(c.out)); got.Test != c.test || got.How != c.how {
			t.Errorf("%q is read as %+v", c.out, got)
		}
	}
}

// TestOutcomes: only a fault that a tier catches counts, and what was not tried is not counted at all.
func TestOutcomes(t *testing.T) {
	seen := outcome{Mutant: "a", Fault: "A.", Caught: []caught{{"crash", "TestA", "failed"}}}
	hangs := outcome{Mutant: "b", Fault: "B.", Caught: []caught{{"faults", "TestB", "timed out"}}}
	missed := outcome{Mutant: "c", Fault: "C."}
	skipped := outcome{Mutant: "d", Fault: "D.", NotTried: "the tier x needs root"}
	broken := outcome{Mutant: "e", Fault: "E.", Error: "it does not compile"}
	for _, c := range []struct {
		outcomes []outcome
		code     int
		count    string
	}{
		{[]outcome{seen, hangs}, 0, "caught 2 of 2\n"},
		{[]outcome{seen, skipped}, 0, "caught 1 of 1, 1 not tried\n"},
		{[]outcome{seen, missed}, 1, "caught 1 of 2\n"},
		{[]outcome{missed, broken}, 2, "caught 0 of 2\n"},
	} {
		var b bytes.Buffer
		if err := printTable(&b, c.outcomes); err != nil {
			t.Fatal(err)
		}
		if code := exitCode(c.outcomes); code != c.code || !strings.HasSuffix(b.String(), "\n"+c.count) {
			t.Errorf("the command ends with %d and prints\n%s", code, &b)
		}
	}
	var b bytes.Buffer
	if err := printTable(&b, []outcome{hangs, missed}); err != nil {
		t.Fatal(err)
	}
	want := "caught by   test               what was wrong\n" +
		"faults      TestB (timed out)  B.\n" +
		"NOT CAUGHT                     C.\n\ncaught 1 of 2\n"
	if b.String() != want {
		t.Errorf("the table is\n%s", &b)
	}
}
