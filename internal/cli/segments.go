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
  moved     holds entries that were moved out of others, in which little else was live
  prepared  holds nothing yet; the log goes on in it
  unused    nothing in it is live; it will be used again or removed

Live are the entries that are there, stored those that were ever put into the file, also what was deleted
or replaced since. What live ones take is what lies between them, or what their records say
where others died.

A file has its number for a name, in hexadecimal digits. Those for moved entries have numbers of their own,
from 2^48 on: m1 is 0001000000000001.wal.

Of a wal that several raft groups share, it is told how many of them have live entries in a file. First
and last are told of the one that --group names, the rest of all.

With --json it is one object with store and segments: number, state, first_index and last_index (0
where no entry is live), groups, live_entries, stored_entries, live_bytes, end_bytes up to where it is written,
size_bytes, disk_bytes, path, and damage where there is some.

` + exitHelp

const segmentsExample = `  ballast segments wal:/var/lib/app/wal
  ballast segments --json /var/lib/app | jq '.segments[] | select(.state == "sealed") | .path'`

func newSegments(s streams) *cobra.Command {
	var asJSON bool
	var group groupFlag
	cmd := &cobra.Command{
		Use:     "segments STORE",
		Short:   "Show the files of a wal and what is live in each",
		Long:    segmentsLong,
		Example: segmentsExample,
		Args:    storeArgs,
		RunE:    func(_ *cobra.Command, args []string) error { return runSegments(s, args[0], group, asJSON) },
	}
	group.add(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one object of JSON")
	return cmd
}

// segmentsJSON is what `ballast segments --json` prints.
type segmentsJSON struct {
	Store    outside       `json:"store"`
	Group    *uint64       `json:"group,omitempty"` // whose first and last indexes these are
	Segments []segmentJSON `json:"segments"`
}

// segmentJSON is a file of a wal as scripts see it.
type segmentJSON struct {
	Number     uint64  `json:"number"`
	State      string  `json:"state"`
	FirstIndex uint64  `json:"first_index"` // 0 where no entry is live
	LastIndex  uint64  `json:"last_index"`
	Groups     int     `json:"groups,omitempty"` // that have live entries in it, where several share the log
	Live       int64   `json:"live_entries"`
	Stored     int64   `json:"stored_entries"`
	LiveBytes  int64   `json:"live_bytes"` // with headers
	EndBytes   int64   `json:"end_bytes"`  // up to where it is written
	SizeBytes  int64   `json:"size_bytes"`
	DiskBytes  int64   `json:"disk_bytes"`
	Path       outside `json:"path"`
	Damage     string  `json:"damage,omitempty"`
}

func runSegments(s streams, name string, group groupFlag, asJSON bool) error {
	at, err := findGroup(name, group)
	if err != nil {
		return err
	}
	if at.engine.name != defaultEngine {
		return usagef("%s has no segments; give a wal", at)
	}
	segments, shared, err := at.segments()
	if err != nil {
		return err
	}
	out := segmentsJSON{Store: at.exactName(), Group: group.json(), Segments: []segmentJSON{}}
	var bad error
	for _, seg := range segments {
		j := segmentJSON{
			Number: seg.Number, State: string(seg.State), FirstIndex: seg.FirstIndex, LastIndex: seg.LastIndex, Live: seg.Live,
			Stored: seg.Stored, LiveBytes: seg.LiveBytes, EndBytes: seg.EndBytes, SizeBytes: seg.SizeBytes, DiskBytes: seg.DiskBytes, Path: outside(seg.Path),
		}
		if shared {
			j.Groups = seg.Groups
		}
		if seg.Err != nil {
			j.Damage = oneLine(seg.Err)
			bad = fmt.Errorf("%s: %w", at, seg.Err)
		}
		out.Segments = append(out.Segments, j)
	}
	if asJSON {
		err = writeJSON(s.out, out)
	} else {
		err = writeSegments(s, out.Segments, shared)
	}
	if err == nil {
		err = bad
	}
	return err
}

// segments returns the files of a wal, with the range of entries of the group that --group names or that is alone in it, and whether
// several share it.
func (p place) segments() (list []wal.SegmentInfo, shared bool, err error) {
	log, err := p.openShared()
	if err != nil {
		return nil, false, err
	}
	if log != nil {
		defer closing(log, &err)
		list, err = log.groups.Segments()
		return list, true, err
	}
	src, err := p.open()
	if err != nil {
		return nil, false, err
	}
	defer closing(src, &err)
	list, err = src.readStore.(*walStore).Segments()
	return list, p.engine.group.given, err
}

func writeSegments(s streams, segments []segmentJSON, shared bool) error {
	t := newTable(s.out)
	row := func(number, state, groups string, others ...string) {
		cells := []string{number, state, groups}
		if !shared {
			cells = cells[:2]
		}
		t.row(append(cells, others...)...)
	}
	row("NUMBER", "STATE", "GROUPS", "FIRST", "LAST", "LIVE", "STORED", "LIVE BYTES", "SIZE", "ON DISK", "PATH")
	for _, seg := range segments {
		path := seg.Path.String()
		if seg.Damage != "" {
			path += " (damaged)"
		}
		row(numberOf(seg.Number), seg.State, fmt.Sprint(seg.Groups),
			dash(seg.FirstIndex), dash(seg.LastIndex), fmt.Sprint(seg.Live), fmt.Sprint(seg.Stored),
			sizeText(seg.LiveBytes), sizeText(seg.SizeBytes), sizeText(seg.DiskBytes), path)
	}
	return t.end()
}

// numberOf returns what stands for the number of a segment. docs/FORMAT.md tells how those of moved entries are numbered.
func numberOf(n uint64) string {
	const ofLog = 1 << 48 // the last one that is no moved segment's
	if n > ofLog {
		return fmt.Sprintf("m%d", n-ofLog)
	}
	return fmt.Sprint(n)
}
