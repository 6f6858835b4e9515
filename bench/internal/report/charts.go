package report

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// chart is one picture, as page.js draws it.
type chart struct {
	ID     string   `json:"id"` // unique; what the file of the picture is called
	Group  string   `json:"group"`
	Title  string   `json:"title"`
	Kind   string   `json:"kind"`
	X      axis     `json:"x"`
	Y      axis     `json:"y"`
	Right  *axis    `json:"right,omitempty"` // Y in another unit
	Zoom   bool     `json:"zoom,omitempty"`  // a part of X can be looked at more closely
	Series []series `json:"series"`
}

// What a chart is drawn as.
const (
	lines   = "lines"
	dots    = "dots"    // a row for each name of Y
	bars    = "bars"    // one for each store, lying
	columns = "columns" // a bunch of bars for each name of X
)

type axis struct {
	Name   string   `json:"name"`
	Scale  string   `json:"scale"`
	Names  []string `json:"names,omitempty"`  // where the scale is one of names; a place is an index
	Factor float64  `json:"factor,omitempty"` // of Right: what Y is multiplied by
}

// How values become places.
const (
	linear     = "linear"
	logarithm  = "log"
	percentile = "percentile" // values are -log10(1-p), so that 90, 99 and 99.9 are as far from each other
	named      = "names"
)

type series struct {
	Name   string       `json:"name"`
	Look   look         `json:"look"`
	Hidden bool         `json:"hidden,omitempty"` // until somebody asks for it
	Points [][2]float64 `json:"points"`
}

// look is how a store is drawn. It is the same in all charts.
type look struct {
	Color  string `json:"color"`
	Line   string `json:"line"` // "solid", "dashed" for the limit, "dotted" for what is not durable
	Symbol string `json:"symbol"`
	Bold   bool   `json:"bold,omitempty"`
}

// Colours that the colour-blind tell apart too, on white as well as on black; symbols for print without colours.
var (
	looks = map[string]look{
		Limit:               {Color: "#808080", Line: "dashed", Symbol: "diamond"},
		"wal":               {Color: "#0077bb", Symbol: "circle", Bold: true},
		"boltstore":         {Color: "#009e73", Symbol: "rect"},
		"badgerstore":       {Color: "#cc79a7", Symbol: "triangle"},
		"wal+cache":         {Color: "#7a6ff0", Symbol: "circle"},
		"boltstore+cache":   {Color: "#66a61e", Symbol: "rect"},
		"badgerstore+cache": {Color: "#aa3377", Symbol: "triangle"},
		"raft-wal":          {Color: "#d55e00", Symbol: "diamond"},
		"raft-boltdb":       {Color: "#e69f00", Symbol: "rect"},
		"raft-badger":       {Color: "#a6761d", Symbol: "triangle"},
		"memstore":          {Color: "#3aa8d8", Symbol: "roundRect"},
		"InmemStore":        {Color: "#999933", Symbol: "roundRect"},
	}
	spare = []string{"#5566aa", "#c0504d", "#2f9e9e"}
)

// look returns how a store is drawn. Those that nobody knew of take what is left.
func (r *Report) look(store string) look {
	l, known := looks[store]
	if !known {
		others := slices.DeleteFunc(r.columns(r.all()), func(name string) bool { return looks[name].Color != "" })
		at := max(slices.Index(others, store), 0)
		l = look{Color: spare[at%len(spare)], Symbol: "circle"}
	}
	if !r.durable(store) {
		l.Line = "dotted"
	}
	l.Line = cmp.Or(l.Line, "solid")
	return l
}

func (r *Report) all() (list []*Workload) {
	for i := range r.Workloads {
		list = append(list, &r.Workloads[i])
	}
	return list
}

// charts returns all for which there is something to draw.
func (r *Report) charts() (list []chart) {
	list = r.overview()
	for _, group := range r.groups() {
		curves := map[string]bool{}
		if group == "append" {
			list = append(list, r.throughput()...)
		}
		for _, w := range r.of(group) {
			switch {
			case w.X > 0:
				if name := curveName(w.Name); !curves[name] {
					curves[name] = true
					list = append(list, r.curve(w, name))
				}
			case slices.ContainsFunc(w.Results, func(res Result) bool { return len(res.Series) > 0 }):
				list = append(list, r.overTime(w))
			case group == "append":
				list = append(list, r.latency(w))
			default:
				list = append(list, r.figures(w))
			}
		}
	}
	list = append(list, r.wayCharts()...)
	list = slices.DeleteFunc(list, func(c chart) bool { return len(c.Series) == 0 })
	for i := range list {
		r.hide(&list[i])
		list[i].round()
	}
	return list
}

