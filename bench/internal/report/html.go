package report

import (
	"embed"
	"html/template"
	"io"
	"slices"
	"strings"
)

//go:embed assets
var assets embed.FS

var pageTemplate = template.Must(template.New("page.html").Funcs(template.FuncMap{
	"lines": func(s string) []string { return strings.Split(s, "\n") },
	"class": func(m mark) string { return [...]string{plain: "", best: "best", bad: "bad"}[m] },
}).ParseFS(assets, "assets/page.html"))

// page is what page.html shows.
type page struct {
	Report   *Report
	Facts    [][2]string
	Stores   []storeRow
	Overview []chart
	Sections []htmlSection
	Notes    []string
	Checks   string
	Data     pageData
	Style    template.CSS
	ECharts  template.JS
	Script   template.JS
}

// pageData is what page.js reads.
type pageData struct {
	Charts []chart `json:"charts"`
}

type storeRow struct {
	Label, About string
	Look         look
}

type htmlSection struct {
	ID, Title, About string
	Charts           []chart
	Tables           []htmlTable
	Notes            []string
}

type htmlTable struct {
	Title  string
	Head   []htmlHead
	Blocks []htmlBlock
	Folded bool // only shown when it is asked for
}

type htmlHead struct {
	Text string
	Word bool
}

type htmlBlock struct {
	Title string
	Rows  [][]htmlCell
}

type htmlCell struct {
	Text string
	Mark mark
	Word bool
}

// WriteHTML writes one page with pictures and tables. It has all that it needs in it.
func (r *Report) WriteHTML(w io.Writer) error {
	charts := r.charts()
	p := page{Report: r, Facts: r.facts(), Stores: r.storeRows(), Overview: chartsOf("overview", charts), Notes: r.footnotes(), Data: pageData{charts}}
	p.Facts = slices.DeleteFunc(p.Facts, func(f [2]string) bool { return f[0] == versions }) // they stand beside the stores
	for _, s := range r.sections() {
		p.Sections = append(p.Sections, s.html(charts))
	}
	if len(r.Checks) > 0 {
		var text strings.Builder
		if err := r.WriteChecks(&text); err != nil {
			return err
		}
		p.Checks = text.String()
	}
	style, err := asset("page.css")
	if err != nil {
		return err
	}
	library, err := asset("echarts/echarts.common.min.js")
	if err != nil {
		return err
	}
	script, err := asset("page.js")
	if err != nil {
		return err
	}
	// The three are files of this package, and nothing of the report is in them.
	p.Style, p.ECharts, p.Script = template.CSS(style), template.JS(library), template.JS(script)
	return pageTemplate.Execute(w, p)
}

func asset(name string) (string, error) {
	text, err := assets.ReadFile("assets/" + name)
	return string(text), err
}

func chartsOf(group string, charts []chart) []chart {
	return slices.DeleteFunc(slices.Clone(charts), func(c chart) bool { return c.Group != group })
}

func (r *Report) storeRows() (rows []storeRow) {
	for _, name := range r.columns(r.all()) {
		row := storeRow{Label: r.label(name), Look: r.look(name)}
		if name == Limit {
			row.About = "the fastest way there is to make the same bytes durable"
		}
		if i := slices.IndexFunc(r.Stores, func(s Store) bool { return s.Name == name }); i >= 0 {
			s := r.Stores[i]
			if s.Ours {
				s.Version = "Ballast"
			}
			row.About = strings.Trim(s.Version+", "+s.Note, ", ")
		}
		rows = append(rows, row)
	}
	return rows
}

func (s section) html(charts []chart) htmlSection {
	h := htmlSection{ID: slug(s.title), Title: s.title, About: s.about, Charts: chartsOf(s.group, charts), Notes: s.notes}
	for i, t := range s.tables {
		table := htmlTable{Title: t.title, Folded: i > 0}
		for j, text := range t.head {
			table.Head = append(table.Head, htmlHead{text, t.words[j]})
		}
		for _, b := range t.blocks {
			if len(b.rows) == 0 {
				continue
			}
			block := htmlBlock{Title: b.title}
			for _, row := range b.rows {
				var cells []htmlCell
				for j, c := range row {
					cells = append(cells, htmlCell{c.text, c.mark, t.words[j]})
				}
				block.Rows = append(block.Rows, cells)
			}
			table.Blocks = append(table.Blocks, block)
		}
		h.Tables = append(h.Tables, table)
	}
	return h
}
