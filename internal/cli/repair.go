package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"strings"

	"github.com/spf13/cobra"

	"github.com/raft-ballast/ballast"
	sites "github.com/raft-ballast/ballast/internal/place"
)

const repairLong = `Says what can be kept of a damaged store, and what must come again from the other peers of the
cluster. With --write it makes a new store of what is kept, checks it, and puts it in the place of the
old one, which stays as it is beside it, as STORE.quarantine-TIME. Nothing is ever removed. A store
that is in use is refused.

Kept are the entries before the first one that cannot be read: raft cannot use a log with a hole in
it. When the peer has a snapshot, --snapshot with its index keeps the entries behind the damage
instead, where the snapshot covers what is damaged. The index of a snapshot of raft's own store is the
second number in its name, TERM-INDEX-TIME. One above all that is seen to have been stored is taken only
with --accept-loss, since no entry would be kept; none is needed where no entry is damaged.

Is it safe? Raft counts on what a peer has acknowledged. One that comes back without entries that it had
acknowledged, or without its newest term or vote, may help to elect a leader that lacks a committed
entry, or vote twice in a term: then something that the cluster had promised is lost. So --write
refuses that, unless --accept-loss says so. It is harmless when every other peer is up and has all
entries, or when the cluster is lost otherwise. The safe way needs no repair: keep the store under
another name, remove the peer from the cluster, and let it join again as a new server with an empty
one. A write at the end of the log that a crash cut off was never acknowledged, and is no loss.

A wal that several raft groups share is refused, so that none is lost. Damage to the entries of one group
stops no other: 'ballast verify' says which it is and what to do, and 'ballast migrate --group' copies one
that is good into another store. Damage that opening the log needs stops all of them, and nothing can be
taken out then: start all groups of the peer with an empty folder, and let each join again as a new server.

With --json it is one object: store, engine, ok; damaged as 'ballast verify --json' prints it; kept with
entries, first_index, last_index, commit_index, stable and stable_other; come_again, ranges of entries
that must come from the other peers, and come_more, that there may be more; stable_unsure and
stable_stale, that a stable value may be missing, and which are old; loses, that --accept-loss is
needed; snapshot_keeps, the entries that --snapshot would keep; snapshot_beyond, an index of --snapshot
that is above everything; half_peer, why no peer may run on what is kept; written, and quarantine, where the damaged store is then.

` + exitHelp

const repairExample = `  ballast repair /var/lib/app/raft                      # says what it would do
  ballast repair --write wal:/var/lib/app/wal           # when nothing is lost
  ballast repair --write --snapshot 12000 wal:/var/lib/app/wal
  ballast repair --write --accept-loss wal:/var/lib/app/wal`

// repairFlags are what the command line says.
type repairFlags struct {
	write, acceptLoss, asJSON bool
	snapshot                  uint64
}

func newRepair(s streams) *cobra.Command {
	var f repairFlags
	cmd := &cobra.Command{
		Use:     "repair STORE",
		Short:   "Make a store of what can be read of a damaged one",
		Long:    repairLong,
		Example: repairExample,
		Args:    storeArgs,
		RunE: func(_ *cobra.Command, args []string) error {
			if f.snapshot == math.MaxUint64 {
				return usagef("--snapshot is %d, behind which there is nothing; give the index of a snapshot", f.snapshot)
			}
			if f.acceptLoss && !f.write {
				return usagef("--accept-loss does nothing without --write; add --write, or leave it out to see what would be lost")
			}
			return runRepair(s, args[0], f)
		},
	}
	cmd.Flags().BoolVar(&f.write, "write", false, "do it; without it nothing is written")
	cmd.Flags().BoolVar(&f.acceptLoss, "accept-loss", false, "also when acknowledged entries, or a vote, are lost with it")
	cmd.Flags().Uint64Var(&f.snapshot, "snapshot", 0, "the index of this peer's newest snapshot; entries up to it are not needed")
	cmd.Flags().BoolVar(&f.asJSON, "json", false, "print one object of JSON")
	return cmd
}

func runRepair(s streams, name string, f repairFlags) error {
	if err := undoRepair(s, name, f); err != nil {
		return err
	}
	at, err := findStore(name)
	if err != nil {
		return err
	}
	if at.engine.open == nil {
		return fmt.Errorf("%s cannot be repaired: %s; `ballast migrate` makes a store of another engine of what is good", at, at.engine.unfit)
	}
	if at.path, err = realPath(at.path); err != nil {
		return err
	}
	if f.write {
		unlock, err := at.lock()
		if err != nil {
			return err
		}
		defer unlock()
	}
	p, err := newRepairPlan(s, at, f)
	if err != nil {
		return err
	}
	defer p.wreck.close() // it was only read from
	return p.carryOut(s, f)
}

