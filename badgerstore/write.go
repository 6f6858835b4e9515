package badgerstore

import (
	"fmt"
	"os"
	"time"

	"github.com/dgraph-io/badger/v4"
	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/engine"
	"github.com/raft-ballast/ballast/internal/logcodec"
)

// StoreLog stores one entry.
func (s *Store) StoreLog(log *raft.Log) error { return s.StoreLogs([]*raft.Log{log}) }

// StoreLogs stores a batch: all of it or, also after a crash, nothing. When the path of the store
// leads to another folder now, or to none, it returns a [*ballast.DisplacedError], and so does each
// later write; nothing of them is written.
func (s *Store) StoreLogs(logs []*raft.Log) error {
	start := s.meter.Start()
	err := s.storeLogs(logs)
	s.meter.Appended(start, logs, err)
	return err
}

func (s *Store) storeLogs(logs []*raft.Log) (err error) {
	if err := s.gate.Enter(); err != nil {
		return err
	}
	defer s.gate.Leave()
	if len(logs) == 0 {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	v := *s.view.Load()
	lo, hi := engine.Bounds(logs)
	commit := s.stage.Take(v.commit, max(v.last, hi))
	if err := s.writable(); err != nil {
		return err
	}
	if err := engine.CheckBatch(logs, s.opts.MaxEntryBytes); err != nil {
		return err
	}
	total := int64(0)
	for _, l := range logs {
		total += int64(logcodec.Size(l))
	}
	fits := s.fits(logs)
	if !fits {
		total *= 2 // it is written twice
	}
	if err := s.checkSpace(total, s.opts.ReserveBytes); err != nil {
		return err
	}
	if fits {
		err = s.storeOnce(logs, commit)
	} else {
		err = s.storeRedo(logs, commit)
	}
	if err != nil {
		return err
	}
	if v.first == 0 || lo < v.first {
		v.first = lo
	}
	v.last = max(v.last, hi)
	s.stored = commit
	v.commit = commit
	v.version = s.version
	s.publish(&v)
	return nil
}

// writable returns why nothing may be written.
func (s *Store) writable() error {
	if s.opts.ReadOnly {
		return ballast.ErrReadOnly
	}
	if err := s.latch.Err(); err != nil {
		return err
	}
	if err := s.inPlace(); err != nil {
		return err
	}
	return s.log.flushing()
}

// Room in a transaction for what is not an entry: the commit index and badger's own end mark.
const (
	txnOverheadBytes = 256
	txnOverheadCount = 4
	entryOverhead    = logKeyLen + 8 + 2 + 10 // as badger counts it, at the most
)

// fits reports whether the batch fits a transaction of badger. Values above its threshold count
// little, since they go to the value log, of which a transaction takes at most a file.
func (s *Store) fits(logs []*raft.Log) bool {
	size, long := int64(txnOverheadBytes), int64(0)
	for _, l := range logs {
		n := int64(logcodec.Size(l))
		size += int64(entryOverhead)
		if n >= s.bopt.ValueThreshold {
			long += n + valueLogSlack/1024
			size += 12
		}
		if n-8 < s.bopt.ValueThreshold+64 { // it may be encoded shorter than Size says
			size += n
		}
	}
	count := int64(len(logs)) + txnOverheadCount
	return size < s.db.MaxBatchSize() && count < s.db.MaxBatchCount() && long < s.bopt.ValueLogFileSize
}

// storeOnce writes the batch in one transaction.
func (s *Store) storeOnce(logs []*raft.Log, commit uint64) error {
	return s.commit(func(txn *badger.Txn, _ uint64) error {
		if err := s.setCommit(txn, commit); err != nil {
			return err
		}
		total := 0
		for _, l := range logs {
			total += logcodec.Size(l)
		}
		buf := s.buffer(total)
		for _, l := range logs {
			at := len(buf)
			buf = logcodec.Append(buf, l, logcodec.ClassicTime)
			if err := txn.Set(logKey(l.Index), buf[at:len(buf):len(buf)]); err != nil {
				return err
			}
		}
		return nil
	})
}

// keptBuffer is the largest buffer that is kept for the next write.
const keptBuffer = 4 << 20

// buffer returns an empty buffer of that capacity. Badger refers to it until the transaction is written.
func (s *Store) buffer(n int) []byte {
	if n > keptBuffer {
		return make([]byte, 0, n)
	}
	if cap(s.buf) < n {
		s.buf = make([]byte, 0, n)
	}
	return s.buf[:0]
}

// setCommit writes the commit index when it is another one than badger has.
func (s *Store) setCommit(txn *badger.Txn, commit uint64) error {
	if commit == s.stored {
		return nil
	}
	return txn.Set([]byte(commitKey), engine.Uint64Bytes(commit))
}

// commit writes one transaction durably and raises s.version. An error of fill is returned as it is:
// nothing was written. Any other error fails the engine, because it leaves unknown what is on the
// disk.
func (s *Store) commit(fill func(txn *badger.Txn, version uint64) error) (err error) {
	s.watch.Begin()
	defer func() { s.watch.End(err) }()
	defer func() {
		if r := recover(); r != nil {
			s.panicked.Store(true)
			err = s.latch.Fail(s.corrupt(0, fmt.Errorf("badger panicked in a write: %v", r)))
		}
	}()
	version := s.version + 1
	txn := s.db.NewTransactionAt(s.version, true)
	defer txn.Discard()
	if err := fill(txn, version); err != nil {
		return fmt.Errorf("badgerstore: %w", err)
	}
	began := s.meter.Start()
	if err := txn.CommitAt(version, nil); err != nil {
		return s.latch.Fail(fmt.Errorf("badgerstore: write to %s: %w", s.dir, s.named(err)))
	}
	if err := s.latch.Err(); err != nil { // badger only logs that the value log's sync failed
		return err
	}
	if !s.opts.NoSync {
		if err := s.dirMark.sync(s.by); err != nil {
			return s.latch.Fail(fmt.Errorf("badgerstore: sync of %s: %w", s.dir, s.named(err)))
		}
	}
	s.meter.Synced(began)
	s.version = version
	return nil
}

// dirMark knows up to which state a directory is synced. Badger makes new files for its write-ahead
// log and its value log in the middle of a write, and never syncs their names.
type dirMark struct{ synced time.Time }

// dirSettled is the age from which on a modification time tells every later change: file systems take
// the time from a clock that ticks every few milliseconds.
const dirSettled = 50 * time.Millisecond

// dirSettledCoarse is the same for a file system that keeps whole seconds, or every second one.
const dirSettledCoarse = 3 * time.Second

// sync syncs dir when it may have changed since the last time.
func (m *dirMark) sync(dir string) error {
	st, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if !m.synced.IsZero() && st.ModTime().Equal(m.synced) {
		return nil
	}
	if err := engine.SyncDir(dir); err != nil {
		return err
	}
	settled := dirSettled
	if st.ModTime().Nanosecond() == 0 {
		settled = dirSettledCoarse
	}
	m.synced = time.Time{}
	if time.Since(st.ModTime()) > settled {
		m.synced = st.ModTime()
	}
	return nil
}

// checkSpace returns ballast.ErrNoSpace when writing n bytes would leave less than reserve. It has to
// be asked before each write: badger writes through a memory map of files with holes, so on a full
// disk the process gets a signal instead of an error. The reserve is for badger's own goroutines,
// which write tables meanwhile.
func (s *Store) checkSpace(n, reserve int64) error {
	if s.opts.ReserveBytes < 0 {
		return nil
	}
	free, err := engine.FreeBytes(s.by)
	if err != nil {
		return fmt.Errorf("badgerstore: free space of %s: %w", s.dir, s.named(err))
	}
	if need := n + reserve; free < need {
		return fmt.Errorf("badgerstore: %s has %d bytes free, this write needs %d with the reserve: %w",
			s.dir, free, need, ballast.ErrNoSpace)
	}
	return nil
}

// Set stores a value, nil as an empty one.
func (s *Store) Set(key, value []byte) error {
	return s.setStable(key, value, bytesKey(key), uint64Key(key))
}

// SetUint64 stores a number.
func (s *Store) SetUint64(key []byte, value uint64) error {
	return s.setStable(key, engine.Uint64Bytes(value), uint64Key(key), bytesKey(key))
}

// setStable writes value to place and removes what is at other, in one transaction.
func (s *Store) setStable(key, value, place, other []byte) error {
	if err := s.gate.Enter(); err != nil {
		return err
	}
	defer s.gate.Leave()
	if len(key) > maxStableKey {
		return fmt.Errorf("badgerstore: stable key of %d bytes, the limit is %d; take a shorter one", len(key), maxStableKey)
	}
	if len(value) > s.opts.MaxEntryBytes {
		return fmt.Errorf("badgerstore: value of stable key %.40q has %d bytes, the limit is %d; split it or raise MaxEntryBytes",
			key, len(value), s.opts.MaxEntryBytes)
	}
	if s.opts.ReadOnly {
		s.overlay.Set(key, value)
		return nil
	}
	return s.changeStable(int64(len(value)), func(txn *badger.Txn) error {
		if err := deleteItem(txn, other); err != nil {
			return err
		}
		return txn.Set(place, append([]byte{}, value...))
	})
}

// DeleteKey implements [ballast.KeyDeleter]. The value goes from both places where it may be.
func (s *Store) DeleteKey(key []byte) error {
	if err := s.gate.Enter(); err != nil {
		return err
	}
	defer s.gate.Leave()
	return s.changeStable(0, func(txn *badger.Txn) error {
		if err := deleteItem(txn, bytesKey(key)); err != nil {
			return err
		}
		return deleteItem(txn, uint64Key(key))
	})
}

// changeStable changes the stable state in one transaction, for which there have to be so many bytes of space.
func (s *Store) changeStable(bytes int64, change func(*badger.Txn) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.writable(); err != nil {
		return err
	}
	if err := s.checkSpace(bytes, s.opts.ReserveBytes/4); err != nil {
		return err
	}
	if err := s.commit(func(txn *badger.Txn, _ uint64) error { return change(txn) }); err != nil {
		return err
	}
	v := *s.view.Load()
	v.version = s.version
	s.publish(&v)
	return nil
}

// deleteItem deletes a key that may be there.
func deleteItem(txn *badger.Txn, key []byte) error {
	item, err := getItem(txn, key)
	if err != nil || item == nil {
		return err
	}
	return txn.Delete(key)
}
