package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/raft-ballast/ballast/wal"
)

const segmentsLong = `Shows the files of a wal. A file has its full size from the beginning; what it takes on the disk is
less where nothing was written yet.

State is
  tail      the newest, which is written
  sealed    written no more; some of its entries are live
  prepared  holds nothing yet; the log goes on in it
  unused    nothing in it is live; it will be used again or removed

Live are the entries that can be read, stored those that were ever put into the file; the bytes that
live ones take are estimated from that.

With --json it is one object with store and segments: number, state, first_index and last_index (0
where no entry is live), live_entries, stored_entries, live_bytes, end_bytes up to where it is written,
size_bytes, disk_bytes, path, and damage where there is some.

` + exitHelp

const segmentsExample = `  ballast segments wal:/var/lib/app/wal
  ballast segments --json /var/lib/app | jq '.segments[] | select(.state == "sealed") | .path'`

func newSegments(s streams) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "segments STORE",
		Short:   "Show the files of a wal and what is live in each",
		Long:    segmentsLong,
		Example: segmentsExample,
		Args:    storeArgs,
		RunE:    func(_ *cobra.Command, args []string) error { return runSegments(s, args[0], asJSON) },
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one object of JSON")
	return cmd
}

// segmentsJSON is what `ballast segments --json` prints.
type segmentsJSON struct {
	Store    string        `json:"store"`
	Segments []segmentJSON `json:"segments"`
}

// segmentJSON is a file of a wal as scripts see it.
type segmentJSON struct {
	Number     uint64 `json:"number"`
	State      string `json:"state"`
	FirstIndex uint64 `json:"first_index"` // 0 where no entry is live
	LastIndex  uint64 `json:"last_index"`
	Live       int64  `json:"live_entries"`
	Stored     int64  `json:"stored_entries"`
	LiveBytes  int64  `json:"live_bytes"` // estimated
	EndBytes   int64  `json:"end_bytes"`  // up to where it is written
	SizeBytes  int64  `json:"size_bytes"`
	DiskBytes  int64  `json:"disk_bytes"`
	Path       string `json:"path"`
	Damage     string `json:"damage,omitempty"`
}

func runSegments(s streams, name string, asJSON bool) (err error) {
	src, err := openSource(name)
	if err != nil {
		return err
	}
	defer closing(src, &err)
	log, ok := src.readStore.(*wal.Store)
	if !ok {
		return usagef("%s has no segments; give a wal", src)
	}
	segments, err := log.Segments()
	if err != nil {
		return err
	}
	out := segmentsJSON{Store: src.String(), Segments: []segmentJSON{}}
	var bad error
	for _, seg := range segments {
		j := segmentJSON{
			Number: seg.Number, State: string(seg.State), FirstIndex: seg.FirstIndex, LastIndex: seg.LastIndex, Live: seg.Live,
			Stored: seg.Stored, LiveBytes: seg.LiveBytes, EndBytes: seg.EndBytes, SizeBytes: seg.SizeBytes, DiskBytes: seg.DiskBytes, Path: seg.Path,
		}
		if seg.Err != nil {
			j.Damage = oneLine(seg.Err)
			bad = fmt.Errorf("%s: %w", src, seg.Err)
		}
		out.Segments = append(out.Segments, j)
	}
	if asJSON {
		err = writeJSON(s.out, out)
	} else {
		err = writeSegments(s, out.Segments)
	}
	if err == nil {
		err = bad
	}
	return err
}

func writeSegments(s streams, segments []segmentJSON) error {
	t := newTable(s.out)
	fmt.Fprintln(t, "NUMBER\tSTATE\tFIRST\tLAST\tLIVE\tSTORED\tLIVE BYTES\tSIZE\tON DISK\tPATH")
	for _, seg := range segments {
		first, last := fmt.Sprint(seg.FirstIndex), fmt.Sprint(seg.LastIndex)
		if seg.FirstIndex == 0 {
			first, last = "-", "-"
		}
		path := seg.Path
		if seg.Damage != "" {
			path += " (damaged)"
		}
		fmt.Fprintf(t, "%d\t%s\t%s\t%s\t%d\t%d\t%s\t%s\t%s\t%s\n", seg.Number, seg.State, first, last, seg.Live, seg.Stored,
			sizeText(seg.LiveBytes), sizeText(seg.SizeBytes), sizeText(seg.DiskBytes), path)
	}
	return t.Flush()
}