// undoRepair gives a store its name back that had another one when a repair of it was interrupted. Somebody may have written to it since, so what that repair
// has built does not count any more.
func undoRepair(s streams, name string, f repairFlags) error {
	path := name
	if _, rest, cut := strings.Cut(name, ":"); cut && !sites.Unfinished(path) {
		path = rest
	}
	if !sites.Unfinished(path) {
		return nil
	}
	if !f.write {
		return fmt.Errorf("a repair of %s was interrupted when the store had another name; `ballast repair --write %s` gives it its name back and begins anew, and do not start the peer before", path, name)
	}
	if err := sites.GiveBack(path); err != nil {
		return fmt.Errorf("taking back a repair that was interrupted: %w", err)
	}
	s.tell("a repair of %s was interrupted; the store has its name back, and this one begins anew", shown(path))
	return nil
}

// carryOut shows the plan, and does it when that is wanted and allowed.
func (p *repairPlan) carryOut(s streams, f repairFlags) error {
	var refused error
	if f.write && !p.OK {
		if p.Loses && !f.acceptLoss {
			refused = p.refusal()
		} else if err := p.do(s); err != nil {
			return repairError(p.at, err)
		}
	}
	if f.asJSON {
		if err := writeJSON(s.out, p); err != nil {
			return err
		}
	} else if err := p.print(s.out, f); err != nil {
		return err
	}
	switch {
	case refused != nil:
		return refused
	case !f.write && !p.OK:
		return exitStatus(ExitCorrupt)
	}
	return nil
}

// refusal says why nothing is written.
func (p *repairPlan) refusal() error {
	if p.SnapshotBeyond > 0 && len(p.ComeAgain) == 0 && !p.ComeMore && !p.StableUnsure {
		return fmt.Errorf("%s was not repaired: --snapshot is above the last entry that is seen to have been stored, %d, and all entries would go; look at the number again, and give --accept-loss if it is right", p.at, p.wreck.reached)
	}
	return fmt.Errorf("%s was not repaired: acknowledged entries or votes would be lost; read `ballast repair --help`, and give --accept-loss if that is wanted", p.at)
}

func repairError(at place, err error) error {
	if _, moved := errors.AsType[*sites.MovedError](err); moved {
		return fmt.Errorf("repairing %s: %w; see to it that the right one is in its place before a peer starts", at, err)
	}
	if errors.Is(err, context.Canceled) {
		return fmt.Errorf("interrupted; %s is as it was", at)
	}
	if errors.Is(err, errUsedMeanwhile) {
		return fmt.Errorf("repairing %s: %w", at, err)
	}
	if errors.Is(err, sites.ErrFixed) {
		return fmt.Errorf("repairing %s: %w; the store is as it was. Mount the folder that it is in, and not the store itself; "+
			"or copy the store to another place, repair the copy, and put that in the place of this one", at, err)
	}
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("repairing %s: %w; run it as the owner of the store and of the folder that it is in", at, err)
	}
	return fmt.Errorf("repairing %s: %w; the store is as it was", at, err)
}

// repairPlan is what `ballast repair --json` prints.
type repairPlan struct {
	Store   outside      `json:"store"`
	Engine  string       `json:"engine"`
	OK      bool         `json:"ok"` // nothing is damaged
	Damaged []damageJSON `json:"damaged"`
	Kept    keptJSON     `json:"kept"`

	ComeAgain    []indexRange `json:"come_again"` // entries that are not kept and that no snapshot covers
	ComeMore     bool         `json:"come_more"`  // and perhaps more behind them, which cannot be seen
	StableUnsure bool         `json:"stable_unsure"`
	StableStale  []outside    `json:"stable_stale,omitempty"` // keys of values that may be older than what was acknowledged
	Loses        bool         `json:"loses"`                  // --write needs --accept-loss

	// SnapshotBeyond is the index of a snapshot that is needed, and above the last entry that is seen to have been stored.
	SnapshotBeyond uint64 `json:"snapshot_beyond,omitempty"`

	// SnapshotKeeps are good entries that a snapshot at least at the index before the first of them would let be kept.
	SnapshotKeeps *indexRange `json:"snapshot_keeps,omitempty"`

	HalfPeer   string  `json:"half_peer,omitempty"` // why no peer may run on what is kept
	Written    bool    `json:"written"`
	Quarantine outside `json:"quarantine,omitempty"`

	at     place
	wreck  *wreck
	source *source
	lost   []indexRange // that cannot be read
}

// keptJSON is what the repaired store has.
type keptJSON struct {
	Entries     uint64 `json:"entries"`
	FirstIndex  uint64 `json:"first_index"`
	LastIndex   uint64 `json:"last_index"`
	CommitIndex uint64 `json:"commit_index"`
	stableJSON
}

