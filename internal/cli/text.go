package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/raft-ballast/ballast/internal/cli/demo"
)

// table aligns columns. Cells are shown in one line, whatever is in them.
type table struct{ to *tabwriter.Writer }

func newTable(w io.Writer) table { return table{tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)} }

// row adds a line; without cells a blank one.
func (t table) row(cells ...string) {
	for i, cell := range cells {
		cells[i] = escaped(cell)
	}
	fmt.Fprintln(t.to, strings.Join(cells, "\t")) // end tells what fails
}

// pair adds a line with a name and what there is to say of it.
func (t table) pair(name, format string, args ...any) { t.row(name, fmt.Sprintf(format, args...)) }

// end writes the table.
func (t table) end() error { return t.to.Flush() }

// writeLines writes lines, whatever is in them.
func writeLines(w io.Writer, lines ...string) error {
	for _, line := range lines {
		if _, err := fmt.Fprintln(w, escaped(line)); err != nil {
			return err
		}
	}
	return nil
}

// writeJSON writes one object in one line.
func writeJSON(w io.Writer, v any) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // the reader is no browser
	if err := enc.Encode(v); err != nil {
		return err
	}
	_, err := w.Write(escapedJSON(b.Bytes()))
	return err
}

// sizeText writes a number of bytes for people.
func sizeText(n int64) string {
	const unit = 1024
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	value, prefixes := float64(n)/unit, "KMGTPE"
	for value >= unit && len(prefixes) > 1 {
		value, prefixes = value/unit, prefixes[1:]
	}
	return fmt.Sprintf("%.1f %ciB", value, prefixes[0])
}

// indexRange are consecutive indexes.
type indexRange struct {
	From uint64 `json:"from"`
	To   uint64 `json:"to"`
}

func (r indexRange) String() string {
	if r.From == r.To {
		return fmt.Sprint(r.From)
	}
	return fmt.Sprintf("%d to %d", r.From, r.To)
}

func (r indexRange) count() uint64 { return r.To - r.From + 1 }

// addIndex adds an index that is above all others.
func addIndex(ranges []indexRange, index uint64) []indexRange {
	return addRange(ranges, indexRange{index, index})
}

// addRange adds indexes that are above all others.
func addRange(ranges []indexRange, r indexRange) []indexRange {
	if n := len(ranges); n > 0 && ranges[n-1].To+1 == r.From {
		ranges[n-1].To = r.To
		return ranges
	}
	return append(ranges, r)
}

// within reports whether ranges, which ascend, have an index.
func within(ranges []indexRange, index uint64) bool {
	_, found := slices.BinarySearchFunc(ranges, index, func(r indexRange, index uint64) int {
		switch {
		case r.To < index:
			return -1
		case r.From > index:
			return 1
		}
		return 0
	})
	return found
}

// maxRanges is how many ranges are named to people.
const maxRanges = 20

func rangesText(ranges []indexRange) string {
	var parts []string
	for i, r := range ranges {
		if i == maxRanges {
			parts = append(parts, fmt.Sprintf("and %d more", len(ranges)-maxRanges))
			break
		}
		parts = append(parts, r.String())
	}
	return strings.Join(parts, ", ")
}

// countText writes a number and what it counts: 1 entry, 2 entries.
func countText[N int | int64 | uint64](n N, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return demo.Thousands(n) + " " + many
}

func plural(ranges []indexRange, one, many string) string {
	if len(ranges) == 1 && ranges[0].From == ranges[0].To {
		return one
	}
	return many
}
