package wal

import (
	"cmp"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/engine"
)

var (
	_ ballast.Store      = (*Store)(nil)
	_ ballast.Inspector  = (*Store)(nil)
	_ ballast.KeyDeleter = (*Store)(nil)
)

// Store is the log and the stable state of one raft peer: all of a directory, or one group of several in it. See [ballast.Store] for
// what its methods promise.
type Store struct {
	j       *journal
	g       *group
	gate    engine.Gate
	closed  atomic.Bool // for reading, which takes no gate
	groups  *Groups     // that it is one of, nil for a store that has the log for itself
	staged  engine.CommitStage
	overlay engine.Overlay // of a read-only store
}

// Open opens the log in dir, or creates one there. nil options are the defaults.
//
// An error matches, with errors.Is: [ballast.ErrLocked] when another store has it open, in this
// process or another; [ballast.ErrCorrupt] when something is damaged that opening needs, or all
// segments are gone; [ballast.ErrUnknownVersion] for a newer format; [ballast.ErrForeign] for
// another store's directory, and for the log of several raft groups, which [OpenGroups] opens;
// [ballast.ErrUnfinished] for one that a migration or a repair has not finished;
// [ballast.ErrNoSpace] when there is no room for what opening writes. With errors.As the first two
// are a *[ballast.LockedError] and a *[ballast.CorruptionError]. A failed Open leaves nothing
// locked.
//
// The folder is held: see the package's doc for what follows when its name comes to mean another
// one, and [ballast.DisplacedError].
//
// A newest segment that has more than one hard link, as in a copy by cp -al, is copied first, so
// that a log and such a copy do not write to one another; that takes its space.
//
// Close the store after raft's Shutdown: raft does not.
func Open(dir string, opts *Options) (*Store, error) { return open(dir, opts, false) }

// OpenReadOnly opens the log in dir for reading. It takes no lock and writes nothing, and the log may be written
// meanwhile by its owner: what is seen is the log as it was at some moment of the opening, and
// damage that is told is damage. An entry that was deleted since may be gone, see [Store.Readings];
// open it again to see what was added. Writes to the log are refused with [ballast.ErrReadOnly].
// When the folder is renamed or replaced meanwhile it is still the same log that is read, see
// [Stats.Displaced].
// Stable values are taken into memory only, because hashicorp/raft sets the current term even where it just reads, as in GetConfiguration.
//
// Errors are those of [Open], without the lock, and fs.ErrNotExist for a directory without a log.
func OpenReadOnly(dir string, opts *Options) (*Store, error) { return open(dir, opts, true) }

func open(dir string, opts *Options, readOnly bool) (*Store, error) {
	o, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	j, err := openJournal(dir, o, readOnly)
	if err != nil {
		return nil, err
	}
	g := j.group(0)
	if err := cmp.Or(j.single(), j.finished(g)); err != nil {
		return nil, errors.Join(err, j.close())
	}
	j.observe()
	return &Store{j: j, g: g}, nil
}

// single returns an error for a log in which there are other groups than 0: whoever takes it for the log of one peer would find that peer
// without its vote, or take one of many for all there is.
func (j *journal) single() error {
	ids := j.ids()
	if n := len(ids); n > 1 {
		return &sharedError{fmt.Sprintf("wal: %s is the log of %d raft groups, from %d to %d; open it with OpenGroups", j.dir, n, ids[0], ids[n-1])}
	} else if n == 1 && ids[0] != 0 {
		return &sharedError{fmt.Sprintf("wal: %s is the log of raft group %d; open it with OpenGroups", j.dir, ids[0])}
	}
	return nil
}

// sharedError is that of Open for a log of raft groups.
type sharedError struct{ text string }

func (e *sharedError) Error() string        { return e.text }
func (e *sharedError) Is(target error) bool { return target == ballast.ErrForeign }

// group returns the state of a group, a new one when the log knows none.
func (j *journal) group(id uint64) *group {
	j.mu.Lock()
	defer j.mu.Unlock()
	g := j.groups[id]
	if g == nil {
		g = newGroup(id)
		j.groups[id] = g
	}
	return g
}

// IsMonotonic returns false: gaps are legal.
func (s *Store) IsMonotonic() bool { return false }

// FirstIndex implements raft.LogStore.
func (s *Store) FirstIndex() (uint64, error) {
	if err := s.gate.Enter(); err != nil {
		return 0, err
	}
	defer s.gate.Leave()
	return s.g.firstIndex.Load(), nil
}

// LastIndex implements raft.LogStore.
func (s *Store) LastIndex() (uint64, error) {
	if err := s.gate.Enter(); err != nil {
		return 0, err
	}
	defer s.gate.Leave()
	return s.g.lastIndex.Load(), nil
}

// GetLog implements raft.LogStore.
func (s *Store) GetLog(index uint64, log *raft.Log) error {
	if s.closed.Load() {
		return ballast.ErrClosed
	}
	return s.j.get(s.g, index, log)
}

// StoreLog implements raft.LogStore.
func (s *Store) StoreLog(log *raft.Log) error {
	r := requests.Get().(*request)
	r.one[0] = log
	r.logs = r.one[:]
	return s.store(r)
}

