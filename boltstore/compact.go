package boltstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"go.etcd.io/bbolt"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/place"
)

const (
	// compactSuffix is that of the new file while it is made.
	compactSuffix = ".compact"

	// replacedSuffix is that of the old file as long as it is not sure that the new one has its name.
	replacedSuffix = ".compact-old"

	// compactTx bounds a transaction of the copy, in bytes.
	compactTx = 4 << 20
)

// Compact writes the file at path anew without the pages that bbolt keeps for later, and puts the new file in the place of the old one.
// The new one is made beside it, so there has to be space for both; it is compared with the old one key by key and synced before it gets the name,
// and has the owner and the mode of the old one. After an error, and after a crash at any moment, the old or the new file is there, whole; a
// file with the suffix .compact or .compact-old that a crash has left is replaced the next time. A link is followed.
//
// Errors: those of [Open]; what [Store.Damaged] returns, because the new file would not show it; fs.ErrNotExist where there is no file; ctx's; ballast.ErrNoSpace. It is not for windows, where an open file cannot
// be replaced, and which therefore would let another opener in between.
func Compact(ctx context.Context, path string) error {
	if runtime.GOOS == "windows" {
		return errors.New("boltstore: windows cannot replace a file that is locked; move the log with ballast.Copy into a new file")
	}
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return fmt.Errorf("boltstore: there is nothing to compact: %w; check the path", err)
	}
	s, err := Open(path, nil) // which keeps all others out until the end
	if err != nil {
		return err
	}
	return errors.Join(s.compact(ctx), s.Close())
}

// compaction is a Compact in its folder, which is held: it may get another name meanwhile.
type compaction struct {
	*Store
	dir            *os.Root
	name           string // of the file
	made, replaced string // of the new one, and of the old one
}

// compact makes the new file and gives it the name of the old one.
func (s *Store) compact(ctx context.Context) error {
	if s.damaged != nil {
		return fmt.Errorf("boltstore: it is not written anew, because that would hide what is missing: %w", s.damaged)
	}
	dir, err := os.OpenRoot(filepath.Dir(s.path))
	if err != nil {
		return fmt.Errorf("boltstore: %w", err)
	}
	defer dir.Close()
	name := filepath.Base(s.path)
	c := &compaction{s, dir, name, name + compactSuffix, name + replacedSuffix}
	if err := c.hasName(); err != nil {
		return err
	}
	if err := place.Movable(s.path); errors.Is(err, place.ErrFixed) {
		return fmt.Errorf("boltstore: it cannot be written anew: %w; mount the folder that it is in, "+
			"and not the file itself, and see to it that this process may write to that folder", err)
	} else if err != nil {
		return fmt.Errorf("boltstore: %w", err)
	}
	if err := errors.Join(c.removed(c.made), c.removed(c.replaced)); err != nil {
		return fmt.Errorf("boltstore: removing what an earlier attempt has left: %w", err)
	}
	if err = s.checkAll(); err == nil {
		err = c.copyTo(ctx)
	}
	if err == nil {
		err = c.compare(ctx)
	}
	if err == nil {
		err = c.replace()
	}
	if err != nil {
		if isNoSpace(err) {
			err = s.noSpace(err)
		}
		err = fmt.Errorf("boltstore: writing %s anew: %w", s.path, err)
		return errors.Join(err, c.removed(c.made))
	}
	return s.disown()
}

// hasName returns an error when the name of the file is another one's in the folder.
func (c *compaction) hasName() error {
	if info, err := c.dir.Stat(c.name); err != nil || !os.SameFile(info, c.opened) {
		return &ballast.DisplacedError{Path: c.path}
	}
	return nil
}