func newRepairPlan(s streams, at place, f repairFlags) (p *repairPlan, err error) {
	w, err := at.openWreck(s, f.write)
	if errors.Is(err, ballast.ErrCorrupt) {
		return nil, fmt.Errorf("nothing can be read of %s: %w; %s", at, err, startAnew)
	}
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = w.close() // it was only read from
		}
	}()
	p = &repairPlan{Store: at.exact(), Engine: at.engine.name, at: at, wreck: w, Damaged: w.damaged,
		StableUnsure: w.stableUnsure, StableStale: w.stale, ComeAgain: []indexRange{}}
	scan := w.scan
	if scan == nil {
		if scan, err = w.log.scanAll(s); err != nil {
			return nil, err
		}
	}
	p.Damaged = append(notNilDamage(p.Damaged), scan.damaged...)
	behind := scan
	if w.later != nil {
		if behind, err = w.later.scanAll(s); err != nil {
			return nil, err
		}
		p.Damaged = append(p.Damaged, behind.damaged...)
	}
	p.OK = len(p.Damaged) == 0 && !p.StableUnsure
	p.lost = append(p.lost, scan.bad...)
	if whole := behind == scan && len(scan.bad) == 0 && w.reached <= scan.prefix(); f.snapshot == 0 || whole {
		p.keepPrefix(scan, behind) // all of it, when nothing is missing
	} else if err := p.keepBehind(scan, behind, f.snapshot); err != nil {
		return nil, err
	}
	p.ComeMore = p.ComeMore || w.endUnsure
	p.Loses = len(p.ComeAgain) > 0 || p.ComeMore || p.StableUnsure || p.SnapshotBeyond > 0
	return p, p.describe()
}

func notNilDamage(d []damageJSON) []damageJSON {
	if d == nil {
		return []damageJSON{}
	}
	return d
}

// keepPrefix keeps what is before the damage.
func (p *repairPlan) keepPrefix(scan, behind *scanned) {
	to := scan.prefix()
	p.keep(scan.src, scan.within(1, to))
	p.ComeMore = behind != scan
	if p.wreck.reached > to {
		p.ComeAgain = append(p.ComeAgain, indexRange{to + 1, p.wreck.reached})
	}
	if behind == scan && len(scan.bad) == 0 {
		return
	}
	if from, upTo := behind.around(p.wreck.reached); len(behind.within(max(from, to+1), upTo)) > 0 {
		good := behind.within(max(from, to+1), upTo)
		p.SnapshotKeeps = &indexRange{good[0].From, good[len(good)-1].To}
	}
}

// keepBehind keeps what goes on where a snapshot ends.
func (p *repairPlan) keepBehind(scan, behind *scanned, snapshot uint64) error {
	if behind == scan && scan.prefix() >= snapshot { // it is no use: the damage is newer
		p.keepPrefix(scan, behind)
		return nil
	}
	from, to := behind.around(snapshot)
	kept := behind.within(from, to)
	if len(kept) == 0 && scan.prefix() > snapshot { // nothing follows what is missing, and what is before it goes further
		p.keepPrefix(scan, behind)
		return nil
	}
	switch {
	case len(kept) > 0 && kept[0].From > snapshot+1:
		return usagef("a snapshot at %d does not cover what is damaged: the next good entry is %d; give the index of one that is at %d or above, or none",
			snapshot, kept[0].From, kept[0].From-1)
	case len(kept) == 0 || kept[len(kept)-1].To < snapshot:
		kept = nil
	}
	p.keep(behind.src, kept)
	if snapshot > p.wreck.reached { // most likely the number is wrong, and everything would go with it
		p.SnapshotBeyond = snapshot
	}
	last := snapshot
	if len(kept) > 0 {
		last = kept[len(kept)-1].To
	}
	if p.wreck.reached > last {
		p.ComeAgain = append(p.ComeAgain, indexRange{last + 1, p.wreck.reached})
	}
	p.ComeMore = behind != scan && len(kept) == 0 // what is missing may have been behind the snapshot
	return nil
}

// keep chooses what the repaired store has.
func (p *repairPlan) keep(src *source, entries []indexRange) {
	v := &view{readStore: src.readStore, from: 1, stable: p.wreck.stable}
	for _, r := range entries {
		p.Kept.Entries += r.To - r.From + 1
	}
	if n := len(entries); n > 0 {
		v.from, v.to = entries[0].From, entries[n-1].To
	}
	p.source = &source{src.place, v}
}

// describe fills in what the repaired store has.
func (p *repairPlan) describe() (err error) {
	if p.Kept.FirstIndex, p.Kept.LastIndex, err = p.source.bounds(); err != nil {
		return err
	}
	if p.Kept.CommitIndex, err = p.source.GetCommitIndex(); err != nil {
		return err
	}
	p.HalfPeer = half(p.source, p.source)
	p.Kept.stableJSON, err = readStable(p.source)
	return err
}