// StoreLogs implements raft.LogStore. The call that finds, at a rotation, that the path of the log
// leads to another folder now, or to none, returns a [*ballast.DisplacedError], and so does each
// later write; nothing of them is written.
func (s *Store) StoreLogs(logs []*raft.Log) error {
	r := requests.Get().(*request)
	r.logs = logs
	return s.store(r)
}

func (s *Store) store(r *request) error {
	defer r.release()
	if err := s.gate.Enter(); err != nil {
		return err
	}
	defer s.gate.Leave()
	if len(r.logs) == 0 {
		return nil
	}
	r.commit, r.staged = s.staged.Pop()
	if s.j.readOnly {
		return ballast.ErrReadOnly
	}
	if err := engine.CheckBatch(r.logs, s.j.opts.MaxEntryBytes); err != nil {
		return err
	}
	r.kind, r.group = recordEntry, s.g
	start := s.j.meter.Start()
	err := s.j.submit(r)
	s.j.meter.Appended(start, r.logs, err)
	return err
}

// DeleteRange implements raft.LogStore.
func (s *Store) DeleteRange(min, max uint64) error {
	if err := s.gate.Enter(); err != nil {
		return err
	}
	defer s.gate.Leave()
	if s.j.readOnly {
		return ballast.ErrReadOnly
	}
	if err := s.j.failed.Err(); err != nil {
		return err
	}
	s.j.mu.RLock()
	i := s.g.at(min)
	nothing := min > max || i == len(s.g.runs) || s.g.runs[i].first > max
	s.j.mu.RUnlock()
	if nothing {
		return nil
	}
	r := requests.Get().(*request)
	defer r.release()
	r.kind, r.group, r.low, r.high = recordDelete, s.g, min, max
	return s.j.submit(r)
}

// Set implements raft.StableStore. A key and a value that together are larger than MaxEntryBytes are refused with
// [ballast.EntryTooLargeError].
func (s *Store) Set(key, value []byte) error {
	if err := s.gate.Enter(); err != nil {
		return err
	}
	defer s.gate.Leave()
	if n := len(key) + len(value); n > s.j.opts.MaxEntryBytes {
		return &ballast.EntryTooLargeError{Bytes: n, Limit: s.j.opts.MaxEntryBytes}
	}
	if s.j.readOnly {
		s.overlay.Set(key, value)
		return nil
	}
	r := requests.Get().(*request)
	defer r.release()
	r.kind, r.group, r.key, r.value = recordSet, s.g, key, value
	return s.j.submit(r)
}

// DeleteKey implements [ballast.KeyDeleter].
func (s *Store) DeleteKey(key []byte) error {
	if err := s.gate.Enter(); err != nil {
		return err
	}
	defer s.gate.Leave()
	if s.j.readOnly {
		return ballast.ErrReadOnly
	}
	if err := s.j.failed.Err(); err != nil {
		return err
	}
	s.j.mu.RLock()
	_, there := s.g.stable.get(key)
	s.j.mu.RUnlock()
	if !there {
		return nil
	}
	r := requests.Get().(*request)
	defer r.release()
	r.kind, r.group, r.key = recordUnset, s.g, key
	return s.j.submit(r)
}

// Get implements raft.StableStore.
func (s *Store) Get(key []byte) ([]byte, error) {
	if err := s.gate.Enter(); err != nil {
		return nil, err
	}
	defer s.gate.Leave()
	if value := s.overlay.Get(key); value != nil {
		return value, nil
	}
	s.j.mu.RLock()
	value, ok := s.g.stable.get(key)
	s.j.mu.RUnlock()
	if !ok {
		return nil, ballast.ErrKeyNotFound
	}
	return append([]byte{}, value...), nil
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
	return s.g.commitIndex.Load(), nil
}

// NextIndex implements [ballast.Inspector].
func (s *Store) NextIndex(index uint64) (uint64, error) {
	if err := s.gate.Enter(); err != nil {
		return 0, err
	}
	defer s.gate.Leave()
	s.j.mu.RLock()
	defer s.j.mu.RUnlock()
	i := s.g.at(index)
	if i == len(s.g.runs) {
		return 0, nil
	}
	return max(index, s.g.runs[i].first), nil
}

// StableKeys implements [ballast.Inspector].
func (s *Store) StableKeys() ([][]byte, error) {
	if err := s.gate.Enter(); err != nil {
		return nil, err
	}
	defer s.gate.Leave()
	s.j.mu.RLock()
	keys := make([]string, 0, len(s.g.stable))
	for key := range s.g.stable.all() {
		keys = append(keys, key)
	}
	s.j.mu.RUnlock()
	return s.overlay.AllKeys(keys), nil
}

// Close waits for calls in progress and ends the log so that it opens without being read. Closing
// again does nothing, and returns when the store is closed. One group of several is closed for
// itself; it can be had again from its [Groups], and the log stays open.
func (s *Store) Close() error {
	s.closed.Store(true)
	return s.gate.CloseWith(func() error {
		if s.groups != nil {
			s.groups.forget(s)
			return nil
		}
		return s.j.close()
	})
}

// shut waits for calls in progress, and lets none in any more.
func (s *Store) shut() {
	s.closed.Store(true)
	s.gate.Close()
}
