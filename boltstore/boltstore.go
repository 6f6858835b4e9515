// Package boltstore keeps a raft peer's log and stable state in one bbolt file.
//
//	store, err := boltstore.Open("/var/lib/app/raft.db", nil)
//	if err != nil {
//		return err
//	}
//	defer store.Close()
//	r, err := raft.NewRaft(config, fsm, store, store, snapshots, transport)
//
// # Guarantees
//
// It keeps the contract of [ballast.Store]. The file is interchangeable with raft-boltdb v2 in both
// directions, and files of raft-boltdb v1 are opened. Two things are bbolt's: each durable call costs two
// syncs, and the file does not shrink (what DeleteRange frees is used again; Compact, while nobody has the
// file open, gives it back).
//
// bbolt has no checksum over data. Damage that makes an entry undecodable, or a page other than
// bbolt writes it, is a [*ballast.CorruptionError], and never ends the process: pages are looked at
// before bbolt reads them. All of them are when bbolt itself is about to read all, which it does
// when it opens a file for writing that was not closed. A flipped bit inside of an entry's Data is
// returned as it is, and an old page that stands for a newer one is not noticed. Take badgerstore
// or wal where that matters.
//
// The file begins with two pages that transactions write in turns. Where the newer one is damaged bbolt goes on with the other one, without
// the last transaction: an entry, a term or a vote. Open does so too, as raft-boltdb, and tells it with [Store.Damaged] and in
// the metrics as a corruption; the first write hides it from all who open the file later. Compact, ballast.Copy, and with it package migrate, refuse such a file.
//
// A DeleteRange of very many entries runs in transactions of at most 16,384 entries: from the top down when it
// cuts the log's end off, from the bottom up otherwise, so that a crash in the middle leaves a log without a
// hole, and the commit index is lowered with the entries.
//
// When a commit fails for want of space nothing has changed, and the store goes on. When it fails in another way
// the store takes no more writes. Reads go on, unless bbolt's last page was written and its sync was not:
// then the failed transaction is what bbolt would show, and reads return the failure too. A reader beside that very sync may see
// an entry that replaces another, or a stable value, before it is durable.
//
// A path that is relative, or leads through a link, is resolved when the file is opened, and a
// later chdir or a switched link changes nothing. bbolt holds the file itself, so nothing gets into
// another one; but what is written to a file that was renamed, removed or mounted over is not where
// the peer looks for it when it starts again. So each write looks first whether the path still
// leads to the file, about a microsecond. When it does not, that write and all later ones return a
// [ballast.DisplacedError], and nothing of them is written. Close ends the file where it is. Where
// Options.Bolt has an OpenFile that opened another file than the path names, there is no such look.
//
// # Layout
//
//	bucket logs      8-byte big-endian index -> MessagePack, see internal/logcodec
//	bucket conf      key -> value; a uint64 is 8 bytes, big-endian
//	bucket ballast   "CommitIndex" -> 8 bytes, big-endian; raft-boltdb does not look at it
//
// The free list is written when the store is closed and not with each transaction, so that an append does not
// cost more on a file that once was large. After a crash the next opening finds it by reading the file's pages,
// and so does raft-boltdb v2; raft-boltdb v1 opens only what was closed.
//
//	boltstore.go   Options and Open
//	open.go        how it opens, and what it checks
//	create.go      how it makes a new file
//	pages.go       what it looks at before bbolt reads a page
//	store.go       the calls
//	seek.go        which entry is next, also where keys are damaged
//	views.go       read transactions
//	tx.go          write transactions, failures and panics
//	compact.go     writing the file anew
//	meta.go        the two pages that the file begins with
//	ends.go        where the log begins and ends, also where a key there is damaged
//	observe.go     what metrics and the watch over stalls are told
package boltstore

import (
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/boltmeta"
	"github.com/raft-ballast/ballast/internal/engine"
	"github.com/raft-ballast/ballast/internal/logcodec"
	"github.com/raft-ballast/ballast/metrics"
)

// Names in the file. The first two are raft-boltdb's.
var (
	logsBucket    = []byte("logs")
	confBucket    = []byte("conf")
	ballastBucket = []byte("ballast")
	commitKey     = []byte("CommitIndex")
)

const (
	fileMode = 0o600 // of a new file, as raft-boltdb has it

	// mapBytes is the address space that is mapped at first, so that a file up to that size is never mapped
	// again, which makes readers wait. It costs neither memory nor disk.
	mapBytes = 64 << 20

	// nameTries is how often a file is opened that is not the one of that name. A user's OpenFile may mean another one.
	nameTries = 3
)

