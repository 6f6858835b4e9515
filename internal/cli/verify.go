package cli

import (
	"errors"
	"fmt"
	"io"

	"github.com/hashicorp/raft"
	"github.com/spf13/cobra"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/cli/demo"
	common "github.com/raft-ballast/ballast/internal/engine"
	"github.com/raft-ballast/ballast/internal/raftwal"
)

const verifyLong = `Reads everything that a store holds and checks it: the checksum of each entry, where the engine has
one; that each entry is the one of its index; that terms never fall; that the commit index is not
above the last entry; and the stable values. It says what is damaged, in which file and where, which
entries are lost, and whether the store can still be used.

A gap between two entries is told and is no damage: raft leaves one when it installs a snapshot. So are
entries without a CurrentTerm, or of a later term: the store has the log alone of a peer, whose stable
state is in another store, or is older than its log.
Terms that fall are: no raft peer writes that.

Of a wal that several raft groups share each group is read, and it is told of each what is damaged;
--group reads one. Damage to the entries of one group stops no other. Damage that opening the log needs
stops all of them, and nothing can be taken out of such a log.

With --json it is one object: store, engine, ok, opens, entries that there are, entries_read of them,
first_index, last_index, commit_index, damaged with the index, file, offset and cause of each place as
far as they are known, and to where all from the index to that one cannot be found, gaps, terms_fall,
half_peer, why no peer may run on it, linked_files, how many have more than one link, and dropped, a write at the end of a log of raft-wal that is not complete. Of several groups it is store,
engine, ok, opens, entries and entries_read of all, and groups with such an object of each.

` + exitHelp

const verifyExample = `  ballast verify /var/lib/app/raft
  ballast verify --json wal:/var/lib/app/wal | jq '.damaged[].index'`

