package report

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func written(t *testing.T, write func(w io.Writer) error) string {
	t.Helper()
	var out bytes.Buffer
	if err := write(&out); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// small has one workload of each kind that tables show in a way of their own.
func small() *Report {
	return &Report{
		Machine: Machine{CPUs: 2, CPU: "CPU", Kernel: "linux 6.1", FileSystem: "ext4 on /dev/vda", Go: "go1.26 amd64", Date: "today", Commit: "abc", Quick: true,
			Seconds: 61.2, Seed: 7},
		Stores: []Store{{Name: "wal", Durable: true, Ours: true}, {Name: "raft-boltdb", Version: "v2.3.1", Durable: true}, {Name: "raft-badger", Note: "not durable: no sync"}},
		Workloads: []Workload{
			{Group: "append", Name: "append 1x128 B", Unit: "µs", Better: "lower", About: "One entry.", Entries: 1, Bytes: 128, Results: []Result{
				{Store: Limit, Median: 100, P99: 200, P999: 300, Low: 99, High: 101, Samples: 9, OverLimit: 1, OverWAL: 0.9524},
				{Store: "wal", Median: 105, P99: 210, P999: 1234, Low: 104, High: 106, Samples: 9, OverLimit: 1.05, OverWAL: 1},
				{Store: "raft-boltdb", Median: 252, P99: 500, P999: 900, Low: 250, High: 255, Samples: 9, OverLimit: 2.52, OverWAL: 2.4},
				{Store: "raft-badger", Median: 1.2, P99: 2, P999: 3, Low: 1.1, High: 1.3, Samples: 9, OverLimit: 0.012, OverWAL: 0.01143},
			}},
			{Group: "cluster", Name: "cluster 64 writers", Unit: "writes/s", Better: "higher", X: 64, XUnit: "writers", Results: []Result{
				{Store: "wal", Median: 12345, Low: 12345, High: 12345, Samples: 1, OverWAL: 1},
				{Store: "raft-boltdb", Failed: "no leader\nin 30 s"},
			}},
		},
		Goals: []Outcome{
			{Workload: "append 1x128 B", Ratio: "wal/limit", Bound: "<=", Reach: 1.1, Measured: 1.05, OK: true},
			{Workload: "append 1x128 B", Ratio: "raft-boltdb/wal", Bound: ">=", Reach: 2.6, Measured: 2.4, Why: "at the limit"},
		},
		Ways: []Way{
			{Bytes: 8192, Extents: "growing", Sync: "fdatasync", Median: 150},
			{Bytes: 8192, Extents: "written", Sync: "O_DIRECT|O_DSYNC", Median: 99.5, Fastest: true},
		},
		Checks: []Check{{Workload: "append 1x128 B", Store: "raft-boltdb", Was: 0.2, Now: 0.42, Worse: 2.1, Firm: true}},
	}
}

const smallText = `processors   2, CPU
file system  ext4 on /dev/vda
kernel       linux 6.1
Go           go1.26 amd64
date         today
commit       abc
run          quick, 61 s, seed 7
versions     raft-boltdb v2.3.1

Appending
One entry.

                  unit  limit    wal  raft-boltdb  raft-badger*
median
  append 1x128 B  µs      100    105          252          1.20
times the limit
  append 1x128 B               1.05x        2.52x        0.012x
times wal
  append 1x128 B                            2.40x        0.011x

Tails and spread
                  unit      limit          wal  raft-boltdb  raft-badger*
p99 / p99.9
  append 1x128 B  µs    200 / 300  210 / 1,234    500 / 900   2.00 / 3.00
low - high of the rounds
  append 1x128 B  µs     99.0-101      104-106      250-255     1.10-1.30

A cluster of three
Of writes/s, more is better.

                      unit         wal  raft-boltdb
median
  cluster 64 writers  writes/s  12,345       failed
cluster 64 writers, raft-boltdb failed: no leader in 30 s

Goals
What Ballast has set itself: 1 of 2 reached.

                ratio               goal  measured               why
append 1x128 B  wal/limit        <= 1.10      1.05  ok
append 1x128 B  raft-boltdb/wal  >= 2.60      2.40  NOT REACHED  at the limit

Ways to make bytes durable
One write and its sync, one behind the other. The fastest for a size is marked: it is the limit, which no store can beat
that makes as many bytes durable before it returns.

           growing           written
bytes    fdatasync  O_DIRECT|O_DSYNC
median, µs
  8 KiB        150            > 99.5

* raft-badger: not durable: no sync

Against the reference

`

func TestText(t *testing.T) {
	r := small()
	got := written(t, r.WriteText)
	if want := smallText + written(t, r.WriteChecks); got != want {
		t.Errorf("got\n%s\nshould be\n%s", got, want)
	}
}

// In a whole report each number stands right below the last letter of its column's head.
func TestTextColumns(t *testing.T) {
	text := written(t, sample().WriteText)
	ends := map[int]bool{}
	rows := 0
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		fields := regexp.MustCompile(`\S+( \S+)*`).FindAllStringIndex(line, -1)
		end := func(f []int) int { return utf8.RuneCountInString(line[:f[1]]) }
		switch {
		case strings.HasPrefix(line, " ") && strings.Contains(line, "unit  "):
			ends = map[int]bool{}
			for _, f := range fields {
				ends[end(f)] = true
			}
		case strings.HasPrefix(line, "  append "):
			rows++
			for _, f := range fields[2:] {
				if !ends[end(f)] {
					t.Errorf("%q ends in no column: %s", line[f[0]:f[1]], line)
				}
			}
		}
	}
	if rows < 40 {
		t.Errorf("only %d rows were looked at", rows)
	}
}