// Options are the options of Open; nil stands for the zero value.
type Options struct {
	// ReadOnly opens an existing file for reading. StoreLogs and DeleteRange return ballast.ErrReadOnly, stable
	// values are kept in memory. Several read-only openers may share a file, but not with a writer.
	ReadOnly bool

	// NoSync leaves out every sync, so that a power cut may lose what was acknowledged and damage the file. For
	// bulk loading only; call Sync at the end.
	NoSync bool

	// LockTimeout is how long Open waits for another opener to leave. 0 is not at all: a file in use is
	// refused at once.
	LockTimeout time.Duration

	// MsgpackUseNewTimeFormat writes AppendedAt in the newer form of go-msgpack. Both are read. It is
	// raft-boltdb's option of that name.
	MsgpackUseNewTimeFormat bool

	// MaxEntryBytes is the largest entry, Data and Extensions together, that is stored. 0 stands for
	// ballast.DefaultMaxEntryBytes; at most 1 GiB.
	MaxEntryBytes int

	// Metrics is told what the store does; nil is nobody. docs/OPERATIONS.md says what each figure is with this engine.
	Metrics metrics.Sink

	// StallAfter is how long the commit of a transaction may take before it is reported as a stall, to OnStall and Metrics. 0 is one
	// second, where one of them is there; without them nobody looks. A negative one is never.
	StallAfter time.Duration

	// OnStall is called while a write stalls, and again when it has ended, with Ended set. It is called from a goroutine of the store's
	// own, one call at a time, so it may wait; nothing is reported meanwhile. It may close the store, which does not wait for it. nil is nobody.
	OnStall func(ballast.Stall)

	// Bolt, when not nil, is used instead of the options that boltstore chooses, which are the map as the kind
	// of free list, NoFreelistSync and an InitialMmapSize of 64 MiB. Its ReadOnly, NoSync and Timeout are not looked at, and
	// its OpenFile is called through a wrapper.
	Bolt *bbolt.Options
}

// maxMaxEntryBytes keeps an encoded entry below what bbolt takes as a value, 2 GiB.
const maxMaxEntryBytes = 1 << 30

// Store is a [ballast.Store] in a bbolt file.
type Store struct {
	path      string // absolute and without links, but with ReadOnly
	opts      Options
	db        *bbolt.DB
	file      *os.File                 // bbolt's own, to let go of the lock when bbolt cannot
	opened    os.FileInfo              // which file that is
	own       bool                     // that it is the one of that name
	exclusive bool                     // the file that is opened must not be there
	missing   bool                     // there was no file at path
	damaged   *ballast.CorruptionError // what was seen when it was opened, and kept nobody from opening it; nil for nothing
	gate      engine.Gate
	staged    engine.CommitStage
	overlay   engine.Overlay // stable values of a read-only store
	failed    engine.Latch   // for writes
	meter     engine.Meter
	watch     engine.Watch
	blind     engine.Latch // for reads
	wedged    atomic.Bool  // bbolt panicked and did not come out of its transaction
	views     views
	writing   sync.Mutex    // one writer at a time; guards what follows
	buf       []byte        // encoded entries of the batch that is being written
	written   bool          // there was a write transaction
	stored    uint64        // commit index in the file, which another program may have left above last
	first     atomic.Uint64 // of the log; 0 when it is empty
	last      atomic.Uint64
	commit    atomic.Uint64 // at most last
	timeForm  logcodec.TimeFormat

	whole        atomic.Bool     // all pages that bbolt may read were looked at, or bbolt has written them
	known        *boltmeta.Known // the others; nil for a new file
	sureOfBucket map[string]bool // which small buckets were looked at before a write; guarded by writing
	committing   bool            // bbolt is in a commit; guarded by writing
}

// Open opens the store in the file at path, or creates it there; the folder has to exist. A new
// file is made under the name with the suffix .creating, and has its own when it is complete, so a
// crash leaves none or a whole one. An empty file is refused: it is what is left of a store that
// was cut.
//
// Errors: [*ballast.LockedError] when another store or bbolt has the file open; one that matches
// [ballast.ErrForeign] when there is something else at path; [ballast.ErrUnfinished] for what a migration or a repair has not finished; [ballast.ErrUnknownVersion] for a later version of
// bbolt's format; [*ballast.CorruptionError] for a damaged file; or the file system's own error. Where only the key of the first or of the last entry is damaged, the file is
// opened with ReadOnly. Ask [Store.Damaged] for damage with which it opens.
func Open(path string, opts *Options) (*Store, error) {
	s := &Store{path: path, sureOfBucket: map[string]bool{}}
	if opts != nil {
		s.opts = *opts
	}
	if s.opts.MaxEntryBytes == 0 {
		s.opts.MaxEntryBytes = ballast.DefaultMaxEntryBytes
	}
	if s.opts.MaxEntryBytes < 0 || s.opts.MaxEntryBytes > maxMaxEntryBytes {
		return nil, fmt.Errorf("boltstore: MaxEntryBytes is %d; it has to be between 1 and %d", s.opts.MaxEntryBytes, maxMaxEntryBytes)
	}
	s.timeForm = logcodec.TimeFormat(s.opts.MsgpackUseNewTimeFormat)
	if err := s.checkPath(); err != nil {
		return nil, err
	}
	if s.missing {
		if err := s.create(); err != nil {
			return nil, s.openError(err)
		}
	}
	if err := s.openNamed(); err != nil {
		return nil, s.cutCreation(s.openError(err))
	}
	if err := s.prepare(); err != nil {
		_ = s.closeBolt() // what failed before says more
		return nil, s.cutCreation(err)
	}
	s.observe()
	return s, nil
}
