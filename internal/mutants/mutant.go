package main

import (
	"embed"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

//go:embed mutants/*.txt
var files embed.FS

// mutant is a fault in the code.
type mutant struct {
	name   string   // of its file
	fault  string   // what is wrong, in a sentence
	breaks string   // the promise that is not kept
	tiers  []string // where it can be seen; all those of wal when there are none
	first  string   // the tier that is tried before the others, which saves time; "" for none
	edits  []edit
}

// edit replaces some lines of a source file. The path is slashed and relative to the module.
type edit struct{ file, old, new string }

// allMutants returns the faults in the folder, by name.
func allMutants() ([]mutant, error) {
	entries, err := files.ReadDir("mutants")
	if err != nil {
		return nil, err
	}
	var all []mutant
	for _, e := range entries {
		text, err := files.ReadFile(path.Join("mutants", e.Name()))
		if err != nil {
			return nil, err
		}
		m, err := parseMutant(strings.TrimSuffix(e.Name(), ".txt"), string(text))
		if err != nil {
			return nil, fmt.Errorf("mutants/%s: %w", e.Name(), err)
		}
		all = append(all, m)
	}
	return all, nil
}

// parseMutant reads a file of the form
//
//	fault: What is wrong.
//	breaks: The promise that is not kept.
//	tiers: names of tiers; the line may be missing
//	first: name of a tier; the line may be missing
//
//	== wal/write.go
//	-- old
//	lines of the source
//	-- new
//	lines in their place
//
// with any number of files, and of pairs of old and new lines in each.
func parseMutant(name, text string) (mutant, error) {
	m := mutant{name: name}
	file, into := "", (*string)(nil)
	for line := range strings.Lines(text) {
		word := strings.TrimSuffix(line, "\n")
		key, value, _ := strings.Cut(word, ": ")
		switch {
		case strings.HasPrefix(word, "== "):
			file, into = strings.TrimPrefix(word, "== "), nil
		case word == "-- old" && file != "":
			m.edits = append(m.edits, edit{file: file})
			into = &m.edits[len(m.edits)-1].old
		case word == "-- new" && into != nil:
			into = &m.edits[len(m.edits)-1].new
		case into != nil:
			*into += line
		case word == "":
		case key == "fault":
			m.fault = value
		case key == "breaks":
			m.breaks = value
		case key == "first":
			m.first = value
		case key == "tiers":
			m.tiers = strings.Fields(value)
		default:
			return m, fmt.Errorf("the line %q is none that is known", word)
		}
	}
	return m, m.check()
}

func (m *mutant) check() error {
	if m.fault == "" || m.breaks == "" || len(m.edits) == 0 {
		return errors.New("a fault needs the lines fault and breaks, and something to replace")
	}
	for _, e := range m.edits {
		if e.old == "" || e.old == e.new {
			return fmt.Errorf("nothing is replaced in %s", e.file)
		}
	}
	names := m.tiers
	if m.first != "" {
		names = append(slices.Clone(names), m.first)
	}
	for _, name := range names {
		if !slices.ContainsFunc(tiers, func(t tier) bool { return t.name == name }) {
			return fmt.Errorf("there is no tier %q", name)
		}
	}
	return nil
}

// apply returns the changed files by their paths, which are those of the edits.
func (m *mutant) apply(root string) (map[string]string, error) {
	changed := make(map[string]string)
	for _, e := range m.edits {
		text, ok := changed[e.file]
		if !ok {
			b, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(e.file)))
			if err != nil {
				return nil, err
			}
			text = string(b)
		}
		text, err := replaceLines(text, e.old, e.new)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", e.file, err)
		}
		changed[e.file] = text
	}
	return changed, nil
}

// replaceLines replaces whole lines, which have to be there exactly once.
func replaceLines(text, from, to string) (string, error) {
	at, n := 0, 0
	for off := 0; off < len(text); {
		if strings.HasPrefix(text[off:], from) {
			at, n = off, n+1
		}
		off += strings.IndexByte(text[off:]+"\n", '\n') + 1
	}
	if n != 1 {
		return "", fmt.Errorf("these lines are there %d times:\n%s", n, from)
	}
	return text[:at] + to + text[at+len(from):], nil
}
