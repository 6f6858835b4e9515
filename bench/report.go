package main

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
)

// report is what the command prints.
type report struct {
	Machine machine       `json:"machine"`
	Figures []measurement `json:"figures"`
}

func (r report) writeJSON(w io.Writer) error {
	out := json.NewEncoder(w)
	out.SetIndent("", "  ")
	out.SetEscapeHTML(false)
	return out.Encode(r)
}

// writeTable prints a line for each ratio. The values stand beside the first of a figure.
func (r report) writeTable(w io.Writer) error {
	fmt.Fprintf(w, "%s\n\n", r.Machine)
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprint(out, "figure\tratio\treach\tmeasured\tlow - high\t\tmedians\n")
	for _, f := range r.Figures {
		name, medians := f.Name, f.medians()
		if f.Failed != "" {
			fmt.Fprintf(out, "%s\t\t\t\t\tFAILED\t%s\n", name, f.Failed)
			continue
		}
		if len(f.Outcomes) == 0 {
			fmt.Fprintf(out, "%s\t\t\t\t\t\t%s\n", name, medians)
		}
		for _, o := range f.Outcomes {
			fmt.Fprintf(out, "%s\t%s\t%s\t%s\t%s - %s\t%s\t%s\n", name, o.Ratio, o.target(), number(o.Median),
				number(o.Lowest), number(o.High), o.mark(), medians)
			name, medians = "", ""
		}
	}
	return out.Flush()
}

func (o outcome) target() string {
	if o.Bound == info {
		return ""
	}
	return fmt.Sprintf("%s %.2f", o.Bound, o.Reach)
}

func (o outcome) mark() string {
	switch {
	case o.Bound == info:
		return ""
	case o.OK:
		return "ok"
	default:
		return "NOT REACHED"
	}
}

// missed counts the goals that were not reached, and the figures that could not be measured.
func (r report) missed() int {
	n := 0
	for _, f := range r.Figures {
		if f.Failed != "" {
			n++
		}
		for _, o := range f.Outcomes {
			if !o.OK {
				n++
			}
		}
	}
	return n
}
