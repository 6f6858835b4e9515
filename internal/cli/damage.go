package cli

import (
	"fmt"

	"github.com/raft-ballast/ballast"
)

// damageJSON is a *ballast.CorruptionError as scripts see it. What is not known is absent.
type damageJSON struct {
	Index  uint64  `json:"index,omitempty"`
	To     uint64  `json:"to,omitempty"` // the last index, where it is several entries, or gaps: which, nobody knows
	File   outside `json:"file"`
	Offset *int64  `json:"offset,omitempty"`
	Cause  string  `json:"cause"`
}

func newDamageJSON(e *ballast.CorruptionError) damageJSON {
	out := damageJSON{Index: e.Index, File: outside(e.Path), Cause: oneLine(e.Err)}
	if e.Offset >= 0 {
		out.Offset = &e.Offset
	}
	return out
}

// newDamage is damage to all that is from one index to another.
func newDamage(e *ballast.CorruptionError, at indexRange) damageJSON {
	out := newDamageJSON(e)
	out.Index, out.To = at.From, at.To
	if at.From == at.To {
		out.To = 0
	}
	return out
}

// entries are those that are damaged: 0 to 0 when it is none, or nobody knows which.
func (d damageJSON) entries() indexRange { return indexRange{d.Index, max(d.Index, d.To)} }

// text says what is damaged, where, and why.
func (d damageJSON) text(what string) string {
	text := d.File.String()
	if what != "" {
		text = what + " in " + text
	}
	if d.Offset != nil {
		text += fmt.Sprintf(" at offset %d", *d.Offset)
	}
	return text + ": " + d.Cause
}

// line says it of the entries that it is about.
func (d damageJSON) line() string { return damageRun{d}.text() }

// damageRun is damage to entries that follow one another in one file.
type damageRun []damageJSON

// damageRuns parts what was found into runs, each of which people see as one line.
func damageRuns(damaged []damageJSON) (runs []damageRun) {
	for i, d := range damaged {
		if i > 0 && damaged[i-1].Index != 0 && d.File == damaged[i-1].File && d.Index == damaged[i-1].entries().To+1 {
			runs[len(runs)-1] = append(runs[len(runs)-1], d)
			continue
		}
		runs = append(runs, damageRun{d})
	}
	return runs
}

func (r damageRun) text() string {
	first, last := r[0], r[len(r)-1]
	text := first.File.String()
	at := indexRange{first.Index, last.entries().To}
	if at.From != 0 {
		text = plural([]indexRange{at}, "entry", "entries") + " " + at.String() + " in " + text
	}
	switch {
	case first.Offset == nil:
	case last.Offset == nil || *last.Offset == *first.Offset:
		text += fmt.Sprintf(" at offset %d", *first.Offset)
	default:
		text += fmt.Sprintf(" from offset %d to %d", *first.Offset, *last.Offset)
	}
	text += ": " + first.Cause
	for _, d := range r {
		if d.Cause != first.Cause {
			return text + "; and others, see --json"
		}
	}
	return text
}

func damageLines(damaged []damageJSON) (lines []string) {
	for _, run := range damageRuns(damaged) {
		lines = append(lines, "damaged: "+run.text())
	}
	return lines
}
