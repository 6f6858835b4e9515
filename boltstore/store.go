package boltstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/hashicorp/raft"
	"go.etcd.io/bbolt"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/engine"
	"github.com/raft-ballast/ballast/internal/logcodec"
)

// errBucketHere is of a key that has no value: a bit of its flags makes it a bucket.
var errBucketHere = errors.New("there is a bucket where a value should be")

var (
	_ ballast.Store      = (*Store)(nil)
	_ ballast.Inspector  = (*Store)(nil)
	_ ballast.KeyDeleter = (*Store)(nil)

	_ ballast.DamageReporter = (*Store)(nil)
)

const (
	// maxDeletes bounds the transactions of a DeleteRange, and with them the memory that one takes.
	maxDeletes = 16384

	// maxKeptBuf is the largest buffer that is kept for the next batch: a few of raft's batches.
	maxKeptBuf = 4 << 20
)

// publish makes the state after a durable write visible. The commit index is never seen above last.
func (s *Store) publish(first, last, commit uint64) {
	if commit < s.commit.Load() {
		s.commit.Store(commit)
	}
	s.first.Store(first)
	s.last.Store(last)
	s.commit.Store(commit)
}

// IsMonotonic returns false: gaps are legal.
func (s *Store) IsMonotonic() bool { return false }

// FirstIndex implements raft.LogStore.
func (s *Store) FirstIndex() (uint64, error) {
	if err := s.gate.Enter(); err != nil {
		return 0, err
	}
	defer s.gate.Leave()
	return s.first.Load(), nil
}

// LastIndex implements raft.LogStore.
func (s *Store) LastIndex() (uint64, error) {
	if err := s.gate.Enter(); err != nil {
		return 0, err
	}
	defer s.gate.Leave()
	return s.last.Load(), nil
}

// GetLog implements raft.LogStore.
func (s *Store) GetLog(index uint64, log *raft.Log) error {
	err := s.getLog(index, log)
	s.meter.Missed(err)
	return err
}

func (s *Store) getLog(index uint64, log *raft.Log) error {
	if err := s.gate.Enter(); err != nil {
		return err
	}
	defer s.gate.Leave()
	// Above last there may be an entry that bbolt shows already and whose sync is still on its way.
	if index == 0 || index > s.last.Load() {
		return raft.ErrLogNotFound
	}
	return s.view(func(w *view) error {
		if w.logs == nil {
			return raft.ErrLogNotFound
		}
		if err := s.reach(w, index); err != nil {
			return err
		}
		var k [8]byte
		binary.BigEndian.PutUint64(k[:], index)
		value, found := get(w.logs, k[:])
		switch {
		case !found:
			if _, err := s.seek(w, index); err != nil { // a key that is damaged hides it
				return err
			}
			return raft.ErrLogNotFound
		case value == nil:
			return &ballast.CorruptionError{Path: s.path, Offset: -1, Index: index, Err: errBucketHere}
		}
		var out raft.Log
		if err := logcodec.Decode(value, &out); err != nil {
			return &ballast.CorruptionError{Path: s.path, Offset: -1, Index: index, Err: err}
		}
		if out.Index != index {
			return &ballast.CorruptionError{Path: s.path, Offset: -1, Index: index,
				Err: fmt.Errorf("its key holds an entry of index %d", out.Index)}
		}
		*log = out
		return nil
	})
}

// StoreLog implements raft.LogStore.
func (s *Store) StoreLog(log *raft.Log) error { return s.StoreLogs([]*raft.Log{log}) }

// StoreLogs implements raft.LogStore. When the path of the store leads to another file now, or to
// none, it returns a [*ballast.DisplacedError], and so does each later write; nothing of them is
// written.
func (s *Store) StoreLogs(logs []*raft.Log) error {
	start := s.meter.Start()
	err := s.storeLogs(logs)
	s.meter.Appended(start, logs, err)
	return err
}

func (s *Store) storeLogs(logs []*raft.Log) error {
	if err := s.gate.Enter(); err != nil {
		return err
	}
	defer s.gate.Leave()
	if len(logs) == 0 {
		return nil
	}
	s.writing.Lock()
	defer s.writing.Unlock()

	lowest, highest := engine.Bounds(logs)
	first, last := s.first.Load(), max(s.last.Load(), highest)
	if first == 0 || lowest < first {
		first = lowest
	}
	commit := s.staged.Take(s.commit.Load(), last)
	if err := s.writable(); err != nil {
		return err
	}
	if err := engine.CheckBatch(logs, s.opts.MaxEntryBytes); err != nil {
		return err
	}
	if err := errors.Join(s.sureOfLog(lowest, highest), s.sureOf(ballastBucket)); err != nil {
		return err
	}
	s.reserve(logs)
	err := s.update(func(tx *bbolt.Tx) error {
		if err := s.putLogs(tx, logs); err != nil {
			return err
		}
		return s.putCommit(tx, commit)
	})
	if err != nil {
		return err
	}
	s.stored = commit
	s.publish(first, last, commit)
	return nil
}

