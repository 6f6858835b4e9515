package boltstore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/raft-ballast/ballast/internal/engine"
)

// createSuffix is that of a new file as long as it is not complete.
const createSuffix = ".creating"

var errOtherFile = errors.New("another one creates it at this moment; try again")

// create makes the file. It gets its name when it has everything that a new store has: without that
// a crash would leave an empty file, or one without buckets, which cannot be told from a store that
// was cut, and opening that as new would forget a vote. What a crash has left under the other name
// is removed.
func (s *Store) create() error {
	tmp := engine.Place(s.path) + createSuffix
	for tries := 1; ; tries++ {
		err := s.createAt(tmp)
		if err == nil {
			err = s.giveName(tmp)
			if e := s.closeBolt(); err == nil {
				err = e
			}
			return err
		}
		if !errors.Is(err, fs.ErrExist) && !errors.Is(err, errOtherFile) || tries == nameTries {
			return err
		}
		if err := s.dropLeft(tmp); err != nil {
			return err
		}
	}
}

// createAt makes a complete file at tmp and leaves it open and locked.
func (s *Store) createAt(tmp string) error {
	s.exclusive = true
	defer func() { s.exclusive = false }()
	if err := s.openBolt(tmp, func(f *os.File) error { return sameFile(f, tmp) }); err != nil {
		return err
	}
	s.writing.Lock()
	err := s.update(createBuckets)
	s.writing.Unlock()
	s.written = false // nothing of it is for Close
	if err == nil {
		err = s.db.Sync()
	}
	if err != nil {
		_ = s.closeBolt() // what failed before says more
		_ = os.Remove(tmp)
	}
	return err
}

// sameFile returns an error unless a file has the name still. Who has the lock of the one that has
// it may remove it.
func sameFile(f *os.File, name string) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if named, err := os.Lstat(name); err != nil || !os.SameFile(named, info) {
		return errOtherFile
	}
	return nil
}

// giveName gives a complete file the name of the store, unless something has that by now. It goes
// on as the one with both names if a crash comes between: see dropCreated.
func (s *Store) giveName(tmp string) error {
	path := engine.Place(s.path)
	err := os.Link(tmp, path)
	if _, e := os.Lstat(path); e == nil { // perhaps somebody else's, which is opened then
		return os.Remove(tmp)
	}
	if err != nil { // a file system without links
		err = os.Rename(tmp, path)
	}
	return err
}

// dropLeft removes what a crash has left at tmp, which nobody has locked. It is never emptied: it
// may be a store's file under a second name.
func (s *Store) dropLeft(tmp string) error {
	f, err := os.OpenFile(tmp, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("what an interrupted creation has left cannot be removed: %w", err)
	}
	defer f.Close()
	if err := s.lockOnce(f, true); err != nil {
		return err
	}
	if sameFile(f, tmp) != nil {
		return nil // it is gone, and another one may be there
	}
	return os.Remove(tmp)
}

// dropCreated takes the second name away that the file has when a crash came just after it had got
// its own.
func (s *Store) dropCreated() {
	tmp := engine.Place(s.path) + createSuffix
	if named, err := os.Lstat(tmp); err == nil && os.SameFile(named, s.opened) {
		_ = os.Remove(tmp) // the next opening tries again
	}
}
