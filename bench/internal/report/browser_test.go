package report

import (
	"bytes"
	"cmp"
	"context"
	"encoding/xml"
	"errors"
	"image"
	"image/color"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// inBrowser starts a browser for a test, or skips it.
func inBrowser(t *testing.T) context.Context {
	t.Helper()
	if _, err := findBrowser(); err != nil {
		t.Skip(err)
	}
	limited, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	t.Cleanup(cancel)
	ctx, stop, err := browser(limited)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = stop() })
	return ctx
}

// drawnChart is what the browser tells of one.
type drawnChart struct {
	ID     string   `json:"id"`
	Colors []string `json:"colors"` // of all that is drawn in it
	Texts  int      `json:"texts"`
	X      float64  `json:"x"`
	Y      float64  `json:"y"`
	Width  float64  `json:"width"`
	Height float64  `json:"height"`
}

const askCharts = `[...document.querySelectorAll('.chart')].map(e => {
	const r = e.getBoundingClientRect(), colors = new Set();
	for (const mark of e.querySelectorAll('svg path')) {
		for (const name of ['fill', 'stroke']) colors.add((mark.getAttribute(name) || '').toLowerCase());
	}
	return { id: e.id, colors: [...colors], texts: e.querySelectorAll('svg text').length,
		x: r.x + scrollX, y: r.y + scrollY, width: r.width, height: r.height };
})`

// keepComplaints has the page keep what went wrong in it, and what it loaded.
const keepComplaints = `window.complaints = [];
for (const kind of ['error', 'warn']) console[kind] = (...words) => complaints.push(kind + ': ' + words.join(' '));
addEventListener('error', e => complaints.push('exception: ' + e.message));
addEventListener('securitypolicyviolation', e => complaints.push('refused: ' + e.blockedURI));`

// pageForTest writes the page with a script before its own that keeps complaints.
func pageForTest(t *testing.T, r *Report) (url string) {
	t.Helper()
	var page bytes.Buffer
	if err := r.WriteHTML(&page); err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(page.String(), "</head>", "<script>"+keepComplaints+"</script></head>", 1)
	path := filepath.Join(t.TempDir(), "report.html")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return "file://" + path
}

// The page draws all its charts, on a desktop and on a phone, by day and by night, without an error and without the network.
func TestPageInBrowser(t *testing.T) {
	r := sample()
	ctx, url := inBrowser(t), pageForTest(t, r)
	for _, screen := range []struct {
		name, scheme  string
		width, height int64
	}{{"desktop", "light", 1280, 800}, {"phone", "light", 400, 800}, {"night", "dark", 1280, 800}} {
		t.Run(screen.name, func(t *testing.T) {
			scheme := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: screen.scheme}}}
			if _, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, scheme); err != nil {
				t.Fatal(err)
			}
			if err := chromedp.Do(ctx, chromedp.EmulateViewport(screen.width, screen.height), chromedp.Navigate(url), waitDrawn); err != nil {
				t.Fatal(err)
			}
			checkPage(t, ctx, screen.width)
			drawn := ask[[]drawnChart](t, ctx, askCharts)
			checkMarks(t, r.charts(), drawn)
			shot, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
			if err != nil {
				t.Fatal(err)
			}
			keepScreenshot(t, screen.name, shot)
			checkPixels(t, shot, drawn)
		})
	}
}