// parts are the pieces of the overview: one would be too long for a screen.
var parts = []struct {
	name, title string
	groups      []string
}{
	{"writing", "Writing", []string{"append", "stable", "grown", "burst", "cluster"}},
	{"reading", "Reading and opening", []string{"read", "open", "replay"}},
	{"space", "Deleting, disk and memory", []string{"delete", "churn", "device", "allocs", "heap"}},
	{"other", "Other", nil}, // what no other part has
}

// overview shows each workload of each store as a multiple of wal.
func (r *Report) overview() (list []chart) {
	rest := r.groups()
	for _, part := range parts {
		groups := part.groups
		if groups == nil {
			groups = rest
		}
		var workloads []*Workload
		for _, group := range groups {
			workloads = append(workloads, r.of(group)...)
		}
		rest = slices.DeleteFunc(rest, func(group string) bool { return slices.Contains(part.groups, group) })
		list = append(list, r.beside(part.name, part.title, workloads))
	}
	return list
}

func (r *Report) beside(id, title string, workloads []*Workload) chart {
	c := chart{ID: "overview-" + id, Group: "overview", Title: title + ", beside wal", Kind: dots,
		X: axis{Name: "times wal; right of 1 is worse", Scale: logarithm}, Y: axis{Scale: named}}
	workloads = slices.DeleteFunc(workloads, func(w *Workload) bool {
		return !slices.ContainsFunc(w.Results, func(res Result) bool { return res.Store != "wal" && res.OverWAL > 0 })
	})
	for _, w := range workloads {
		c.Y.Names = append(c.Y.Names, w.Name)
	}
	for _, store := range r.columns(workloads) {
		s := series{Name: store, Look: r.look(store)}
		for i, w := range workloads {
			if res := w.Of(store); res != nil && res.OverWAL > 0 {
				s.Points = append(s.Points, [2]float64{worse(w, res.OverWAL), float64(i)})
			}
		}
		c.add(s)
	}
	return c
}

// worse turns a ratio so that more of it is always worse.
func worse(w *Workload, ratio float64) float64 {
	if w.Better == "higher" {
		return 1 / ratio
	}
	return ratio
}

// add leaves out what has no points.
func (c *chart) add(s series) {
	if len(s.Points) > 0 {
		c.Series = append(c.Series, s)
	}
}

// unit says which way is up, where that is not plain.
func (w *Workload) unit() string {
	if w.Better == "higher" {
		return w.Unit + ", more is better"
	}
	return w.Unit
}

// latency shows what share of calls took how long.
func (r *Report) latency(w *Workload) chart {
	c := chart{ID: slug("latency " + w.Name), Group: w.Group, Title: "Latency, " + w.Name, Kind: lines,
		X: axis{Name: "share of calls that took at most so long, %", Scale: percentile}, Y: axis{Name: w.Unit, Scale: logarithm}}
	for _, res := range w.Results {
		s := series{Name: res.Store, Look: r.look(res.Store)}
		for _, q := range res.Quantiles {
			if q.X < 1 && q.Y > 0 {
				s.Points = append(s.Points, [2]float64{-math.Log10(1 - q.X), q.Y})
			}
		}
		c.add(s)
	}
	return c
}

// throughput shows what larger calls bring, for each size of an entry. A size with only one size of calls is no curve.
func (r *Report) throughput() (list []chart) {
	var sizes []int
	for _, w := range r.of("append") {
		if w.Bytes > 0 && w.Entries > 0 && !slices.Contains(sizes, w.Bytes) {
			sizes = append(sizes, w.Bytes)
		}
	}
	for _, size := range sizes {
		calls := map[int]*Workload{} // the plain one comes first, variants of it later
		for _, w := range r.of("append") {
			if w.Bytes == size && w.Entries > 0 && calls[w.Entries] == nil {
				calls[w.Entries] = w
			}
		}
		if len(calls) > 1 {
			list = append(list, r.throughputOf(size, calls))
		}
	}
	return list
}

