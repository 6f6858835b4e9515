package report

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// textWidth is where sentences are broken. Tables are as wide as they are.
const textWidth = 120

// WriteText writes tables for a terminal.
func (r *Report) WriteText(w io.Writer) error {
	out := bufio.NewWriter(w)
	r.writeHead(out)
	for _, s := range r.sections() {
		s.writeText(out)
	}
	if notes := r.footnotes(); len(notes) > 0 {
		fmt.Fprintf(out, "\n%s\n", strings.Join(notes, "\n"))
	}
	if len(r.Checks) > 0 {
		fmt.Fprint(out, "\nAgainst the reference\n\n")
		if err := r.WriteChecks(out); err != nil {
			return err
		}
	}
	return out.Flush()
}

func (r *Report) writeHead(out io.Writer) {
	facts, width := r.facts(), 0
	for _, f := range facts {
		width = max(width, utf8.RuneCountInString(f[0]))
	}
	for _, f := range facts {
		fmt.Fprintf(out, "%-*s  %s\n", width, f[0], f[1])
	}
}

func (s section) writeText(out io.Writer) {
	fmt.Fprintf(out, "\n%s\n", s.title)
	if s.about != "" {
		fmt.Fprintln(out, wrap(s.about, textWidth))
	}
	for _, t := range s.tables {
		fmt.Fprintln(out)
		if t.title != "" {
			fmt.Fprintln(out, t.title)
		}
		t.writeText(out)
	}
	for _, note := range s.notes {
		fmt.Fprintln(out, wrap(note, textWidth))
	}
}

func (t table) writeText(out io.Writer) {
	widths := t.widths()
	for line := range t.headLines() {
		var head []cell
		for _, h := range t.head {
			head = append(head, cell{text: headLine(h, line, t.headLines())})
		}
		t.writeRow(out, widths, "", head)
	}
	for _, b := range t.blocks {
		indent := ""
		if b.title != "" && len(b.rows) > 0 {
			fmt.Fprintln(out, b.title)
			indent = "  "
		}
		for _, row := range b.rows {
			t.writeRow(out, widths, indent, row)
		}
	}
}

// headLines is how many lines the longest head takes.
func (t table) headLines() int {
	n := 1
	for _, h := range t.head {
		n = max(n, strings.Count(h, "\n")+1)
	}
	return n
}

// headLine is one line of a head; one with fewer lines stands at the bottom.
func headLine(head string, line, lines int) string {
	own := strings.Split(head, "\n")
	if at := line - (lines - len(own)); at >= 0 {
		return own[at]
	}
	return ""
}

func (t table) widths() []int {
	widths := make([]int, len(t.head))
	for i, h := range t.head {
		for _, line := range strings.Split(h, "\n") {
			widths[i] = max(widths[i], utf8.RuneCountInString(line))
		}
	}
	for _, b := range t.blocks {
		for _, row := range b.rows {
			for i, c := range row {
				widths[i] = max(widths[i], utf8.RuneCountInString(c.String()))
			}
		}
	}
	return widths
}

// writeRow aligns words to the left and numbers to the right.
func (t table) writeRow(out io.Writer, widths []int, indent string, row []cell) {
	var line strings.Builder
	line.WriteString(indent)
	for i, c := range row {
		width := widths[i]
		if i == 0 && t.blocks[0].title != "" {
			width += 2 - len(indent) // rows of a block are indented, heads are not
		}
		gap := strings.Repeat(" ", width-utf8.RuneCountInString(c.String()))
		if t.words[i] {
			line.WriteString(c.String() + gap)
		} else {
			line.WriteString(gap + c.String())
		}
		line.WriteString("  ")
	}
	fmt.Fprintln(out, strings.TrimRight(line.String(), " "))
}

// String is a cell in a terminal, where the fastest has an arrow.
func (c cell) String() string {
	if c.mark == best {
		return "> " + c.text
	}
	return c.text
}

// wrap breaks a sentence into lines.
func wrap(s string, width int) string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(s) {
		if line != "" && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > width {
			lines = append(lines, line)
			line = ""
		}
		line = strings.TrimPrefix(line+" "+word, " ")
	}
	return strings.Join(append(lines, line), "\n")
}
