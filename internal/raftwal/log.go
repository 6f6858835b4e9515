package raftwal

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/engine"
)

var (
	_ ballast.Store     = (*Log)(nil)
	_ ballast.Inspector = (*Log)(nil)
)

// Log is a directory of raft-wal, opened for reading. All methods may be called by any goroutine at any time.
type Log struct {
	gate        engine.Gate
	meta        *metaDB
	segments    []*segment // ascending; each begins behind the end of the one before
	first, last uint64     // of the log; 0 when it is empty
	dropped     error
}

// Open opens the directory that raft-wal wrote. It reads the segment that was written last, and of the others the header.
//
// Errors: [*ballast.LockedError] when raft-wal has the directory open; one that matches fs.ErrNotExist when there is nothing, and
// [ballast.ErrForeign] when there is something else; [ballast.ErrUnknownVersion] for another version of the format and for entries in an
// application's own codec; [*ballast.CorruptionError] where wal-meta.db is damaged, and where a segment is missing or is not the one
// that should be there; or the file system's own error.
func Open(dir string) (*Log, error) {
	meta, err := openMeta(dir)
	if err != nil {
		return nil, err
	}
	l := &Log{meta: meta}
	if err := l.open(dir); err != nil {
		_ = l.close() // what failed before says more
		return nil, err
	}
	return l, nil
}

func (l *Log) open(dir string) error {
	if l.meta.state == nil { // a crash came before raft-wal's first segment
		return nil
	}
	infos, err := parseState(l.meta.state)
	switch {
	case errors.Is(err, ballast.ErrUnknownVersion):
		return fmt.Errorf("raftwal: %s: %w", l.meta.path, err)
	case err != nil:
		return l.meta.corrupt(err)
	}
	for _, info := range infos {
		s, err := openSegment(dir, info)
		if err != nil {
			return err
		}
		l.segments = append(l.segments, s)
	}
	return l.bounds()
}

// bounds finds the first and the last index.
func (l *Log) bounds() error {
	n := len(l.segments)
	if n == 0 {
		return nil
	}
	tail := l.segments[n-1]
	first, last := l.segments[0].info.MinIndex, tail.last()
	if !tail.info.sealed() {
		if d := tail.contents.Load().dropped; d != nil {
			l.dropped = &ballast.CorruptionError{Path: tail.path, Offset: d.offset, Index: d.first, Err: d.err}
		}
	}
	switch {
	case last >= first:
		l.first, l.last = first, last
	case first > l.segments[0].info.BaseIndex:
		// raft-wal keeps a segment whose begin it truncates only for entries that are left in it.
		cause := l.dropped
		if cause == nil {
			cause = errors.New("it has no such entry")
		}
		return &ballast.CorruptionError{Path: tail.path, Offset: -1, Index: first,
			Err: fmt.Errorf("wal-meta.db says that the log begins with this entry: %w", cause)}
	}
	return nil
}

// Dropped returns nil, or the [*ballast.CorruptionError] that tells of a write at the end of the log that is left out because it is not
// complete, as raft-wal leaves it out. A crash leaves one that was never acknowledged. Damage of the log's last write looks the same, so who
// knows that there was no crash should not trust the end of the log.
func (l *Log) Dropped() error { return l.dropped }

// IsMonotonic returns false, as every engine of Ballast does.
func (l *Log) IsMonotonic() bool { return false }

// FirstIndex implements raft.LogStore.
func (l *Log) FirstIndex() (uint64, error) {
	if err := l.gate.Enter(); err != nil {
		return 0, err
	}
	defer l.gate.Leave()
	return l.first, nil
}

// LastIndex implements raft.LogStore.
func (l *Log) LastIndex() (uint64, error) {
	if err := l.gate.Enter(); err != nil {
		return 0, err
	}
	defer l.gate.Leave()
	return l.last, nil
}

// GetLog implements raft.LogStore. The first call for a segment reads all of it.
func (l *Log) GetLog(index uint64, log *raft.Log) error {
	if err := l.gate.Enter(); err != nil {
		return err
	}
	defer l.gate.Leave()
	if index == 0 || index < l.first || index > l.last {
		return raft.ErrLogNotFound
	}
	i, found := slices.BinarySearchFunc(l.segments, index, func(s *segment, index uint64) int { return cmp.Compare(s.info.BaseIndex, index) })
	if !found {
		i-- // the first segment begins at l.first or before
	}
	return l.segments[i].get(index, log)
}

// NextIndex implements [ballast.Inspector]. raft-wal's logs have no gaps.
func (l *Log) NextIndex(index uint64) (uint64, error) {
	if err := l.gate.Enter(); err != nil {
		return 0, err
	}
	defer l.gate.Leave()
	if index > l.last {
		return 0, nil
	}
	return max(index, l.first), nil
}

// Get implements raft.StableStore.
func (l *Log) Get(key []byte) ([]byte, error) {
	if err := l.gate.Enter(); err != nil {
		return nil, err
	}
	defer l.gate.Leave()
	value, ok := l.meta.stable[string(key)]
	if !ok {
		return nil, ballast.ErrKeyNotFound
	}
	return append([]byte{}, value...), nil
}

// GetUint64 implements raft.StableStore.
func (l *Log) GetUint64(key []byte) (uint64, error) {
	value, err := l.Get(key)
	if err != nil {
		return 0, err
	}
	if len(value) != 8 {
		return 0, fmt.Errorf("%w: key %q holds %d bytes; read it with Get", ballast.ErrNotUint64, key, len(value))
	}
	return binary.LittleEndian.Uint64(value), nil
}

// StableKeys implements [ballast.Inspector].
func (l *Log) StableKeys() ([][]byte, error) {
	if err := l.gate.Enter(); err != nil {
		return nil, err
	}
	defer l.gate.Leave()
	return sortedKeys(l.meta.stable), nil
}

// GetCommitIndex returns 0: raft-wal does not keep one.
func (l *Log) GetCommitIndex() (uint64, error) {
	if err := l.gate.Enter(); err != nil {
		return 0, err
	}
	defer l.gate.Leave()
	return 0, nil
}

// Close waits for calls in progress and lets go of the files. Closing again does nothing, and
// returns when they are closed.
func (l *Log) Close() error {
	return l.gate.CloseWith(func() error {
		if err := l.close(); err != nil {
			return fmt.Errorf("raftwal: %w", err)
		}
		return nil
	})
}

func (l *Log) close() error {
	var errs []error
	for _, s := range l.segments {
		errs = append(errs, s.close())
	}
	return errors.Join(append(errs, l.meta.close())...)
}
