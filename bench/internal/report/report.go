// Package report is what a comparison found, and how it is shown: as text, Markdown, JSON, SVG and one HTML page.
//
//	report.go    what was found
//	check.go     what has become worse than a kept reference
//	tables.go    what the tables hold, whatever they are written as
//	text.go      tables for a terminal
//	markdown.go  tables for a document
//	charts.go    what is drawn, the same for a page and for pictures
//	html.go      the page
//	svg.go       the pictures, which a browser draws
package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
)

// Limit is the name of the disk among the stores: the fastest way there is to make the same bytes durable.
const Limit = "limit"

// Report is all that one run has found. It is what -json prints.
type Report struct {
	Machine   Machine    `json:"machine"`
	Stores    []Store    `json:"stores"`
	Ways      []Way      `json:"ways"`      // how bytes are made durable; the fastest for a size is the limit
	Workloads []Workload `json:"workloads"` // in the order in which they are printed
	Goals     []Outcome  `json:"goals"`
	Checks    []Check    `json:"checks,omitempty"` // against a kept reference, where one was given
}

// Machine is what was measured on, when and how.
type Machine struct {
	CPUs       int     `json:"cpus"`
	CPU        string  `json:"cpu"`
	Kernel     string  `json:"kernel"`
	FileSystem string  `json:"file_system"`
	Go         string  `json:"go"`
	Date       string  `json:"date"`
	Commit     string  `json:"commit"`
	Quick      bool    `json:"quick"`
	Seconds    float64 `json:"seconds"` // that the run took
	Seed       uint64  `json:"seed"`
}

// Store is one that took part.
type Store struct {
	Name    string `json:"name"`
	Version string `json:"version,omitempty"` // of its module; "" for Ballast's own
	Note    string `json:"note,omitempty"`    // what a reader must know beside every figure, such as "not durable"
	Durable bool   `json:"durable"`           // what it acknowledges survives a power cut
	Ours    bool   `json:"ours"`
	Cache   bool   `json:"cache,omitempty"` // in front of another store of the run
}

// Way is one way to make so many bytes durable with one call, one behind the other.
type Way struct {
	Bytes   int     `json:"bytes"`
	Extents string  `json:"extents"` // "growing", "preallocated" or "written"
	Sync    string  `json:"sync"`    // "fdatasync", "O_DSYNC" or "O_DIRECT|O_DSYNC"
	Median  float64 `json:"median"`  // in µs, as the others
	P99     float64 `json:"p99"`
	P999    float64 `json:"p999"`
	Low     float64 `json:"low"`
	High    float64 `json:"high"`
	Samples int     `json:"samples"`
	Fastest bool    `json:"fastest"` // of its Bytes
	Failed  string  `json:"failed,omitempty"`
}

// Workload is the same work on each store.
type Workload struct {
	Group   string   `json:"group"` // those of a group are rows of one table
	Name    string   `json:"name"`  // unique
	Unit    string   `json:"unit"`
	Better  string   `json:"better"`            // "lower" or "higher"
	About   string   `json:"about,omitempty"`   // a sentence on what is measured, the same for all of a group
	X       float64  `json:"x,omitempty"`       // place in the group's curve
	XUnit   string   `json:"x_unit,omitempty"`  // "entries", "writers"
	Entries int      `json:"entries,omitempty"` // of a call
	Bytes   int      `json:"bytes,omitempty"`   // of Data in an entry
	Results []Result `json:"results"`           // in the order of Report.Stores, the limit first
}

// Result is what one store did.
type Result struct {
	Store   string  `json:"store"`
	Median  float64 `json:"median"`
	P99     float64 `json:"p99,omitempty"` // 0 where a single figure was measured
	P999    float64 `json:"p999,omitempty"`
	Low     float64 `json:"low"`  // how far the machine drifted: four fifths of the rounds have their median
	High    float64 `json:"high"` // from here to here; of figures that come one at a time these are the ends
	Samples int     `json:"samples"`

	OverLimit float64 `json:"over_limit,omitempty"` // this median over the limit's
	OverWAL   float64 `json:"over_wal,omitempty"`   // this median over wal's

	Quantiles []Point `json:"quantiles,omitempty"` // X is the share of calls from 0 to 1 that took at most Y
	Series    []Point `json:"series,omitempty"`    // Y over time; what X and Y are SeriesX and SeriesY say
	SeriesX   string  `json:"series_x,omitempty"`
	SeriesY   string  `json:"series_y,omitempty"`
	Failed    string  `json:"failed,omitempty"` // why there are no figures
}

// Point is one of a curve.
type Point struct {
	X float64 `json:"x"`
	Y float64 `json:"y"`
}

// Outcome is what became of a figure that Ballast has set itself.
type Outcome struct {
	Workload string  `json:"workload"`
	Ratio    string  `json:"ratio"` // "wal/limit", or "wal" for a figure that is not a ratio
	Bound    string  `json:"bound"` // "<=" or ">="
	Reach    float64 `json:"reach"`
	Measured float64 `json:"measured"`
	OK       bool    `json:"ok"`
	Why      string  `json:"why,omitempty"` // for one that is known not to be reached
}

// Find returns the workload of a name, nil when it was not measured.
func (r *Report) Find(name string) *Workload {
	i := slices.IndexFunc(r.Workloads, func(w Workload) bool { return w.Name == name })
	if i < 0 {
		return nil
	}
	return &r.Workloads[i]
}

// Of returns the result of a store, nil when it did not take part or failed.
func (w *Workload) Of(store string) *Result {
	i := slices.IndexFunc(w.Results, func(r Result) bool { return r.Store == store && r.Failed == "" })
	if i < 0 {
		return nil
	}
	return &w.Results[i]
}

// Failures is an error when something could not be measured.
func (r *Report) Failures() error {
	var errs []error
	for _, w := range r.Workloads {
		for _, s := range w.Results {
			if s.Failed != "" {
				errs = append(errs, fmt.Errorf("%s, %s: %s", w.Name, s.Store, s.Failed))
			}
		}
	}
	return errors.Join(errs...)
}

// WriteJSON writes the report.
func (r *Report) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(r)
}
