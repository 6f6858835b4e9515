package cli

import (
	"fmt"
	"io"

	"github.com/hashicorp/raft"
	"github.com/spf13/cobra"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/cli/demo"
)

const infoLong = `Tells what a store holds: its engine, the range of its entries, the terms and where each begins, how
many bytes are live and on the disk, the stable values, the commit index, and the newest
configuration of the cluster that is in the log.

It reads every entry. One that is damaged is told, and the rest goes on; 'ballast verify' says more
about it.

Of a wal that several raft groups share it lists these, with the first and the last index, the term and
the vote of each, and reads no entry; --group tells of one of them what is told of other stores.

With --json it is one object: store, engine, format_version, first_index, last_index, entries, damaged
of them, damage where what was acknowledged last may be missing, terms with the first_index of each, live_bytes, disk_bytes, half_peer, why no peer may run
on it, linked_files, how many have more than one link, commit_index (0 where it is not kept), configuration with index, term and servers where the log has one, stable with the values of
raft, and stable_other with those of others in base64. Of several groups it has groups, each with group,
first_index, last_index, entries, commit_index, stable and stable_other, and live_bytes is an estimate.

` + exitHelp

const infoExample = `  ballast info /var/lib/app/raft
  ballast info bolt:/var/lib/app/raft.db
  ballast info --group 7 wal:/var/lib/app/shared
  ballast info --json wal:/var/lib/app/wal | jq .stable.CurrentTerm`

