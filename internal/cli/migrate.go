package cli

import (
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

--dry-run copies for two seconds, removes that, and tells how long all of it will take.

With --json it is one object: source, destination, entries, first_index, last_index, commit_index,
bytes of data, seconds, owner_kept, and dropped where raft-wal's last write was cut off.

` + exitHelp

const migrateExample = `  ballast migrate --dry-run bolt:/var/lib/app/raft.db wal:/var/lib/app/wal
  ballast migrate bolt:/var/lib/app/raft.db wal:/var/lib/app/wal
  ballast migrate raftwal:/var/lib/app/raft bolt:/var/lib/app/raft.db
  ballast migrate --json /var/lib/app/badger wal:/var/lib/app/wal | jq .entries`

type migrateFlags struct{ dryRun, json bool }

func newMigrate(s streams) *cobra.Command {
	var f migrateFlags
	cmd := &cobra.Command{
		Use:     "migrate SOURCE DESTINATION",
		Short:   "Copy a store to another engine, and verify the copy",
		Long:    migrateLong,
		Example: migrateExample,
		Args: func(cmd *cobra.Command, args []string) error {
			return countArgs(cmd, args, 2, "the old store and the name of the new one")
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return runMigrate(cmd.Context(), s, args[0], args[1], f)
		},
	}
	cmd.Flags().BoolVar(&f.dryRun, "dry-run", false, "tell how long it will take, and leave nothing")
	cmd.Flags().BoolVar(&f.json, "json", false, "print one object of JSON")
	return cmd
}

// migrated is what `ballast migrate --json` prints.
type migrated struct {
	Source      string  `json:"source"`
	Destination string  `json:"destination"`
	Entries     uint64  `json:"entries"`
	FirstIndex  uint64  `json:"first_index"`
	LastIndex   uint64  `json:"last_index"`
	CommitIndex uint64  `json:"commit_index"`
	Bytes       uint64  `json:"bytes"` // of data and extensions
	Seconds     float64 `json:"seconds"`
	OwnerKept   bool    `json:"owner_kept"`

	// Dropped is a write at the end of a log of raft-wal that is not complete, and left out.
	Dropped *damageJSON `json:"dropped,omitempty"`
}

func runMigrate(ctx context.Context, s streams, from, to string, f migrateFlags) error {
	dst, err := newPlace(to)
	if err != nil {
		return err
	}
	src, err := findStore(from)
	if err != nil {
		return err
	}
	ctx, ended := interruptible(ctx)
	defer ended()
	m := newMigration(s, src, dst)
	if f.dryRun {
		return m.dryRun(ctx, s.out, f.json)
	}
	res, err := m.job.Copy(ctx)
	m.shown.finish()
	if err != nil {
		return m.failed(ctx, err)
	}
	out := &migrated{
		Source: src.String(), Destination: dst.String(), Entries: res.Entries, FirstIndex: res.FirstIndex, LastIndex: res.LastIndex,
		CommitIndex: res.CommitIndex, Bytes: res.Bytes, Seconds: time.Since(m.begun).Seconds(), OwnerKept: res.OwnerKept,
	}
	if damage, ok := errors.AsType[*ballast.CorruptionError](res.Dropped); ok {
		dropped := newDamageJSON(damage)
		out.Dropped = &dropped
	}
	if f.json {
		return writeJSON(s.out, out)
	}
	return out.write(s.out)
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
	switch info, err := os.Stat(filepath.Dir(p.path)); {
	case err != nil:
		return place{}, fmt.Errorf("the new store needs a folder to be in: %w; make it first", err)
	case !info.IsDir():
		return place{}, fmt.Errorf("%s is no folder; give another destination", filepath.Dir(p.path))
	}
	return p, nil
}

// migration is one that is going on.
type migration struct {
	job    *move.Job
	source place
	target place
	begun  time.Time
	shown  *reading
	copied time.Duration // how long copying took; 0 while it goes on
}

func newMigration(s streams, src, dst place) *migration {
	m := &migration{source: src, target: dst, begun: time.Now(), shown: newReading(s, 0, 0)}
	m.job = &move.Job{
		Source: src.path, Destination: dst.path,
		Open:     func(path string) (move.Source, error) { return openAlone(place{src.engine, path}) },
		Create:   func(path string) (ballast.Store, error) { return createForCopy(place{dst.engine, path}) },
		Read:     func(path string) (ballast.Store, error) { return dst.engine.read(path) },
		Progress: m.progress,
	}
	return m
}

// maxMigratedBytes is the largest entry that wal and bolt take at all.
const maxMigratedBytes = 1 << 30

// createForCopy makes a store that takes every entry. It syncs little: nothing counts before all of it is synced.
func createForCopy(p place) (ballast.Store, error) {
	switch p.engine.name {
	case "wal":
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
	if p.engine.name == "bolt" {
		if err := checkBoltMeta(p.path); errors.Is(err, ballast.ErrCorrupt) {
			return nil, err
		}
	}
	if p.engine.name != "wal" {
		return p.engine.read(p.path)
	}
	path := filepath.Join(p.path, "LOCK")
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
	}
	return err
}

func (r *migrated) write(w io.Writer) error {
	what := "no entries"
	if r.Entries > 0 {
		what = fmt.Sprintf("%s from %d to %d, %s", countText(r.Entries, "entry", "entries"), r.FirstIndex, r.LastIndex, sizeText(int64(r.Bytes)))
	}
	lines := []string{fmt.Sprintf("%s has become %s: %s, copied and verified in %.1f s", r.Source, r.Destination, what, r.Seconds)}
	if r.Dropped != nil {
		lines = append(lines, fmt.Sprintf("left out: %s; a crash leaves a write that was never acknowledged, and without a crash it is damage",
			r.Dropped.text(fmt.Sprintf("what begins with entry %d", r.Dropped.Index))))
	}
	if !r.OwnerKept {
		lines = append(lines, "note: the new store does not belong to whom the old one belongs to; only root can see to that")
	}
	lines = append(lines, "the old store is as it was; never run a peer on it again once the peer has run on the new one")
	_, err := fmt.Fprintln(w, strings.Join(lines, "\n"))
	return err
}