func ask[T any](t *testing.T, ctx context.Context, expression string) T {
	t.Helper()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func checkPage(t *testing.T, ctx context.Context, width int64) {
	t.Helper()
	if list := ask[[]string](t, ctx, "complaints"); len(list) > 0 {
		t.Errorf("the page complains: %q", list)
	}
	if list := ask[[]string](t, ctx, "performance.getEntriesByType('resource').map(e => e.name)"); len(list) > 0 {
		t.Errorf("the page loads %q", list)
	}
	if wide := ask[int64](t, ctx, "document.documentElement.scrollWidth"); wide > width {
		t.Errorf("the page is %d px wide on a screen of %d", wide, width)
	}
}

// checkMarks looks for something in the colour of each store in each chart.
func checkMarks(t *testing.T, want []chart, drawn []drawnChart) {
	t.Helper()
	if len(drawn) != len(want) {
		t.Fatalf("%d charts were drawn, should be %d", len(drawn), len(want))
	}
	for _, c := range want {
		i := slices.IndexFunc(drawn, func(d drawnChart) bool { return d.ID == c.ID })
		if i < 0 {
			t.Errorf("%v was not drawn", c)
			continue
		}
		if drawn[i].Texts < 4 {
			t.Errorf("%v has %d words and numbers", c, drawn[i].Texts)
		}
		for _, s := range c.Series {
			if !s.Hidden && !slices.Contains(drawn[i].Colors, s.Look.Color) {
				t.Errorf("%v shows nothing of %s in %s, only %q", c, s.Name, s.Look.Color, drawn[i].Colors)
			}
		}
	}
}

// checkPixels counts the colours that a screenshot has where a chart stands.
func checkPixels(t *testing.T, shot []byte, drawn []drawnChart) {
	t.Helper()
	picture, err := png.Decode(bytes.NewReader(shot))
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range drawn {
		area := image.Rect(int(d.X), int(d.Y), int(d.X+d.Width), int(d.Y+d.Height))
		if area.Dx() < 200 || area.Dy() < 80 || !area.In(picture.Bounds()) {
			t.Errorf("%s stands at %v of %v", d.ID, area, picture.Bounds())
			continue
		}
		colors := map[color.Color]bool{}
		for y := area.Min.Y; y < area.Max.Y; y += 2 {
			for x := area.Min.X; x < area.Max.X; x++ {
				colors[picture.At(x, y)] = true
			}
		}
		if len(colors) < 20 {
			t.Errorf("%s has only %d colours", d.ID, len(colors))
		}
	}
}

func keepScreenshot(t *testing.T, name string, shot []byte) {
	t.Helper()
	dir := cmp.Or(os.Getenv("BALLAST_SCREENSHOT_DIR"), t.ArtifactDir())
	if err := errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, name+".png"), shot, 0o644)); err != nil {
		t.Fatal(err)
	}
}

// A click on a store that was hidden draws it.
func TestHiddenStoreIsShownByAClick(t *testing.T) {
	r := sample()
	r.Workloads = r.Workloads[:1]
	ctx, url := inBrowser(t), pageForTest(t, r)
	if err := chromedp.Do(ctx, chromedp.EmulateViewport(1280, 800), chromedp.Navigate(url), waitDrawn); err != nil {
		t.Fatal(err)
	}
	const id = "latency-append-1x128-b"
	shows := func() bool {
		drawn := ask[[]drawnChart](t, ctx, askCharts)
		i := slices.IndexFunc(drawn, func(d drawnChart) bool { return d.ID == id })
		return i >= 0 && slices.Contains(drawn[i].Colors, looks["memstore"].Color)
	}
	if shows() {
		t.Error("memstore is shown beside stores that are a hundred times as slow")
	}
	at := ask[[]float64](t, ctx, `(() => { const r = [...document.querySelectorAll('#`+id+` text')].find(e => e.textContent === 'memstore').getBoundingClientRect();
		scrollTo(0, r.y + scrollY - 200); return [r.x + 10, 200 + r.height / 2]; })()`)
	if err := chromedp.Do(ctx, chromedp.MouseClickXY(at[0], at[1]), chromedp.Sleep(200*time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if !shows() {
		t.Error("memstore is not shown after a click on its name")
	}
	checkPage(t, ctx, 1280)
}

// Pictures stand on their own: XML that needs nothing else, with a background and a size that follows its place.
func TestPictures(t *testing.T) {
	if _, err := findBrowser(); err != nil {
		t.Skip(err)
	}
	r, dir := sample(), t.ArtifactDir()
	names, err := r.WriteSVG(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(names) != len(r.charts()) {
		t.Fatalf("%d pictures of %d charts", len(names), len(r.charts()))
	}
	for _, name := range names {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		svg := string(text)
		for d := xml.NewDecoder(strings.NewReader(svg)); ; {
			if _, err := d.Token(); err == io.EOF {
				break
			} else if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		if !strings.Contains(svg, "viewBox=") || !strings.Contains(svg, `fill="#ffffff"`) {
			t.Errorf("%s has no viewBox or no background", name)
		}
		for _, other := range []string{"<image", "<script", "href=", "url(http", "@import"} {
			if strings.Contains(svg, other) {
				t.Errorf("%s has %s in it", name, other)
			}
		}
		if len(svg) > 100_000 {
			t.Errorf("%s is %d bytes long", name, len(svg))
		}
	}
}

func TestNoBrowser(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	if _, err := sample().WriteSVG(t.Context(), t.TempDir()); !errors.Is(err, errNoBrowser) {
		t.Errorf("without a browser: %v", err)
	}
}