func TestMarkdown(t *testing.T) {
	text := written(t, small().WriteMarkdown)
	for _, want := range []string{
		"| median | unit | limit | wal | raft-boltdb | raft-badger\\* |\n|---|---|---:|---:|---:|---:|\n| append 1x128 B | µs | 100 | 105 | 252 | 1.20 |\n",
		"| times wal | raft-boltdb | raft-badger\\* |\n|---|---:|---:|\n| append 1x128 B | 2.40x | 0.011x |\n",
		"| cluster 64 writers | writes/s | 12,345 | **failed** |\n",
		"| append 1x128 B | raft-boltdb/wal | >= 2.60 | 2.40 | **NOT REACHED** | at the limit |\n",
		"| bytes, median, µs | growing, fdatasync | written, O_DIRECT\\|O_DSYNC |\n|---|---:|---:|\n| 8 KiB | 150 | **99.5** |\n",
		"\n\\* raft-badger: not durable: no sync\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("this is missing:\n%s", want)
		}
	}
	whole := written(t, sample().WriteMarkdown)
	columns := 0
	for line := range strings.Lines(whole) {
		n := strings.Count(strings.ReplaceAll(line, `\|`, ""), "|")
		if columns != 0 && n != 0 && n != columns {
			t.Errorf("%d columns below a head of %d: %s", n-1, columns-1, line)
		}
		columns = n
	}
}

func TestNumbers(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 1: "1.00", 0.25: "0.250", 0.0123: "0.0123", 0.00001: "1e-05", 9.996: "10.0", 99.94: "99.9", 99.96: "100",
		1234.4: "1,234", 1234567: "1,234,567", -5: "-5.00", math.Inf(1): "-"} {
		if got := number(v); got != want {
			t.Errorf("%v is printed as %s, should be %s", v, got, want)
		}
	}
	for v, want := range map[float64]string{0.0114: "0.011", 0.25: "0.25", 2.4: "2.40", 12.34: "12.3", 10802: "10,802"} {
		if got := factor(v); got != want {
			t.Errorf("the ratio %v is printed as %s, should be %s", v, got, want)
		}
	}
}

func TestNarrowlyMissed(t *testing.T) {
	if got := (Outcome{Reach: 1.12, Measured: 1.1213}).measured(); got != "1.1213" {
		t.Errorf("1.1213 beside a goal of 1.12 is printed as %s", got)
	}
	if got := (Outcome{Reach: 1.12, Measured: 1.1313}).measured(); got != "1.13" {
		t.Errorf("1.1313 is printed as %s", got)
	}
}