// writable returns why nothing can be written, or nil.
func (s *Store) writable() error {
	if s.opts.ReadOnly {
		return ballast.ErrReadOnly
	}
	if err := s.failed.Err(); err != nil {
		return err
	}
	return s.inPlace()
}

// reserve makes room for the whole batch in s.buf, so that it does not move while bbolt refers to it.
func (s *Store) reserve(logs []*raft.Log) {
	size := 0
	for _, l := range logs {
		size += logcodec.Size(l)
	}
	if cap(s.buf) < size || cap(s.buf) > max(size, maxKeptBuf) {
		s.buf = make([]byte, 0, size)
	}
	s.buf = s.buf[:0]
}

func (s *Store) putLogs(tx *bbolt.Tx, logs []*raft.Log) error {
	b := tx.Bucket(logsBucket)
	// Indexes ascend, so a page that was split is never filled later: pack it.
	b.FillPercent = 1
	var k [8]byte
	for _, l := range logs {
		start := len(s.buf)
		s.buf = logcodec.Append(s.buf, l, s.timeForm)
		binary.BigEndian.PutUint64(k[:], l.Index)
		if err := b.Put(k[:], s.buf[start:len(s.buf):len(s.buf)]); err != nil {
			return fmt.Errorf("entry %d: %w", l.Index, err)
		}
	}
	return nil
}

// putCommit writes the commit index when it is another one than in the file.
func (s *Store) putCommit(tx *bbolt.Tx, commit uint64) error {
	if commit == s.stored {
		return nil
	}
	b, err := tx.CreateBucketIfNotExists(ballastBucket)
	if err != nil {
		return fmt.Errorf("creating the bucket %q: %w", ballastBucket, err)
	}
	return b.Put(commitKey, engine.Uint64Bytes(commit))
}

// DeleteRange implements raft.LogStore.
func (s *Store) DeleteRange(min, max uint64) error {
	if err := s.gate.Enter(); err != nil {
		return err
	}
	defer s.gate.Leave()
	s.writing.Lock()
	defer s.writing.Unlock()
	if err := s.writable(); err != nil {
		return err
	}
	first, last := s.first.Load(), s.last.Load()
	if min > max || last == 0 || min > last || max < first {
		return nil
	}
	if err := errors.Join(s.sureOfLog(min, max), s.sureOfLog(0, 0), s.sureOfLog(math.MaxUint64, math.MaxUint64), s.sureOf(ballastBucket)); err != nil {
		return err
	}
	// Cutting off the end from the bottom up would leave a hole in the log, if it stopped in the middle.
	down := min > first && max >= last
	for more := true; more; {
		var err error
		if more, err = s.deleteSome(min, max, down); err != nil {
			return err
		}
	}
	return nil
}

// deleteSome deletes up to maxDeletes entries between min and max in one transaction, and reports whether there
// may be more.
func (s *Store) deleteSome(min, max uint64, down bool) (more bool, err error) {
	var first, last, commit uint64
	err = s.update(func(tx *bbolt.Tx) error {
		n, err := s.deleteKeys(tx.Bucket(logsBucket), min, max, down)
		if err != nil {
			return err
		}
		more = n == maxDeletes
		if first, last, err = s.bounds(tx); err != nil {
			return err
		}
		commit = s.commit.Load()
		if commit > last {
			commit = last
		}
		return s.putCommit(tx, commit)
	})
	if err != nil {
		return false, err
	}
	s.stored = commit
	s.publish(first, last, commit)
	return more, nil
}

func (s *Store) deleteKeys(logs *bbolt.Bucket, min, max uint64, down bool) (n int, err error) {
	c := logs.Cursor()
	k, _ := c.Seek(key(min))
	step := c.Next
	if down {
		k, _ = c.Last()
		step = c.Prev
	}
	for ; k != nil && n < maxDeletes; n++ {
		index, err := s.index(k)
		if err != nil {
			return n, err
		}
		if index < min || index > max {
			break
		}
		if err := c.Delete(); err != nil {
			return n, fmt.Errorf("deleting entry %d: %w", index, err)
		}
		k, _ = step()
	}
	return n, nil
}

// Set implements raft.StableStore. bbolt takes no empty key and none above 32,768 bytes.
func (s *Store) Set(key, value []byte) error {
	if err := s.gate.Enter(); err != nil {
		return err
	}
	defer s.gate.Leave()
	if s.opts.ReadOnly {
		s.overlay.Set(key, value)
		return nil
	}
	s.writing.Lock()
	defer s.writing.Unlock()
	if err := s.writable(); err != nil {
		return err
	}
	if err := s.sureOf(confBucket); err != nil {
		return err
	}
	return s.update(func(tx *bbolt.Tx) error { return tx.Bucket(confBucket).Put(key, value) })
}

