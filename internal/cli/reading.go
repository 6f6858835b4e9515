package cli

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/raft-ballast/ballast/internal/cli/demo"
)

const (
	quietFor   = 2 * time.Second // before the progress of reading is shown
	showEvery  = 200 * time.Millisecond
	lookEvery  = 64 // entries, before the clock is asked
	maxPercent = 100
)

// reading shows on a terminal how far a long scan is, in one line on standard error that goes away at the end.
type reading struct {
	w     io.Writer // nil when it is no terminal
	what  string    // is done
	from  uint64
	to    uint64
	begun time.Time
	shown time.Time
	steps int
	line  string
}

// newReading is for a scan between two indexes. Where the entries themselves go to the terminal there is nothing to show.
func newReading(s streams, from, to uint64) *reading {
	r := &reading{what: "reading", from: from, to: to, begun: time.Now()}
	if s.err.terminal() {
		r.w = s.err.raw()
	}
	return r
}

// at says that everything before an index was read.
func (r *reading) at(next uint64) {
	if r.steps++; r.steps%lookEvery == 0 {
		r.look(next)
	}
}

// look is at for what does not come entry by entry.
func (r *reading) look(next uint64) {
	if r.w != nil {
		r.say(r.text(next))
	}
}

// say shows a text, when it is time for that.
func (r *reading) say(text string) {
	if r.w == nil {
		return
	}
	now := time.Now()
	if now.Sub(r.begun) < quietFor || now.Sub(r.shown) < showEvery {
		return
	}
	r.shown = now
	r.draw(text)
}

func (r *reading) text(next uint64) string {
	percent := uint64(maxPercent)
	if r.to > r.from && next < r.to {
		percent = uint64(float64(next-r.from) / float64(r.to-r.from) * maxPercent)
	}
	return fmt.Sprintf("%s: entry %s of %s, %d %%", r.what, demo.Thousands(next), demo.Thousands(r.to), percent)
}

// working shows on a terminal for how long something is going on whose progress is not known. The function that it returns ends that.
func working(s streams, what string) (done func()) {
	r := newReading(s, 0, 0)
	if r.w == nil {
		return func() {}
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				r.finish()
				return
			case <-time.After(showEvery):
			}
			if took := time.Since(r.begun); took > quietFor {
				r.draw(fmt.Sprintf("%s: %.0f s", what, took.Seconds()))
			}
		}
	}()
	return func() {
		close(stop)
		<-stopped
	}
}

// finish takes the line away.
func (r *reading) finish() {
	if r.line != "" {
		r.draw("")
	}
}

// draw replaces the line.
func (r *reading) draw(line string) {
	line = escaped(line)
	fmt.Fprintf(r.w, "\r%s\r%s", strings.Repeat(" ", len(r.line)), line)
	r.line = line
}