// Charts are there for what was measured, and for nothing else.
func TestCharts(t *testing.T) {
	charts := sample().charts()
	ids := map[string]chart{}
	for _, c := range charts {
		if _, twice := ids[c.ID]; twice {
			t.Errorf("%s is there twice", c.ID)
		}
		ids[c.ID] = c
	}
	for id, kind := range map[string]string{"overview-writing": dots, "overview-reading": dots, "overview-space": dots, "throughput-128-b": lines,
		"latency-append-64x4-kib": lines, "stable-setuint64": bars, "read-in-order": bars, "open": lines, "replay": lines, "delete-prefix": lines,
		"burst-during": lines, "disk-with-32-mib-live": lines, "cluster-writers": lines, "ways-128-b-to-256-kib": columns, "ways-4-mib": columns} {
		if ids[id].Kind != kind {
			t.Errorf("%s is drawn as %q, should be %q", id, ids[id].Kind, kind)
		}
	}
	if len(charts) != 39 {
		t.Errorf("%d charts: %q", len(charts), slices.Sorted(maps.Keys(ids)))
	}
	if n := len((&Report{}).charts()); n != 0 {
		t.Errorf("%d charts of nothing", n)
	}
	failed := small()
	for i := range failed.Workloads[0].Results {
		failed.Workloads[0].Results[i] = Result{Store: failed.Workloads[0].Results[i].Store, Failed: "broken"}
	}
	failed.Ways = nil
	if charts := failed.charts(); len(charts) != 1 || charts[0].ID != "cluster-64-writers" {
		t.Errorf("charts where one store of one workload is left: %v", charts)
	}
}

// What is drawn is what was measured.
func TestChartPoints(t *testing.T) {
	r := sample()
	find := func(id, store string) series {
		charts := r.charts()
		c := charts[slices.IndexFunc(charts, func(c chart) bool { return c.ID == id })]
		return c.Series[slices.IndexFunc(c.Series, func(s series) bool { return s.Name == store })]
	}
	near := func(got, want float64) bool { return math.Abs(got-want) < 0.001*math.Abs(want) }
	wal := r.Find("append 64x128 B").Of("wal")
	if p := find("throughput-128-b", "wal").Points[2]; p[0] != 64 || !near(p[1], 64*128/wal.Median) {
		t.Errorf("64 entries of 128 B in %v µs are %v MB/s", wal.Median, p)
	}
	points := find("latency-append-64x128-b", "wal").Points
	if i := slices.IndexFunc(points, func(p [2]float64) bool { return near(p[0], 3) }); i < 0 || !near(points[i][1], wal.Quantiles[12].Y) {
		t.Errorf("no point for p99.9 at 3: %v", points)
	}
	cluster := r.Find("cluster 64 writers").Of("raft-boltdb")
	points = find("overview-writing", "raft-boltdb").Points
	if !slices.ContainsFunc(points, func(p [2]float64) bool { return near(p[0], 1/cluster.OverWAL) }) {
		t.Errorf("a rate of %v of wal's should be %v times as bad: %v", cluster.OverWAL, 1/cluster.OverWAL, points)
	}
	if !find("overview-writing", "memstore").Hidden || find("overview-writing", "raft-badger").Hidden || find("overview-writing", Limit).Hidden {
		t.Error("only memstore is so fast that it squeezes the rest")
	}
}

func TestStoresLookTheSame(t *testing.T) {
	r := sample()
	r.Stores = append(r.Stores, Store{Name: "newcomer"})
	r.Workloads[0].Results = append(r.Workloads[0].Results, Result{Store: "newcomer", Median: 100, OverWAL: 1})
	colors := map[string]string{}
	for _, store := range r.columns(r.all()) {
		l := r.look(store)
		if other, taken := colors[l.Color]; taken {
			t.Errorf("%s and %s have the same colour", store, other)
		}
		colors[l.Color] = store
		if (l.Line == "dotted") == r.durable(store) || (l.Line == "dashed") != (store == Limit) {
			t.Errorf("the line of %s is %s", store, l.Line)
		}
	}
	all := r.looksOfAll()
	for _, c := range r.charts() {
		for _, s := range c.Series {
			if want, ok := all[s.Name]; ok && s.Look != want {
				t.Errorf("%s looks different in %v", s.Name, c)
			}
		}
	}
}

