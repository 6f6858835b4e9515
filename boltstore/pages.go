package boltstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log"
	"math"
	"os"
	"time"
	"unsafe"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/boltmeta"
)

// What a damaged page does to bbolt cannot always be recovered from: it rebuilds its free list in a
// goroutine of its own, where a panic ends the process, also when a commit fails; a circle in the
// tree ends the stack; and a page that says it overflows into four billion others takes all memory
// when it is freed. So each page is looked at before bbolt reads it.
//
// Where bbolt reads all of them, because the free list is not in the file or the file is written
// anew, all are looked at. Otherwise those are which a call needs, and the list itself: the opening
// of a file that was closed reads no more than it did.

// adviseRestore is what to do about a damaged page.
const adviseRestore = "restore the file from a copy; or see what `ballast repair` can keep of it; " +
	"or remove it and let the peer join the cluster again as a new server"

const lockRetry = 50 * time.Millisecond // as bbolt

// checkFile looks at a file that bbolt is about to read, under its lock. What bbolt refuses by
// itself is left to it.
func (s *Store) checkFile(f *os.File, loads bool) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.Size() == 0 { // bbolt makes all that will be in it
		s.whole.Store(true)
		return nil
	}
	m, err := boltmeta.Newest(f)
	if err != nil {
		return nil // bbolt finds no valid one either
	}
	pages, err := m.In(f)
	if err != nil {
		return s.pageError(m.PageBytes, err)
	}
	if end := int64(pages.Count * pages.PageBytes); info.Size() < end {
		return &ballast.CorruptionError{Path: s.path, Offset: info.Size(),
			Err: fmt.Errorf("the file ends here, and its pages go on to %d; %s", end, adviseRestore)}
	}
	s.known = boltmeta.NewKnown(pages.Count)
	switch {
	case loads && m.Freelist == boltmeta.NoFreelist:
		err = pages.Check(m.Root)
		s.whole.Store(err == nil)
	case loads:
		err = pages.CheckFreelist(m.Freelist, m.Root)
	}
	if err == nil {
		err = pages.CheckTop(m.Root)
	}
	return s.pageError(m.PageBytes, err)
}

// checkAll looks at all pages of the open file. Nothing may be written meanwhile.
func (s *Store) checkAll() error {
	if s.whole.Load() {
		return nil
	}
	m, err := boltmeta.Newest(s.file)
	if err != nil {
		return &ballast.CorruptionError{Path: s.path, Offset: 0,
			Err: fmt.Errorf("%w; %s", err, adviseRestore)}
	}
	pages, err := m.In(s.file)
	if err == nil {
		err = pages.Check(m.Root)
	}
	s.whole.Store(err == nil)
	return s.pageError(m.PageBytes, err)
}

// pageError says in which file and where a damaged page is, and what to do.
func (s *Store) pageError(pageBytes uint64, err error) error {
	err = s.readError(pageBytes, err)
	if damage, ok := err.(*ballast.CorruptionError); ok {
		damage.Err = fmt.Errorf("%w; %s", damage.Err, adviseRestore)
	}
	return err
}

// readError is pageError of a read, which the others do not need.
func (s *Store) readError(pageBytes uint64, err error) error {
	if err == nil {
		return nil
	}
	if damage, ok := errors.AsType[*boltmeta.PageError](err); ok {
		return &ballast.CorruptionError{Path: s.path, Offset: int64(damage.Page * pageBytes), Err: err}
	}
	return fmt.Errorf("boltstore: reading the pages of %s: %w", s.path, err)
}

// lockOnce takes bbolt's lock on a file before bbolt does, which then has it already, and waits for
// it as long as bbolt would.
func (s *Store) lockOnce(f *os.File, exclusive bool) error {
	for began := time.Now(); ; time.Sleep(lockRetry) {
		held, err := lock(f, exclusive)
		switch {
		case err != nil:
			return err
		case held:
			return nil
		case time.Since(began) > s.opts.LockTimeout-lockRetry:
			return bolterrors.ErrTimeout
		}
	}
}

// inUse reports whether somebody has the file open. A page that was looked at without the lock may
// have been about to be written.
func (s *Store) inUse(path string) bool {
	err := s.guard(func() error {
		db, err := bbolt.Open(path, fileMode, &bbolt.Options{ReadOnly: true, Timeout: 1})
		if err == nil {
			err = db.Close()
		}
		return err
	})
	return errors.Is(err, bolterrors.ErrTimeout)
}

