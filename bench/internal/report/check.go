package report

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
)

// Reference is what a comparison once found: for each workload wal's median over that of the limit and of each durable store. Of absolute
// times nothing is kept, they are one machine's; of stores that wait for no disk neither, since how fast a disk is beside a processor is
// the machine's as well; and of caches neither, whose median is that of a hit or of a miss.
type Reference struct {
	Machine Machine                       `json:"machine"`
	Ratios  map[string]map[string]float64 `json:"ratios"` // by workload and store
}

// A ratio that is worse by more than markedWorse is marked; one that is worse by failsWorse or more fails, when both medians are
// of at least firmSamples calls.
const (
	markedWorse = 1.25
	failsWorse  = 2.0
	firmSamples = 100
)

// Check compares one ratio with the reference.
type Check struct {
	Workload string  `json:"workload"`
	Store    string  `json:"store"` // wal's median over this store's
	Was      float64 `json:"was"`
	Now      float64 `json:"now"`
	Worse    float64 `json:"worse"` // above 1 it has become worse by this factor
	Firm     bool    `json:"firm"`  // of enough calls
}

// Marked reports whether it is worse by more than a quarter.
func (c Check) Marked() bool { return c.Worse > markedWorse }

// Fails reports whether it has become twice as bad, for certain.
func (c Check) Fails() bool { return c.Firm && c.Worse >= failsWorse }

// Ratios returns what is kept of a report: for each workload in which wal and somebody else were measured.
func (r *Report) Ratios() map[string]map[string]float64 {
	all := make(map[string]map[string]float64)
	for i := range r.Workloads {
		w := &r.Workloads[i]
		wal := w.Of("wal")
		if wal == nil {
			continue
		}
		for _, other := range w.Results {
			if other.Store == "wal" || !r.steady(other.Store) || other.Failed != "" || other.Median <= 0 || wal.Median <= 0 {
				continue
			}
			if all[w.Name] == nil {
				all[w.Name] = make(map[string]float64)
			}
			all[w.Name][other.Store] = wal.Median / other.Median
		}
	}
	return all
}

// steady reports whether ratios to a store are worth keeping.
func (r *Report) steady(store string) bool {
	return store == Limit || slices.ContainsFunc(r.Stores, func(s Store) bool { return s.Name == store && s.Durable && !s.Cache })
}

// ReadReference reads a kept reference.
func ReadReference(path string) (ref Reference, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return ref, err
	}
	if err := json.Unmarshal(text, &ref); err != nil {
		return ref, fmt.Errorf("%s: %w", path, err)
	}
	return ref, nil
}

// Compare sets Checks: every ratio that is in the report and in the reference, in the report's order.
func (r *Report) Compare(ref Reference) {
	r.Checks = nil
	now := r.Ratios()
	for i := range r.Workloads {
		w := &r.Workloads[i]
		for _, other := range w.Results {
			was, kept := ref.Ratios[w.Name][other.Store]
			is, measured := now[w.Name][other.Store]
			if !kept || !measured {
				continue
			}
			c := Check{Workload: w.Name, Store: other.Store, Was: was, Now: is, Worse: is / was,
				Firm: min(other.Samples, w.Of("wal").Samples) >= firmSamples}
			if w.Better == "higher" {
				c.Worse = was / is
			}
			r.Checks = append(r.Checks, c)
		}
	}
}

// Failing returns the names of the workloads with a ratio that has become twice as bad.
func (r *Report) Failing() (names []string) {
	for _, c := range r.Checks {
		if c.Fails() && (len(names) == 0 || names[len(names)-1] != c.Workload) {
			names = append(names, c.Workload)
		}
	}
	return names
}

// Again takes over the workloads of a second measurement: the better one of two counts, since what is worse for a moment is the machine, and
// what has become slower stays slower.
func (r *Report) Again(second *Report) {
	for i := range r.Workloads {
		if w := second.Find(r.Workloads[i].Name); w != nil {
			r.Workloads[i] = *w
		}
	}
}

// WriteChecks prints the ratios beside the reference.
func (r *Report) WriteChecks(w io.Writer) error {
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprint(out, "wal's figure over that of\tin the reference\tnow\tworse by\t\n")
	for _, c := range r.Checks {
		mark := ""
		switch {
		case c.Fails():
			mark = "TWICE AS BAD"
		case c.Marked():
			mark = "worse"
		}
		fmt.Fprintf(out, "%s, %s\t%s\t%s\t%s\t%s\n", c.Workload, c.Store, short(c.Was), short(c.Now), short(c.Worse), mark)
	}
	return out.Flush()
}

// short prints three digits.
func short(x float64) string {
	s := fmt.Sprintf("%.3g", x)
	if strings.Contains(s, "e+") {
		s = fmt.Sprintf("%.0f", x)
	}
	return s
}
