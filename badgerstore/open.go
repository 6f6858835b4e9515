package badgerstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime/debug"

	"github.com/dgraph-io/badger/v4"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/engine"
)

// Open opens the badger directory dir, and makes it when there is none. nil options stand for the defaults.
//
// Open returns
//
//   - [*ballast.LockedError] when another store or another badger has the directory open;
//   - an error that matches ballast.ErrForeign when it holds something else, which is left as it is;
//   - one that matches ballast.ErrUnfinished for what a migration or a repair has not finished;
//   - one that matches ballast.ErrUnknownVersion when it was written by another major version of badger, or by a
//     newer Ballast;
//   - [*ballast.CorruptionError] when it is damaged;
//   - one that matches ballast.ErrNoSpace when the disk is too full to open it.
//
// After an error the directory is not locked.
func Open(dir string, opts *Options) (*Store, error) {
	o, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	if dir == "" {
		return nil, errors.New("badgerstore: the path is empty; give the path of a folder")
	}
	if err := engine.CheckFinished(dir); err != nil {
		return nil, err
	}
	dir, err = filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("badgerstore: %w", err)
	}
	s, err := newStore(dir, o)
	if err != nil {
		return nil, err
	}
	made, err := prepareDir(dir, o.ReadOnly)
	if err != nil {
		return nil, err
	}
	f, err := hold(dir)
	if err != nil {
		return nil, fmt.Errorf("badgerstore: open %s: %w", dir, err)
	}
	if err := s.openIn(f, made); err != nil {
		return nil, err
	}
	return s, nil
}

// newStore returns a store that is not open yet.
func newStore(dir string, o Options) (s *Store, err error) {
	s = &Store{opts: o}
	s.log = &logAdapter{out: o.Logger, latch: &s.latch, folder: &s.folder}
	s.retries.Path, s.retries.Logger = dir, o.Logger
	s.bopt, err = o.badgerOptions(dir, s.log)
	return s, err
}

// openIn opens the store in a folder, which it takes over. made are the folders in which one was
// made for it.
func (s *Store) openIn(f folder, made []string) (err error) {
	s.folder = f
	s.bopt.Dir, s.bopt.ValueDir = f.by, f.by
	if s.lock, err = lockDir(&s.folder, s.opts.ReadOnly); err != nil {
		return errors.Join(err, s.letGo())
	}
	if err := s.open(made); err != nil {
		return errors.Join(s.named(err), s.lock.unlock(), s.letGo())
	}
	s.observe()
	if !s.opts.ReadOnly {
		s.startGC()
	}
	return nil
}

// open does what Open does under the lock.
func (s *Store) open(made []string) error {
	memTable, err := preflight(s.by, &s.bopt)
	if err != nil {
		return err
	}
	if s.opts.ReserveBytes == 0 {
		s.opts.ReserveBytes = reserveTables * s.bopt.MemTableSize
	}
	if !s.opts.ReadOnly {
		if err := s.checkSpace(0, s.opts.ReserveBytes/8); err != nil {
			return err
		}
	}
	if memTable > s.bopt.MemTableSize {
		if err := s.emptyLogs(memTable); err != nil {
			return err
		}
	}
	if err := s.openBadger(); err != nil {
		return err
	}
	if err := s.load(made); err != nil {
		if cerr := s.closeBadger(); cerr != nil {
			err = fmt.Errorf("%w (and closing badger: %v)", err, cerr)
		}
		return err
	}
	return nil
}

// emptyLogs opens badger with a larger memtable, which what its write-ahead logs hold fits in, and closes it: that is then in tables. If
// the store went on with such a memtable, a crash would leave a log that needs a still larger one, and so on.
func (s *Store) emptyLogs(memTable int64) error {
	if err := s.checkSpace(memTable, s.opts.ReserveBytes/8); err != nil {
		return err
	}
	configured := s.bopt.MemTableSize
	s.bopt.MemTableSize = memTable
	if err := s.openBadger(); err != nil {
		return err
	}
	if err := s.closeBadger(); err != nil {
		return fmt.Errorf("badgerstore: close %s: %w", s.dir, err)
	}
	s.db, s.bopt.MemTableSize = nil, configured
	return nil
}

