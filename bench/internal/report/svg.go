package report

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/chromedp/chromedp"
)

// errNoBrowser is returned when there is nothing that can draw.
var errNoBrowser = errors.New("pictures are drawn by a browser, and neither chromium, chromium-browser nor google-chrome is found; install chromium")

// WriteSVG writes each chart of the page as a picture to a folder, and returns the names of the files. They are drawn by the page itself, in
// chromium without a window. Other files of the folder stay.
func (r *Report) WriteSVG(ctx context.Context, dir string) (names []string, err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	ctx, stop, err := browser(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	pictures, err := r.pictures(ctx)
	if err != nil {
		return nil, fmt.Errorf("draw in the browser: %w", err)
	}
	for _, p := range pictures {
		name := p.ID + ".svg"
		if err := os.WriteFile(filepath.Join(dir, name), []byte(p.SVG+"\n"), 0o644); err != nil {
			return names, err
		}
		names = append(names, name)
	}
	return names, nil
}

// picture is a chart as it was drawn.
type picture struct {
	ID  string `json:"id"`
	SVG string `json:"svg"`
}

func (r *Report) pictures(ctx context.Context) (list []picture, err error) {
	url, remove, err := r.pageFile()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, remove()) }()
	if err := chromedp.Do(ctx, chromedp.Navigate(url), waitDrawn); err != nil {
		return nil, err
	}
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string]("JSON.stringify(pictures())"))
	if err != nil {
		return nil, err
	}
	return list, json.Unmarshal([]byte(text), &list)
}

// waitDrawn waits until page.js says that all charts stand.
var waitDrawn = chromedp.Poll[chromedp.Void]("document.documentElement.dataset.drawn", chromedp.WithPollingTimeout(time.Minute))

// pageFile writes the page where a browser finds it.
func (r *Report) pageFile() (url string, remove func() error, err error) {
	file, err := os.CreateTemp("", "ballast-report-*.html")
	if err != nil {
		return "", nil, err
	}
	remove = func() error { return os.Remove(file.Name()) }
	if err := errors.Join(r.WriteHTML(file), file.Close()); err != nil {
		return "", nil, errors.Join(err, remove())
	}
	return "file://" + filepath.ToSlash(file.Name()), remove, nil
}

// browser starts a chromium that touches neither the network nor anybody's profile. stop ends it.
func browser(parent context.Context) (ctx context.Context, stop func() error, err error) {
	path, err := findBrowser()
	if err != nil {
		return nil, nil, err
	}
	profile, err := os.MkdirTemp("", "ballast-chromium-")
	if err != nil {
		return nil, nil, err
	}
	allocated, end := chromedp.NewExecAllocator(parent, chromedp.ExecPath(path), chromedp.UserDataDir(profile),
		chromedp.Headless, chromedp.DisableGPU, chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck,
		chromedp.NoSandbox, // it needs what root in a container has not; the only page is our own
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true))
	ctx, closeTab := chromedp.NewContext(allocated)
	stop = func() error {
		err := chromedp.Cancel(ctx) // waits for the process, or the profile would still be in use
		closeTab()
		end()
		return errors.Join(err, os.RemoveAll(profile))
	}
	if err := chromedp.Do(ctx); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("start %s: %w", path, err), stop())
	}
	return ctx, stop, nil
}

func findBrowser() (string, error) {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errNoBrowser
}
