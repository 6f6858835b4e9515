package cli

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/wal"
)

const dropLong = `Deletes one raft group of a wal that several share: its entries, its stable values and its commit index,
durably and at once. The other groups are as they were. Also one that is damaged is deleted, and one that
a migration has begun and not finished.

This is dangerous, so --force is needed. A peer that comes back to that group without its log has
forgotten what it has acknowledged and whom it has voted for, so it has to join the group again as a new
server. 'ballast migrate --group' copies a group into another store before.

The log must not be in use: stop the peer first. A running one deletes a group with Drop of wal.Groups.

With --json it is one object: store, group, entries, first_index, last_index, commit_index, stable, the
number of stable values, and unfinished where it was what a migration has begun; all of what was deleted.

` + exitHelp

const dropExample = `  ballast info wal:/var/lib/app/shared                      # which groups there are
  ballast drop --group 2 --force wal:/var/lib/app/shared`

func newDrop(s streams) *cobra.Command {
	var force, asJSON bool
	var group groupFlag
	cmd := &cobra.Command{
		Use:     "drop STORE",
		Short:   "Delete one raft group of a wal that is not in use",
		Long:    dropLong,
		Example: dropExample,
		Args:    storeArgs,
		RunE: func(_ *cobra.Command, args []string) error {
			switch {
			case !group.given:
				return usagef("say with --group which raft group is to be deleted; `ballast info` lists them")
			case !force:
				return usagef("this deletes all that raft group %d has; read `ballast drop --help`, and give --force", group.id)
			}
			return runDrop(s, args[0], group, asJSON)
		},
	}
	group.add(cmd)
	cmd.Flags().BoolVar(&force, "force", false, "delete it; without this nothing is done")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one object of JSON")
	return cmd
}

// dropped is what `ballast drop --json` prints.
type dropped struct {
	Store       outside `json:"store"`
	Group       uint64  `json:"group"`
	Entries     uint64  `json:"entries"`
	FirstIndex  uint64  `json:"first_index"`
	LastIndex   uint64  `json:"last_index"`
	CommitIndex uint64  `json:"commit_index"`
	Stable      int     `json:"stable"`
	Unfinished  bool    `json:"unfinished,omitempty"` // a migration had begun it
}

func runDrop(s streams, name string, group groupFlag, asJSON bool) error {
	at, err := findGroup(name, group)
	if err != nil {
		return err
	}
	if err := at.checkWritable(); err != nil {
		return err
	}
	gs, err := wal.OpenGroups(at.path, nil)
	if err != nil {
		return err
	}
	out, err := at.drop(gs)
	if err = cmp.Or(err, errors.Join(gs.Close(), keepOwner(at.path))); err != nil {
		return err
	}
	s.done()
	if asJSON {
		return writeJSON(s.out, out)
	}
	return out.write(s.out, at)
}

// drop deletes the group, and returns what it had.
func (p place) drop(gs *wal.Groups) (out dropped, err error) {
	id, ids, list := p.engine.group.id, gs.IDs(), gs.List()
	at := slices.IndexFunc(list, func(info wal.GroupInfo) bool { return info.ID == id })
	switch {
	case at < 0:
		return out, &noGroupError{p.path, id, ids}
	case !isShared(ids):
		return out, fmt.Errorf("%s is the log of one peer, and not of several raft groups; to delete all of it, remove the folder", p.name())
	}
	info := list[at]
	out = dropped{Store: p.exactName(), Group: id, Entries: info.Entries, FirstIndex: info.FirstIndex, LastIndex: info.LastIndex, CommitIndex: info.CommitIndex}
	store, err := gs.Store(id)
	switch {
	case errors.Is(err, ballast.ErrUnfinished):
		out.Unfinished = true
	case err != nil:
		return out, err
	default:
		keys, err := store.StableKeys()
		if err != nil {
			return out, err
		}
		out.Stable = len(keys)
	}
	if err := gs.Drop(id); err != nil {
		return out, fmt.Errorf("deleting raft group %d of %s: %w", id, p.name(), err)
	}
	return out, nil
}

// write shows it to people.
func (d dropped) write(w io.Writer, at place) error {
	what := "no entries"
	switch {
	case d.Unfinished:
		what = "what a migration had begun"
	case d.Entries > 0:
		what = fmt.Sprintf("%s from %d to %d", countText(d.Entries, "entry", "entries"), d.FirstIndex, d.LastIndex)
	}
	if !d.Unfinished {
		what += " and " + countText(d.Stable, "stable value", "stable values")
	}
	return writeLines(w, fmt.Sprintf("%s was deleted: %s", at, what), "note: a peer that begins this group anew here has to join it as a new server")
}
