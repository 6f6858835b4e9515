package badgerstore

import (
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dgraph-io/badger/v4"
	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/engine"
	"github.com/raft-ballast/ballast/internal/logcodec"
)

var (
	_ ballast.Store      = (*Store)(nil)
	_ ballast.Inspector  = (*Store)(nil)
	_ ballast.KeyDeleter = (*Store)(nil)
)

// Store is an open badger directory. See [ballast.Store] for what its methods promise.
type Store struct {
	folder
	opts  Options // defaulted
	bopt  badger.Options
	db    *badger.DB
	lock  *dirLock
	log   *logAdapter
	chunk int // keys that are removed in one transaction

	gate    engine.Gate
	latch   engine.Latch
	meter   engine.Meter
	watch   engine.Watch
	stage   engine.CommitStage
	overlay engine.Overlay // stable writes of a read-only store

	view atomic.Pointer[view]

	// pins is held for reading while a view is used, so that badger may forget what only an older view
	// can see. It is locked for an instant only, and never while something is written.
	pins sync.RWMutex

	mu      sync.Mutex // one writer at a time; guards what follows
	version uint64     // the highest that was used for a write
	stored  uint64     // commit index in badger, which raft-badger may have left above the last index
	buf     []byte     // for encoding, reused
	dirMark dirMark
	garbage int64 // bytes that died in the value log since it was last pushed out

	retries engine.Retries
	stopGC  chan struct{}
	gcDone  chan struct{}

	panicked atomic.Bool // inside badger, which may have left a lock of its own locked
	stuck    bool        // badger did not come to its end

	// step, when not nil, is called before each step of a call that writes more than one transaction.
	// Tests stop there.
	step func(name string)
}

// view is what readers see. It is replaced as a whole, and never changed.
type view struct {
	version     uint64 // badger's entries that are newer are not there yet
	first, last uint64 // both 0 for an empty log
	commit      uint64 // the durable commit index, at most last
	graves      graves
}

// IsMonotonic returns false: gaps are legal.
func (s *Store) IsMonotonic() bool { return false }

// FirstIndex returns the lowest index of the log, 0 when it is empty.
func (s *Store) FirstIndex() (uint64, error) {
	if err := s.gate.Enter(); err != nil {
		return 0, err
	}
	defer s.gate.Leave()
	return s.view.Load().first, nil
}

// LastIndex returns the highest index of the log, 0 when it is empty.
func (s *Store) LastIndex() (uint64, error) {
	if err := s.gate.Enter(); err != nil {
		return 0, err
	}
	defer s.gate.Leave()
	return s.view.Load().last, nil
}

// GetLog reads the entry of that index.
func (s *Store) GetLog(index uint64, log *raft.Log) error {
	err := s.getLog(index, log)
	s.meter.Missed(err)
	return err
}

func (s *Store) getLog(index uint64, log *raft.Log) (err error) {
	if err := s.gate.Enter(); err != nil {
		return err
	}
	defer s.gate.Leave()
	defer s.recovered(index, &err)
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	v := s.pin()
	defer s.pins.RUnlock()
	if index < v.first || index > v.last || index == 0 {
		return raft.ErrLogNotFound
	}
	txn := s.db.NewTransactionAt(v.version, false)
	defer txn.Discard()
	return s.readLog(txn, v, index, log)
}

// readTries is how often an entry is read before it is called damaged: the garbage collection may
// remove a value log file between badger's look-up of a value and its reading, and badger returns
// nothing then.
const readTries = 3

// errUnread is the cause where badger returns nothing for a value that there is. It logs why, which is nearly always the checksum.
var errUnread = errors.New("badger cannot read the value: its checksum does not match, or the file that it is in is gone")

func (s *Store) readLog(txn *badger.Txn, v *view, index uint64, log *raft.Log) error {
	key := logKey(index)
	var cause error
	for range readTries {
		item, err := txn.Get(key)
		if errors.Is(err, badger.ErrKeyNotFound) {
			return s.missing(index)
		}
		if err != nil {
			return s.corrupt(index, err)
		}
		if v.graves.dead(index, item.Version()) {
			return raft.ErrLogNotFound
		}
		var entry raft.Log
		cause = item.Value(func(b []byte) error {
			if len(b) == 0 && item.ValueSize() > 0 {
				return errUnread
			}
			return logcodec.Decode(b, &entry)
		})
		if cause == nil && entry.Index != index {
			cause = fmt.Errorf("the entry under index %d says that it is entry %d", index, entry.Index)
		}
		if cause == nil {
			*log = entry
			return nil
		}
	}
	return s.corrupt(index, cause)
}

