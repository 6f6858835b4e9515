package cli

import (
	"fmt"
	"io"

	"github.com/raft-ballast/ballast/internal/cli/demo"
	"github.com/raft-ballast/ballast/wal"
)

// sharedInfo is what `ballast info --json` prints of a wal that several raft groups share.
type sharedInfo struct {
	Store         outside     `json:"store"`
	Engine        string      `json:"engine"`
	FormatVersion int         `json:"format_version"`
	Entries       uint64      `json:"entries"`    // of all groups
	LiveBytes     int64       `json:"live_bytes"` // of entries with their headers, estimated
	DiskBytes     int64       `json:"disk_bytes"`
	LinkedFiles   int         `json:"linked_files,omitempty"` // with more than one link
	Groups        []groupJSON `json:"groups"`
}

// groupJSON is one raft group of several.
type groupJSON struct {
	Group       uint64 `json:"group"`
	FirstIndex  uint64 `json:"first_index"`
	LastIndex   uint64 `json:"last_index"`
	Entries     uint64 `json:"entries"`
	CommitIndex uint64 `json:"commit_index"`
	HalfPeer    string `json:"half_peer,omitempty"`  // why no peer may run on it
	Unfinished  bool   `json:"unfinished,omitempty"` // a migration has begun it, and no peer can use it
	stableJSON
}

func newGroupJSON(g wal.GroupInfo) groupJSON {
	return groupJSON{Group: g.ID, FirstIndex: g.FirstIndex, LastIndex: g.LastIndex, Entries: g.Entries, CommitIndex: g.CommitIndex,
		stableJSON: stableJSON{Stable: map[string]any{}}}
}

func runSharedInfo(s streams, log *sharedLog, asJSON bool) (err error) {
	defer closing(log, &err)
	i := &sharedInfo{Store: log.exact(), Engine: log.engine.name, FormatVersion: log.engine.formatVersion, Groups: []groupJSON{}}
	if err := i.read(log); err != nil {
		return err
	}
	if asJSON {
		return writeJSON(s.out, i)
	}
	return i.write(s.out, log.engine.formatOf)
}

// read takes what the log knows without its entries.
func (i *sharedInfo) read(log *sharedLog) (err error) {
	add := func(g groupJSON) {
		i.Entries += g.Entries
		i.Groups = append(i.Groups, g)
	}
	err = log.each(func(info wal.GroupInfo, src *source) (err error) {
		g := newGroupJSON(info)
		g.stableJSON, err = readStable(src)
		g.HalfPeer = half(src, src)
		add(g)
		return err
	}, func(info wal.GroupInfo) error {
		g := newGroupJSON(info)
		g.Unfinished = true
		add(g)
		return nil
	})
	if err != nil {
		return err
	}
	segments, err := log.groups.Segments()
	if err != nil {
		return err
	}
	for _, seg := range segments {
		i.LiveBytes += seg.LiveBytes
	}
	i.LinkedFiles = log.linkedFiles()
	i.DiskBytes, err = log.diskBytes()
	return err
}

// write shows it to people.
func (i *sharedInfo) write(w io.Writer, formatOf string) error {
	t := newTable(w)
	row := t.pair
	row("store", "%s", i.Store)
	row("engine", "%s", i.Engine)
	row("format", "version %d of %s", i.FormatVersion, formatOf)
	row("groups", "%s", demo.Thousands(len(i.Groups)))
	row("entries", "%s", demo.Thousands(i.Entries))
	row("live", "about %s", sizeText(i.LiveBytes))
	row("on disk", "%s", sizeText(i.DiskBytes))
	if i.LinkedFiles > 0 {
		row("links", "%s", linkedText(i.Engine, i.LinkedFiles))
	}
	if err := t.end(); err != nil {
		return err
	}
	t = newTable(w)
	t.row()
	t.row("GROUP", "FIRST", "LAST", "ENTRIES", "TERM", "VOTE")
	for _, g := range i.Groups {
		t.row(fmt.Sprint(g.Group), dash(g.FirstIndex), dash(g.LastIndex), fmt.Sprint(g.Entries), g.term(), g.vote())
	}
	if err := t.end(); err != nil {
		return err
	}
	var lines []string
	for _, g := range i.Groups {
		if g.HalfPeer != "" {
			lines = append(lines, fmt.Sprintf("raft group %d: %s", g.Group, halfText(g.HalfPeer)))
		}
	}
	return writeLines(w, lines...)
}

// dash writes an index, or that there is none.
func dash(index uint64) string {
	if index == 0 {
		return "-"
	}
	return fmt.Sprint(index)
}

func (g groupJSON) term() string {
	if term, ok := g.Stable[currentTermKey]; ok {
		return fmt.Sprint(term)
	}
	return "-"
}

// vote says for whom the group's peer has voted last, and in which term.
func (g groupJSON) vote() string {
	vote, ok := g.Stable[lastVoteCandKey].(string)
	term, inTerm := g.Stable[lastVoteTermKey]
	switch {
	case g.Unfinished:
		return "unfinished: what a migration has begun"
	case ok && inTerm:
		return fmt.Sprintf("%s in term %v", word(vote), term)
	case ok:
		return word(vote)
	}
	return "-"
}
