package report

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// section is one part of a report as it is read, whatever it is written as.
type section struct {
	group  string // whose charts belong to it
	title  string
	about  string
	tables []table
	notes  []string // under the tables
}

// table is one whose blocks have their columns in common.
type table struct {
	title  string   // "" for the first of a section
	head   []string // a line break parts what a narrow column has one above the other
	words  []bool   // which columns hold words; the others hold numbers
	blocks []block
}

type block struct {
	title string
	rows  [][]cell
}

type cell struct {
	text string
	mark mark
}

// mark is what a reader must see at once.
type mark int

const (
	plain mark = iota
	best       // the fastest
	bad        // a goal that was not reached, something that failed
)

// titles are what groups are called, in the order of their sections where a report has no other.
var titles = map[string]string{
	"append":  "Appending",
	"stable":  "Term and vote",
	"read":    "Reading",
	"open":    "Opening",
	"grown":   "Appending to a log that has grown",
	"replay":  "Replaying",
	"delete":  "Deleting",
	"burst":   "Through a burst",
	"churn":   "Disk in use",
	"device":  "Written to the device",
	"allocs":  "Allocations",
	"heap":    "Memory",
	"cluster": "A cluster of three",

	"groups":   "Many raft groups in one log",
	"alone":    "One raft group among many",
	"storm":    "A vote storm",
	"lagging":  "One raft group that lags",
	"openings": "Opening many raft groups",
}

func title(group string) string {
	if t, ok := titles[group]; ok {
		return t
	}
	return capital(group)
}

func capital(s string) string {
	first, size := utf8.DecodeRuneInString(s)
	if size == 0 {
		return s
	}
	return string(unicode.ToUpper(first)) + s[size:]
}

// sections returns all that is shown as tables, but for the checks.
func (r *Report) sections() (list []section) {
	for _, group := range r.groups() {
		list = append(list, r.groupSection(group))
	}
	if len(r.Goals) > 0 {
		list = append(list, r.goalSection())
	}
	if len(r.Ways) > 0 {
		list = append(list, r.waySection())
	}
	return list
}

// groups returns the names of all groups, each once, in the order in which they come.
func (r *Report) groups() (names []string) {
	for _, w := range r.Workloads {
		if !slices.Contains(names, w.Group) {
			names = append(names, w.Group)
		}
	}
	return names
}

// of returns the workloads of a group.
func (r *Report) of(group string) (list []*Workload) {
	for i := range r.Workloads {
		if r.Workloads[i].Group == group {
			list = append(list, &r.Workloads[i])
		}
	}
	return list
}

// columns returns the names of the stores that have a result in any of these workloads: the limit, then all in the order of the report.
func (r *Report) columns(workloads []*Workload) (names []string) {
	known := []string{Limit}
	for _, s := range r.Stores {
		known = append(known, s.Name)
	}
	took := func(name string) bool {
		return slices.ContainsFunc(workloads, func(w *Workload) bool {
			return slices.ContainsFunc(w.Results, func(res Result) bool { return res.Store == name })
		})
	}
	for _, name := range known {
		if took(name) {
			names = append(names, name)
		}
	}
	for _, w := range workloads {
		for _, res := range w.Results {
			if !slices.Contains(names, res.Store) {
				names = append(names, res.Store)
			}
		}
	}
	return names
}

// durable reports whether what a store acknowledges survives a power cut.
func (r *Report) durable(store string) bool {
	return !slices.ContainsFunc(r.Stores, func(s Store) bool { return s.Name == store && !s.Durable })
}

// label is a store's name with a mark when it is not durable.
func (r *Report) label(store string) string {
	if r.durable(store) {
		return store
	}
	return store + "*"
}

func (r *Report) groupSection(group string) section {
	workloads := r.of(group)
	s := section{group: group, title: title(group)}
	for _, w := range workloads {
		if w.About != "" && !strings.Contains(s.about, w.About) {
			s.about = strings.TrimSpace(s.about + " " + w.About)
		}
		for _, res := range w.Results {
			if res.Failed != "" {
				s.notes = append(s.notes, fmt.Sprintf("%s, %s failed: %s", w.Name, res.Store, oneLine(res.Failed)))
			}
		}
	}
	if i := slices.IndexFunc(workloads, func(w *Workload) bool { return w.Better == "higher" }); i >= 0 {
		s.about = strings.TrimSpace(s.about + " Of " + workloads[i].Unit + ", more is better.")
	}
	stores := r.columns(workloads)
	medians := r.table(workloads, stores, "median", func(res *Result) cell { return cell{text: number(res.Median)} })
	overLimit := r.table(workloads, stores, "times the limit", func(res *Result) cell { return times(res.Store, Limit, res.OverLimit) }).bare()
	overWAL := r.table(workloads, stores, "times wal", func(res *Result) cell { return times(res.Store, "wal", res.OverWAL) }).bare()
	tails := r.table(workloads, stores, "p99 / p99.9", func(res *Result) cell {
		if res.P99 == 0 {
			return cell{}
		}
		return cell{text: number(res.P99) + " / " + number(res.P999)}
	})
	spread := r.table(workloads, stores, "low - high of the rounds", func(res *Result) cell {
		switch {
		case res.Low == res.High && res.P99 == 0: // measured once
			return cell{}
		case res.Low == res.High:
			return cell{text: number(res.Low)}
		}
		return cell{text: number(res.Low) + "-" + number(res.High)}
	})
	s.tables = slices.DeleteFunc([]table{join("", medians, overLimit, overWAL), join("Tails and spread", tails, spread)}, table.empty)
	return s
}