func newVerify(s streams) *cobra.Command {
	var asJSON bool
	var group groupFlag
	cmd := &cobra.Command{
		Use:     "verify STORE",
		Short:   "Read all of a store and tell what is damaged",
		Long:    verifyLong,
		Example: verifyExample,
		Args:    storeArgs,
		RunE:    func(_ *cobra.Command, args []string) error { return runVerify(s, args[0], group, asJSON) },
	}
	group.add(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one object of JSON")
	return cmd
}

// verdict is what `ballast verify --json` prints.
type verdict struct {
	Store       outside      `json:"store"`
	Group       *uint64      `json:"group,omitempty"` // of several
	Engine      string       `json:"engine"`
	OK          bool         `json:"ok"`
	Opens       bool         `json:"opens"`        // the store can be used, but for what is damaged
	Entries     uint64       `json:"entries"`      // that there are, with the damaged ones
	Read        uint64       `json:"entries_read"` // without them
	FirstIndex  uint64       `json:"first_index"`
	LastIndex   uint64       `json:"last_index"`
	CommitIndex uint64       `json:"commit_index"`
	Damaged     []damageJSON `json:"damaged"`
	Gaps        []indexRange `json:"gaps"`       // without entries
	TermsFall   []fallJSON   `json:"terms_fall"` // at these entries

	// HalfPeer says why no peer may run on it, though nothing is damaged: its stable state is in
	// another store, or is older.
	HalfPeer string `json:"half_peer,omitempty"`

	LinkedFiles int `json:"linked_files,omitempty"` // with more than one link

	// Dropped is a write at the end of a log of raft-wal that is not complete, and left out: cut off by a crash, or damaged.
	Dropped *damageJSON `json:"dropped,omitempty"`

	repair  *repairPlan // of a wal that does not open
	engine  engine
	at      place
	stable  stableJSON
	highest uint64       // term
	before  position     // the entry that was read last; index 0 for none
	last    uint64       // index of the last one, damaged or not
	lost    []indexRange // entries that are damaged

	readings func() uint64 // of the source
	reading  uint64        // that the entry before is from

	shared       bool // a raft group of a log that several share, or such a log
	endUnsure    bool // what was acknowledged last may be missing
	stableUnsure bool // a stable value cannot be read
}

// fallJSON is an entry whose term is below that of the entry before it.
type fallJSON struct {
	Index         uint64 `json:"index"`
	Term          uint64 `json:"term"`
	PreviousIndex uint64 `json:"previous_index"`
	PreviousTerm  uint64 `json:"previous_term"`
}

func runVerify(s streams, name string, group groupFlag, asJSON bool) error {
	at, err := findGroup(name, group)
	if err != nil {
		return err
	}
	if log, err := at.openShared(); err == nil && log != nil { // what is wrong is found again below
		return runSharedVerify(s, log, asJSON)
	}
	v := newVerdict(at)
	if err := v.examine(s, at); err != nil {
		return err
	}
	v.judge()
	v.LinkedFiles = at.linkedFiles()
	if asJSON {
		err = writeJSON(s.out, v)
	} else {
		err = v.write(s.out)
	}
	if err == nil && !v.OK {
		err = exitStatus(ExitCorrupt)
	}
	return err
}

func newVerdict(at place) *verdict {
	return &verdict{
		Store: at.exactName(), Group: at.engine.group.json(), Engine: at.engine.name, engine: at.engine, at: at,
		Damaged: []damageJSON{}, Gaps: []indexRange{}, TermsFall: []fallJSON{},
	}
}

func (v *verdict) judge() { v.OK = len(v.Damaged) == 0 && len(v.TermsFall) == 0 }

// examine reads the store. What is damaged is no error.
func (v *verdict) examine(s streams, at place) (err error) {
	src, err := at.open()
	if damage, ok := errors.AsType[*ballast.CorruptionError](err); ok {
		return v.examineWreck(s, at, newDamageJSON(damage))
	}
	if unreadable(err) {
		return v.examineWreck(s, at, damageJSON{File: outside(at.path), Cause: oneLine(err)})
	}
	if err != nil {
		return err
	}
	defer closing(src, &err)
	v.Opens = true
	if one, ok := src.readStore.(*walStore); ok {
		v.shared = isShared(one.groups.IDs())
	}
	return v.examineSource(s, src)
}

// examineSource reads all of a store that is open.
func (v *verdict) examineSource(s streams, src *source) (err error) {
	if v.FirstIndex, v.LastIndex, err = src.bounds(); err != nil {
		return err
	}
	if err := v.examineState(src); err != nil {
		return err
	}
	v.readings, v.reading = src.reading, src.reading()
	err = src.scan(newReading(s, v.FirstIndex, v.LastIndex), v.FirstIndex, v.LastIndex, v.entry, v.damage)
	if !v.stableUnsure {
		v.HalfPeer = v.stable.half(v.highest)
	}
	return err
}

// examineWreck looks at a store that does not open. Of a wal it finds all that is damaged, and what could be kept.
func (v *verdict) examineWreck(s streams, at place, damage damageJSON) error {
	v.Damaged = append(v.Damaged, damage)
	if at.engine.name != "wal" {
		return nil
	}
	p, err := newRepairPlan(s, at, repairFlags{})
	if err != nil {
		v.shared = errors.Is(err, common.ErrSharedLog) || at.engine.group.id != 0
		return nil // what opening says is all there is to say
	}
	defer p.wreck.close() // it was only read from
	if len(p.Damaged) > 0 {
		v.Damaged = p.Damaged
	}
	v.repair = p
	return nil
}

// examineState reads what is no entry.
func (v *verdict) examineState(src *source) (err error) {
	if v.CommitIndex, err = src.GetCommitIndex(); err != nil {
		return fmt.Errorf("reading the commit index: %w", err)
	}
	if v.CommitIndex > v.LastIndex {
		v.Damaged = append(v.Damaged, damageJSON{File: outside(src.path), Cause: fmt.Sprintf("the commit index is %d and the last entry %d", v.CommitIndex, v.LastIndex)})
	}
	if v.stable, err = readStable(src); err != nil {
		damage, ok := errors.AsType[*ballast.CorruptionError](err)
		if !ok {
			return err
		}
		v.Damaged, v.stableUnsure = append(v.Damaged, newDamageJSON(damage)), true
	}
	v.examineEngine(src)
	return nil
}

// examineEngine looks at what only one engine has.
func (v *verdict) examineEngine(src *source) {
	if log, ok := src.readStore.(*raftwal.Log); ok {
		if damage, ok := errors.AsType[*ballast.CorruptionError](log.Dropped()); ok {
			dropped := newDamageJSON(damage)
			v.Dropped = &dropped
		}
	}
	if damage := src.damage(); damage != nil {
		v.Damaged, v.endUnsure = append(v.Damaged, newDamageJSON(damage)), true
	}
}

// entry notes an entry that could be read.
func (v *verdict) entry(log *raft.Log) error {
	v.note(indexRange{log.Index, log.Index})
	v.Read++
	v.highest = max(v.highest, log.Term)
	if v.before.index != 0 && log.Term < v.before.term {
		v.TermsFall = append(v.TermsFall, fallJSON{log.Index, log.Term, v.before.index, v.before.term})
	}
	v.before = position{log.Index, log.Term}
	return nil
}

// damage notes those that could not.
func (v *verdict) damage(d damageJSON) error {
	v.Damaged = append(v.Damaged, d)
	at := d.entries()
	v.note(at)
	v.lost = addRange(v.lost, at)
	return nil
}

// note counts entries, and the gap before them. Where a wal that is written was read anew, the
// entry before is from another moment: it may have been deleted or replaced since, and nothing
// follows from the two.
func (v *verdict) note(at indexRange) {
	v.Entries += at.count()
	if now := v.readings(); now != v.reading {
		v.reading, v.last, v.before = now, 0, position{}
	}
	if last := v.last; last != 0 && last+1 != at.From {
		v.Gaps = append(v.Gaps, indexRange{last + 1, at.From - 1})
	}
	v.last = at.To
}

// maxDamage is how many places of damage are shown to people.
const maxDamage = 50

// write shows it to people.
func (v *verdict) write(w io.Writer) error {
	return writeLines(w, v.lines()...)
}

func (v *verdict) lines() []string { return append(v.found(), advice(v)...) }

// found are the lines that are about this store alone.
func (v *verdict) found() []string {
	lines := []string{fmt.Sprintf("%s: %s", v.at, v.summary())}
	lines = append(lines, atMost(maxDamage, damageLines(v.Damaged))...)
	lines = append(lines, atMost(maxDamage, v.fallLines())...)
	if len(v.Gaps) > 0 {
		lines = append(lines, fmt.Sprintf("gaps: no entries %s; raft leaves a gap when it installs a snapshot", rangesText(v.Gaps)))
	}
	if v.Dropped != nil {
		lines = append(lines, fmt.Sprintf("left out: %s; a crash leaves a write that was never acknowledged, and without a crash it is damage",
			v.Dropped.text(fmt.Sprintf("what begins with entry %d", v.Dropped.Index))))
	}
	if v.HalfPeer != "" {
		lines = append(lines, halfText(v.HalfPeer))
	}
	if v.LinkedFiles > 0 {
		lines = append(lines, "note: "+linkedText(v.Engine, v.LinkedFiles))
	}
	return append(lines, v.losses()...)
}

func atMost(n int, lines []string) []string {
	if len(lines) <= n {
		return lines
	}
	return append(lines[:n:n], fmt.Sprintf("… %s more, see --json", countText(len(lines)-n, "line", "lines")))
}

func (v *verdict) fallLines() (lines []string) {
	for _, f := range v.TermsFall {
		lines = append(lines, fmt.Sprintf("terms fall: entry %d is of term %d, entry %d before it of term %d",
			f.Index, f.Term, f.PreviousIndex, f.PreviousTerm))
	}
	return lines
}

func (v *verdict) summary() string {
	switch {
	case !v.Opens:
		return "it does not open"
	case v.LastIndex == 0 && v.OK:
		return "good, and without entries"
	}
	text := "good"
	switch {
	case len(v.Damaged) > 0:
		text = "damaged"
	case !v.OK:
		text = "its terms fall"
	}
	return fmt.Sprintf("%s, %s from %d to %d read", text, readText(v.Read, v.Entries), v.FirstIndex, v.LastIndex)
}

// readText says how many entries of those that there are could be read.
func readText(read, entries uint64) string {
	text := countText(entries, "entry", "entries")
	if read < entries {
		text = demo.Thousands(read) + " of " + text
	}
	return text
}
