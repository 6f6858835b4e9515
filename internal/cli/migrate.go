package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gofrs/flock"
	"github.com/spf13/cobra"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/badgerstore"
	"github.com/raft-ballast/ballast/boltstore"
	"github.com/raft-ballast/ballast/internal/move"
	"github.com/raft-ballast/ballast/wal"
)

const migrateLong = `Makes a new store of any engine out of an old one of any engine, and of what raft-wal wrote: every
entry with all its fields, gaps, the commit index and every stable value. Then it reads both again
and compares them entry by entry. The old store stays as it is, and must not be in use.

The new store appears under its name when it is complete, verified and on the disk, and before that it
does not open. Whoever interrupts this, with Ctrl-C, kill -9 or by cutting the power, starts it again:
it begins anew, and what was left is removed. The new files have the owner and the mode of the old ones,
when root runs this.

A wal may hold many raft groups, which have ids. --group names the one that is meant, in each of the two
that is a wal: so it copies a group out of a log that several share, where it stays until 'ballast drop'
deletes it, and adds one to such a log. --as gives it another id in the new store; --as 0 makes it what
a peer with a log of its own opens. A log that is there must not be in use, and have no such group. --group ID=STORE, as often as there are stores, puts
all of them into one log. What is not complete of a group does not open either, and is made anew when
this is started again.

Some services keep the log in one store and the stable state, the term and the votes, in another: SOURCE
is the log then, and --stable the other one. A log without a term, or with entries of a later term than
that, is refused: a peer on it would have forgotten whom it has voted for. --log-only takes it as it is.

DESTINATION must not be there, but for an empty folder that is a mount point, as a volume of docker is:
then the store is made in it.

--dry-run copies for two seconds, removes that, and tells how long all of it will take.

With --json it is one object: source, stable, source_group, destination, group, entries, first_index, last_index,
commit_index, bytes, seconds, owner_kept, half_peer with --log-only where no peer may run on it, and dropped
where raft-wal's last write was cut off; with --group ID=STORE destination, and groups with such an object
of each. With --dry-run it has source,
destination, dry_run, disk_bytes of the old store, copied, how many entries the dry run has copied, and
seconds_about, what all of it will take.

` + exitHelp

const migrateExample = `  ballast migrate --dry-run bolt:/var/lib/app/raft.db wal:/var/lib/app/wal
  ballast migrate bolt:/var/lib/app/raft.db wal:/var/lib/app/wal
  ballast migrate --stable bolt:stable.dat bolt:logs.dat wal:/var/lib/app/wal
  ballast migrate raftwal:/var/lib/app/raft bolt:/var/lib/app/raft.db
  ballast migrate --group 7 bolt:/var/lib/app/7/raft.db wal:/var/lib/app/shared
  ballast migrate --group 1=bolt:1/raft.db --group 2=bolt:2/raft.db wal:shared
  ballast migrate --group 7 --as 0 wal:/var/lib/app/shared wal:/var/lib/app/7/wal
  ballast migrate --json /var/lib/app/badger wal:/var/lib/app/wal | jq .entries`

type migrateFlags struct {
	dryRun, json bool
	stable       string // the old store with the stable state
	logOnly      bool
	groups       []string // ID, or each ID=STORE
	as           groupFlag
}

func newMigrate(s streams) *cobra.Command {
	var f migrateFlags
	cmd := &cobra.Command{
		Use:     "migrate [SOURCE] DESTINATION",
		Short:   "Copy a store to another engine, and verify the copy",
		Long:    migrateLong,
		Example: migrateExample,
		RunE: func(cmd *cobra.Command, args []string) error {
			routes, err := f.routes(args)
			if err != nil {
				return err
			}
			return runMigrate(cmd.Context(), s, routes, f)
		},
	}
	cmd.Flags().StringArrayVar(&f.groups, "group", nil, "the raft group of a wal: ID, or ID=STORE for each that goes into one")
	cmd.Flags().Var(&f.as, "as", "the raft group, by its id, that it becomes in the new store (default the same id)")
	_ = cmd.RegisterFlagCompletionFunc("as", cobra.NoFileCompletions) // it is there
	cmd.Flags().StringVar(&f.stable, "stable", "", "the old store with the stable state, where SOURCE has the log alone")
	cmd.Flags().BoolVar(&f.logOnly, "log-only", false, "take a SOURCE that is no whole peer as it is")
	cmd.Flags().BoolVar(&f.dryRun, "dry-run", false, "tell how long it will take, and leave nothing")
	cmd.Flags().BoolVar(&f.json, "json", false, "print one object of JSON")
	return cmd
}

// migrated is what `ballast migrate --json` prints.
type migrated struct {
	Source      outside `json:"source"`
	Stable      outside `json:"stable,omitempty"` // the store with the stable state, where there are two
	SourceGroup *uint64 `json:"source_group,omitempty"`
	Destination outside `json:"destination"`
	Group       *uint64 `json:"group,omitempty"` // of the destination
	Entries     uint64  `json:"entries"`
	FirstIndex  uint64  `json:"first_index"`
	LastIndex   uint64  `json:"last_index"`
	CommitIndex uint64  `json:"commit_index"`
	Bytes       uint64  `json:"bytes"` // of data and extensions
	Seconds     float64 `json:"seconds"`
	OwnerKept   bool    `json:"owner_kept"`

	HalfPeer string `json:"half_peer,omitempty"` // why no peer may run on it

	// Dropped is a write at the end of a log of raft-wal that is not complete, and left out.
	Dropped *damageJSON `json:"dropped,omitempty"`

	route  route
	shares bool // the destination was the log of one peer
}

