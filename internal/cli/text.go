package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/raft-ballast/ballast/internal/cli/demo"
)

// newTable aligns columns that are separated by tabs.
func newTable(w io.Writer) *tabwriter.Writer { return tabwriter.NewWriter(w, 0, 0, 2, ' ', 0) }

// writeJSON writes one object in one line.
func writeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false) // the reader is no browser
	return enc.Encode(v)
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