// missing tells a gap of the log from an entry that badger does not find since a block is damaged, which it
// does not say.
func (s *Store) missing(index uint64) error {
	if err := s.db.VerifyChecksum(); err != nil {
		return s.corrupt(index, err)
	}
	return raft.ErrLogNotFound
}

// NextIndex returns the lowest index of the log that is at least index, 0 when there is none.
func (s *Store) NextIndex(index uint64) (next uint64, err error) {
	if err := s.gate.Enter(); err != nil {
		return 0, err
	}
	defer s.gate.Leave()
	defer s.recovered(0, &err)
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	v := s.pin()
	defer s.pins.RUnlock()
	if index > v.last {
		return 0, nil
	}
	if index <= v.first {
		return v.first, nil
	}
	return s.seek(v, index, false), nil
}

// GetCommitIndex returns the durable commit index, 0 when there is none.
func (s *Store) GetCommitIndex() (uint64, error) {
	if err := s.gate.Enter(); err != nil {
		return 0, err
	}
	defer s.gate.Leave()
	return s.view.Load().commit, nil
}

// StageCommitIndex takes the commit index that the next StoreLogs writes with its batch.
func (s *Store) StageCommitIndex(index uint64) error {
	if err := s.gate.Enter(); err != nil {
		return err
	}
	defer s.gate.Leave()
	s.stage.Stage(index)
	return nil
}

// Get returns the value of key, never nil without an error.
func (s *Store) Get(key []byte) (value []byte, err error) {
	if err := s.gate.Enter(); err != nil {
		return nil, err
	}
	defer s.gate.Leave()
	defer s.recovered(0, &err)
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	if value := s.overlay.Get(key); value != nil {
		return value, nil
	}
	v := s.pin()
	defer s.pins.RUnlock()
	txn := s.db.NewTransactionAt(v.version, false)
	defer txn.Discard()
	return s.readStable(txn, key)
}

// GetUint64 returns the value of key as a uint64.
func (s *Store) GetUint64(key []byte) (uint64, error) {
	value, err := s.Get(key)
	if err != nil {
		return 0, err
	}
	return engine.Uint64(key, value)
}

// readStable reads key from where Set and SetUint64 write, and takes the newer one: each call removes
// what the other one wrote, but raft-badger does not.
func (s *Store) readStable(txn *badger.Txn, key []byte) ([]byte, error) {
	var found *badger.Item
	for _, place := range [][]byte{bytesKey(key), uint64Key(key)} {
		item, err := getItem(txn, place)
		if err != nil {
			return nil, s.corrupt(0, err)
		}
		if item != nil && (found == nil || item.Version() > found.Version()) {
			found = item
		}
	}
	if found == nil {
		return nil, ballast.ErrKeyNotFound
	}
	for range readTries {
		value, err := found.ValueCopy(nil)
		if err != nil {
			return nil, s.corrupt(0, err)
		}
		// Badger returns no error for a value that it cannot read, but an empty one.
		if len(value) > 0 || found.ValueSize() <= 0 {
			return append([]byte{}, value...), nil
		}
		if found, err = txn.Get(found.KeyCopy(nil)); err != nil {
			return nil, s.corrupt(0, err)
		}
	}
	return nil, s.corrupt(0, fmt.Errorf("stable key %q: %w", key, errUnread))
}

// getItem returns nil for a key that is not there.
func getItem(txn *badger.Txn, key []byte) (*badger.Item, error) {
	item, err := txn.Get(key)
	if errors.Is(err, badger.ErrKeyNotFound) {
		return nil, nil
	}
	return item, err
}

// StableKeys returns the keys of the stable state in ascending order.
func (s *Store) StableKeys() (keys [][]byte, err error) {
	if err := s.gate.Enter(); err != nil {
		return nil, err
	}
	defer s.gate.Leave()
	defer s.recovered(0, &err)
	v := s.pin()
	defer s.pins.RUnlock()
	var stored []string
	txn := s.db.NewTransactionAt(v.version, false)
	defer txn.Discard()
	for _, prefix := range []string{bytesPrefix, stablePrefix} {
		it := txn.NewIterator(badger.IteratorOptions{Prefix: []byte(prefix)})
		for it.Rewind(); it.Valid(); it.Next() {
			if key, ok := stableKey(it.Item().Key()); ok {
				stored = append(stored, string(key))
			}
		}
		it.Close()
	}
	return s.overlay.AllKeys(stored), nil
}