// table has a row for each workload and a column for each store. Of a row with nothing in it there is none.
func (r *Report) table(workloads []*Workload, stores []string, title string, show func(res *Result) cell) table {
	t := table{head: []string{"", "unit"}, words: []bool{true, true}, blocks: []block{{title: title}}}
	for _, name := range stores {
		t.head, t.words = append(t.head, r.label(name)), append(t.words, false)
	}
	for _, w := range workloads {
		row, filled := []cell{{text: w.Name}, {text: w.Unit}}, false
		for _, name := range stores {
			c := w.cell(name, show)
			filled = filled || c.text != ""
			row = append(row, c)
		}
		if filled {
			t.blocks[0].rows = append(t.blocks[0].rows, row)
		}
	}
	return t
}

// cell shows the result of a store; one that took no part has none.
func (w *Workload) cell(store string, show func(res *Result) cell) cell {
	i := slices.IndexFunc(w.Results, func(res Result) bool { return res.Store == store })
	if i < 0 {
		return cell{}
	}
	if w.Results[i].Failed != "" {
		return cell{"failed", bad}
	}
	return show(&w.Results[i])
}

// times shows a ratio; that of a store to itself says nothing.
func times(store, base string, ratio float64) cell {
	if ratio == 0 || store == base || store == Limit {
		return cell{}
	}
	return cell{text: factor(ratio) + "x"}
}

// bare takes the units out, which ratios have none of.
func (t table) bare() table {
	for _, row := range t.blocks[0].rows {
		row[1].text = ""
	}
	return t
}

// join puts tables with the same columns into one. Blocks in which nothing but failures would stand are left out, the first apart.
func join(title string, tables ...table) table {
	all := tables[0]
	all.title, all.blocks = title, nil
	for _, t := range tables {
		for _, b := range t.blocks {
			if title == "" && len(all.blocks) == 0 || b.says() {
				all.blocks = append(all.blocks, b)
			}
		}
	}
	return all
}

// says reports whether there is anything in a block that is no failure.
func (b block) says() bool {
	return slices.ContainsFunc(b.rows, func(row []cell) bool {
		return slices.ContainsFunc(row[2:], func(c cell) bool { return c.text != "" && c.mark != bad })
	})
}

func (t table) empty() bool {
	return !slices.ContainsFunc(t.blocks, func(b block) bool { return len(b.rows) > 0 })
}

func (r *Report) goalSection() section {
	t := table{
		head:  []string{"", "ratio", "goal", "measured", "", "why"},
		words: []bool{true, true, false, false, true, true},
	}
	var rows [][]cell
	reached := 0
	for _, o := range r.Goals {
		verdict := cell{"NOT REACHED", bad}
		if o.OK {
			verdict = cell{text: "ok"}
			reached++
		}
		rows = append(rows, []cell{{text: o.Workload}, {text: o.Ratio}, {text: o.Bound + " " + number(o.Reach)}, {text: o.measured()},
			verdict, {text: oneLine(o.Why)}})
	}
	t.blocks = []block{{rows: rows}}
	return section{group: "goals", title: "Goals", tables: []table{t},
		about: fmt.Sprintf("What Ballast has set itself: %d of %d reached.", reached, len(r.Goals))}
}

// measured has more digits where three would look like the goal itself.
func (o Outcome) measured() string {
	if s := number(o.Measured); s != number(o.Reach) || o.Measured == o.Reach {
		return s
	}
	return strconv.FormatFloat(o.Measured, 'g', 5, 64)
}

