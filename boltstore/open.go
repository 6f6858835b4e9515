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

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/boltmeta"
	"github.com/raft-ballast/ballast/internal/engine"
)

// checkPath refuses what cannot be a store, and notes whether one is to be made.
func (s *Store) checkPath() error {
	if s.path == "" {
		return errors.New("boltstore: the path is empty; give the path of a file")
	}
	if err := engine.CheckFinished(s.path); err != nil {
		return err
	}
	if !s.opts.ReadOnly { // a chdir, or a link that is switched, changes nothing
		path, err := filepath.Abs(s.path)
		if err != nil {
			return fmt.Errorf("boltstore: %w", err)
		}
		s.path = engine.Place(path)
	}
	info, err := os.Stat(s.path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && !s.opts.ReadOnly:
		s.missing = true
		return engine.CheckPlaced(s.path)
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("boltstore: there is nothing to open read-only: %w; check the path", err)
	case err != nil:
		return fmt.Errorf("boltstore: %w; check the path", err)
	case info.IsDir():
		return s.isFolder()
	case !info.Mode().IsRegular():
		return fmt.Errorf("%w: %s is not a file; give another path", ballast.ErrForeign, s.path)
	case info.Size() == 0 && s.opts.ReadOnly:
		return fmt.Errorf("%w: %s is an empty file: it was cut, or nothing was ever stored; check the path", ballast.ErrForeign, s.path)
	case info.Size() == 0:
		if err := engine.CheckPlaced(s.path); err != nil {
			return err
		}
		return &ballast.CorruptionError{Path: s.path, Offset: 0, Err: errors.New("the file is empty: a new store has its name only when it is complete, so it was cut, or made by something else; " +
			"if nothing was ever stored, remove it; otherwise " + adviseRestore)}
	}
	return nil
}

// isFolder is the error for a folder: one that docker makes for a bind mount whose file is missing,
// or that of another store.
func (s *Store) isFolder() error {
	if entries, err := os.ReadDir(s.path); err == nil && len(entries) == 0 {
		return fmt.Errorf("%w: %s is an empty folder, as docker makes one for a bind mount whose file is missing; bring the file back, "+
			"or give the path of a file, such as %s", ballast.ErrForeign, s.path, filepath.Join(s.path, "raft.db"))
	}
	return fmt.Errorf("%w: %s is a folder; give the path of a file in it, such as %s, and move a store that is the folder "+
		"with package migrate or `ballast migrate`", ballast.ErrForeign, s.path, filepath.Join(s.path, "raft.db"))
}

// openNamed is openBolt of the file that has the name. While it waited for the lock another one may have got that, by Compact.
func (s *Store) openNamed() error {
	for tries := 1; ; tries++ {
		err := s.openBolt(s.path, nil)
		if err == nil && !s.opts.ReadOnly {
			s.dropCreated()
		}
		named, e := os.Stat(s.path)
		s.own = e == nil && s.opened != nil && os.SameFile(named, s.opened)
		if e != nil || s.opened == nil || s.own || tries == nameTries {
			return err
		}
		if err == nil {
			_ = s.closeBolt() // it was only opened
		}
	}
}

