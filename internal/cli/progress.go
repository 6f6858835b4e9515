package cli

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/raft-ballast/ballast/internal/cli/demo"
)

// progress shows events as lines, and on a terminal a bar below them.
type progress struct {
	w     io.Writer
	width func() int // of the terminal; nil when w is none
	bar   string     // that stands in the last line
	head  string     // that comes before the first event
}

// newProgress shows on standard output; on standard error when that has to stay clean for JSON.
func newProgress(s streams, asJSON bool) *progress {
	if asJSON {
		return &progress{w: s.err.shownAtOnce()}
	}
	p := &progress{w: s.out.shownAtOnce()}
	if s.out.terminal() {
		p.width = s.out.width
	}
	return p
}

// Event implements demo.Progress.
func (p *progress) Event(at time.Duration, text string) {
	bar := p.bar
	p.draw("")
	if p.head != "" {
		_ = writeLines(p.w, strings.Split(p.head, "\n")...) // Main tells why not, as of all below
		p.head = ""
	}
	_ = writeLines(p.w, fmt.Sprintf("%5.1f s  %s", at.Seconds(), text))
	p.draw(bar)
}

// Status implements demo.Progress.
func (p *progress) Status(s demo.Status) {
	if p.width != nil {
		p.draw(barText(s, p.width()-1))
	}
}

// finish takes the bar away.
func (p *progress) finish() { p.draw("") }

// draw replaces the bar. It needs nothing of a terminal but that a carriage return goes back to the
// beginning of the line.
func (p *progress) draw(bar string) {
	if p.bar == "" && bar == "" {
		return
	}
	fmt.Fprintf(p.w, "\r%s\r%s", strings.Repeat(" ", len(p.bar)), bar)
	p.bar = bar
}

// barText has at most width bytes, all of them ASCII.
func barText(s demo.Status, width int) string {
	done := min(1, s.Elapsed.Seconds()/s.Length.Seconds())
	const cells = 20
	filled := int(done * cells)
	text := fmt.Sprintf("[%s%s] %3.0f of %.0f s  %s acknowledged  kills: %d",
		strings.Repeat("=", filled), strings.Repeat(" ", cells-filled),
		s.Elapsed.Seconds(), s.Length.Seconds(), demo.Thousands(s.Acknowledged), s.Kills)
	return text[:min(len(text), width)]
}
