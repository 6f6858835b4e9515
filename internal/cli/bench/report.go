package bench

import (
	"fmt"
	"strings"
)

// Report is what was found. Times are microseconds.
type Report struct {
	Dir        string     `json:"dir"`
	FileSystem string     `json:"file_system"` // "unknown" where the system does not say
	Device     string     `json:"device"`
	FreeBytes  int64      `json:"free_bytes"` // before anything was written
	Seed       uint64     `json:"seed"`
	Seconds    float64    `json:"seconds"`
	Ways       []Way      `json:"ways"`
	Workloads  []Workload `json:"workloads"`
	Advice     []Advice   `json:"advice"`
}

// Figures are made of samples.
type Figures struct {
	Samples int     `json:"samples"`
	Median  float64 `json:"median_us"`
	P99     float64 `json:"p99_us"`
	Max     float64 `json:"max_us"`
}

// Way is one way to make bytes durable. The fastest is the limit.
type Way struct {
	Bytes   int    `json:"bytes"`
	Extents string `json:"extents"` // growing, preallocated, written
	Sync    string `json:"sync"`    // as the system names it
	Failed  string `json:"failed,omitempty"`
	Fastest bool   `json:"fastest"` // for so many bytes
	Figures
}

// Workload is what all did in turns.
type Workload struct {
	Name    string   `json:"name"`
	About   string   `json:"about"`
	Results []Result `json:"results"`
}

// Title is the name as a heading.
func (w Workload) Title() string { return strings.ToUpper(w.Name[:1]) + w.Name[1:] }

// Result is that of an engine, or of the limit.
type Result struct {
	Engine    string  `json:"engine"`
	Failed    string  `json:"failed,omitempty"`
	OverLimit float64 `json:"over_limit,omitempty"` // the median, divided by that of the limit; 0 where there is none
	Figures
}

// Advice is what a figure means for a raft peer.
type Advice struct {
	Topic string `json:"topic"` // memory, sync, lie, timeouts, direct, file_system, space, engine
	Bad   bool   `json:"bad"`   // something should be changed
	Text  string `json:"text"`
}

// fastest returns the fastest way to write so many bytes, nil when all have failed.
func (r *Report) fastest(bytes int) (best *Way) {
	for i := range r.Ways {
		w := &r.Ways[i]
		if w.Bytes == bytes && w.Failed == "" && (best == nil || w.Median < best.Median) {
			best = w
		}
	}
	return best
}

// result returns that of an engine in a workload, nil when it failed or took no part.
func (r *Report) result(workload, engine string) *Result {
	for _, w := range r.Workloads {
		for i := range w.Results {
			if x := &w.Results[i]; w.Name == workload && x.Engine == engine && x.Failed == "" {
				return x
			}
		}
	}
	return nil
}

// sizeName prints a size as people name it.
func sizeName(bytes int) string {
	if bytes >= 1<<10 && bytes%(1<<10) == 0 {
		return fmt.Sprintf("%d KiB", bytes>>10)
	}
	return fmt.Sprintf("%d B", bytes)
}
