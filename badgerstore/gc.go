package badgerstore

import (
	"errors"
	"fmt"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/engine"
	"github.com/raft-ballast/ballast/internal/vfs"
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
		timer := time.NewTimer(s.opts.GCInterval)
		defer timer.Stop()
		for {
			s.forget()
			s.pushOut()
			s.collect()
			timer.Reset(s.retries.Wait(s.opts.GCInterval)) // sooner after a failure
			select {
			case <-s.stopGC:
				return
			case <-timer.C:
			}
		}
	}()
}

// The steps of the background, as Troubles calls them.
const (
	stepCollect = "collecting the value log's garbage"
	stepPushOut = "writing memory to tables, so that garbage is seen"
)

// Troubles returns how many steps of the work in the background fail now and are tried again, and
// the one that has failed for the longest time, the zero value for none. They stop no call; but
// while one lasts space may not come back. It may be called by any goroutine.
func (s *Store) Troubles() (n int, oldest ballast.Trouble) {
	n, oldest = engine.Oldest(&s.retries)
	if f := s.log.lastFailure.Load(); s.log.flushing() != nil {
		n++
		if oldest.Step == "" {
			tries := uint64(s.log.flushFailures.Load())
			oldest = ballast.Trouble{Step: "writing memory to tables", Since: f.at, Tries: tries, Err: f.err}
		}
	}
	return n, oldest
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
	switch err := engine.SyncDir(s.by); {
	case err == nil:
		return nil
	case vfs.IsNoFile(err): // nothing was tried, and the file stays until the next time
		return s.named(err)
	default:
		return s.latch.Fail(s.named(err))
	}
}

// collect removes the files of the value log that are garbage enough. What fails is tried again.
func (s *Store) collect() {
	if s.latch.Err() == nil {
		_ = s.retries.Note(stepCollect, 0, s.collectAll())
	}
}

func (s *Store) collectAll() (err error) {
	s.log.stopped.Store(nil)
	defer func() {
		if r := recover(); r == errGCStopped {
			err = s.log.whyStopped()
		} else if r != nil {
			s.panicked.Store(true)
			err = s.corrupt(0, fmt.Errorf("badger panicked: %v", r))
		}
	}()
	for err == nil && s.latch.Err() == nil && s.inPlace() == nil {
		if err = s.checkSpace(s.bopt.ValueLogFileSize, s.opts.ReserveBytes/4); err == nil {
			err = s.db.RunValueLogGC(s.opts.GCDiscardRatio)
		}
	}
	if errors.Is(err, badger.ErrNoRewrite) { // there is no more
		return nil
	}
	return err
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
	garbage := s.garbage
	due := garbage >= pushOutGarbage*s.bopt.MemTableSize
	if due {
		s.garbage = 0
	}
	s.mu.Unlock()
	if !due {
		return
	}
	done := false
	defer func() {
		if !done { // it is to be pushed out still
			s.mu.Lock()
			s.garbage += garbage
			s.mu.Unlock()
		}
	}()
	pad := make([]byte, min(maxPad, s.bopt.ValueThreshold-1)) // no longer, or it would go to the value log itself
	for written := int64(0); written < pushOutTables*s.bopt.MemTableSize; written += int64(len(pad)) {
		select {
		case <-s.stopGC:
			return
		default:
		}
		if err := s.retries.Note(stepPushOut, 0, s.writePad(pad)); err != nil {
			return
		}
	}
	done = true
}

func (s *Store) writePad(pad []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := errors.Join(s.writable(), s.checkSpace(int64(len(pad)), s.opts.ReserveBytes)); err != nil {
		return err
	}
	return s.commit(func(txn *badger.Txn, _ uint64) error { return txn.Set([]byte(padKey), pad) })
}