// pin returns the view to read at. The caller releases it with s.pins.RUnlock.
func (s *Store) pin() *view {
	s.pins.RLock()
	return s.view.Load()
}

// publish makes a view the one that is read. Versions that no reader can ask for any more are badger's
// to drop.
func (s *Store) publish(v *view) {
	s.view.Store(v)
	if s.pins.TryLock() {
		s.pins.Unlock()
		s.db.SetDiscardTs(v.version)
	}
}

// seek returns the lowest index of the log that is at least from, or, backwards, the highest one that
// is at most from. 0 for none.
func (s *Store) seek(v *view, from uint64, backwards bool) uint64 {
	txn := s.db.NewTransactionAt(v.version, false)
	defer txn.Discard()
	it := txn.NewIterator(badger.IteratorOptions{Prefix: []byte(logsPrefix), Reverse: backwards})
	defer it.Close()
	for it.Seek(logKey(from)); it.Valid(); it.Next() {
		index, ok := logIndex(it.Item().Key())
		if ok && !v.graves.dead(index, it.Item().Version()) {
			return index
		}
	}
	return 0
}

// recovered turns a panic, badger's on a damaged file or a fault of its memory map, into an error.
func (s *Store) recovered(index uint64, err *error) {
	if r := recover(); r != nil {
		s.panicked.Store(true)
		*err = s.corrupt(index, fmt.Errorf("badger panicked: %v", r))
	}
}

func (s *Store) corrupt(index uint64, cause error) error {
	return &ballast.CorruptionError{Path: s.dir, Offset: -1, Index: index, Err: s.named(cause)}
}

// Close collects the value log's garbage, writes what is in memory to tables and releases the
// directory. It waits for the calls in progress. Closing again does nothing, and returns when the
// store is closed.
func (s *Store) Close() error { return s.gate.CloseWith(s.conclude) }

// conclude does what Close says once no call is in progress.
func (s *Store) conclude() error {
	if s.stopGC != nil {
		close(s.stopGC)
		<-s.gcDone
		s.forget()
		s.collect()
	}
	s.watch.Stop()
	s.meter.Detach()
	err := s.closeBadger()
	if err == nil && !s.opts.ReadOnly {
		err = engine.SyncDir(s.by)
	}
	for _, end := range []func() error{s.lock.unlock, s.letGo} {
		if e := end(); err == nil {
			err = e
		}
	}
	if err != nil {
		return fmt.Errorf("badgerstore: close %s: %w", s.dir, s.named(err))
	}
	return nil
}

const (
	closePoll     = 100 * time.Millisecond
	closeFailures = 3               // of writing a table, before Close gives up
	closePanicked = 5 * time.Second // for a badger that panicked, which may wait for ever
)

// unwritten is the error of a badger that does not get its memory onto the disk.
func (s *Store) unwritten() error {
	if err := s.held.Check(); err != nil { // as when its folder was removed
		return fmt.Errorf("badger cannot write its memory to a table: %w", engine.Displaced(err))
	}
	return errors.New("badger cannot write its memory to a table, see its log; what was acknowledged is in its own log, and is there when the directory is opened again, after this process has ended")
}

// closeBadger closes badger, unless badger would wait for ever, or would make its tables in the
// folder of another store.
func (s *Store) closeBadger() error {
	if err := s.held.Check(); err != nil && s.by == s.dir {
		s.stuck = true
		return fmt.Errorf("badger is not closed, because it would write where another folder is "+
			"now; what was acknowledged is in its own log: %w", engine.Displaced(err))
	}
	done := make(chan error, 1)
	go func() { done <- s.db.Close() }()
	ticker := time.NewTicker(closePoll)
	defer ticker.Stop()
	start, failures := time.Now(), s.log.flushFailures.Load()
	for {
		select {
		case err := <-done:
			return err
		case now := <-ticker.C:
			if s.log.flushFailures.Load() >= failures+closeFailures {
				s.stuck = true
				return s.unwritten()
			}
			if s.panicked.Load() && now.Sub(start) > closePanicked {
				s.stuck = true
				return errors.New("badger panicked earlier and does not stop; end this process before the directory is opened again")
			}
		}
	}
}
