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
// bbolt has no checksum over data. Damage that makes an entry undecodable, or bbolt panic, is a
// [*ballast.CorruptionError]; a flipped bit inside of an entry's Data is returned as it is, and one in a page's count of
// overflow pages may make bbolt take all memory. Take badgerstore where that matters.
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
//	boltstore.go   Options, Open and what it checks
//	store.go       the calls
//	views.go       read transactions
//	tx.go          write transactions, failures and panics
//	compact.go     writing the file anew
//	meta.go        the two pages that the file begins with
//	observe.go     what metrics and the watch over stalls are told
package boltstore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/raft-ballast/ballast"
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
	path     string
	opts     Options
	db       *bbolt.DB
	file     *os.File                 // bbolt's own, to let go of the lock when bbolt cannot
	opened   os.FileInfo              // which file that is
	damaged  *ballast.CorruptionError // what was seen when it was opened, and kept nobody from opening it; nil for nothing
	gate     engine.Gate
	staged   engine.CommitStage
	overlay  engine.Overlay // stable values of a read-only store
	failed   engine.Latch   // for writes
	meter    engine.Meter
	watch    engine.Watch
	blind    engine.Latch // for reads
	wedged   atomic.Bool  // bbolt panicked and did not come out of its transaction
	views    views
	writing  sync.Mutex    // one writer at a time; guards what follows
	buf      []byte        // encoded entries of the batch that is being written
	written  bool          // there was a write transaction
	stored   uint64        // commit index in the file, which another program may have left above last
	first    atomic.Uint64 // of the log; 0 when it is empty
	last     atomic.Uint64
	commit   atomic.Uint64 // at most last
	timeForm logcodec.TimeFormat
}

// Open opens the store in the file at path, or creates it there; the folder has to exist. An empty file is taken as new.
//
// Errors: [*ballast.LockedError] when another store or bbolt has the file open; one that matches
// [ballast.ErrForeign] when there is something else at path; [ballast.ErrUnfinished] for what a migration or a repair has not finished; [ballast.ErrUnknownVersion] for a later version of
// bbolt's format; [*ballast.CorruptionError] for a damaged file; or the file system's own error. Ask [Store.Damaged] for damage with which it opens.
func Open(path string, opts *Options) (*Store, error) {
	s := &Store{path: path}
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
	if err := s.openNamed(); err != nil {
		return nil, s.openError(err)
	}
	if err := s.prepare(); err != nil {
		_ = s.closeBolt() // what failed before says more
		return nil, err
	}
	s.observe()
	return s, nil
}

// checkPath refuses what cannot be a store. No file, or an empty one, can become one.
func (s *Store) checkPath() error {
	if s.path == "" {
		return errors.New("boltstore: the path is empty; give the path of a file")
	}
	if err := engine.CheckFinished(s.path); err != nil {
		return err
	}
	info, err := os.Stat(s.path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && !s.opts.ReadOnly:
		return engine.CheckPlaced(s.path)
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("boltstore: there is nothing to open read-only: %w; check the path", err)
	case err != nil:
		return fmt.Errorf("boltstore: %w; check the path", err)
	case info.IsDir():
		return fmt.Errorf("%w: %s is a folder; give the path of a file in it, such as %s",
			ballast.ErrForeign, s.path, filepath.Join(s.path, "raft.db"))
	case !info.Mode().IsRegular():
		return fmt.Errorf("%w: %s is not a file; give another path", ballast.ErrForeign, s.path)
	case info.Size() == 0 && s.opts.ReadOnly:
		return fmt.Errorf("%w: %s is an empty file, in which nothing was ever stored; check the path", ballast.ErrForeign, s.path)
	case info.Size() == 0:
		return engine.CheckPlaced(s.path)
	}
	return nil
}

// openNamed is openBolt of the file that has the name. While it waited for the lock another one may have got that, by Compact.
func (s *Store) openNamed() error {
	for tries := 1; ; tries++ {
		err := s.openBolt()
		named, e := os.Stat(s.path)
		if e != nil || s.opened == nil || os.SameFile(named, s.opened) || tries == nameTries {
			return err
		}
		if err == nil {
			_ = s.closeBolt() // it was only opened
		}
	}
}

