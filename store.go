package ballast

import (
	"io"

	"github.com/hashicorp/raft"
)

// DefaultMaxEntryBytes is the size of an entry, Data and Extensions together in bytes, that every
// engine accepts when nothing else was asked for. A larger one is refused with [*EntryTooLargeError].
const DefaultMaxEntryBytes = 64 << 20

// Store is what each engine of Ballast is: the log and the stable state of one raft peer.
//
// All methods may be called by any goroutine at any time. After Close each of them returns
// [ErrClosed]. Another Close, also one at the same time, returns nil when the store is closed, so
// that it can be opened again behind any of them.
//
// # Log
//
// A log is an ordered map from index to entry. A gap between two entries is legal, so
// IsMonotonic is false: after a snapshot was installed raft may go on at a higher index, and a
// store that refused that would wedge its peer. Index 0 is no entry's: raft takes it for "the
// log is empty". StoreLogs refuses it with [ErrZeroIndex], GetLog does not find it.
//
// FirstIndex and LastIndex return the lowest and the highest index there is, 0 and nil when the
// log is empty. They never wait for a write in progress.
//
// GetLog fills every field of the given log; AppendedAt is the same instant, in a location that
// may be another. Data and Extensions are the caller's own: nothing stored later changes them,
// and what the given log held before is not written to. GetLog returns raft.ErrLogNotFound
// itself, not wrapped, for an index that is not there, and a [*CorruptionError] for what is there
// and cannot be read. It does not wait for a write in progress.
//
// StoreLog and StoreLogs put each entry at its index and replace what was there. When nil is
// returned all of them are durable; when an error is returned none of them is visible in this
// process, and after reopening all of them are there or none is. Within a batch the last entry of
// an index wins. An empty batch does nothing. The entries are the caller's again afterwards. An
// entry above the engine's limit is refused, and its whole batch with it, with [*EntryTooLargeError].
//
// DeleteRange deletes what there is from min to max, both included. Any range is legal, also an
// empty one, and one outside the log. When nil is returned the deletion is durable.
//
// # Stable state
//
// Set, SetUint64, Get and GetUint64 share one key space: a uint64 is the value of 8 bytes, big-endian,
// that Get sees. A key that is not there is nil or 0 with [ErrKeyNotFound] itself, since raft compares the
// error's text. GetUint64 of a value that is not 8 bytes long returns [ErrNotUint64]. Values are copied
// in both directions.
//
// # Failure
//
// A store that has no space left returns [ErrNoSpace] and goes on when there is space again. Any
// other error of a write or of a sync leaves unknown what is on the disk: then each later write
// returns that first cause until the store is opened again. Reads go on.
type Store interface {
	raft.LogStore
	raft.StableStore
	raft.MonotonicLogStore
	CommitTracker
	io.Closer
}

// CommitTracker has the methods that raft.CommitTrackingLogStore adds to a LogStore in raft
// v1.8.0. They are named here so that raft v1.7.3 is enough to build Ballast. raft uses them when its configuration says
// RestoreCommittedLogs; v1.7.3 does not use them. With that option raft v1.8.0 hangs in NewRaft when more than 8,192 entries are
// to be applied, and passes over membership changes at or below the commit index: let there be a snapshot first.
type CommitTracker interface {
	// StageCommitIndex takes a commit index, which the next StoreLogs of a batch that is not empty
	// makes durable together with that batch, and which is never written by itself. It replaces
	// what was staged before, also by a lower one. That StoreLogs uses it up even when it fails.
	StageCommitIndex(index uint64) error

	// GetCommitIndex returns the commit index that is durable, 0 when there is none. It is never above
	// LastIndex: one that was staged higher is stored as LastIndex, and a deletion of the last entries
	// lowers it durably.
	GetCommitIndex() (uint64, error)
}

// KeyDeleter is what tools need to take a stable value away, which raft never does. Every engine of Ballast has it.
type KeyDeleter interface {
	// DeleteKey deletes the stable value of a key, so that Get returns [ErrKeyNotFound] afterwards. When nil is returned the
	// deletion is durable. A key that is not there is no error. A store that was opened read-only returns [ErrReadOnly].
	DeleteKey(key []byte) error
}

// Inspector is what tools need beyond what raft calls. Every engine of Ballast has it; a store that
// has not can still be copied.
type Inspector interface {
	// NextIndex returns the lowest index of the log that is at least index, 0 when there is none.
	NextIndex(index uint64) (uint64, error)

	// StableKeys returns the keys of the stable state in ascending order. They are the caller's.
	StableKeys() ([][]byte, error)
}

// DamageReporter is a store that opens although it is damaged, where what is missing cannot be seen any more: boltstore's is one. What wraps a
// store has to forward it, as logcache does: [Copy] asks nobody else.
type DamageReporter interface {
	// Damaged returns a [*CorruptionError] when what was acknowledged last, entries or stable values, may be missing, nil when there is no
	// sign of that. It is what was found when the store was opened.
	Damaged() error
}
