package boltstore

import (
	"errors"
	"fmt"
	"os"

	"go.etcd.io/bbolt"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/boltmeta"
)

// boltFirstPages is how many pages a file has when it is created: the two that say what the last transaction is, the freelist and an empty leaf.
const boltFirstPages = 4

// boltFirstTx is the newest transaction of a file that was just created, which has two of them and
// nothing in them.
const boltFirstTx = 1

var errMeta = errors.New("this page says which transaction is the last, and is not valid; bbolt goes on with the other one, and what was acknowledged last may be missing")

// checkMeta finds out whether one of the two pages is not valid, over which bbolt passes in silence: when it was the newer, what was acknowledged last is gone. No crash
// leaves such a one, but for the creation of the file, since what counts of it lies in one sector. The next transaction writes over it, so this is asked before there is one. A file
// that has nothing in it, and a page that its creation cannot have left as it is, has had something in it: to create the buckets would hide that.
// The creation leaves zeros where it was cut off, in a file that no transaction has made longer.
func (s *Store) checkMeta(tx *bbolt.Tx) error {
	size := int64(s.db.Info().PageSize)
	info, err := s.file.Stat()
	if err != nil {
		return fmt.Errorf("boltstore: %w", err)
	}
	for _, page := range [2]int64{0, size} {
		meta := make([]byte, boltmeta.End)
		if _, err := s.file.ReadAt(meta, page); err != nil {
			return fmt.Errorf("boltstore: reading the pages that %s begins with: %w", s.path, err)
		}
		if _, err := boltmeta.Parse(meta); err == nil {
			continue
		}
		name, _ := tx.Cursor().First()
		if name == nil && info.Size() <= boltFirstPages*size && [boltmeta.End]byte(meta) == [boltmeta.End]byte{} {
			continue // its creation was cut off
		}
		s.damaged = &ballast.CorruptionError{Path: s.path, Offset: page, Err: errMeta}
		s.meter.Missed(s.damaged)
		if name == nil {
			return s.damaged
		}
	}
	return nil
}

// cutCreation adds to damage of a file in which there was no transaction yet what to do.
func (s *Store) cutCreation(err error) error {
	damage, ok := errors.AsType[*ballast.CorruptionError](err)
	if !ok || !s.isNew() {
		return err
	}
	return &ballast.CorruptionError{Path: damage.Path, Offset: damage.Offset, Err: fmt.Errorf("%w; %s", damage.Err, removeIt)}
}

// removeIt is said of a file that may be what is left of a creation.
const removeIt = "if its creation was cut off and nothing was ever stored, remove it"

// isNew reports whether the file is as long as when it was created, and its valid pages are those of the creation.
func (s *Store) isNew() bool {
	size := os.Getpagesize()
	if s.opts.Bolt != nil && s.opts.Bolt.PageSize > 0 {
		size = s.opts.Bolt.PageSize
	}
	info, err := os.Stat(s.path)
	if err != nil || info.Size() > int64(boltFirstPages*size) {
		return false
	}
	data, err := os.ReadFile(s.path)
	if err != nil {
		return false
	}
	valid := 0
	for page := range 2 {
		m, err := boltmeta.Parse(data[min(page*size, len(data)):])
		switch {
		case err != nil:
			continue
		case m.Transaction > boltFirstTx:
			return false
		}
		valid++
	}
	return valid > 0
}

// Damaged implements [ballast.DamageReporter]: one of the two pages which say what the last transaction is was not valid when the file was
// opened. It is the same until the store is opened again; after a write to a store that is not ReadOnly the file itself does not tell any more.
func (s *Store) Damaged() error {
	if s.damaged == nil {
		return nil
	}
	return s.damaged
}