func (r *Report) throughputOf(size int, calls map[int]*Workload) chart {
	c := chart{ID: slug("throughput " + byteCount(size)), Group: "append", Title: "Throughput with entries of " + byteCount(size), Kind: lines,
		X: axis{Name: "entries of a call", Scale: logarithm}, Y: axis{Name: "MB/s", Scale: logarithm},
		Right: &axis{Name: "entries/s", Scale: logarithm, Factor: 1e6 / float64(size)}}
	for _, store := range r.columns(r.of("append")) {
		s := series{Name: store, Look: r.look(store)}
		for entries, w := range calls {
			if res := w.Of(store); res != nil && res.Median > 0 {
				s.Points = append(s.Points, [2]float64{float64(entries), float64(entries*size) / res.Median}) // bytes a µs are MB a second
			}
		}
		slices.SortFunc(s.Points, func(a, b [2]float64) int { return cmp.Compare(a[0], b[0]) })
		c.add(s)
	}
	return c
}

// curveName is what the names of a curve's workloads have in common: all but the number.
func curveName(name string) string {
	words := strings.FieldsFunc(name, unicode.IsSpace)
	words = slices.DeleteFunc(words, func(w string) bool { return strings.Trim(w, "0123456789,") == "" })
	return strings.TrimSuffix(strings.Join(words, " "), " of")
}

// curve shows what becomes of a figure as something grows, from the first workload of the curve. One place makes no curve.
func (r *Report) curve(first *Workload, name string) chart {
	var workloads []*Workload
	for _, w := range r.of(first.Group) {
		if w.X > 0 && curveName(w.Name) == name {
			workloads = append(workloads, w)
		}
	}
	if len(workloads) == 1 {
		return r.figures(first)
	}
	c := chart{ID: slug(name), Group: first.Group, Title: title(first.Group) + " by " + first.XUnit, Kind: lines,
		X: axis{Name: first.XUnit, Scale: logarithm}, Y: axis{Name: first.unit(), Scale: logarithm}}
	if rest, ok := strings.CutPrefix(name, first.Group+" "); ok && rest != first.XUnit {
		c.Title = capital(name) + " by " + first.XUnit
	}
	for _, store := range r.columns(workloads) {
		s := series{Name: store, Look: r.look(store)}
		for _, w := range workloads {
			if res := w.Of(store); res != nil && res.Median > 0 {
				s.Points = append(s.Points, [2]float64{w.X, res.Median})
			}
		}
		c.add(s)
	}
	return c
}

// maxPoints of a curve are more than a picture has room for.
const maxPoints = 500

// overTime shows how a figure went.
func (r *Report) overTime(w *Workload) chart {
	c := chart{ID: slug(w.Name), Group: w.Group, Title: title(w.Group), Kind: lines, Zoom: true, X: axis{Scale: linear}, Y: axis{Scale: linear}}
	low, high := math.Inf(1), 0.0
	for _, res := range w.Results {
		s := series{Name: res.Store, Look: r.look(res.Store)}
		for _, p := range thin(res.Series, maxPoints) {
			s.Points = append(s.Points, [2]float64{p.X, p.Y})
			low, high = min(low, p.Y), max(high, p.Y)
		}
		c.X.Name, c.Y.Name = cmp.Or(c.X.Name, res.SeriesX), cmp.Or(c.Y.Name, res.SeriesY)
		c.add(s)
	}
	if low > 0 && high > 20*low {
		c.Y.Scale = logarithm // or the fast ones would all lie on the axis
	}
	return c
}

// thin keeps about so many points, the lowest and the highest of each piece of the curve, so that no peak is lost.
func thin(points []Point, most int) (kept []Point) {
	if len(points) <= most {
		return points
	}
	pieces := most / 2
	for i := range pieces {
		piece := points[i*len(points)/pieces : (i+1)*len(points)/pieces]
		byY := func(a, b Point) int { return cmp.Compare(a.Y, b.Y) }
		pair := []Point{slices.MinFunc(piece, byY), slices.MaxFunc(piece, byY)}
		slices.SortFunc(pair, func(a, b Point) int { return cmp.Compare(a.X, b.X) })
		kept = append(kept, slices.Compact(pair)...)
	}
	return kept
}

