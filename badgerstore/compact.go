package badgerstore

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/raft-ballast/ballast/internal/engine"
)

// compactRatio is the share of a value log file that has to be garbage for Compact to move the rest.
const compactRatio = 0.05

// Compact gives space of the directory back: it brings all tables to one level, which drops what was deleted or replaced, and then moves what
// is left of value log files of which a twentieth or more is garbage. nil options stand for the defaults; GCInterval and GCDiscardRatio
// are not looked at. Moving takes space for a value log file in the meantime; without it these files stay.
//
// A directory is refused with a [*ballast.CorruptionError] when a record of its value log is damaged, be it of something that was deleted: badger would drop the good
// entries behind it. In the newest file of a directory that was not closed cleanly such an end is taken for a crash's, as by Open.
//
// Errors: those of [Open]; fs.ErrNotExist where there is no badger directory; ctx's, which is asked between the steps. After an error, or a
// crash, the store is what it was.
func Compact(ctx context.Context, dir string, opts *Options) error {
	f, err := hold(dir)
	if err == nil {
		defer f.held.Close() // each step has closed the store
		_, err = os.Stat(f.file(manifestName))
	}
	if err != nil {
		if entries, e := os.ReadDir(dir); e == nil && checkLeft(dir, entries) != nil {
			return checkLeft(dir, entries)
		}
		return fmt.Errorf("badgerstore: there is nothing to compact: %w; check the path",
			f.named(err))
	}
	o := Options{}
	if opts != nil {
		o = *opts
	}
	if o.ReadOnly {
		return errors.New("badgerstore: Compact writes; leave out ReadOnly")
	}
	if err := engine.CheckFinished(dir); err != nil {
		return err
	}
	o.GCInterval, o.GCDiscardRatio = -1, compactRatio
	if o, err = o.withDefaults(); err != nil {
		return err
	}
	// Closing writes what is in memory to tables, and only what is in tables is compacted.
	check := func(s *Store) error { return s.checkValueLogs(ctx) }
	for _, step := range []func(*Store) error{check, (*Store).flatten, (*Store).flatten} {
		s, err := newStore(dir, o)
		if err == nil {
			err = s.openIn(folder{f.dir, f.by, f.held.Again()}, nil)
		}
		if err != nil {
			return err
		}
		err = ctx.Err()
		if err == nil {
			err = s.named(step(s))
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

// flatten brings all tables to one level.
func (s *Store) flatten() (err error) {
	defer s.recovered(0, &err)
	s.forget()
	if err := s.checkSpace(0, s.opts.ReserveBytes/4); err != nil {
		return err
	}
	if err := s.db.Flatten(1); err != nil {
		return fmt.Errorf("badgerstore: compacting %s: %w", s.dir, s.named(err))
	}
	return nil
}
