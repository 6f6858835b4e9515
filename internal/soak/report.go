package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"text/tabwriter"
	"time"
)

// parts is how many rows the table has.
const parts = 12

// row is a twelfth of a run. What is sampled is the median, and the most where it says so.
type row struct {
	Seconds     float64       `json:"seconds"`
	Appends     uint64        `json:"appends"`
	Entries     int           `json:"entries"`
	AppendP50   time.Duration `json:"append_p50_ns"`
	AppendP99   time.Duration `json:"append_p99_ns"`
	AppendP999  time.Duration `json:"append_p999_ns"`
	AppendMax   time.Duration `json:"append_max_ns"`
	Reads       uint64        `json:"reads"`
	ReadP50     time.Duration `json:"read_p50_ns"`
	ReadP99     time.Duration `json:"read_p99_ns"`
	Heap        int64         `json:"heap_bytes"`
	RSS         int64         `json:"rss_bytes"`
	Descriptors int           `json:"descriptors"`
	Goroutines  int           `json:"goroutines"`
	Disk        int64         `json:"disk_bytes"`
	Live        int64         `json:"live_bytes"`
	DiskMax     int64         `json:"disk_max_bytes"`
	LiveMax     int64         `json:"live_max_bytes"`
}

// check is one comparison of the verdict.
type check struct {
	What  string  `json:"what"`
	Unit  string  `json:"unit,omitempty"`
	First float64 `json:"first"` // from the second to the fourth twelfth; 0 where Last is compared with nothing but Limit
	Last  float64 `json:"last"`  // in the last third, or in all
	Limit float64 `json:"limit"` // of Last
	OK    bool    `json:"ok"`
}

type report struct {
	Engine      string        `json:"engine"`
	Seed        uint64        `json:"seed"`
	Seconds     float64       `json:"seconds"`
	Rate        float64       `json:"batches_per_second"`
	Keep        uint64        `json:"keep"`
	Batches     int           `json:"batches"`
	Opens       int           `json:"opens"`
	SlowestOpen time.Duration `json:"slowest_open_ns"`
	Rows        []row         `json:"rows"`

	// Of a run that did not fail.
	FDsBefore  int     `json:"descriptors_before"` // the store was opened
	FDsAfter   int     `json:"descriptors_after"`  // it was closed
	DiskClosed int64   `json:"disk_closed_bytes"`
	LiveClosed int64   `json:"live_closed_bytes"`
	Checks     []check `json:"checks"`
}

func (w *writer) report() *report {
	rep := &report{Engine: w.cfg.engine.name, Seed: w.cfg.seed, Seconds: time.Since(w.start).Seconds(), Rate: w.rate, Keep: w.cfg.keep,
		Batches: w.batches, Opens: w.opens, SlowestOpen: w.slowest}
	for part := range int(w.part.Load()) + 1 {
		rep.Rows = append(rep.Rows, w.row(part))
	}
	return rep
}

func (w *writer) row(part int) row {
	var in []sample
	for _, s := range w.samples {
		if s.part == part {
			in = append(in, s)
		}
	}
	heaps := slices.DeleteFunc(slices.Clone(in), func(s sample) bool { return s.heap == 0 })
	a, g := &w.appends[part], &w.reads[part]
	r := row{
		Seconds: w.cfg.length.Seconds() / parts,
		Appends: a.count(), Entries: w.entries[part], AppendP50: a.quantile(0.5), AppendP99: a.quantile(0.99), AppendP999: a.quantile(0.999),
		AppendMax: time.Duration(a.longest.Load()),
		Reads:     g.count(), ReadP50: g.quantile(0.5), ReadP99: g.quantile(0.99),
		Heap:        medianOf(heaps, func(s sample) int64 { return s.heap }),
		RSS:         medianOf(in, func(s sample) int64 { return s.rss }),
		Descriptors: medianOf(in, func(s sample) int { return s.descriptors }),
		Goroutines:  medianOf(in, func(s sample) int { return s.goroutines }),
		Disk:        medianOf(in, func(s sample) int64 { return s.disk }),
		Live:        medianOf(in, func(s sample) int64 { return s.live }),
	}
	for _, s := range in {
		r.DiskMax, r.LiveMax = max(r.DiskMax, s.disk), max(r.LiveMax, s.live)
	}
	return r
}

func medianOf[T any, N int | int64 | float64](all []T, of func(T) N) (n N) {
	if len(all) == 0 {
		return n
	}
	numbers := make([]N, len(all))
	for i, one := range all {
		numbers[i] = of(one)
	}
	slices.Sort(numbers)
	return numbers[len(numbers)/2]
}

// Limits of growth: a factor, and what may come on top of it.
const (
	memoryFactor, memorySlack   = 1.25, 8 // MiB
	latencyFactor, latencySlack = 1.5, 5  // µs
	tailFactor                  = 2       // of p99, which the machine's other work moves more
)