// figures shows the medians of a workload that is no part of a curve.
func (r *Report) figures(w *Workload) chart {
	c := chart{ID: slug(w.Name), Group: w.Group, Title: capital(w.Name), Kind: bars, X: axis{Name: w.unit(), Scale: linear}, Y: axis{Scale: named}}
	for _, res := range w.Results {
		if res.Failed == "" {
			c.add(series{Name: res.Store, Look: r.look(res.Store), Points: [][2]float64{{res.Median, float64(len(c.Y.Names))}}})
			c.Y.Names = append(c.Y.Names, res.Store)
		}
	}
	return c
}

// sizesOfChart is how many sizes one chart of ways shows: with more of them nobody tells nine bars apart.
const sizesOfChart = 3

// wayCharts shows what each way takes for each size.
func (r *Report) wayCharts() (list []chart) {
	for sizes := range slices.Chunk(r.waySizes(), sizesOfChart) {
		name := byteCount(sizes[0])
		if last := sizes[len(sizes)-1]; last != sizes[0] {
			name += " to " + byteCount(last)
		}
		c := chart{ID: slug("ways " + name), Group: "ways", Title: "Making " + name + " durable", Kind: columns,
			X: axis{Scale: named}, Y: axis{Name: "µs", Scale: linear}}
		for _, size := range sizes {
			c.X.Names = append(c.X.Names, byteCount(size))
		}
		for i, way := range r.wayNames() {
			s := series{Name: way[0] + ", " + way[1], Look: wayLook(i)}
			for _, w := range r.Ways {
				if at := slices.Index(sizes, w.Bytes); at >= 0 && w.Extents == way[0] && w.Sync == way[1] && w.Failed == "" {
					s.Points = append(s.Points, [2]float64{float64(at), w.Median})
				}
			}
			c.add(s)
		}
		list = append(list, c)
	}
	return list
}

// wayLook has a hue for each kind of extents, and a shade for each sync.
func wayLook(i int) look {
	shades := []string{"#8c4a00", "#e08a2e", "#f4c48a", "#00614a", "#1fa883", "#92d9c3", "#004a80", "#2f8fd0", "#9ccdf0"}
	return look{Color: shades[i%len(shades)], Line: "solid", Symbol: "rect"}
}

// squeezed is how far from those that wait for the disk a store may be before a picture of both shows little of the first.
const squeezed = 5

// hide takes out what would squeeze the rest: stores that do not wait for the disk can be a hundred times as fast.
func (r *Report) hide(c *chart) {
	values := func(s series) []float64 {
		var list []float64
		for _, p := range s.Points {
			if c.Kind == dots {
				list = append(list, p[0])
			} else {
				list = append(list, p[1])
			}
		}
		return slices.Sorted(slices.Values(list))
	}
	if c.X.Scale != logarithm && c.Y.Scale != logarithm {
		return
	}
	low, high := math.Inf(1), 0.0
	for _, s := range c.Series {
		if r.durable(s.Name) {
			v := values(s)
			low, high = min(low, v[0]), max(high, v[len(v)-1])
		}
	}
	for i, s := range c.Series {
		v := values(s)
		middle := v[len(v)/2]
		c.Series[i].Hidden = high > 0 && !r.durable(s.Name) && (middle < low/squeezed || middle > high*squeezed)
	}
}

// round leaves four digits of each value. More cannot be seen, and make pages and pictures long.
func (c *chart) round() {
	for _, s := range c.Series {
		for i := range s.Points {
			for j, v := range s.Points[i] {
				s.Points[i][j] = roundTo(v, 4)
			}
		}
	}
}

func roundTo(v float64, digits int) float64 {
	rounded, _ := strconv.ParseFloat(strconv.FormatFloat(v, 'g', digits, 64), 64)
	return rounded
}

// slug is a name as a file has it.
func slug(name string) string {
	return strings.Join(strings.FieldsFunc(strings.ToLower(name), func(c rune) bool {
		return c > unicode.MaxASCII || !unicode.IsLetter(c) && !unicode.IsDigit(c)
	}), "-")
}

// String tells a chart apart in a failing test.
func (c chart) String() string { return fmt.Sprintf("%s (%s)", c.ID, c.Kind) }
