package cli

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/raft-ballast/ballast/internal/cli/demo"
)

func writeTable(w io.Writer, r *demo.Report) error {
	t := newTable(w)
	row := t.pair
	t.row()
	row("engine", "%s", r.Engine)
	if r.Groups > 1 {
		row("raft groups", "%d, on one wal in each peer", r.Groups)
	}
	row("acknowledged", "%s", acknowledgedText(r))
	row("recovered", "%s, on every peer with the right value", demo.Thousands(r.Recovered))
	if r.EarlierAcknowledged > 0 {
		row("of earlier runs", "%s of %s recovered", demo.Thousands(r.EarlierRecovered), demo.Thousands(r.EarlierAcknowledged))
	}
	row("lost", "%s", demo.Thousands(r.Lost))
	row("peers agree", "%s", yesNo(r.Agree))
	row("kills", "%d with SIGKILL", r.Kills)
	row("throughput", "%s writes/s (acknowledged over %.1f s of writing, outages included; %d writers)",
		demo.Thousands(uint64(r.WritesPerSecond)), r.WritingSeconds, r.Writers)
	row("latency", "p50 %s, p99 %s, longest %s (first attempt to acknowledgement)",
		micros(r.P50Micros), micros(r.P99Micros), micros(r.MaxMicros))
	row("snapshots", "%d taken, %d sent to a follower that was too far behind", r.Snapshots, r.Installed)
	row("compacted", "%s log entries, all peers together", demo.Thousands(r.Compacted))
	var each []string
	for _, id := range demo.PeerIDs {
		each = append(each, id+" "+megabytes(r.PeerBytesOnDisk[id]))
	}
	row("on disk", "%s, log and snapshots (%s)", megabytes(r.BytesOnDisk), strings.Join(each, ", "))
	row("seed", "%d", r.Seed)
	row("time", "%.1f s", r.Seconds)
	for _, p := range r.Problems {
		row("problem", "%s", p)
	}
	return t.end()
}

func acknowledgedText(r *demo.Report) string {
	text := demo.Thousands(r.Acknowledged) + " writes"
	if r.Groups > 1 {
		text += fmt.Sprintf(", in each group %s or more", demo.Thousands(r.FewestInGroup))
	}
	return text
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func micros(n uint32) string {
	return fmt.Sprintf("%.1f ms", (time.Duration(n)*time.Microsecond).Seconds()*1000)
}

func megabytes(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }
