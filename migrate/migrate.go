// Package migrate opens a wal and moves over to it what an application has in another raft store, at the first opening.
//
// # Usage
//
// An application that has run on raft-boltdb:
//
//	old := migrate.From(filepath.Join(dir, "raft.db"), boltstore.Open, &boltstore.Options{ReadOnly: true})
//	store, err := migrate.Open(ctx, filepath.Join(dir, "wal"), old, nil)
//
// On raft-wal or raft-badger it is one of
//
//	old := migrate.RaftWAL(filepath.Join(dir, "raft-wal"))
//	old := migrate.From(filepath.Join(dir, "badger"), badgerstore.Open, nil)
//
// Where the old store is passed in only the engine that is named gets into the application's build; this package has neither bbolt nor
// badger. The stores of many raft groups go into one log with [OpenGroups]. docs/MIGRATING.md tells how to move a cluster, and how to go back.
//
// # Guarantees
//
// Everything comes across: each entry with all its fields, gaps, the commit index, and each stable
// value, also those that raft does not know. The copy is read again from the disk and compared with
// the old store before it counts. What was the old store has another name then, "raft.db.migrated",
// and nothing else about it has changed. At its own name is something that tells where the store is
// now, and that stops an older release, which would begin with an empty one and without its votes.
//
// Nothing of the old store is moved before it is certain that it can be, and that the new one gets
// its place. An empty folder at that place stays: the wal is built in it, so it may be the mount
// point of a volume. An old store that cannot get another name, as one that is mounted itself, is
// refused, and nothing has changed.
//
// An old store that is no whole peer is refused, with [ErrHalfPeer]. Where the stable state is in a
// store of its own, [Two] names both.
//
// No vote is lost to a process that has opened the old store before, and waits for its lock as raft-boltdb does for ever: where there is one the old store
// gets its name back, and Open fails with [ballast.ErrLocked]. Linux tells that for sure, to the owner of the files and on the file systems that docs/MIGRATING.md names; elsewhere such a process is given a
// quarter of a second to come forward.
//
// The process may be killed, and the power cut, at any moment: the next Open finds either the old store, and begins anew, or the
// whole copy, and goes on from there. A part of a log never opens, not even under its own name. Where the disk is full, or the
// context ends, the old store is in its place and the copy is gone.
//
// When there is no old store, the second time and for a new peer, Open lists one or two folders,
// looks for two or three names, and is wal.Open. When one was moved over before and the wal is
// gone, as when its disk is not mounted, it fails with [ErrStoreGone].
//
// The old store and the new one may lie on different file systems. The new one's files have the owner and the mode of the old
// one's, where the process may give them.
//
// # Layout
//
//	wal                  the store
//	raft.db.migrated     the old one; raft.db.migrated-2 when there is one already. Remove it when you like
//	raft.db              what stops an older release, see above. It may stay for ever
//	raft.db.migrated-note  that, before the old store has its other name
//	wal.migrating        only during a migration, or after a crash in it: the unfinished copy
//	wal.ready            only for a moment at its end: the whole copy
//	wal.migrating.lock   only during a migration
//
// In a folder that was there the three last are files in it: ballast.migrating, ballast.ready and
// ballast.migrating.lock.
//
// The old store may be at the very path of the new one, as a folder of raft-wal that becomes a wal.
package migrate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"time"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/engine"
	"github.com/raft-ballast/ballast/internal/move"
	"github.com/raft-ballast/ballast/internal/raftwal"
	"github.com/raft-ballast/ballast/wal"
)

var (
	// ErrTwoStores is matched by the error of Open when there is an old store and a wal: somebody has gone back to the old one, or has begun
	// with an empty wal before. Which of them knows the peer's latest votes only a human can tell. Give the other another name.
	ErrTwoStores = move.ErrTwoStores

	// ErrSourceGone is matched by the error of Open when a migration was interrupted and the old store is not there any more: perhaps its
	// disk is not mounted. Bring it back, or remove the folder that the error names to begin with an empty wal. It is matched too when a peer has run on the old
	// store under its other name since: give that its own name again.
	ErrSourceGone = move.ErrSourceGone

	// ErrStoreGone is matched by the error of Open when the old store was moved over before, and
	// there is no wal: perhaps its disk is not mounted. Bring it back. To begin with an empty wal,
	// remove what the error names.
	ErrStoreGone = move.ErrStoreGone

	// ErrHalfPeer is matched by the error of Open when the old store has entries and no
	// CurrentTerm, or entries of a later term: its stable state is in another store, which
	// [Old.Stable] names, or is older than its log. A peer on it would have forgotten whom it has
	// voted for. Options.LogOnly takes it all the same.
	ErrHalfPeer = move.ErrHalfPeer
)