func (r *Report) waySection() section {
	ways := r.wayNames()
	t := table{head: []string{"bytes"}, words: []bool{true}, blocks: []block{{title: "median, µs"}}}
	for _, way := range ways {
		t.head, t.words = append(t.head, way[0]+"\n"+way[1]), append(t.words, false)
	}
	s := section{group: "ways", title: "Ways to make bytes durable",
		about: "One write and its sync, one behind the other. The fastest for a size is marked: it is the limit, which no store can beat that makes as many bytes durable before it returns."}
	for _, bytes := range r.waySizes() {
		row := []cell{{text: byteCount(bytes)}}
		for _, way := range ways {
			c, note := r.wayCell(bytes, way)
			row = append(row, c)
			if note != "" && !slices.Contains(s.notes, note) {
				s.notes = append(s.notes, note)
			}
		}
		t.blocks[0].rows = append(t.blocks[0].rows, row)
	}
	s.tables = []table{t}
	return s
}

// wayCell shows what a way takes, and tells why there is nothing to show.
func (r *Report) wayCell(bytes int, way [2]string) (c cell, note string) {
	i := slices.IndexFunc(r.Ways, func(w Way) bool { return w.Bytes == bytes && w.Extents == way[0] && w.Sync == way[1] })
	switch {
	case i < 0:
		return cell{}, ""
	case r.Ways[i].Failed != "":
		return cell{"failed", bad}, fmt.Sprintf("%s, %s failed: %s", way[0], way[1], oneLine(r.Ways[i].Failed))
	case r.Ways[i].Fastest:
		return cell{number(r.Ways[i].Median), best}, ""
	}
	return cell{text: number(r.Ways[i].Median)}, ""
}

// wayNames returns the extents and the sync of each way, once.
func (r *Report) wayNames() (names [][2]string) {
	for _, w := range r.Ways {
		if name := [2]string{w.Extents, w.Sync}; !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

func (r *Report) waySizes() (sizes []int) {
	for _, w := range r.Ways {
		sizes = append(sizes, w.Bytes)
	}
	slices.Sort(sizes)
	return slices.Compact(sizes)
}

// footnotes say what the marks of stores mean, of those that took part in anything.
func (r *Report) footnotes() (list []string) {
	took := r.columns(r.all())
	for _, s := range r.Stores {
		switch {
		case !slices.Contains(took, s.Name):
		case !s.Durable && s.Note == "":
			list = append(list, "* "+s.Name+": not durable")
		case !s.Durable:
			list = append(list, "* "+s.Name+": "+oneLine(s.Note))
		case s.Note != "":
			list = append(list, s.Name+": "+oneLine(s.Note))
		}
	}
	return list
}

// versions is the fact that names those of the stores.
const versions = "versions"

// facts are what was measured on and how, as pairs of a name and a value.
func (r *Report) facts() (list [][2]string) {
	m := r.Machine
	how := "full"
	if m.Quick {
		how = "quick"
	}
	var modules []string
	for _, s := range r.Stores {
		if s.Version != "" {
			modules = append(modules, s.Name+" "+s.Version)
		}
	}
	for _, f := range [][2]string{
		{"processors", fmt.Sprintf("%d, %s", m.CPUs, m.CPU)}, {"file system", m.FileSystem}, {"kernel", m.Kernel}, {"Go", m.Go},
		{"date", m.Date}, {"commit", m.Commit}, {"run", fmt.Sprintf("%s, %.0f s, seed %d", how, m.Seconds, m.Seed)},
		{versions, strings.Join(modules, ", ")},
	} {
		if f[1] != "" {
			list = append(list, f)
		}
	}
	return list
}

// factor prints a ratio, which is read to two digits after the point.
func factor(v float64) string {
	switch {
	case v < 0.095:
		return strconv.FormatFloat(v, 'g', 2, 64)
	case v < 9.995:
		return strconv.FormatFloat(v, 'f', 2, 64)
	}
	return number(v)
}

// number prints about three digits, and all those before the point.
func number(v float64) string {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return "-"
	}
	size := math.Abs(v)
	switch {
	case v == 0:
		return "0"
	case size >= 99.95:
		return thousands(strconv.FormatFloat(v, 'f', 0, 64))
	case size < 0.0005:
		return strconv.FormatFloat(v, 'g', 2, 64)
	}
	s := strconv.FormatFloat(v, 'g', 3, 64) // rounds 9.996 to 10, which has a digit more before the point
	rounded, _ := strconv.ParseFloat(s, 64)
	return strconv.FormatFloat(rounded, 'f', min(2-int(math.Floor(math.Log10(math.Abs(rounded)))), 4), 64)
}

// thousands puts a comma before each three digits of a whole number.
func thousands(digits string) string {
	if len(strings.TrimPrefix(digits, "-")) <= 3 {
		return digits
	}
	return thousands(digits[:len(digits)-3]) + "," + digits[len(digits)-3:]
}

// byteCount prints a size as people name it.
func byteCount(n int) string {
	switch {
	case n >= 1<<20 && n%(1<<20) == 0:
		return fmt.Sprintf("%d MiB", n>>20)
	case n >= 1<<10 && n%(1<<10) == 0:
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d B", n)
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