// judge compares the beginning with the end, and each moment with what is said of segments, if they have a size.
func (rep *report) judge(segment int64) {
	grows := func(what, unit string, factor, slack float64, of func(row) float64) {
		if of(rep.Rows[0]) >= 0 { // otherwise the platform does not tell
			rep.Checks = append(rep.Checks, growth(what, unit, rep.Rows, factor, slack, of))
		}
	}
	// When this one fails the run was too short for the log to come to its size, and the others say nothing.
	grows("live entries", "MiB", memoryFactor, memorySlack, func(r row) float64 { return float64(r.Live) / (1 << 20) })
	grows("heap", "MiB", memoryFactor, memorySlack, func(r row) float64 { return float64(r.Heap) / (1 << 20) })
	grows("resident memory", "MiB", memoryFactor, memorySlack, func(r row) float64 { return float64(r.RSS) / (1 << 20) })
	grows("disk", "MiB", memoryFactor, memorySlack, func(r row) float64 { return float64(r.Disk) / (1 << 20) })
	// How many files there are changes from moment to moment, and their median by two. One that each opening of the store leaves
	// makes four.
	grows("descriptors", "", 1, 2, func(r row) float64 { return float64(r.Descriptors) })
	grows("goroutines", "", 1, 1, func(r row) float64 { return float64(r.Goroutines) })
	grows("append p50", "µs", latencyFactor, latencySlack, func(r row) float64 { return r.AppendP50.Seconds() * 1e6 })
	grows("append p99", "µs", tailFactor, latencySlack, func(r row) float64 { return r.AppendP99.Seconds() * 1e6 })
	grows("read p50", "µs", latencyFactor, latencySlack, func(r row) float64 { return r.ReadP50.Seconds() * 1e6 })
	grows("read p99", "µs", tailFactor, latencySlack, func(r row) float64 { return r.ReadP99.Seconds() * 1e6 })
	grows("time for an append", "µs", latencyFactor, 0, func(r row) float64 { return r.Seconds * 1e6 / float64(max(r.Appends, 1)) })
	rep.atMost("descriptors after Close", "", float64(rep.FDsAfter), float64(rep.FDsBefore))
	if segment == 0 {
		return
	}
	worst := slices.MaxFunc(rep.Rows, func(a, b row) int {
		return cmp.Compare(float64(a.DiskMax)/diskBound(a.LiveMax, segment), float64(b.DiskMax)/diskBound(b.LiveMax, segment))
	})
	rep.atMost("disk at any moment", "MiB", float64(worst.DiskMax)/(1<<20), diskBound(worst.LiveMax, segment)/(1<<20))
	rep.atMost("disk after Close", "MiB", float64(rep.DiskClosed)/(1<<20), diskBound(rep.LiveClosed, segment)/(1<<20))
}

func (rep *report) atMost(what, unit string, n, limit float64) {
	rep.Checks = append(rep.Checks, check{What: what, Unit: unit, Last: n, Limit: limit, OK: n <= limit})
}

// growth compares the medians of the two ends, without the first row.
func growth(what, unit string, rows []row, factor, slack float64, of func(row) float64) check {
	third := len(rows) / 3
	c := check{What: what, Unit: unit, First: medianOf(rows[1:third], of), Last: medianOf(rows[len(rows)-third:], of)}
	c.Limit = c.First*factor + slack
	c.OK = c.Last <= c.Limit
	return c
}

// diskBound is what wal.Options says of SegmentBytes: two segments more than those in which something is live. Entries that
// fill n segments, with a tenth for what is stored with them, are in up to n+2.
func diskBound(live, segment int64) float64 {
	return float64((live*11/10/segment + 4) * segment)
}

func (rep *report) good() bool {
	return len(rep.Checks) > 0 && !slices.ContainsFunc(rep.Checks, func(c check) bool { return !c.OK })
}

// print writes the table and the verdict.
func (rep *report) print(out io.Writer) error {
	fmt.Fprintf(out, "%s: %d batches in %.0f s (%.0f/s, and bursts), opened again %d times (the slowest took %s µs), seed %d\n\n", rep.Engine,
		rep.Batches, rep.Seconds, rep.Rate, rep.Opens, micros(rep.SlowestOpen), rep.Seed)
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "\t\t\tappend µs\t\t\t\tread µs\t\tMiB\t\t\t\tdisk MiB\t\tlive\t")
	fmt.Fprintln(t, "part\tappends\tentries\tp50\tp99\tp99.9\tmax\tp50\tp99\theap\tRSS\tfds\tgoroutines\tmedian\tmax\tmedian\t")
	for i, r := range rep.Rows {
		fmt.Fprintf(t, "%d\t%d\t%d\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%d\t%s\t%s\t%s\t\n", i+1, r.Appends, r.Entries,
			micros(r.AppendP50), micros(r.AppendP99), micros(r.AppendP999), micros(r.AppendMax), micros(r.ReadP50), micros(r.ReadP99),
			mib(r.Heap), mib(r.RSS), number(r.Descriptors), r.Goroutines, mib(r.Disk), mib(r.DiskMax), mib(r.Live))
	}
	if err := t.Flush(); err != nil || rep.Checks == nil {
		return err
	}
	t = tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "\nverdict\tparts 2-4\tparts 9-12\tlimit\t\t")
	for _, c := range rep.Checks {
		verdict, first := "ok", ""
		if !c.OK {
			verdict = "TOO MUCH"
		}
		if c.First > 0 {
			first = fmt.Sprintf("%.1f", c.First)
		}
		fmt.Fprintf(t, "%s\t%s\t%.1f\t%.1f\t%s\t%s\n", c.What, first, c.Last, c.Limit, c.Unit, verdict)
	}
	return t.Flush()
}

func micros(d time.Duration) string { return fmt.Sprintf("%.1f", d.Seconds()*1e6) }

// number and mib show what the platform does not tell, too.
func number(n int) string {
	if n < 0 {
		return "n/a"
	}
	return strconv.Itoa(n)
}

func mib(n int64) string {
	if n < 0 {
		return "n/a"
	}
	return fmt.Sprintf("%.1f", float64(n)/(1<<20))
}