// Source is an old store that is open: any raft store with a Close. Gaps cost nothing, and every stable key is found, when it is a
// [ballast.Inspector] too, as all stores of Ballast are.
type Source interface {
	ballast.Source
	io.Closer
}

// Old is an old store.
type Old struct {
	// Path is where it is: a file, or a folder. An empty folder is none, and with File it is
	// refused.
	Path string

	// File says that Path is a file. docker makes an empty folder for a bind mount whose file is
	// missing, which must not be taken for a new peer. From sets it for boltstore.
	File bool

	// Stable is the store with the stable state, where the application keeps that in another one
	// than the log; nil for one store that has both. See [Two].
	Stable *Old

	// Open opens what is at a path, for reading where it has a way to. It is called only when there is something at Path and no wal yet: with
	// Path, and again with the name that the old store gets. It must open what it is given, and make nothing where there is nothing: an empty store
	// that it made at Path the second time would be in the way of the old one.
	Open func(path string) (Source, error)
}

// From returns the old store that a function of Ballast's engines opens, which is boltstore.Open for what raft-boltdb has written and
// badgerstore.Open for what raft-badger has. boltstore opens it for reading with ReadOnly; badgerstore does so only when it was closed
// cleanly, so after a crash of the old application it needs to write: pass nil. After a crash badger cuts a damaged value log off when it opens for writing; otherwise, and with ReadOnly,
// damage is an error.
func From[S Source, O any](path string, open func(path string, opts *O) (S, error), opts *O) Old {
	return Old{Path: path, File: engine.IsFile[S](), Open: func(path string) (Source, error) {
		s, err := open(path, opts)
		if err != nil {
			return nil, err
		}
		return s, nil
	}}
}

// Two returns what an application has that keeps the log in one store and the stable state, the
// term and the votes, in another:
//
//	log := migrate.From(filepath.Join(dir, "logs.dat"), boltstore.Open, &boltstore.Options{ReadOnly: true})
//	stable := migrate.From(filepath.Join(dir, "stable.dat"), boltstore.Open, &boltstore.Options{ReadOnly: true})
//	store, err := migrate.Open(ctx, filepath.Join(dir, "wal"), migrate.Two(log, stable), nil)
//
// Both become one wal, and both get another name. One that has what is the other's is refused with
// [ErrHalfPeer].
func Two(log, stable Old) Old {
	log.Stable = &stable
	return log
}

// RaftWAL returns the folder in which hashicorp/raft-wal has kept its log and its stable state. It is read without raft-wal's module.
//
// A number that an application keeps with SetUint64 under a key of its own arrives as eight bytes in raft-wal's order, lowest first; raft's
// own numbers are right.
func RaftWAL(dir string) Old {
	return Old{Path: dir, Open: func(path string) (Source, error) {
		s, err := raftwal.Open(path)
		if err != nil {
			return nil, err
		}
		return s, nil
	}}
}

// Options are the options of Open; nil stands for the zero value.
type Options struct {
	// WAL are the options of the wal. Its Logger is told of a migration too.
	WAL *wal.Options

	// StableKeys are looked for besides raft's own when the old store is no [ballast.Inspector], as in [ballast.CopyOptions].
	StableKeys [][]byte

	// LogOnly takes an old store that is no whole peer, see [ErrHalfPeer].
	LogOnly bool

	// Progress, when not nil, is called now and then by Open's goroutine while it migrates.
	Progress func(Progress)
}

// Progress says how far a migration is.
type Progress struct {
	Verifying bool    // it copies first, then it verifies
	Entries   uint64  // copied or verified so far
	Bytes     uint64  // of their Data and Extensions
	Part      float64 // that is done of this, from 0 to 1
}

var errNoOld = errors.New("migrate: the old store has no path or no function that opens it; use From or RaftWAL")

