package cli

import (
	"fmt"
	"io"
	"strings"
)

// write shows it to people.
func (c *comparison) write(w io.Writer) error {
	t := newTable(w)
	fmt.Fprintf(t, "a\t%s\t%s\n", c.A.label, c.A.text())
	fmt.Fprintf(t, "b\t%s\t%s\n", c.B.label, c.B.text())
	if err := t.Flush(); err != nil {
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
	for _, line := range atMost(maxDamage, lines) {
		fmt.Fprintln(w, line)
	}
	switch d := c.Differ; {
	case d != nil:
		fmt.Fprintf(w, "they differ at entry %d, %s, after %s that are the same\n", d.Index, "in "+strings.Join(d.In, ", "), countText(c.Compared-1, "entry", "entries"))
		fmt.Fprintf(w, "  a: %s\n  b: %s\n%s\n", d.A.text(), d.B.text(), d.meaning())
	case c.Compared > 0:
		fmt.Fprintf(w, "%s compared, no difference\n", countText(c.Compared, "entry", "entries"))
	case c.Equal:
		fmt.Fprintln(w, "both are empty")
	}
	for _, line := range atMost(maxDamage, c.gapLines()) {
		fmt.Fprintln(w, line)
	}
	for _, only := range []*sideRange{c.atFront, c.Longer} {
		if only != nil {
			fmt.Fprintf(w, "only %s has: %s\n", only.Store, only.indexRange)
		}
	}
	return nil
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
