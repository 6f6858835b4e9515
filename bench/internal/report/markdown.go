package report

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"
)

// WriteMarkdown writes the tables of WriteText for a document.
func (r *Report) WriteMarkdown(w io.Writer) error {
	out := bufio.NewWriter(w)
	fmt.Fprint(out, "| | |\n|---|---|\n")
	for _, f := range r.facts() {
		fmt.Fprintf(out, "| %s | %s |\n", markdown(f[0]), markdown(f[1]))
	}
	for _, s := range r.sections() {
		s.writeMarkdown(out)
	}
	for _, note := range r.footnotes() {
		fmt.Fprintf(out, "\n%s\n", markdown(note))
	}
	if len(r.Checks) > 0 {
		fmt.Fprint(out, "\n## Against the reference\n\n```\n")
		if err := r.WriteChecks(out); err != nil {
			return err
		}
		fmt.Fprint(out, "```\n")
	}
	return out.Flush()
}

func (s section) writeMarkdown(out io.Writer) {
	fmt.Fprintf(out, "\n## %s\n", markdown(s.title))
	if s.about != "" {
		fmt.Fprintf(out, "\n%s\n", markdown(s.about))
	}
	for _, t := range s.tables {
		for _, b := range t.blocks {
			if len(b.rows) > 0 {
				t.writeMarkdown(out, b)
			}
		}
	}
	for _, note := range s.notes {
		fmt.Fprintf(out, "\n%s\n", markdown(note))
	}
}

// writeMarkdown writes a block as a table of its own, since Markdown has none with parts. Columns with nothing in them are left out.
func (t table) writeMarkdown(out io.Writer, b block) {
	head, rule := "\n|", "|"
	for i, h := range t.head {
		if !b.fills(i) {
			continue
		}
		if i == 0 && b.title != "" {
			h = strings.Trim(h+", "+b.title, ", ")
		}
		head += " " + markdown(strings.ReplaceAll(h, "\n", ", ")) + " |"
		if t.words[i] {
			rule += "---|"
		} else {
			rule += "---:|"
		}
	}
	fmt.Fprintf(out, "%s\n%s\n", head, rule)
	for _, row := range b.rows {
		line := "|"
		for i, c := range row {
			if b.fills(i) {
				line += " " + c.markdown() + " |"
			}
		}
		fmt.Fprintln(out, line)
	}
}

// fills reports whether anything stands in a column.
func (b block) fills(column int) bool {
	return slices.ContainsFunc(b.rows, func(row []cell) bool { return row[column].text != "" })
}

func (c cell) markdown() string {
	if c.mark != plain && c.text != "" {
		return "**" + markdown(c.text) + "**"
	}
	return markdown(c.text)
}

// markdown escapes what would be more than text.
func markdown(s string) string {
	return strings.NewReplacer("\n", " ", `\`, `\\`, "|", `\|`, "*", `\*`, "<", "&lt;", "&", "&amp;", "`", "\\`", "[", `\[`).Replace(s)
}