// openBolt sets db and file.
func (s *Store) openBolt() error {
	o := bbolt.Options{
		FreelistType:    bbolt.FreelistMapType,
		NoFreelistSync:  true,
		InitialMmapSize: mapBytes,
	}
	if s.opts.Bolt != nil {
		o = *s.opts.Bolt
	}
	o.ReadOnly, o.NoSync = s.opts.ReadOnly, s.opts.NoSync
	// bbolt waits for ever when the timeout is 0, and tries once when it is below its own step.
	o.Timeout = max(s.opts.LockTimeout, 1)
	open := o.OpenFile
	if open == nil {
		open = os.OpenFile
	}
	o.OpenFile = func(name string, flag int, mode os.FileMode) (f *os.File, err error) {
		if f, err = open(name, flag, mode); err == nil {
			s.opened, err = f.Stat()
		}
		s.file = f
		return f, err
	}
	err := s.guard(func() (err error) {
		s.db, err = bbolt.Open(s.path, fileMode, &o)
		return err
	})
	if err != nil && s.file != nil {
		_ = s.closeFile() // a panic in bbolt leaves it open, and locked
	}
	return err
}

// openError says what bbolt's error means and what to do.
func (s *Store) openError(err error) error {
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return &ballast.LockedError{Path: s.path, Err: err}
	case errors.Is(err, bolterrors.ErrVersionMismatch):
		return fmt.Errorf("boltstore: %s: %w (%w)", s.path, ballast.ErrUnknownVersion, err)
	case errors.Is(err, bolterrors.ErrInvalid), errors.Is(err, bolterrors.ErrChecksum):
		return s.invalid(err)
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("boltstore: %w; create the folder first", err)
	case errors.Is(err, fs.ErrPermission) && s.opts.ReadOnly:
		return fmt.Errorf("boltstore: %w; give the process the right to read it", err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("boltstore: %w; give the process the right to read and to write there", err)
	case strings.HasPrefix(err.Error(), "file size too small"): // bbolt has no sentinel for it
		return &ballast.CorruptionError{Path: s.path, Offset: -1, Err: fmt.Errorf("the file was cut: %w", err)}
	case isNoSpace(err):
		return fmt.Errorf("boltstore: creating %s: %w (%w)", s.path, ballast.ErrNoSpace, err)
	case errors.Is(err, ballast.ErrCorrupt):
		return err
	}
	return fmt.Errorf("boltstore: opening %s: %w", s.path, err)
}

// invalid tells a damaged bbolt file from one that is none.
func (s *Store) invalid(cause error) error {
	var head [4096]byte
	f, err := os.Open(s.path)
	if err != nil {
		return fmt.Errorf("boltstore: %w", err)
	}
	n, _ := f.ReadAt(head[:], 0)
	known := hasMagic(f)
	_ = f.Close()
	switch {
	case known:
		return &ballast.CorruptionError{Path: s.path, Offset: 0, Err: fmt.Errorf("no valid meta page: %w", cause)}
	case n > 0 && bytes.Count(head[:n], []byte{0}) == n:
		return &ballast.CorruptionError{Path: s.path, Offset: 0,
			Err: errors.New("it begins with zeros only; if its creation was cut off and nothing was ever stored, remove it")}
	}
	return fmt.Errorf("%w: %s is not a bbolt file; give another path", ballast.ErrForeign, s.path)
}

// prepare checks the file, creates what is missing, and finds the log's bounds.
func (s *Store) prepare() error {
	complete := false
	err := s.view(func(w *view) (err error) {
		complete, err = s.inspect(w.tx)
		return err
	})
	if err != nil {
		return err
	}
	if !complete && !s.opts.ReadOnly {
		s.writing.Lock()
		err := s.update(createBuckets)
		s.writing.Unlock()
		if err != nil {
			return err
		}
	}
	if err := s.settle(); err != nil {
		return err
	}
	return s.view(func(w *view) error { return s.load(w.tx) })
}