// openBolt sets db and file. It calls check, which may be nil, with the file when that is locked,
// before it is read.
func (s *Store) openBolt(path string, check func(*os.File) error) error {
	s.views.restart() // of a file that was opened before
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
	loads := !o.ReadOnly || o.PreLoadFreelist
	o.OpenFile = func(name string, flag int, mode os.FileMode) (f *os.File, err error) {
		if s.exclusive {
			flag |= os.O_EXCL
		}
		if f, err = open(name, flag, mode); err == nil {
			s.opened, err = f.Stat()
		}
		s.file = f
		if err == nil {
			err = s.lockOnce(f, !o.ReadOnly)
		}
		if err == nil && check != nil {
			err = check(f)
		}
		if err == nil {
			err = s.checkFile(f, loads)
		}
		return f, err
	}
	if o.Logger == nil {
		o.Logger = noLog
	}
	o.Logger = boltLog{o.Logger, s}
	err := s.guard(func() (err error) {
		s.db, err = bbolt.Open(path, fileMode, &o)
		return err
	})
	if errors.Is(err, ballast.ErrCorrupt) && !locksFirst && s.inUse(path) {
		err = bolterrors.ErrTimeout
	}
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
	known := boltmeta.HasMagic(f)
	_ = f.Close()
	switch {
	case known:
		return &ballast.CorruptionError{Path: s.path, Offset: 0, Err: fmt.Errorf("no valid meta page: %w", cause)}
	case n > 0 && bytes.Count(head[:n], []byte{0}) == n:
		return &ballast.CorruptionError{Path: s.path, Offset: 0,
			Err: errors.New("it begins with zeros only; " + removeIt)}
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
		if err := s.complete(); err != nil {
			return err
		}
	}
	if err := s.settle(); err != nil {
		return err
	}
	return s.view(func(w *view) error {
		if err := s.reachEnds(w); err != nil {
			return err
		}
		return s.load(w.tx)
	})
}

// complete creates the buckets that are missing, unless that would write over the page that says that they may have been there.
func (s *Store) complete() error {
	if s.damaged != nil {
		return s.damaged
	}
	s.writing.Lock()
	defer s.writing.Unlock()
	return s.update(createBuckets)
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

// inspect reports whether all buckets are there, and refuses a file that is short or somebody
// else's, and one that was a store: the first transaction of every program makes both buckets, so
// one alone, or none behind a later transaction, is what is left.
func (s *Store) inspect(tx *bbolt.Tx) (complete bool, err error) {
	if info, err := s.file.Stat(); err == nil && info.Size() < tx.Size() {
		return false, &ballast.CorruptionError{Path: s.path, Offset: info.Size(),
			Err: fmt.Errorf("the file ends here, and its pages go on to %d", tx.Size())}
	}
	logs, conf := tx.Bucket(logsBucket) != nil, tx.Bucket(confBucket) != nil
	name, _ := tx.Cursor().First()
	if !logs && !conf && name != nil {
		return false, fmt.Errorf("%w: %s is a bbolt file with the bucket %q and neither %q nor %q; give another path",
			ballast.ErrForeign, s.path, name, logsBucket, confBucket)
	}
	if err := s.checkMeta(tx); err != nil || logs && conf {
		return logs && conf, err
	}
	switch {
	case s.damaged != nil: // complete refuses it
	case logs != conf:
		missing := confBucket
		if conf {
			missing = logsBucket
		}
		err = fmt.Errorf("the bucket %q is missing, which the first transaction makes with the other one; %s", missing, adviseRestore)
	case tx.ID() > boltFirstTx:
		err = fmt.Errorf("its newest transaction is number %d, and there is nothing in it; %s", tx.ID(), adviseRestore)
	}
	if err != nil {
		err = &ballast.CorruptionError{Path: s.path, Offset: -1, Err: err}
	}
	return false, err
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
	first, last, err := s.ends(tx)
	if err != nil {
		return err
	}
	var commit uint64
	b := tx.Bucket(ballastBucket)
	if err := s.shape(tx, b); err != nil {
		return err
	}
	if b != nil {
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

// index reads a key of the log's bucket.
func (s *Store) index(k []byte) (uint64, error) {
	if len(k) != 8 {
		return 0, &ballast.CorruptionError{Path: s.path, Offset: -1, Err: fmt.Errorf("the key %.20x in bucket %q has %d bytes, not 8", k, logsBucket, len(k))}
	}
	return binary.BigEndian.Uint64(k), nil
}

// key is the key of an index in the log's bucket.
func key(index uint64) []byte { return binary.BigEndian.AppendUint64(make([]byte, 0, 8), index) }