func newInfo(s streams) *cobra.Command {
	var asJSON bool
	var group groupFlag
	cmd := &cobra.Command{
		Use:     "info STORE",
		Short:   "Tell what a store holds",
		Long:    infoLong,
		Example: infoExample,
		Args:    storeArgs,
		RunE:    func(_ *cobra.Command, args []string) error { return runInfo(s, args[0], group, asJSON) },
	}
	group.add(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one object of JSON")
	return cmd
}

// info is what `ballast info --json` prints.
type info struct {
	Store         outside            `json:"store"`
	Group         *uint64            `json:"group,omitempty"` // of several
	Engine        string             `json:"engine"`
	FormatVersion int                `json:"format_version"`
	FirstIndex    uint64             `json:"first_index"`
	LastIndex     uint64             `json:"last_index"`
	Entries       uint64             `json:"entries"`
	Damaged       uint64             `json:"damaged"`          // of the entries
	Damage        *damageJSON        `json:"damage,omitempty"` // for which what was acknowledged last may be missing
	Terms         []termJSON         `json:"terms"`
	LiveBytes     int64              `json:"live_bytes"` // Data and Extensions
	DiskBytes     int64              `json:"disk_bytes"`
	HalfPeer      string             `json:"half_peer,omitempty"`    // why no peer may run on it
	LinkedFiles   int                `json:"linked_files,omitempty"` // with more than one link
	CommitIndex   uint64             `json:"commit_index"`
	Configuration *configurationJSON `json:"configuration,omitempty"`
	stableJSON

	changed bool // entries were deleted or replaced while they were read
}

// termJSON is where a term begins.
type termJSON struct {
	Term       uint64 `json:"term"`
	FirstIndex uint64 `json:"first_index"`
}

type configurationJSON struct {
	Index   uint64       `json:"index"`
	Term    uint64       `json:"term"`
	Servers []serverJSON `json:"servers"`
	Error   string       `json:"error,omitempty"` // why it cannot be decoded
}

func runInfo(s streams, name string, group groupFlag, asJSON bool) (err error) {
	at, err := findGroup(name, group)
	if err != nil {
		return err
	}
	if log, err := at.openShared(); log != nil || err != nil {
		if err != nil {
			return err
		}
		return runSharedInfo(s, log, asJSON)
	}
	src, err := at.open()
	if err != nil {
		return err
	}
	defer closing(src, &err)
	i := &info{Store: src.exactName(), Group: group.json(), Engine: src.engine.name, FormatVersion: src.engine.formatVersion, Damage: src.damageJSON(), Terms: []termJSON{}}
	newest, err := i.read(s, src)
	if err != nil {
		return err
	}
	if newest != nil {
		i.Configuration = newConfigurationJSON(newest)
	}
	if asJSON {
		err = writeJSON(s.out, i)
	} else {
		err = i.write(s.out, src.engine.formatOf, newest)
	}
	if err == nil && i.Damaged > 0 {
		err = fmt.Errorf("%s: %w: %s; `ballast verify %s` tells which", src, ballast.ErrCorrupt,
			countText(i.Damaged, "entry cannot be read", "entries cannot be read"), src)
	}
	if err == nil {
		err = src.whole()
	}
	return err
}

// closing closes a store; what failed before says more than an error of closing one that was only read.
func closing(c io.Closer, err *error) {
	if e := c.Close(); *err == nil && e != nil {
		*err = fmt.Errorf("closing the store: %w", e)
	}
}

// read goes through the store, and returns the newest configuration in the log.
func (i *info) read(s streams, src *source) (newest *raft.Log, err error) {
	if i.FirstIndex, i.LastIndex, err = src.bounds(); err != nil {
		return nil, err
	}
	if i.CommitIndex, err = src.GetCommitIndex(); err != nil {
		return nil, fmt.Errorf("reading the commit index: %w", err)
	}
	if i.stableJSON, err = readStable(src); err != nil {
		return nil, err
	}
	highest := uint64(0)
	found := func(log *raft.Log) error {
		i.Entries++
		highest = max(highest, log.Term)
		i.LiveBytes += int64(len(log.Data) + len(log.Extensions))
		if n := len(i.Terms); n == 0 || i.Terms[n-1].Term != log.Term {
			i.Terms = append(i.Terms, termJSON{Term: log.Term, FirstIndex: log.Index})
		}
		if log.Type == raft.LogConfiguration {
			newest = log
		}
		return nil
	}
	damaged := func(d damageJSON) error {
		n := d.entries().count() // at most, where nobody knows which entries there are
		i.Entries += n
		i.Damaged += n
		return nil
	}
	reading := src.reading()
	if err := src.scan(newReading(s, i.FirstIndex, i.LastIndex), i.FirstIndex, i.LastIndex, found, damaged); err != nil {
		return nil, err
	}
	i.HalfPeer = i.half(highest)
	i.changed = src.reading() != reading
	i.LinkedFiles = src.linkedFiles()
	i.DiskBytes, err = src.diskBytes()
	return newest, err
}

func newConfigurationJSON(log *raft.Log) *configurationJSON {
	out := &configurationJSON{Index: log.Index, Term: log.Term, Servers: []serverJSON{}}
	c, err := decodeConfiguration(log.Data)
	if err != nil {
		out.Error = oneLine(err)
		return out
	}
	out.Servers = serversJSON(c)
	return out
}

// maxTerms is how many terms are shown to people.
const maxTerms = 20

// write shows it to people.
func (i *info) write(w io.Writer, formatOf string, newest *raft.Log) error {
	t := newTable(w)
	row := t.pair
	row("store", "%s", i.Store)
	if i.Group != nil {
		row("group", "%d", *i.Group)
	}
	row("engine", "%s", i.Engine)
	row("format", "version %d of %s", i.FormatVersion, formatOf)
	switch {
	case i.LastIndex == 0:
		row("entries", "none")
	default:
		row("entries", "%s, from %d to %d", demo.Thousands(i.Entries), i.FirstIndex, i.LastIndex)
	}
	if holes := i.LastIndex - i.FirstIndex + 1 - i.Entries; i.LastIndex > 0 && holes > 0 && !i.changed {
		row("gaps", "%s", countText(holes, "index has no entry", "indexes have no entry"))
	}
	if i.Damaged > 0 {
		row("damaged", "%s", countText(i.Damaged, "entry", "entries"))
	}
	row("live", "%s of data and extensions", sizeText(i.LiveBytes))
	row("on disk", "%s", sizeText(i.DiskBytes))
	row("commit index", "%s", i.commitText())
	i.writeTerms(row)
	for _, v := range i.values {
		row(v.label(), "%s", shorten(v.text(), defaultWidth))
	}
	i.writeConfiguration(row, newest)
	if i.HalfPeer != "" {
		row("note", "%s", i.HalfPeer+halfNote)
	}
	if i.LinkedFiles > 0 {
		row("links", "%s", linkedText(i.Engine, i.LinkedFiles))
	}
	return t.end()
}

func (i *info) commitText() string {
	if i.CommitIndex == 0 {
		return "not kept"
	}
	return fmt.Sprint(i.CommitIndex)
}

func (i *info) writeTerms(row func(name, format string, args ...any)) {
	for n, term := range i.Terms {
		if skipped := len(i.Terms) - maxTerms; n > 0 && n <= skipped {
			if n == skipped {
				row("", "… %s, see --json", countText(skipped, "term more", "terms more"))
			}
			continue
		}
		row(fmt.Sprintf("term %d", term.Term), "from entry %d", term.FirstIndex)
	}
}

func (i *info) writeConfiguration(row func(name, format string, args ...any), newest *raft.Log) {
	switch {
	case newest == nil:
		row("servers", "no configuration in the log; it is in the newest snapshot")
	case i.Configuration.Error != "":
		row("servers", "entry %d: %s", newest.Index, i.Configuration.Error)
	default:
		row("servers", "as of entry %d", newest.Index)
		for _, server := range i.Configuration.Servers {
			row("", "%s", server.text())
		}
	}
}