// mergedJSON is what `ballast migrate --group ID=STORE --json` prints.
type mergedJSON struct {
	Destination outside     `json:"destination"`
	Groups      []*migrated `json:"groups"`
}

func runMigrate(ctx context.Context, s streams, routes []route, f migrateFlags) error {
	ctx, ended := interruptible(ctx)
	defer ended()
	if err := cmp.Or(checkApart(routes), checkFree(routes), checkSources(routes)); err != nil {
		return err
	}
	if f.dryRun {
		return newMigrationOn(s, routes[0]).dryRun(ctx, s.out, f.json)
	}
	merged := mergedJSON{Destination: routes[0].dst.exactName()}
	for _, p := range routes {
		out, err := migrateOne(ctx, s, p)
		switch {
		case err != nil && len(merged.Groups) > 0:
			return fmt.Errorf("%s: %w; the raft groups before it are in %s, leave them out when you start this again", p.dst, err, p.dst.name())
		case err != nil:
			return err
		}
		merged.Groups = append(merged.Groups, out)
		if !f.json {
			_ = out.write(s.out) // the rest is copied also when nobody can be told, which s.out remembers
		}
	}
	s.done()
	switch _, _, many := strings.Cut(strings.Join(f.groups, " "), "="); {
	case f.json && many:
		return writeJSON(s.out, merged)
	case f.json:
		return writeJSON(s.out, merged.Groups[0])
	}
	return writeLines(s.out, "the old store is as it was; never run a peer on it again once the peer has run on the new one")
}

func migrateOne(ctx context.Context, s streams, p route) (*migrated, error) {
	m := newMigrationOn(s, p)
	copied, shares := m.job.Copy, false
	if p.dst.exists() {
		copied, shares = m.add, p.dst.ofOnePeer()
	}
	res, err := copied(ctx)
	m.shown.finish()
	if err != nil {
		return nil, m.failed(ctx, err)
	}
	out := &migrated{
		Source: p.src.exactName(), Stable: p.stableName(), SourceGroup: p.src.engine.group.json(), Destination: p.dst.exactName(), Group: p.dst.engine.group.json(), route: p, shares: shares, Entries: res.Entries, FirstIndex: res.FirstIndex, LastIndex: res.LastIndex,
		CommitIndex: res.CommitIndex, Bytes: res.Bytes, Seconds: time.Since(m.begun).Seconds(), OwnerKept: res.OwnerKept,
	}
	if damage, ok := errors.AsType[*ballast.CorruptionError](res.Dropped); ok {
		dropped := newDamageJSON(damage)
		out.Dropped = &dropped
	}
	if p.logOnly {
		out.HalfPeer, err = p.dst.half()
	}
	return out, err
}

// newPlace takes the name of a store that is to be made.
func newPlace(name string) (place, error) {
	prefix, path, cut := strings.Cut(name, ":")
	if !cut || path == "" {
		return place{}, usagef("%q does not say what to make there; give wal:DIR, bolt:FILE or badger:DIR", name)
	}
	e, err := durableEngine(prefix)
	if err != nil {
		return place{}, err
	}
	p := place{e, filepath.Clean(path)}
	return p, checkFolder("the new store", p.path)
}

// migration is one that is going on.
type migration struct {
	job    *move.Job
	route  route
	source place
	target place
	begun  time.Time
	shown  *reading
	copied time.Duration // how long copying took; 0 while it goes on
}

// twoText says what to do about half a peer.
const twoText = "`ballast migrate --stable STORE SOURCE DESTINATION` takes the store with the stable state too, and --log-only the log alone"

func newMigration(s streams, src, dst place) *migration {
	m := &migration{route: route{src: src, dst: dst}, source: src, target: dst, begun: time.Now(), shown: newReading(s, 0, 0)}
	m.job = &move.Job{
		Source: src.path, Destination: dst.path, Folder: dst.isFolder(), Two: twoText,
		Open:     func(path string) (move.Source, error) { return openAlone(place{src.engine, path}) },
		Create:   func(path string) (ballast.Store, error) { return createForCopy(place{dst.engine, path}) },
		Read:     func(path string) (ballast.Store, error) { return dst.engine.read(path) },
		Progress: m.progress,
	}
	return m
}

// newMigrationOn is newMigration with what --stable and --log-only say.
func newMigrationOn(s streams, p route) *migration {
	m := newMigration(s, p.src, p.dst)
	m.route, m.job.LogOnly = p, p.logOnly
	if p.stable != nil {
		m.job.Stable = p.stable.path
		m.job.OpenStable = func(path string) (move.Source, error) { return openAlone(place{p.stable.engine, path}) }
	}
	return m
}