func (c *compaction) removed(name string) error {
	if err := c.dir.Remove(name); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// syncDir makes the names in a folder durable; tests replace it by one that fails.
var syncDir = func(dir *os.Root) error {
	d, err := dir.Open(".")
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// replace gives the new file the name of the old one, durably. Where that fails the old one gets its name back: it must not be made unusable as long as a
// power cut may bring it back, and without that somebody who waits for its lock would write to a file without a name.
func (c *compaction) replace() error {
	if err := c.hasName(); err != nil {
		return err
	}
	linked := c.dir.Link(c.name, c.replaced) == nil // a file system without links has to do without
	if err := c.dir.Rename(c.made, c.name); err != nil {
		return errors.Join(err, c.removed(c.replaced))
	}
	err := syncDir(c.dir)
	if err != nil && linked {
		return errors.Join(err, c.dir.Rename(c.replaced, c.name))
	}
	return errors.Join(err, c.removed(c.replaced))
}

// copyTo writes all that is in the file to a new one and syncs it.
func (c *compaction) copyTo(ctx context.Context) (err error) {
	s := c.Store
	var file *os.File
	dst, err := bbolt.Open(c.made, fileMode, &bbolt.Options{
		NoSync: true, NoGrowSync: true, FreelistType: bbolt.FreelistMapType, PageSize: s.db.Info().PageSize,
		OpenFile: func(name string, flag int, mode os.FileMode) (*os.File, error) {
			file, err = c.dir.OpenFile(name, flag|os.O_EXCL, mode)
			return file, err
		},
	})
	if err != nil {
		return err
	}
	// bbolt has no way to end a copy early but this one: closing waits for the transaction that is open, and the copy cannot begin the next one.
	stop := context.AfterFunc(ctx, func() { _ = dst.Close() })
	err = s.guard(func() error { return bbolt.Compact(dst, s.db, compactTx) })
	if err == nil {
		// A second page that says all of it is there: in a small file the other one is that of an empty one.
		err = dst.Update(func(*bbolt.Tx) error { return nil })
	}
	if !stop() {
		err = ctx.Err()
	}
	if err == nil {
		err = s.sameRights(file)
	}
	if err == nil {
		err = file.Sync() // bbolt's own leaves out the rights
	}
	if e := dst.Close(); err == nil {
		err = e
	}
	return err
}

// sameRights gives a file the owner and the mode that the store's has.
func (s *Store) sameRights(file *os.File) error {
	info, err := s.file.Stat()
	if err != nil {
		return err
	}
	if err := sameOwner(file, info); err != nil {
		return fmt.Errorf("giving the new file to the owner of the old one: %w; run it as that user", err)
	}
	return file.Chmod(info.Mode().Perm())
}

// compare fails when the new file does not hold exactly what the store holds.
func (c *compaction) compare(ctx context.Context) error {
	s := c.Store
	other, err := bbolt.Open(c.made, fileMode, &bbolt.Options{
		ReadOnly: true, PreLoadFreelist: false, Timeout: 1, OpenFile: c.dir.OpenFile,
	})
	if err != nil {
		return err
	}
	err = s.guard(func() error {
		return s.db.View(func(old *bbolt.Tx) error {
			return other.View(func(made *bbolt.Tx) error { return sameKeys(ctx, old.Cursor(), made.Cursor()) })
		})
	})
	return errors.Join(err, other.Close())
}

// sameKeys compares two buckets, and those in them.
func sameKeys(ctx context.Context, a, b *bbolt.Cursor) error {
	keyA, valueA := a.First()
	keyB, valueB := b.First()
	for n := 0; keyA != nil || keyB != nil; n++ {
		if n%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		if keyA == nil || keyB == nil || !bytes.Equal(keyA, keyB) || !bytes.Equal(valueA, valueB) || (valueA == nil) != (valueB == nil) {
			return fmt.Errorf("the copy is another one at the keys %.40q and %.40q; the old file stays", keyA, keyB)
		}
		if valueA == nil {
			if err := sameKeys(ctx, a.Bucket().Bucket(keyA).Cursor(), b.Bucket().Bucket(keyB).Cursor()); err != nil {
				return err
			}
		}
		keyA, valueA = a.Next()
		keyB, valueB = b.Next()
	}
	return nil
}

// disown makes the old file one that nobody can open. Somebody may have opened it before the new one had its name, and waits for its lock,
// as raft-boltdb does for ever: what that one wrote to a file without a name would be lost. A file that has another name still is left as
// it is.
func (s *Store) disown() error {
	info, err := s.file.Stat()
	if err != nil || linked(info) {
		return err
	}
	s.written = false                             // so that Close writes nothing into it
	pages := make([]byte, 2*s.db.Info().PageSize) // the two that bbolt begins with
	if _, err := s.file.WriteAt(pages, 0); err != nil {
		return fmt.Errorf("boltstore: the new file is in its place, but the old one could not be made unusable: %w", err)
	}
	return nil
}