// openBadger opens badger itself, whose panics on a damaged directory are errors here.
func (s *Store) openBadger() (err error) {
	defer s.recovered(0, &err)
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	db, err := badger.OpenManaged(s.bopt)
	if err != nil {
		return openError(s.dir, s.named(err))
	}
	s.db = db
	return nil
}

// load reads what the log and the stable state are, finishes what a crash has interrupted and
// publishes the first view.
func (s *Store) load(made []string) (err error) {
	defer s.recovered(0, &err)
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	s.version = s.db.MaxVersion()
	s.chunk = int(min(deleteChunk, s.db.MaxBatchCount()/2, s.db.MaxBatchSize()/int64(2*entryOverhead)))
	if err := s.checkKeys(); err != nil {
		return err
	}
	if !s.opts.ReadOnly {
		// Badger has made files, and the names of the folders may be new as well.
		for _, dir := range append(made, filepath.Dir(s.dir), s.by) {
			if err := engine.SyncDir(dir); err != nil {
				return fmt.Errorf("badgerstore: sync of %s: %w", dir, err)
			}
		}
	}
	v, pending, err := s.loadView()
	if err != nil {
		return err
	}
	s.version = max(s.version, v.graves.newest())
	if err := s.redo(); err != nil {
		return err
	}
	if pending && !s.opts.ReadOnly {
		if err := s.sweepAll(v.graves); err != nil {
			return err
		}
	}
	v.version = s.version
	v.first = s.seek(v, 1, false)
	v.last = s.seek(v, math.MaxUint64, true)
	s.stored = v.commit
	v.commit = min(v.commit, v.last) // raft-badger may have shortened the log
	s.publish(v)
	return nil
}

// loadView reads Ballast's own keys.
func (s *Store) loadView() (v *view, pending bool, err error) {
	txn := s.db.NewTransactionAt(s.version, false)
	defer txn.Discard()
	v = new(view)
	value, err := s.readOwn(txn, commitKey)
	if err != nil {
		return nil, false, err
	}
	if value != nil {
		if len(value) != 8 {
			return nil, false, s.corrupt(0, errors.New("the commit index has a wrong length"))
		}
		v.commit = binary.BigEndian.Uint64(value)
	}
	value, err = s.readOwn(txn, gravesKey)
	if err != nil || value == nil {
		return v, false, err
	}
	v.graves, pending, err = decodeGraves(value)
	if err != nil && !errors.Is(err, ballast.ErrUnknownVersion) {
		err = s.corrupt(0, err)
	}
	return v, pending, err
}

// checkKeys refuses a badger directory that holds keys, but none of a raft store.
func (s *Store) checkKeys() error {
	txn := s.db.NewTransactionAt(s.version, false)
	defer txn.Discard()
	it := txn.NewIterator(badger.IteratorOptions{})
	defer it.Close()
	it.Rewind()
	if !it.Valid() {
		return nil
	}
	for _, prefix := range prefixes {
		if it.Seek([]byte(prefix)); it.ValidForPrefix([]byte(prefix)) {
			return nil
		}
	}
	return errForeignKeys(s.dir)
}

// prepareDir makes sure that dir is a folder that may be ours, and returns the folders in which it
// made one.
func prepareDir(dir string, readOnly bool) (made []string, err error) {
	st, err := os.Stat(dir)
	switch {
	case err == nil && !st.IsDir():
		return nil, fmt.Errorf("badgerstore: %s is a file and badger needs a folder; give the path of a folder, and move a store in that file with package migrate or `ballast migrate`: %w",
			dir, ballast.ErrForeign)
	case err == nil:
		return nil, checkNames(dir, readOnly)
	case !errors.Is(err, os.ErrNotExist):
		return nil, fmt.Errorf("badgerstore: %s cannot be looked at; check the path and its permissions: %w", dir, err)
	case readOnly:
		return nil, fmt.Errorf("badgerstore: there is no %s to open read-only; check the path: %w", dir, err)
	}
	if err := engine.CheckPlaced(dir); err != nil {
		return nil, err
	}
	for parent := filepath.Dir(dir); ; parent = filepath.Dir(parent) {
		made = append(made, parent)
		if _, err := os.Stat(parent); err == nil || parent == filepath.Dir(parent) {
			break
		}
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("badgerstore: %s cannot be made; make it, or give a path that can be written: %w", dir, err)
	}
	return made, nil
}
