package cli

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/raft-ballast/ballast"
)

const compactLong = `Gives space of a store back to the disk. Nobody may have it open: stop the peer first. The store is the
same before and after, also when this ends in the middle.

  bolt    the file is written anew without the pages that bbolt keeps for later, compared with the old
          one key by key, and put in its place; that takes space for both files
  badger  deleted entries are dropped from the tables, and value log files of which a twentieth or more
          is garbage are written anew
  wal     what is reserved for writes to come: the segment that is prepared, and the zeros ahead in the
          newest one. A wal gives deleted entries back by itself, a whole segment at a time; which
          entries keep which segment is told. The log reserves space again when it is opened

A bolt or badger store with damage that this would hide, or make worse, is refused with exit status 2.

To have a log take less for good, let raft take snapshots more often and keep fewer entries behind
them, or give a wal smaller segments. A directory of raft-wal is only read here.

With --json it is one object: store, engine, before_bytes and after_bytes on the disk, and of a wal
kept: segment, first_index, last_index, live_entries, live_bytes and disk_bytes.

` + exitHelp

const compactExample = `  ballast compact bolt:/var/lib/app/raft.db
  ballast compact --json /var/lib/app/raft | jq '.before_bytes - .after_bytes'`

func newCompact(s streams) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "compact STORE",
		Short:   "Give space of a store back that is not in use",
		Long:    compactLong,
		Example: compactExample,
		Args:    storeArgs,
		RunE:    func(cmd *cobra.Command, args []string) error { return runCompact(cmd.Context(), s, args[0], asJSON) },
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one object of JSON")
	return cmd
}

// compaction is what `ballast compact --json` prints.
type compaction struct {
	Store  outside     `json:"store"`
	Engine string      `json:"engine"`
	Before int64       `json:"before_bytes"` // on the disk
	After  int64       `json:"after_bytes"`
	Kept   []keptEntry `json:"kept,omitempty"` // the segments of a wal with live entries
}

// keptEntry is a segment of a wal and the entries for which it stays.
type keptEntry struct {
	Segment   uint64 `json:"segment"`
	First     uint64 `json:"first_index"`
	Last      uint64 `json:"last_index"`
	Groups    int    `json:"groups,omitempty"` // that have live entries in it, where several share the log; they have no first and last index
	Live      int64  `json:"live_entries"`
	LiveBytes int64  `json:"live_bytes"` // estimated
	DiskBytes int64  `json:"disk_bytes"`
}

func runCompact(ctx context.Context, s streams, name string, asJSON bool) error {
	at, err := findStore(name)
	if err != nil {
		return err
	}
	if err := at.checkWritable(); err != nil {
		return err
	}
	c := compaction{Store: at.exact(), Engine: at.engine.name}
	if c.Before, err = at.diskBytes(); err != nil {
		return err
	}
	ctx, ended := interruptible(ctx)
	defer ended()
	done := working(s, "compacting "+at.String())
	err = errors.Join(at.engine.compact(ctx, at.path), keepOwner(at.path))
	done()
	if errors.Is(err, ballast.ErrCorrupt) {
		return fmt.Errorf("%w; `ballast verify %s` tells all that is damaged", err, at)
	}
	if err != nil {
		return interrupted(ctx, err, at.String()+" holds what it held")
	}
	if c.After, err = at.diskBytes(); err != nil {
		return err
	}
	if c.Kept, err = at.kept(); err != nil {
		return err
	}
	s.done()
	if asJSON {
		return writeJSON(s.out, c)
	}
	return c.write(s.out)
}

// kept returns the segments of a wal with live entries, nothing for another store.
func (p place) kept() (list []keptEntry, err error) {
	if p.engine.name != defaultEngine {
		return nil, nil
	}
	segments, shared, err := p.segments()
	for _, seg := range segments {
		if seg.Live == 0 {
			continue
		}
		k := keptEntry{seg.Number, seg.FirstIndex, seg.LastIndex, 0, seg.Live, seg.LiveBytes, seg.DiskBytes}
		if shared {
			k.Groups = seg.Groups
		}
		list = append(list, k)
	}
	return list, err
}

// write shows it to people.
func (c *compaction) write(w io.Writer) error {
	t := newTable(w)
	t.pair("store", "%s", c.Store)
	t.pair("before", "%s on the disk", sizeText(c.Before))
	t.pair("after", "%s on the disk", sizeText(c.After))
	if gain := c.Before - c.After; gain > 0 {
		t.row("given back", sizeText(gain))
	} else {
		t.row("given back", "nothing")
	}
	for _, k := range c.Kept {
		t.pair(fmt.Sprintf("segment %d", k.Segment), "%s for %s", sizeText(k.DiskBytes), k.text())
	}
	return t.end()
}

func (k keptEntry) text() string {
	entries := "entries " + indexRange{k.First, k.Last}.String()
	switch {
	case k.Groups > 0:
		entries = fmt.Sprintf("%s of %s", countText(k.Live, "entry", "entries"), countText(k.Groups, "raft group", "raft groups"))
	case k.First == k.Last:
		entries = fmt.Sprintf("entry %d", k.First)
	}
	return fmt.Sprintf("%s, about %s", entries, sizeText(k.LiveBytes))
}
