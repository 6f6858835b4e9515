package ballast

import (
	"errors"
	"fmt"
	"strings"
)

var (
	// ErrClosed is returned by every method of a store that was closed.
	ErrClosed = errors.New("ballast: store is closed")

	// ErrReadOnly is returned by StoreLog, StoreLogs, DeleteRange and DeleteKey of a store that was opened read-only.
	ErrReadOnly = errors.New("ballast: store was opened read-only")

	// ErrKeyNotFound is returned by Get and GetUint64 when there is no such key. Its text is what
	// raft looks for.
	ErrKeyNotFound = errors.New("not found")

	// ErrNotUint64 is matched by the error of GetUint64 when the key's value is not 8 bytes long.
	ErrNotUint64 = errors.New("ballast: stable value is not a uint64 of 8 bytes")

	// ErrZeroIndex is returned by StoreLog and StoreLogs for an entry of index 0.
	ErrZeroIndex = errors.New("ballast: an entry needs an index of at least 1")

	// ErrEntryTooLarge is matched by every [*EntryTooLargeError].
	ErrEntryTooLarge = errors.New("ballast: entry is too large")

	// ErrNoSpace is matched by the error of a write for which the file system has no space. The store
	// is as it was before and takes writes again as soon as there is space.
	ErrNoSpace = errors.New("ballast: no space left for the store; free some on its file system")

	// ErrLocked is matched by every [*LockedError].
	ErrLocked = errors.New("ballast: store is in use")

	// ErrCorrupt is matched by every [*CorruptionError].
	ErrCorrupt = errors.New("ballast: store is damaged")

	// ErrForeign is matched by the error of an Open whose path holds something else than the engine's
	// own data. Nothing was changed there.
	ErrForeign = errors.New("ballast: not a store of this engine")

	// ErrUnknownVersion is matched by the error of an Open that found a format newer than it knows. This
	// is not damage: a newer release opens it.
	ErrUnknownVersion = errors.New("ballast: format version is not known to this release")

	// ErrUnfinished is matched by the error of an Open of a path that ends in .migrating: what is there is a copy of a store that
	// a migration has begun and not finished. It is matched too where there is nothing because `ballast repair` was interrupted when the store that was
	// there had another name.
	ErrUnfinished = errors.New("ballast: an unfinished copy of a store")

	// ErrDisplaced is matched by every [*DisplacedError].
	ErrDisplaced = errors.New("ballast: the name of an open store leads to something else")

	// ErrNotEmpty is returned by Copy when the destination holds entries or stable values already.
	ErrNotEmpty = errors.New("ballast: the destination of a copy is not empty")
)

// CorruptionError says that something that was stored cannot be read as it was stored.
type CorruptionError struct {
	Path   string // the damaged file, or the folder where the file is not known
	Offset int64  // of the damage in Path, in bytes; -1 where it is not known
	Index  uint64 // of the damaged entry; 0 where it is none or not known
	Err    error  // the cause, never nil
}

// Error names the file, the offset and the index where they are known, and the cause.
func (e *CorruptionError) Error() string {
	var b strings.Builder
	b.WriteString("ballast: damaged")
	if e.Index != 0 {
		fmt.Fprintf(&b, " entry %d", e.Index)
	}
	fmt.Fprintf(&b, " in %s", e.Path)
	if e.Offset >= 0 {
		fmt.Fprintf(&b, " at offset %d", e.Offset)
	}
	fmt.Fprintf(&b, ": %v", e.Err)
	return b.String()
}

// Unwrap returns the cause.
func (e *CorruptionError) Unwrap() error { return e.Err }

// Is reports whether target is [ErrCorrupt].
func (e *CorruptionError) Is(target error) bool { return target == ErrCorrupt }

// EntryTooLargeError refuses an entry, and the batch that it came in, or a stable value, before anything was written.
type EntryTooLargeError struct {
	Index uint64 // of the entry; 0 for a stable value
	Bytes int    // of its Data and Extensions, or of the key and the value, together
	Limit int    // that the store was opened with, in bytes
}

// Error names the entry, its size and the limit.
func (e *EntryTooLargeError) Error() string {
	if e.Index == 0 {
		return fmt.Sprintf("ballast: a stable key and its value have %d bytes, the limit is %d; store less there or raise MaxEntryBytes",
			e.Bytes, e.Limit)
	}
	return fmt.Sprintf("ballast: entry %d has %d bytes, the limit is %d; split it or raise MaxEntryBytes",
		e.Index, e.Bytes, e.Limit)
}

// Is reports whether target is [ErrEntryTooLarge].
func (e *EntryTooLargeError) Is(target error) bool { return target == ErrEntryTooLarge }

// LockedError is returned by an Open that found another opener, of this process or of another.
type LockedError struct {
	Path string // what is locked
	Err  error  // what the lock's own call returned
}

// Error names the lock and what to do.
func (e *LockedError) Error() string {
	return fmt.Sprintf("ballast: %s is locked: another store has it open; stop that process, or close that store, first (%v)",
		e.Path, e.Err)
}

// Unwrap returns what the lock's own call returned.
func (e *LockedError) Unwrap() error { return e.Err }

// Is reports whether target is [ErrLocked].
func (e *LockedError) Is(target error) bool { return target == ErrLocked }

// DisplacedError is returned by a write when the path that the store was opened by leads to another
// folder or file now, or to none: it was renamed, removed, or mounted over. Nothing of the call was
// written, and the store takes no more writes, so that a peer whose store is opened at that path by
// somebody else is not there twice. Reads go on, and Close ends the store where it is.
type DisplacedError struct {
	Path string // that the store was opened by, absolute and without links
	Now  string // where the store is now; "" where that is not known
}

// Error says where the store is, and what to do.
func (e *DisplacedError) Error() string {
	now, gone := "not there", "; where it was removed let the peer join again as a new server"
	if e.Now != "" {
		now, gone = "in "+e.Now, ""
	}
	return fmt.Sprintf("ballast: %s was renamed, removed or mounted over while this store was "+
		"open, and leads to something else now, or to nothing; what it has acknowledged is %s: end this "+
		"process, put the store back under its name, and open it again%s", e.Path, now, gone)
}

// Is reports whether target is [ErrDisplaced].
func (e *DisplacedError) Is(target error) bool { return target == ErrDisplaced }
