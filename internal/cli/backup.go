package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	sites "github.com/raft-ballast/ballast/internal/place"
	"github.com/raft-ballast/ballast/wal"
)

const backupLong = `Copies a wal, also while a peer writes it, to a folder that is not there yet, or to an
empty one that is a mount point. The copy is a wal that
opens as it is, with the contents of one moment: all that was acknowledged before the command began is
in it. Every entry is read from the copy before it gets its name. The peer is not slowed down by a lock
and nothing changes in its folder; segments that it uses again meanwhile are copied anew. When root
copies, the files belong to whom those of the peer belong to; otherwise to whoever copies.

A copy of a log is not a backup of a peer without a snapshot that is at least as new as the log's first
entry, and the same peer must not come back with an older log than it had: see 'ballast repair --help'
on what raft counts on. For bolt and badger stop the peer and copy the files, or use 'ballast export'.

With --json it is one object: store, destination, entries, first_index, last_index, commit_index,
segments and bytes that were copied, seconds, owner_kept, and half_peer where the store is no whole peer: the
reason. Of a wal that several raft groups share it
has no indexes but groups, each with group, first_index, last_index, entries and commit_index.

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
	Store       outside `json:"store"`
	Destination outside `json:"destination"`
	Entries     uint64  `json:"entries"`               // of all groups
	FirstIndex  *uint64 `json:"first_index,omitempty"` // these three are nil where several groups share the log
	LastIndex   *uint64 `json:"last_index,omitempty"`
	CommitIndex *uint64 `json:"commit_index,omitempty"`
	Segments    int     `json:"segments"`
	Bytes       int64   `json:"bytes"` // copied
	Seconds     float64 `json:"seconds"`
	OwnerKept   bool    `json:"owner_kept"`
	HalfPeer    string  `json:"half_peer,omitempty"` // why no peer may run on it

	Groups []copiedGroup `json:"groups,omitempty"` // where several share the log
}

// copiedGroup is one raft group of several.
type copiedGroup struct {
	Group       uint64 `json:"group"`
	Entries     uint64 `json:"entries"`
	FirstIndex  uint64 `json:"first_index"`
	LastIndex   uint64 `json:"last_index"`
	CommitIndex uint64 `json:"commit_index"`
	HalfPeer    string `json:"half_peer,omitempty"`
}

func runBackup(s streams, name, destination string, asJSON bool) error {
	at, err := findStore(name)
	if err != nil {
		return err
	}
	if at.engine.name != "wal" {
		return usagef("%s is no wal, and cannot be copied while it is written; stop its peer and copy the files, or use `ballast export`", at)
	}
	if destination, err = backupPath(destination); err != nil {
		return err
	}
	ctx, stop := interruptible(context.Background())
	defer stop()
	return backUp(ctx, s, at, destination, asJSON)
}

func backUp(ctx context.Context, s streams, at place, destination string, asJSON bool) error {
	begun := time.Now()
	site, err := sites.BeginFolder(destination)
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
		return interrupted(ctx, fmt.Errorf("copying %s: %w", at, err), "nothing is left of the copy")
	}
	// Only root gives files away. A copy that belongs to whoever made it is one all the same.
	err = site.Like(at.path)
	if err != nil && !errors.Is(err, fs.ErrPermission) {
		return err
	}
	out := backupJSON{
		Store: at.exact(), Destination: outside("wal:" + destination), Entries: info.Entries, Segments: info.Segments, Bytes: info.Bytes, OwnerKept: err == nil,
	}
	if err := out.bounds(place{at.engine, site.Path}, info); err != nil {
		return err
	}
	if err := site.Commit(); err != nil {
		return err
	}
	out.Seconds = time.Since(begun).Seconds()
	s.done()
	if asJSON {
		return writeJSON(s.out, out)
	}
	return out.write(s.out)
}

// backupPath takes the name of the folder for the copy, which may say that it is a wal.
func backupPath(name string) (string, error) {
	prefix, path, cut := strings.Cut(name, ":")
	switch {
	case cut && prefix == defaultEngine:
		name = path
	case cut && slices.ContainsFunc(engines, func(e engine) bool { return e.name == prefix }):
		return "", usagef("%s: a copy of a wal is a wal; give wal:DIR, or use `ballast migrate` to make a store of another engine", name)
	}
	if name == "" {
		return "", usagef("the destination is empty; give a folder that is not there yet")
	}
	return name, checkFolder("the copy", name)
}

// bounds notes which entries the copy has.
func (b *backupJSON) bounds(copied place, info wal.BackupInfo) (err error) {
	log, err := copied.openShared()
	if err != nil {
		return err
	}
	if log == nil {
		b.FirstIndex, b.LastIndex, b.CommitIndex = &info.FirstIndex, &info.LastIndex, &info.CommitIndex
		b.HalfPeer, err = copied.half()
		return err
	}
	add := func(g wal.GroupInfo, why string) error {
		b.Groups = append(b.Groups, copiedGroup{g.ID, g.Entries, g.FirstIndex, g.LastIndex, g.CommitIndex, why})
		return nil
	}
	err = log.each(func(g wal.GroupInfo, src *source) error { return add(g, half(src, src)) },
		func(g wal.GroupInfo) error { return add(g, "") })
	return errors.Join(err, log.Close())
}

// write shows it to people.
func (b *backupJSON) write(w io.Writer) error {
	what := "no entries"
	switch {
	case b.FirstIndex == nil:
		what = fmt.Sprintf("%s of %s", countText(b.Entries, "entry", "entries"), countText(len(b.Groups), "raft group", "raft groups"))
	case b.Entries > 0:
		what = fmt.Sprintf("%s from %d to %d", countText(b.Entries, "entry", "entries"), *b.FirstIndex, *b.LastIndex)
	}
	lines := []string{fmt.Sprintf("%s: %s, %s in %s, each read again", b.Destination, what, sizeText(b.Bytes), countText(b.Segments, "segment", "segments"))}
	if !b.OwnerKept {
		lines = append(lines, "note: the copy does not belong to whom the store belongs to; only root can see to that")
	}
	if b.HalfPeer != "" {
		lines = append(lines, halfText(b.HalfPeer))
	}
	for _, g := range b.Groups {
		if g.HalfPeer != "" {
			lines = append(lines, fmt.Sprintf("raft group %d: %s", g.Group, halfText(g.HalfPeer)))
		}
	}
	return writeLines(w, lines...)
}
