package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	sites "github.com/raft-ballast/ballast/internal/place"
	"github.com/raft-ballast/ballast/wal"
)

const backupLong = `Copies a wal, also while a peer writes it, to a folder that is not there yet. The copy is a wal that
opens as it is, with the contents of one moment: all that was acknowledged before the command began is
in it. Every entry is read from the copy before it gets its name. The peer is not slowed down by a lock
and nothing changes in its folder; segments that it uses again meanwhile are copied anew.

A copy of a log is not a backup of a peer without a snapshot that is at least as new as the log's first
entry, and the same peer must not come back with an older log than it had: see 'ballast repair --help'
on what raft counts on. For bolt and badger stop the peer and copy the files, or use 'ballast export'.

With --json it is one object: store, destination, entries, first_index, last_index, commit_index,
segments and bytes that were copied, seconds.

` + exitHelp

const backupExample = `  ballast backup /var/lib/app/raft /backup/raft-2026-01-02
  ballast backup --json wal:/var/lib/app/wal /backup/wal`

func newBackup(s streams) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "backup STORE DESTINATION",
		Short:   "Copy a wal while it is written",
		Long:    backupLong,
		Example: backupExample,
		Args: func(cmd *cobra.Command, args []string) error {
			return countArgs(cmd, args, 2, "a store and where the copy goes")
		},
		RunE: func(_ *cobra.Command, args []string) error { return runBackup(s, args[0], args[1], asJSON) },
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one object of JSON")
	return cmd
}

// backupJSON is what `ballast backup --json` prints.
type backupJSON struct {
	Store       string  `json:"store"`
	Destination string  `json:"destination"`
	Entries     uint64  `json:"entries"`
	FirstIndex  uint64  `json:"first_index"`
	LastIndex   uint64  `json:"last_index"`
	CommitIndex uint64  `json:"commit_index"`
	Segments    int     `json:"segments"`
	Bytes       int64   `json:"bytes"` // copied
	Seconds     float64 `json:"seconds"`
}

func runBackup(s streams, name, destination string, asJSON bool) error {
	at, err := findStore(name)
	if err != nil {
		return err
	}
	if at.engine.name != "wal" {
		return usagef("%s is no wal, and cannot be copied while it is written; stop its peer and copy the files, or use `ballast export`", at)
	}
	destination = strings.TrimPrefix(destination, "wal:")
	if destination == "" {
		return usagef("the destination is empty; give a folder that is not there yet")
	}
	ctx, stop := interruptible(context.Background())
	defer stop()
	begun := time.Now()
	site, err := sites.Begin(destination)
	if err != nil {
		return err
	}
	defer site.Abandon()
	shown := newReading(s, 0, 0)
	info, err := wal.Backup(ctx, at.path, site.Path, &wal.BackupOptions{Progress: func(p wal.BackupProgress) {
		shown.say(fmt.Sprintf("copying: %s of %s, %d %%", sizeText(p.Bytes), sizeText(p.Total), p.Bytes*maxPercent/max(p.Total, 1)))
	}})
	shown.finish()
	if err != nil {
		return fmt.Errorf("copying %s: %w", at, err)
	}
	if err := sites.Like(site.Path, at.path); err != nil {
		return err
	}
	if err := site.Commit(); err != nil {
		return err
	}
	out := backupJSON{
		Store: at.String(), Destination: "wal:" + destination, Entries: info.Entries, FirstIndex: info.FirstIndex, LastIndex: info.LastIndex,
		CommitIndex: info.CommitIndex, Segments: info.Segments, Bytes: info.Bytes, Seconds: time.Since(begun).Seconds(),
	}
	if asJSON {
		return writeJSON(s.out, out)
	}
	what := "no entries"
	switch {
	case out.Entries > 0 && out.FirstIndex == 0 || info.Groups > 1:
		what = fmt.Sprintf("%s of %s", countText(out.Entries, "entry", "entries"), countText(info.Groups, "raft group", "raft groups"))
	case out.Entries > 0:
		what = fmt.Sprintf("%s from %d to %d", countText(out.Entries, "entry", "entries"), out.FirstIndex, out.LastIndex)
	}
	_, err = fmt.Fprintf(s.out, "%s: %s, %s in %s, each read again\n", out.Destination, what, sizeText(out.Bytes), countText(out.Segments, "segment", "segments"))
	return err
}
