package bench

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

const (
	docFile  = "../docs/CONFORMANCE.md"
	docBegin = "<!-- written by `go test -run Conformance -update` in bench -->\n"
	docEnd   = "<!-- end of what is written -->\n"
)

// checkDoc compares the results with docs/CONFORMANCE.md, or writes them there.
func checkDoc(t *testing.T, names []string, results [][]result) {
	t.Helper()
	doc, err := os.ReadFile(docFile)
	must(t, err)
	head, rest, ok := strings.Cut(string(doc), docBegin)
	old, tail, ok2 := strings.Cut(rest, docEnd)
	if !ok || !ok2 {
		t.Fatalf("%s has lost the lines %q and %q, between which the results stand", docFile, docBegin, docEnd)
	}
	written := "\n" + docTable(t, names, results) + docFailures(names, results) + "\n"
	if *update {
		if t.Failed() {
			t.Fatalf("%s is left as it was; see above", docFile)
		}
		must(t, os.WriteFile(docFile, []byte(head+docBegin+written+docEnd+tail), 0o644))
		return
	}
	if got, want := steady(written), steady(old); got != want {
		t.Errorf("%s is out of date, -update writes it:\n%s", docFile, firstDifference(got, want))
	}
}

// docTable is the table of promises and stores.
func docTable(t *testing.T, names []string, results [][]result) string {
	var b strings.Builder
	versions := requiredVersions(t)
	fmt.Fprintf(&b, "Measured on %s.\n\n", time.Now().UTC().Format(time.DateOnly))
	b.WriteString("| store | version | options |\n|---|---|---|\n")
	for _, c := range candidates {
		version := "this repository"
		if c.module != "" {
			version = c.module + " " + versions[c.module]
		}
		allowed := c.allowed
		if allowed == "" {
			allowed = "none"
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", c.name, version, allowed)
	}
	b.WriteString("\n| promise |")
	for _, c := range candidates {
		fmt.Fprintf(&b, " %s |", c.name)
	}
	b.WriteString("\n|---" + strings.Repeat("|---", len(candidates)) + "|\n")
	for i, name := range names {
		fmt.Fprintf(&b, "| %s |", name)
		for _, r := range results[i] {
			fmt.Fprintf(&b, " %s |", r.outcome)
		}
		b.WriteString("\n")
	}
	kept := make([]int, len(candidates))
	for _, row := range results {
		for j, r := range row {
			if r.outcome == keeps || r.outcome == notOffered {
				kept[j]++
			}
		}
	}
	fmt.Fprintf(&b, "| **not kept, of %d** |", len(names))
	for _, n := range kept {
		fmt.Fprintf(&b, " **%d** |", len(names)-n)
	}
	b.WriteString("\n")
	return b.String()
}

// docFailures says of each promise that is not kept what was seen and what that means. Promises of one store that fail for
// the same reason stand together.
func docFailures(names []string, results [][]result) string {
	var b strings.Builder
	for j, c := range candidates {
		if len(meanings[c.name]) == 0 {
			continue
		}
		fmt.Fprintf(&b, "\n### %s\n", c.name)
		var said []string // meanings, in the order of their first promise
		for _, name := range names {
			meaning := meanings[c.name][name]
			if meaning == "" || slices.Contains(said, meaning) {
				continue
			}
			said = append(said, meaning)
			fmt.Fprintf(&b, "\n%s\n\n", meaning)
			for i, name := range names {
				if meanings[c.name][name] == meaning {
					fmt.Fprintf(&b, "- %s: %s\n", name, results[i][j].outcome)
					fmt.Fprintf(&b, "  `%s`\n", strings.ReplaceAll(shorten(results[i][j].message), "`", "'"))
				}
			}
		}
	}
	return b.String()
}

const maxMessage = 160 // bytes

func shorten(s string) string {
	if len(s) <= maxMessage {
		return s
	}
	return strings.ToValidUTF8(s[:maxMessage], "") + " ..."
}

// steady leaves out what may differ from run to run: the day, and what was said, which names times and random values.
func steady(doc string) string {
	return regexp.MustCompile("(?m)^(Measured on|  `).*\n").ReplaceAllString(doc, "")
}

// firstDifference shows the first lines that two texts do not share.
func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			return fmt.Sprintf("now:  %s\nfile: %s", g[i], w[i])
		}
	}
	return fmt.Sprintf("it has %d lines now, and %d in the file", len(g), len(w))
}

// requiredVersions returns the versions of the modules in go.mod. A test binary does not know those that only tests import.
func requiredVersions(t *testing.T) map[string]string {
	t.Helper()
	mod, err := os.ReadFile("go.mod")
	must(t, err)
	versions := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^\t(\S+) (v\S+)`).FindAllStringSubmatch(string(mod), -1) {
		versions[m[1]] = m[2]
	}
	return versions
}
