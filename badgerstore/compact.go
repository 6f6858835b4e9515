package badgerstore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast"
)

// compactRatio is the share of a value log file that has to be garbage for Compact to move the rest.
const compactRatio = 0.05

// Compact gives space of the directory back: it brings all tables to one level, which drops what was deleted or replaced, and then moves what
// is left of value log files of which a twentieth or more is garbage. nil options stand for the defaults; GCInterval and GCDiscardRatio
// are not looked at. Moving takes space for a value log file in the meantime; without it these files stay.
//
// Badger, when it opens a directory for writing, cuts the newest value log file off at the first entry that it cannot read, and all behind it are lost. So every
// entry is read before, and a directory with a damaged one is refused. What was not closed cleanly is not read: there such an end is a crash's.
//
// Errors: those of [Open]; [*ballast.CorruptionError] for a damaged entry; fs.ErrNotExist where there is no badger directory; ctx's, which is asked between the steps. After an error, or a
// crash, the store is what it was.
func Compact(ctx context.Context, dir string, opts *Options) error {
	if _, err := os.Stat(filepath.Join(dir, "MANIFEST")); err != nil {
		return fmt.Errorf("badgerstore: there is nothing to compact: %w; check the path", err)
	}
	o := Options{}
	if opts != nil {
		o = *opts
	}
	if o.ReadOnly {
		return errors.New("badgerstore: Compact writes; leave out ReadOnly")
	}
	o.GCInterval, o.GCDiscardRatio = -1, compactRatio
	if err := readAll(ctx, dir, o); err != nil {
		return err
	}
	// Closing writes what is in memory to tables, and only what is in tables is compacted.
	for _, step := range []func(*Store) error{func(*Store) error { return nil }, (*Store).flatten, (*Store).flatten} {
		s, err := Open(dir, &o)
		if err != nil {
			return err
		}
		err = ctx.Err()
		if err == nil {
			err = step(s)
		}
		if e := s.Close(); err == nil { // which collects the garbage
			err = e
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// readAll returns an error when an entry is damaged.
func readAll(ctx context.Context, dir string, o Options) (err error) {
	o.ReadOnly, o.Metrics = true, nil
	s, err := Open(dir, &o)
	if errors.Is(err, ballast.ErrCorrupt) {
		return err
	}
	if err != nil {
		return nil // it was not closed cleanly, or opening it for writing says the same
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	for index := uint64(1); index != 0; index++ {
		if index, err = s.NextIndex(index); err != nil || index == 0 {
			return err
		}
		err = s.GetLog(index, new(raft.Log))
		if errors.Is(err, ballast.ErrCorrupt) {
			return fmt.Errorf("badgerstore: it is not compacted, because badger would drop what is behind the damage: %w", err)
		}
		if err = errors.Join(err, ctx.Err()); err != nil {
			return err
		}
	}
	return nil
}

// flatten brings all tables to one level.
func (s *Store) flatten() (err error) {
	defer s.recovered(0, &err)
	s.forget()
	if err := s.checkSpace(0, s.opts.ReserveBytes/4); err != nil {
		return err
	}
	if err := s.db.Flatten(1); err != nil {
		return fmt.Errorf("badgerstore: compacting %s: %w", s.dir, err)
	}
	return nil
}