// settle makes durable what is about to be shown. A process that was killed between a write and its sync has left it in
// the page cache only, and the name of a file that was just created with it.
func (s *Store) settle() error {
	if s.opts.ReadOnly || s.opts.NoSync {
		return nil
	}
	if err := s.db.Sync(); err != nil {
		return fmt.Errorf("boltstore: syncing %s before it is read: %w", s.path, err)
	}
	if err := engine.SyncDir(filepath.Dir(s.path)); err != nil {
		return fmt.Errorf("boltstore: %w", err)
	}
	return nil
}

// inspect reports whether all buckets are there, and refuses a file that is short or somebody else's.
func (s *Store) inspect(tx *bbolt.Tx) (complete bool, err error) {
	if info, err := s.file.Stat(); err == nil && info.Size() < tx.Size() {
		return false, &ballast.CorruptionError{Path: s.path, Offset: info.Size(),
			Err: fmt.Errorf("the file ends here, and its pages go on to %d", tx.Size())}
	}
	if tx.Bucket(logsBucket) == nil && tx.Bucket(confBucket) == nil {
		if name, _ := tx.Cursor().First(); name != nil {
			return false, fmt.Errorf("%w: %s is a bbolt file with the bucket %q and neither %q nor %q; give another path",
				ballast.ErrForeign, s.path, name, logsBucket, confBucket)
		}
	}
	return tx.Bucket(logsBucket) != nil && tx.Bucket(confBucket) != nil, s.checkMeta(tx)
}

// createBuckets creates raft-boltdb's buckets. The one of Ballast comes with the first commit index.
func createBuckets(tx *bbolt.Tx) error {
	for _, name := range [][]byte{logsBucket, confBucket} {
		if _, err := tx.CreateBucketIfNotExists(name); err != nil {
			return fmt.Errorf("creating the bucket %q: %w", name, err)
		}
	}
	return nil
}

// load sets the bounds of the log and the commit index.
func (s *Store) load(tx *bbolt.Tx) error {
	first, last, err := s.bounds(tx)
	if err == nil {
		err = s.checkEnds(tx)
	}
	if err != nil {
		return err
	}
	var commit uint64
	if b := tx.Bucket(ballastBucket); b != nil {
		if v := b.Get(commitKey); v != nil {
			if len(v) != 8 {
				return &ballast.CorruptionError{Path: s.path, Offset: -1, Err: fmt.Errorf("the commit index has %d bytes", len(v))}
			}
			commit = binary.BigEndian.Uint64(v)
		}
	}
	// raft-boltdb may have cut the log below what was written here. The next write lowers it in the file too.
	s.stored = commit
	s.publish(first, last, min(commit, last))
	return nil
}

// bounds returns the lowest and the highest index in the file, 0 when there is none.
func (s *Store) bounds(tx *bbolt.Tx) (first, last uint64, err error) {
	logs := tx.Bucket(logsBucket)
	if logs == nil {
		return 0, 0, nil
	}
	c := logs.Cursor()
	if k, _ := c.Seek(key(1)); k != nil {
		if first, err = s.index(k); err != nil {
			return 0, 0, err
		}
		k, _ = c.Last()
		last, err = s.index(k)
	}
	return first, last, err
}

// checkEnds returns an error when the first or the last key is damaged, and others would seem not to be in the log. It is for a transaction that
// has not deleted anything: bbolt's cursor does not always come back from a page that is empty.
func (s *Store) checkEnds(tx *bbolt.Tx) error {
	logs := tx.Bucket(logsBucket)
	if logs == nil {
		return nil
	}
	c := logs.Cursor()
	if first, err := s.seek(c, 1); err != nil || first == 0 {
		return err
	}
	last, _ := c.Last()
	before, _ := c.Prev()
	return s.ascending(before, last)
}

// index reads a key of the log's bucket.
func (s *Store) index(k []byte) (uint64, error) {
	if len(k) != 8 {
		return 0, &ballast.CorruptionError{Path: s.path, Offset: -1, Err: fmt.Errorf("the key %.20x in bucket %q has %d bytes, not 8", k, logsBucket, len(k))}
	}
	return binary.BigEndian.Uint64(k), nil
}

// key is the key of an index in the log's bucket.
func key(index uint64) []byte { return binary.BigEndian.AppendUint64(make([]byte, 0, 8), index) }