// Open opens the wal in dir. When there is an old store it is moved over before; ctx ends that, and nothing else.
//
// Errors are those of wal.Open and of opening the old store, and: one that matches
// [ballast.ErrLocked] when the old store is in use, or another process migrates it or waits for it;
// [ErrTwoStores], [ErrSourceGone], [ErrStoreGone] and [ErrHalfPeer]; [ballast.ErrNoSpace] when
// there is no room for the copy; [ballast.ErrCorrupt] when an entry of the old store cannot be
// read, or when it says, as a [ballast.DamageReporter], that something may be missing;
// [ballast.ErrEntryTooLarge] for one above MaxEntryBytes; [ballast.ErrForeign] when dir holds
// something else; [ballast.ErrCopyDiffers] when the copy does not read as what was written, or a
// peer has run on the old store since. After each of them the old store is where it was. Open may
// be called again.
func Open(ctx context.Context, dir string, old Old, opts *Options) (*wal.Store, error) {
	if opts == nil {
		opts = &Options{}
	}
	if err := old.check(); err != nil {
		return nil, err
	}
	job := newJob(dir, old, opts)
	if dir != "" { // which wal.Open refuses
		if err := replace(ctx, job, opts); err != nil {
			return nil, err
		}
	}
	return wal.Open(dir, opts.WAL)
}

// check refuses what cannot be opened.
func (o Old) check() error {
	switch {
	case o.Path == "" || o.Open == nil || o.Stable != nil && (o.Stable.Path == "" || o.Stable.Open == nil):
		return errNoOld
	case o.Stable != nil && o.Stable.Stable != nil:
		return errors.New("migrate: a peer has two stores at most, and the one with the stable state names a third; leave that out")
	case o.Stable != nil && engine.SamePlace(o.Path, o.Stable.Path):
		return fmt.Errorf("migrate: %s is both the log and the stable store; it is one store that has both, leave out Stable", o.Path)
	}
	return nil
}

const twoText = "Give the store with the stable state too, with migrate.Two, or set LogOnly where the log alone is wanted"

// job returns the part of a job that is about the old store.
func (o Old) job(opts *Options) *move.Job {
	job := &move.Job{
		Source: engine.Place(o.Path), Open: func(path string) (move.Source, error) { return o.Open(path) }, File: o.File,
		LogOnly: opts.LogOnly, Two: twoText, StableKeys: opts.StableKeys, Progress: opts.progress(),
	}
	if o.Stable != nil {
		job.Stable, job.OpenStable = engine.Place(o.Stable.Path), func(path string) (move.Source, error) { return o.Stable.Open(path) }
	}
	return job
}

func newJob(dir string, old Old, opts *Options) *move.Job {
	job := old.job(opts)
	job.Destination, job.Folder, job.Content = engine.Place(dir), true, content
	job.Create = func(path string) (ballast.Store, error) { return opened(wal.Open(path, opts.WAL)) }
	job.Read = func(path string) (ballast.Store, error) { return opened(wal.OpenReadOnly(path, opts.WAL)) }
	return job
}

// opened keeps a nil pointer from becoming a store that is not nil.
func opened(s *wal.Store, err error) (ballast.Store, error) {
	if err != nil {
		return nil, err
	}
	return s, nil
}

func replace(ctx context.Context, job *move.Job, opts *Options) error {
	begun := time.Now()
	res, moved, err := job.Replace(ctx)
	switch {
	case err != nil:
		return err
	case !moved:
		return nil
	}
	opts.log().Info("migrate: the log was moved over", append([]any{"from", job.Source, "to", job.Destination, "entries", res.Entries,
		"bytes", res.Bytes, "took", time.Since(begun)}, kept(res)...)...)
	opts.warnDropped(res)
	return nil
}

// kept says for the logger where the old store is.
func kept(res move.Result) []any {
	if res.KeptStable == "" {
		return []any{"kept", res.Kept}
	}
	return []any{"kept", res.Kept, "kept_stable", res.KeptStable}
}

var segmentName = regexp.MustCompile(`^[0-9a-f]{16}\.wal$`)

// content tells what is in the folder of a wal by the names in it.
func content(names []string) move.Content {
	c := move.Empty
	for _, name := range names {
		switch {
		case segmentName.MatchString(name):
			return move.Finished
		case name != "LOCK" && name != "next.tmp":
			c = move.Other
		}
	}
	return c
}
