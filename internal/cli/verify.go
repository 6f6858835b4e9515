package cli

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/hashicorp/raft"
	"github.com/spf13/cobra"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/cli/demo"
	"github.com/raft-ballast/ballast/internal/raftwal"
)

const verifyLong = `Reads everything that a store holds and checks it: the checksum of each entry, where the engine has
one; that each entry is the one of its index; that terms never fall; that the commit index is not
above the last entry; and the stable values. It says what is damaged, in which file and where, which
entries are lost, and whether the store can still be used.

A gap between two entries is told and is no damage: raft leaves one when it installs a snapshot.
Terms that fall are: no raft peer writes that.

Of a wal that several raft groups share each group is read, and it is told of each what is damaged;
--group reads one.

With --json it is one object: store, engine, ok, opens, entries, first_index, last_index, commit_index,
damaged with the index, file, offset and cause of each place as far as they are known, and to where all
from the index to that one cannot be found, gaps, terms_fall, and dropped, a write at the end of a log of raft-wal that is not complete. Of several groups it is
store, engine, ok, opens, entries of all, and groups with such an object of each.

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
	Store       string       `json:"store"`
	Group       *uint64      `json:"group,omitempty"` // of several
	Engine      string       `json:"engine"`
	OK          bool         `json:"ok"`
	Opens       bool         `json:"opens"`   // the store can be used, but for what is damaged
	Entries     uint64       `json:"entries"` // that there are, with the damaged ones
	FirstIndex  uint64       `json:"first_index"`
	LastIndex   uint64       `json:"last_index"`
	CommitIndex uint64       `json:"commit_index"`
	Damaged     []damageJSON `json:"damaged"`
	Gaps        []indexRange `json:"gaps"`       // without entries
	TermsFall   []fallJSON   `json:"terms_fall"` // at these entries

	// Dropped is a write at the end of a log of raft-wal that is not complete, and left out: cut off by a crash, or damaged.
	Dropped *damageJSON `json:"dropped,omitempty"`

	repair *repairPlan // of a wal that does not open
	engine engine
	at     place
	before position     // the entry that was read last; index 0 for none
	last   uint64       // index of the last one, damaged or not
	lost   []indexRange // entries that are damaged

	unread uint64 // how many that are

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
		Store: at.name(), Group: at.engine.group.json(), Engine: at.engine.name, engine: at.engine, at: at,
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
		return v.examineWreck(s, at, damageJSON{File: at.path, Cause: oneLine(err)})
	}
	if err != nil {
		return err
	}
	defer closing(src, &err)
	v.Opens = true
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
	return src.scan(newReading(s, v.FirstIndex, v.LastIndex), v.FirstIndex, v.LastIndex, v.entry, v.damage)
}

// examineWreck looks at a store that does not open. Of a wal it finds all that is damaged, and what could be kept.
func (v *verdict) examineWreck(s streams, at place, damage damageJSON) error {
	v.Damaged = append(v.Damaged, damage)
	if at.engine.name != "wal" {
		return nil
	}
	p, err := newRepairPlan(s, at, repairFlags{})
	if err != nil {
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
		v.Damaged = append(v.Damaged, damageJSON{File: src.path, Cause: fmt.Sprintf("the commit index is %d and the last entry %d", v.CommitIndex, v.LastIndex)})
	}
	if _, err := readStable(src); err != nil {
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
	v.unread += at.count()
	v.lost = addRange(v.lost, at)
	return nil
}

// note counts entries, and the gap before them.
func (v *verdict) note(at indexRange) {
	v.Entries += at.count()
	if last := v.last; last != 0 && last+1 != at.From {
		v.Gaps = append(v.Gaps, indexRange{last + 1, at.From - 1})
	}
	v.last = at.To
}

// maxDamage is how many places of damage are shown to people.
const maxDamage = 50

// write shows it to people.
func (v *verdict) write(w io.Writer) error {
	_, err := fmt.Fprintln(w, strings.Join(v.lines(), "\n"))
	return err
}

func (v *verdict) lines() []string {
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
	return append(lines, v.meaning()...)
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
	entries := countText(v.Entries, "entry", "entries")
	if v.unread > 0 {
		entries = demo.Thousands(v.Entries-v.unread) + " of " + entries
	}
	return fmt.Sprintf("%s, %s from %d to %d read", text, entries, v.FirstIndex, v.LastIndex)
}

// meaning says what is lost and whether the store can still be used.
func (v *verdict) meaning() (lines []string) {
	add := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	if v.OK && v.engine.blind != "" {
		add("note: %s", v.engine.blind)
	}
	if v.repair != nil {
		add("what it means: a peer cannot start with this store")
		add("can be kept: %s", v.repair.keptText())
		lines = append(lines, v.repair.lossLines()...)
		if v.repair.Loses {
			add("what to do: %s; `ballast repair %s` says what else there is", startAnew, v.Store)
		} else {
			add("what to do: `ballast repair --write %s`, with which nothing is lost", v.Store)
		}
		return lines
	}
	if !v.Opens {
		add("lost: all of it for this peer, as long as the damage is there: a peer cannot start with this store")
		add("what to do: %s", startAnew)
		return lines
	}
	if len(v.lost) > 0 {
		opens, when := ", and the store opens", ""
		if v.engine.refused != "" {
			opens, when = "", ", or "+v.engine.refused
		}
		add("lost: %s %s; all others can be read%s", plural(v.lost, "entry", "entries"), rangesText(v.lost), opens)
		add("what it means: a peer cannot start when one of them is newer than its newest snapshot%s; otherwise it stops, or cannot help a follower, as soon as that one is asked for", when)
	} else if len(v.Damaged) > 0 {
		add("lost: no entry that the store knows of; it opens")
	}
	if v.stableUnsure {
		add("lost as well: stable values, as the term and the vote")
	}
	if v.endUnsure {
		add("lost perhaps: the entries that were stored last, and the last term or vote")
	}
	if len(v.Damaged) > 0 {
		add("what to do: %s", startAnew)
	}
	if len(v.TermsFall) > 0 {
		add("what falling terms mean: no raft peer writes that; the log may be put together from two, and what is above the fall should not be trusted")
	}
	return lines
}

// startAnew is what helps a peer whose store is damaged.
const startAnew = "keep the store under another name, start the peer with an empty one, and let it join the cluster again as a new server: the others have what it lost"

func plural(ranges []indexRange, one, many string) string {
	if len(ranges) == 1 && ranges[0].From == ranges[0].To {
		return one
	}
	return many
}
