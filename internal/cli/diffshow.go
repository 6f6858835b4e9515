package cli

import (
	"fmt"
	"io"
	"strings"
)

// write shows it to people.
func (c *comparison) write(w io.Writer) error {
	t := newTable(w)
	t.row("a", c.A.label, c.A.text())
	t.row("b", c.B.label, c.B.text())
	if err := t.end(); err != nil {
		return err
	}
	var lines []string
	for _, run := range damageRuns(c.Damaged) {
		what := "damaged"
		if run[0].Index != 0 {
			what += ", and not compared"
		}
		lines = append(lines, what+": "+run.text())
	}
	lines = atMost(maxDamage, lines)
	add := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	switch d := c.Differ; {
	case d != nil:
		add("they differ at entry %d, %s, after %s that are the same", d.Index, "in "+strings.Join(d.In, ", "), countText(c.Compared-1, "entry", "entries"))
		lines = append(lines, "  a: "+d.A.text(), "  b: "+d.B.text(), d.meaning())
	case c.Compared > 0:
		add("%s compared, no difference", countText(c.Compared, "entry", "entries"))
	case c.Equal:
		add("both are empty")
	}
	lines = append(lines, atMost(maxDamage, c.gapLines())...)
	for _, only := range []*sideRange{c.atFront, c.Longer} {
		if only != nil {
			add("only %s has: %s", only.Store, only.indexRange)
		}
	}
	return writeLines(w, lines...)
}

func (c *comparison) gapLines() (lines []string) {
	for _, gap := range c.Gaps {
		lines = append(lines, fmt.Sprintf("%s has a gap, and the other one has not: %s; what is missing is behind a snapshot, or lost", gap.Store, gap.indexRange))
	}
	return lines
}

func (s side) text() string {
	if s.LastIndex == 0 {
		return "empty"
	}
	return fmt.Sprintf("%d to %d", s.FirstIndex, s.LastIndex)
}

func (s *shortJSON) text() string {
	text := fmt.Sprintf("term %d, %s, %s", s.Term, s.Type, countText(s.DataBytes, "byte", "bytes"))
	if s.DataBytes > 0 {
		text += ": " + dataText(s.log.Data, "auto", defaultWidth/2)
	}
	return text
}

// meaning says what raft makes of a difference.
func (d *difference) meaning() string {
	if d.A.Term != d.B.Term {
		return "two terms: one of the two was never committed, and raft replaces it when that peer hears of the leader"
	}
	return "one term and yet not the same entry: no raft peer writes that, so one of the two is damaged"
}