func (r *Report) looksOfAll() map[string]look {
	all := map[string]look{}
	for _, store := range r.columns(r.all()) {
		all[store] = r.look(store)
	}
	return all
}

func TestThinKeepsPeaks(t *testing.T) {
	var points []Point
	for i := range 10_000 {
		points = append(points, Point{float64(i), 1})
	}
	points[1234].Y, points[7777].Y = 99, 0.1
	kept := thin(points, 500)
	if len(kept) > 500 || !slices.Contains(kept, points[1234]) || !slices.Contains(kept, points[7777]) {
		t.Errorf("%d points are kept, and not the highest and the lowest", len(kept))
	}
	if !slices.IsSortedFunc(kept, func(a, b Point) int { return int(a.X - b.X) }) {
		t.Error("the points are out of order")
	}
}

// Nothing that a report holds becomes part of the page's code.
func TestPageEscapes(t *testing.T) {
	const evil = `<script>alert("1")</script>`
	r := small()
	r.Machine.CPU = evil
	r.Stores[1].Name, r.Workloads[0].Results[2].Store, r.Workloads[0].Name, r.Workloads[0].Group = evil, evil, evil, evil
	r.Workloads[1].Results[1].Failed, r.Goals[1].Why, r.Checks[0].Store = evil, evil, evil
	page := written(t, r.WriteHTML)
	if strings.Contains(page, "<script>alert") {
		t.Error("a name is a script of the page")
	}
	if !strings.Contains(page, "&lt;script&gt;alert") || !strings.Contains(page, `\u003cscript\u003ealert`) {
		t.Error("the name is not shown")
	}
	r.Checks = nil // stand in a block of code, where nothing is escaped
	if strings.Contains(written(t, r.WriteMarkdown), "<script>") {
		t.Error("a name is a script of the Markdown")
	}
}

var resource = regexp.MustCompile(`(?i)(src|href|srcset|action|data)\s*=\s*["']?\s*(https?:)?//|@import|url\(|<link|<iframe`)

// The page needs no network: of what it could load nothing is in it, and the browser is told to refuse.
func TestPageIsWhole(t *testing.T) {
	page := written(t, sample().WriteHTML)
	library, err := asset("echarts/echarts.common.min.js")
	if err != nil {
		t.Fatal(err)
	}
	own := strings.Replace(page, library, "", 1)
	if len(own) != len(page)-len(library) {
		t.Fatal("the library is not in the page as it is")
	}
	if found := resource.FindString(own); found != "" {
		t.Errorf("the page loads %q", found)
	}
	if strings.Contains(own, "http://") || strings.Contains(own, "https://") {
		t.Error("the page names an address")
	}
	if !strings.Contains(page, `content="default-src &#39;none&#39;`) && !strings.Contains(page, `content="default-src 'none'`) {
		t.Error("the page allows what it does not need")
	}
}

// What the page draws is in it as JSON.
func TestPageData(t *testing.T) {
	r := sample()
	page := written(t, r.WriteHTML)
	_, text, _ := strings.Cut(page, `<script id="data" type="application/json">`)
	text, _, _ = strings.Cut(text, "</script>")
	var data pageData
	if err := json.Unmarshal([]byte(text), &data); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(data.Charts, r.charts()) {
		t.Error("the data of the page is not what is to be drawn")
	}
}

// Who passes a page on passes the library on.
func TestLicenses(t *testing.T) {
	for _, name := range []string{"LICENSE", "NOTICE", "LICENSE-d3", "LICENSE-zrender"} {
		if _, err := os.Stat(filepath.Join("assets", "echarts", name)); err != nil {
			t.Error(err)
		}
	}
}
