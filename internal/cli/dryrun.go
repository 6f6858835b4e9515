package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/raft-ballast/ballast/internal/cli/demo"
	"github.com/raft-ballast/ballast/internal/move"
)

// rehearsal is what `ballast migrate --dry-run --json` prints.
type rehearsal struct {
	Source      outside `json:"source"`
	Destination outside `json:"destination"`
	DryRun      bool    `json:"dry_run"`
	DiskBytes   int64   `json:"disk_bytes"`    // of the old store
	Copied      uint64  `json:"copied"`        // entries, in the time of the dry run
	Seconds     float64 `json:"seconds_about"` // that all of it will take
}

// tryFor is how long a dry run copies.
const tryFor = 2 * time.Second

// dryRun copies for a while.
func (m *migration) dryRun(ctx context.Context, w io.Writer, asJSON bool) error {
	size, err := m.source.diskBytes()
	if err != nil {
		return err
	}
	if m.target.exists() {
		m.job.Destination += ".dry-run" // where there is a log already
	}
	out := &rehearsal{Source: m.source.exact(), Destination: m.target.exact(), DryRun: true, DiskBytes: size}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	stopped := false
	m.job.Progress = func(p move.Progress) {
		m.progress(p)
		out.Copied = max(out.Copied, p.Entries)
		elapsed := time.Since(m.begun)
		out.Seconds = elapsed.Seconds() / max(part(p), 1e-6)
		if m.copied > 0 {
			out.Seconds = m.copied.Seconds() + (elapsed-m.copied).Seconds()/max(p.Part, 1e-6)
		}
		if elapsed > tryFor {
			stopped = true
			stop()
		}
	}
	switch _, err := m.job.Try(ctx); {
	case err == nil:
		out.Seconds = time.Since(m.begun).Seconds()
	case !stopped || !errors.Is(err, context.Canceled):
		m.shown.finish()
		return m.failed(ctx, err)
	}
	m.shown.finish()
	if asJSON {
		return writeJSON(w, out)
	}
	return writeLines(w, fmt.Sprintf("%s takes %s of the disk and will become %s in about %s; %s copied to find out, and nothing is left",
		out.Source, sizeText(size), out.Destination, durationText(out.Seconds), countWere(out.Copied)))
}

func countWere(n uint64) string {
	if n == 1 {
		return "1 entry was"
	}
	return demo.Thousands(n) + " entries were"
}

// durationText rounds a time to what can be known of it.
func durationText(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second))
	if d < time.Second {
		return "a second"
	}
	return d.Round(time.Second).String()
}