// mapped returns the pages as bbolt has them in memory. It is for the goroutine that has the
// transaction, as long as it has it.
func (s *Store) mapped(tx *bbolt.Tx) *boltmeta.Pages {
	info, size := s.db.Info(), tx.Size()
	data := unsafe.Slice((*byte)(*(*unsafe.Pointer)(unsafe.Pointer(&info.Data))), size)
	page := uint64(info.PageSize)
	return &boltmeta.Pages{PageBytes: page, Count: uint64(size) / page, Data: data}
}

// way is which indexes have a way through the tree of the log that was looked at, from the first
// one up to the last one, without a step to another leaf.
type way struct{ from, to uint64 }

// reach looks at the way to an entry before bbolt goes there, and at the leaves beside it where
// bbolt may go on to one because the entry is not in its leaf.
func (s *Store) reach(w *view, index uint64) error {
	if s.whole.Load() || w.logs == nil || w.way.from <= index && index <= w.way.to {
		return nil
	}
	same, err := s.look(w, index, false)
	if err != nil {
		return err
	}
	w.way = way{0, math.MaxUint64}
	if len(same.From) == 8 {
		w.way.from = binary.BigEndian.Uint64(same.From)
	}
	if len(same.Below) == 8 {
		w.way.to = binary.BigEndian.Uint64(same.Below) - 1
	}
	switch {
	case len(same.From)|len(same.Below) > 8: // keys that are damaged
		w.way = way{index, index}
	case len(same.Last) == 8:
		w.way.to = min(w.way.to, binary.BigEndian.Uint64(same.Last))
	case same.Last != nil:
		w.way = way{1, 0}
	}
	if w.way.from <= index && index <= w.way.to {
		return nil
	}
	w.way = way{1, 0}
	return s.reachBeside(w, index)
}

// reachBeside looks at the way to an entry, and to the leaves beside it.
func (s *Store) reachBeside(w *view, index uint64) error {
	if s.whole.Load() || w.logs == nil {
		return nil
	}
	_, err := s.look(w, index, true)
	return err
}

func (s *Store) look(w *view, index uint64, beside bool) (boltmeta.Way, error) {
	root := uint64(w.logs.Bucket().Root())
	if root == 0 { // it lies in the root bucket's page, which was looked at
		return boltmeta.Way{}, nil
	}
	if w.pages == nil {
		w.pages = s.mapped(w.tx)
	}
	way, err := w.pages.CheckWay(root, key(index), beside, s.known)
	return way, s.readError(w.pages.PageBytes, err)
}

// reachEnds is reach of both ends of the log.
func (s *Store) reachEnds(w *view) error {
	if err := s.reachBeside(w, 0); err != nil {
		return err
	}
	return s.reachBeside(w, math.MaxUint64)
}

// sureOfLog looks at what bbolt reads, frees and writes anew when entries from one index to another
// one are put or deleted.
func (s *Store) sureOfLog(from, to uint64) error {
	if s.whole.Load() {
		return nil
	}
	return s.view(func(w *view) error {
		root := uint64(w.logs.Bucket().Root())
		if root == 0 {
			return nil
		}
		pages := s.mapped(w.tx)
		return s.pageError(pages.PageBytes, pages.CheckRange(root, key(from), key(to)))
	})
}

// sureOf is sureOfLog of all of another bucket, which is small. What was seen to be sound stays so:
// all that is written to it is bbolt's.
func (s *Store) sureOf(name []byte) error {
	if s.whole.Load() || s.sureOfBucket[string(name)] {
		return nil
	}
	err := s.view(func(w *view) error {
		b := w.tx.Bucket(name)
		if b == nil || b.Root() == 0 {
			return nil
		}
		pages := s.mapped(w.tx)
		return s.pageError(pages.PageBytes, pages.Check(uint64(b.Root())))
	})
	if err == nil {
		s.sureOfBucket[string(name)] = true
	}
	return err
}

// shape looks at all pages of a small bucket before it is read.
func (s *Store) shape(tx *bbolt.Tx, b *bbolt.Bucket) error {
	if s.whole.Load() || b == nil || b.Root() == 0 {
		return nil
	}
	pages := s.mapped(tx)
	return s.readError(pages.PageBytes, pages.CheckShape(uint64(b.Root())))
}

// noLog is what bbolt takes when nobody listens.
var noLog = &bbolt.DefaultLogger{Logger: log.New(io.Discard, "", 0)}

// boltLog is bbolt's logger. bbolt tells it of an error of a commit before it reads all pages to
// take it back, which is when they are looked at. It passes everything on to the user's, if there
// is one.
type boltLog struct {
	bbolt.Logger
	s *Store
}

func (l boltLog) Errorf(format string, args ...any) {
	l.Logger.Errorf(format, args...)
	if !l.s.committing {
		return
	}
	if err := l.s.checkAll(); err != nil {
		panic(err) // guard returns it; bbolt's transaction is rolled back then without reading anything
	}
}