// DeleteKey implements [ballast.KeyDeleter].
func (s *Store) DeleteKey(key []byte) error {
	if err := s.gate.Enter(); err != nil {
		return err
	}
	defer s.gate.Leave()
	s.writing.Lock()
	defer s.writing.Unlock()
	if err := s.writable(); err != nil {
		return err
	}
	if err := s.sureOf(confBucket); err != nil {
		return err
	}
	return s.update(func(tx *bbolt.Tx) error { return tx.Bucket(confBucket).Delete(key) })
}

// Get implements raft.StableStore.
func (s *Store) Get(key []byte) (value []byte, err error) {
	if err := s.gate.Enter(); err != nil {
		return nil, err
	}
	defer s.gate.Leave()
	if value := s.overlay.Get(key); value != nil {
		return value, nil
	}
	err = s.view(func(w *view) error {
		if w.conf == nil {
			return ballast.ErrKeyNotFound // a read-only store of a new file
		}
		if err := s.shape(w.tx, w.conf.Bucket()); err != nil {
			return err
		}
		v, found := get(w.conf, key)
		switch {
		case !found:
			return ballast.ErrKeyNotFound
		case v == nil:
			return &ballast.CorruptionError{Path: s.path, Offset: -1, Err: fmt.Errorf("stable key %.40q: %w", key, errBucketHere)}
		}
		value = append([]byte{}, v...)
		return nil
	})
	return value, err
}

// SetUint64 implements raft.StableStore.
func (s *Store) SetUint64(key []byte, value uint64) error {
	return s.Set(key, engine.Uint64Bytes(value))
}

// GetUint64 implements raft.StableStore.
func (s *Store) GetUint64(key []byte) (uint64, error) {
	value, err := s.Get(key)
	if err != nil {
		return 0, err
	}
	return engine.Uint64(key, value)
}

// StageCommitIndex implements [ballast.CommitTracker].
func (s *Store) StageCommitIndex(index uint64) error {
	if err := s.gate.Enter(); err != nil {
		return err
	}
	defer s.gate.Leave()
	s.staged.Stage(index)
	return nil
}

// GetCommitIndex implements [ballast.CommitTracker].
func (s *Store) GetCommitIndex() (uint64, error) {
	if err := s.gate.Enter(); err != nil {
		return 0, err
	}
	defer s.gate.Leave()
	return s.commit.Load(), nil
}

// StableKeys implements [ballast.Inspector].
func (s *Store) StableKeys() ([][]byte, error) {
	if err := s.gate.Enter(); err != nil {
		return nil, err
	}
	defer s.gate.Leave()
	var keys []string
	err := s.view(func(w *view) error {
		if w.conf == nil {
			return nil
		}
		if err := s.shape(w.tx, w.conf.Bucket()); err != nil {
			return err
		}
		for k, v := w.conf.First(); k != nil; k, v = w.conf.Next() {
			if v != nil { // nil is a bucket in the bucket, which is not ours
				keys = append(keys, string(k))
			}
		}
		return nil
	})
	return s.overlay.AllKeys(keys), err
}

// Stats returns bbolt's statistics. It may be called by any goroutine, also after Close.
func (s *Store) Stats() bbolt.Stats { return s.db.Stats() }

// Sync makes durable what was written with NoSync. Without NoSync there is nothing to do.
func (s *Store) Sync() error {
	if err := s.gate.Enter(); err != nil {
		return err
	}
	defer s.gate.Leave()
	if s.opts.ReadOnly {
		return nil
	}
	s.writing.Lock()
	defer s.writing.Unlock()
	if err := s.writable(); err != nil {
		return err
	}
	if err := s.db.Sync(); err != nil {
		return s.fail(err)
	}
	return nil
}

// Close waits for calls in progress, writes the free list, and lets go of the file. Closing again
// does nothing, and returns when the store is closed.
func (s *Store) Close() error { return s.gate.CloseWith(s.conclude) }

// conclude does what Close says once no call is in progress.
func (s *Store) conclude() error {
	err := s.writeFreelist()
	s.watch.Stop()
	s.meter.Detach()
	if e := s.closeBolt(); err == nil && e != nil {
		err = fmt.Errorf("boltstore: closing %s: %w", s.path, e)
	}
	return err
}

// writeFreelist leaves a file that opens without a scan, also in raft-boltdb v1. Without space for it the next
// opening scans, and nothing is lost.
func (s *Store) writeFreelist() error {
	failed := s.failed.Err()
	inDoubt := failed != nil && !errors.Is(failed, ballast.ErrDisplaced)
	if !s.written || inDoubt || s.opts.Bolt != nil {
		return nil
	}
	s.db.NoFreelistSync = false
	err := s.update(func(*bbolt.Tx) error { return nil })
	if err != nil && (failed != nil || s.failed.Err() == nil) {
		return nil
	}
	return err
}
