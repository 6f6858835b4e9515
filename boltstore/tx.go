package boltstore

import (
	"errors"
	"fmt"
	"io/fs"
	"runtime/debug"
	"strings"
	"syscall"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/engine"
	"github.com/raft-ballast/ballast/internal/vfs"
)

// inPlace returns an error when the name that the file was opened by leads to another file now, or
// to none. Then the store takes no more writes. It is asked before each write: a look takes about a
// microsecond.
func (s *Store) inPlace() error {
	if !s.own {
		return nil
	}
	if err := vfs.CheckName(s.path, s.file); err != nil {
		return s.failed.Fail(engine.Displaced(err))
	}
	return nil
}

// guard turns a panic of bbolt into a *ballast.CorruptionError. bbolt panics on pages that it cannot read, and
// reading behind the end of a file that somebody has cut is a fault of the memory map.
func (s *Store) guard(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			if damage, ok := p.(*ballast.CorruptionError); ok { // from boltLog
				err = damage
				return
			}
			cause := fmt.Errorf("bbolt panicked: %v", p)
			if _, fault := p.(interface{ Addr() uintptr }); fault {
				cause = errors.New("it refers to a page that is not in the file; was the file cut?")
			}
			err = &ballast.CorruptionError{Path: s.path, Offset: -1, Err: cause}
		}
	}()
	return f()
}

// begin begins a transaction of bbolt. When bbolt panics in it, it keeps its locks: nothing may call bbolt any more.
func (s *Store) begin(writable bool) (*bbolt.Tx, error) {
	stuck := true
	defer func() {
		if stuck {
			s.wedge()
		}
	}()
	tx, err := s.db.Begin(writable)
	stuck = false
	if err != nil {
		return nil, fmt.Errorf("boltstore: %w", err)
	}
	return tx, nil
}

// wedge ends every later call, since it would wait for ever for a lock that bbolt has kept in a panic.
func (s *Store) wedge() {
	s.wedged.Store(true)
	cause := &ballast.CorruptionError{Path: s.path, Offset: -1, Err: errors.New("bbolt panicked and keeps its locks; close the store")}
	s.failed.Fail(cause)
	s.blind.Fail(cause)
}

// update calls f in a write transaction and commits it. The caller holds s.writing. After an error nothing of
// it is visible.
func (s *Store) update(f func(tx *bbolt.Tx) error) error {
	s.dropViews()
	defer s.dropViews()
	s.written = true
	var tx *bbolt.Tx
	err := s.guard(func() (err error) {
		if tx, err = s.begin(true); err != nil {
			return err
		}
		return f(tx)
	})
	if err != nil {
		s.abandon(tx)
		return s.refusal(err)
	}
	id := tx.ID()
	if err := s.durably(tx.Commit); err != nil {
		s.abandon(tx)
		s.checkVisible(id, err)
		return s.commitError(err)
	}
	return nil
}

// abandon rolls tx back, which does nothing after a Commit that has done so itself. When bbolt panics here it
// keeps its locks, and not even Close gets through.
func (s *Store) abandon(tx *bbolt.Tx) {
	if tx == nil {
		return
	}
	err := s.guard(func() error {
		if err := tx.Rollback(); err != nil && !errors.Is(err, bolterrors.ErrTxClosed) {
			return err
		}
		return nil
	})
	if err != nil {
		s.wedge()
	}
}

// checkVisible closes the eyes of readers when the transaction of a failed commit is what bbolt shows: its last page
// was written, only the sync of it failed.
func (s *Store) checkVisible(id int, cause error) {
	if s.wedged.Load() {
		return // nothing is read any more in any case
	}
	err := s.view(func(w *view) error {
		if w.tx.ID() >= id {
			return cause
		}
		return nil
	})
	if err != nil {
		s.blind.Fail(err)
	}
}

// refusal is what a call returns whose transaction came to no commit. Nothing was written, so the store goes on,
// unless bbolt is stuck in the transaction.
func (s *Store) refusal(err error) error {
	switch {
	case s.wedged.Load():
		return s.fail(err)
	case isNoSpace(err):
		return s.noSpace(err)
	}
	return err
}

// commitError is what a call returns whose commit failed. All but a want of space leaves unknown what is on the
// disk, and fails the store.
func (s *Store) commitError(err error) error {
	if isNoSpace(err) && s.blind.Err() == nil && !s.wedged.Load() {
		return s.noSpace(err)
	}
	return s.fail(err)
}

func (s *Store) noSpace(err error) error {
	return fmt.Errorf("boltstore: %s: %w (%w)", s.path, ballast.ErrNoSpace, err)
}

func (s *Store) fail(err error) error {
	return s.failed.Fail(fmt.Errorf("boltstore: writing %s: %w", s.path, err))
}

// isNoSpace reports whether bbolt found no space before it had written anything that counts: when it made the
// file longer, or when it wrote pages that nothing refers to yet. An error of a sync is never taken for that.
func isNoSpace(err error) bool {
	if errors.Is(err, bolterrors.ErrMaxSizeReached) {
		return true
	}
	full := errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG)
	if path, ok := errors.AsType[*fs.PathError](err); ok {
		return full && path.Op == "write"
	}
	// bbolt keeps only the text of the error of a truncate.
	text, resized := strings.CutPrefix(err.Error(), "file resize error: ")
	return resized && (strings.HasSuffix(text, syscall.ENOSPC.Error()) ||
		strings.HasSuffix(text, syscall.EDQUOT.Error()) || strings.HasSuffix(text, syscall.EFBIG.Error()))
}

// closeBolt lets go of the file and of its lock, also when bbolt does not come to that.
func (s *Store) closeBolt() (err error) {
	if !s.wedged.Load() {
		s.dropViews()
		if s.opts.ReadOnly { // bbolt leaves that to the closing of the file, which a process that is just being started may have too
			unlock(s.file)
		}
		err = s.guard(s.db.Close)
	}
	if e := s.closeFile(); err == nil {
		err = e
	}
	return err
}

// closeFile closes the file that bbolt has left open.
func (s *Store) closeFile() error {
	unlock(s.file)
	if err := s.file.Close(); !errors.Is(err, fs.ErrClosed) {
		return err
	}
	return nil
}