// maxMigratedBytes is the largest entry that wal and bolt take at all.
const maxMigratedBytes = 1 << 30

// createForCopy makes a store that takes every entry. It syncs little: nothing counts before all of it is synced.
func createForCopy(p place) (ballast.Store, error) {
	switch p.engine.name {
	case "wal":
		if g := p.engine.group; g.given {
			return createGroup(p.path, g)
		}
		return opened[ballast.Store](wal.Open(p.path, &wal.Options{MaxEntryBytes: maxMigratedBytes}))
	case "bolt":
		return opened[ballast.Store](boltstore.Open(p.path, &boltstore.Options{NoSync: true, MaxEntryBytes: maxMigratedBytes}))
	case "badger":
		return opened[ballast.Store](badgerstore.Open(p.path, &badgerstore.Options{NoSync: true, GCInterval: -1}))
	}
	return p.engine.open(p.path)
}

// alone is a store that is open for reading, and that nobody writes to.
type alone struct {
	readStore
	lock io.Closer
}

func (a *alone) Close() error { return errors.Join(a.readStore.Close(), a.lock.Close()) }

// openAlone opens a store for reading and keeps writers out. bolt, badger and raft-wal lock it themselves; of a wal that is in use only
// a moment would be seen.
func openAlone(p place) (move.Source, error) {
	if p.engine.name != "wal" {
		return p.engine.read(p.path)
	}
	path := filepath.Join(p.path, "LOCK")
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() { // opening a pipe waits for who writes to it
		return nil, fmt.Errorf("locking the old store: %s is no file; nothing of a wal is that, so move it away", path)
	}
	lock := flock.New(path, flock.SetFlag(os.O_RDONLY))
	held, err := lock.TryRLock()
	switch {
	case errors.Is(err, fs.ErrNotExist): // no writer has been here
	case err != nil:
		return nil, fmt.Errorf("locking the old store: %w", err)
	case !held:
		return nil, &ballast.LockedError{Path: p.path, Err: errors.New("its lock is held")}
	}
	store, err := p.engine.read(p.path)
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return &alone{store, lock}, nil
}

// copyShare is the part of the time that copying takes, to tell of the time that is left while verifying has not begun.
const copyShare = 2. / 3

// part returns how much of all is done.
func part(p move.Progress) float64 {
	if p.Step == move.Copying {
		return p.Part * copyShare
	}
	return copyShare + p.Part*(1-copyShare)
}

// progress shows a line on a terminal.
func (m *migration) progress(p move.Progress) {
	now := time.Now()
	if p.Step == move.Verifying && m.copied == 0 {
		m.copied = now.Sub(m.begun)
	}
	if m.shown.w == nil || now.Sub(m.begun) < quietFor || now.Sub(m.shown.shown) < showEvery {
		return
	}
	m.shown.shown = now
	done := part(p)
	left := time.Duration(float64(now.Sub(m.begun)) * (1 - done) / max(done, 1e-6))
	m.shown.draw(fmt.Sprintf("%s: %s, %.0f %%, about %s left", p.Step, countText(p.Entries, "entry", "entries"),
		p.Part*maxPercent, left.Round(time.Second)))
}

// failed says what there is now.
func (m *migration) failed(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil && errors.Is(err, ctx.Err()):
		return fmt.Errorf("interrupted; %s is as it was, and nothing is left of the new store", m.source)
	case errors.Is(err, ballast.ErrCorrupt):
		return fmt.Errorf("%w; `ballast verify %s` tells all that is damaged", err, m.source)
	case errors.Is(err, move.ErrExists) && m.target.isWal() && !m.target.ofOnePeer(): // whose log is not to be shared by mistake
		return fmt.Errorf("%w, or --group with an id, to add it to this log", err)
	}
	return m.route.explain(err)
}

func (r *migrated) write(w io.Writer) error {
	what := "no entries"
	if r.Entries > 0 {
		what = fmt.Sprintf("%s from %d to %d, %s", countText(r.Entries, "entry", "entries"), r.FirstIndex, r.LastIndex, sizeText(int64(r.Bytes)))
	}
	from, become := r.route.src.String(), "has"
	if r.Stable != "" {
		from, become = from+" and "+r.Stable.String(), "have"
	}
	lines := []string{fmt.Sprintf("%s %s become %s: %s, copied and verified in %.1f s", from, become, r.route.dst, what, r.Seconds)}
	if r.Dropped != nil {
		lines = append(lines, fmt.Sprintf("left out: %s; a crash leaves a write that was never acknowledged, and without a crash it is damage",
			r.Dropped.text(fmt.Sprintf("what begins with entry %d", r.Dropped.Index))))
	}
	if r.shares {
		lines = append(lines, fmt.Sprintf("note: %s was the log of one peer, and is shared now; --group says which of them a command means", r.Destination))
	}
	if !r.OwnerKept {
		lines = append(lines, "note: the new store does not belong to whom the old one belongs to; only root can see to that")
	}
	if r.HalfPeer != "" {
		lines = append(lines, halfText(r.HalfPeer))
	}
	return writeLines(w, lines...)
}
