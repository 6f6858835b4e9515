package badgerstore

import (
	"errors"
	"fmt"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/raft-ballast/ballast/internal/engine"
)

// startGC looks for garbage in the value log now and then, the first time at once: what was deleted
// before the last Close is known as garbage since then.
func (s *Store) startGC() {
	s.log.beforeRewrite, s.log.beforeRemoval = s.beforeRewrite, s.beforeRemoval
	s.stopGC, s.gcDone = make(chan struct{}), make(chan struct{})
	if s.opts.GCInterval < 0 {
		close(s.gcDone)
		return
	}
	go func() {
		defer close(s.gcDone)
		ticker := time.NewTicker(s.opts.GCInterval)
		defer ticker.Stop()
		for {
			s.forget()
			s.pushOut()
			s.collect()
			select {
			case <-s.stopGC:
				return
			case <-ticker.C:
			}
		}
	}()
}

// forget lets badger drop what only older views can see, for the case that publish never found a
// moment without readers. It waits for the reads in progress.
func (s *Store) forget() {
	s.pins.Lock()
	version := s.view.Load().version
	s.pins.Unlock()
	s.db.SetDiscardTs(version)
}

// rewriteLead is how long writes are held back for a garbage collection to begin, a few instructions.
const rewriteLead = 5 * time.Millisecond

// beforeRewrite is called before the garbage collection looks at a file and asks badger for its newest version. A file of which it would not
// move all that lives is not collected. Badger reads the version without the lock that its write path holds, so no write may be under way then; a later one
// passes a lock that the question has passed too.
func (s *Store) beforeRewrite(file uint32) error {
	if err := checkValueLog(s.file(fmt.Sprintf("%06d%s", file, vlogSuffix))); err != nil {
		return err
	}
	s.mu.Lock()
	time.AfterFunc(rewriteLead, s.mu.Unlock)
	return nil
}

// beforeRemoval is called when the garbage collection has moved what lives in a file, before it
// removes it. The new place has to be durable by then: badger takes no notice when its sync failed,
// and does not sync the name of a new file.
func (s *Store) beforeRemoval() error {
	if err := s.latch.Err(); err != nil {
		return err
	}
	if err := engine.SyncDir(s.by); err != nil {
		return s.latch.Fail(s.named(err))
	}
	return nil
}

// collect removes the files of the value log that are garbage enough.
func (s *Store) collect() {
	defer func() {
		if r := recover(); r != nil && r != errGCStopped {
			s.panicked.Store(true)
		}
	}()
	for s.latch.Err() == nil && s.inPlace() == nil &&
		s.checkSpace(s.bopt.ValueLogFileSize, s.opts.ReserveBytes/4) == nil {
		if err := s.db.RunValueLogGC(s.opts.GCDiscardRatio); err != nil {
			return // badger.ErrNoRewrite when there is no more
		}
	}
}

const (
	maxPad         = 512 << 10 // in bytes
	pushOutGarbage = 16        // in memtables, so that filling them up stays cheap beside it
	pushOutTables  = 2         // memtables that are filled, as many as make badger compact
)

// pushOut makes badger write its memtable to a table when much has died in the value log. Badger
// learns what is garbage only when it compacts tables, and an entry that is in the value log takes so
// little room in the memtable that this would come after many gigabytes. Badger has no call for it, so
// the memtable is filled up.
func (s *Store) pushOut() {
	s.mu.Lock()
	due := s.garbage >= pushOutGarbage*s.bopt.MemTableSize
	if due {
		s.garbage = 0
	}
	s.mu.Unlock()
	if !due {
		return
	}
	pad := make([]byte, min(maxPad, s.bopt.ValueThreshold-1)) // no longer, or it would go to the value log itself
	for written := int64(0); written < pushOutTables*s.bopt.MemTableSize; written += int64(len(pad)) {
		select {
		case <-s.stopGC:
			return
		default:
		}
		if err := s.writePad(pad); err != nil {
			return
		}
	}
}

func (s *Store) writePad(pad []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := errors.Join(s.writable(), s.checkSpace(int64(len(pad)), s.opts.ReserveBytes)); err != nil {
		return err
	}
	return s.commit(func(txn *badger.Txn, _ uint64) error { return txn.Set([]byte(padKey), pad) })
}
