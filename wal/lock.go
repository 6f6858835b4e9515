package wal

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/engine"
	"github.com/raft-ballast/ballast/internal/vfs"
)

// This file is about the locks of whoever writes a log. LOCK is the one that every release knows. A
// copy of hard links (cp -al) shares it, and its lock is that of the file, whatever the name: so it
// would let only one of the two be open. Therefore a writer locks its folder, too, where a folder
// can be locked. Who has that is the only one of these releases in the folder, and may give the
// folder a LOCK of its own:
//
//   - when nobody has the lock of the shared one, or
//   - when its holder vouches that it has locked its folder, which is another one then. A release before
//     did not, so its lock may be that of a log in this very folder, and counts.
//
// Two openers of a copy do not meet here: only one gets the lock of the folder. One of a release
// before may open the shared LOCK before the other is in its place, and lock it afterwards, in the
// moment of the rename; that is left open.

// newLockName is the name of a LOCK that is being made. Whoever opens the log for writing removes
// it.
const newLockName = engine.LockName + ".tmp"

// locks are what a writer holds.
type locks struct{ folder, file io.Closer }

// Close lets go of the folder last: as long as LOCK is held its holder vouches for that.
func (l locks) Close() error {
	err := l.file.Close()
	if l.folder != nil {
		err = errors.Join(err, l.folder.Close())
	}
	return err
}

// takeLocks takes the locks of the log.
func (j *journal) takeLocks() error {
	folder, err := j.held.LockFolder()
	if errors.Is(err, errors.ErrUnsupported) {
		folder, err = nil, nil
	}
	if errors.Is(err, vfs.ErrLocked) {
		return &ballast.LockedError{Path: j.dir, Err: err}
	}
	if err != nil {
		return fmt.Errorf("wal: %w", err)
	}
	file, err := j.lockFile(folder != nil)
	if err == nil {
		j.lock = locks{folder, file}
		return nil
	}
	if folder != nil {
		err = errors.Join(err, folder.Close())
	}
	return err
}

// lockFile takes the lock of LOCK. alone says that the folder is locked.
func (j *journal) lockFile(alone bool) (io.Closer, error) {
	path := filepath.Join(j.dir, engine.LockName)
	lock, err := j.fs.Lock(path)
	isHeld := errors.Is(err, vfs.ErrLocked)
	if err != nil && !isHeld {
		return nil, fmt.Errorf("wal: %w", err)
	}
	shared := (isHeld || alone) && isSharedAt(j.fs, path)
	if isHeld && !(alone && shared && j.held.Vouched(path)) {
		return nil, &ballast.LockedError{Path: j.dir, Err: heldError(err, shared)}
	}
	if alone && shared {
		own, err := j.ownLock(path)
		if lock != nil {
			err = errors.Join(err, lock.Close())
		}
		if err != nil {
			return nil, fmt.Errorf("wal: making another %s, because this one has more than one hard link: %w", path, err)
		}
		lock = own
	}
	if alone {
		// Where that fails a copy of hard links that is made from now on is refused while this one
		// is open.
		_ = j.held.Vouch(lock)
	}
	return lock, nil
}

// heldError explains why LOCK may be held when the log is not open.
func heldError(err error, shared bool) error {
	if !shared {
		return err
	}
	return fmt.Errorf("%w; the file has more than one hard link, so it may be the other folder's log that is open: "+
		"where that is certain, remove %s from this one", err, engine.LockName)
}

// ownLock puts a LOCK of the folder's own, which is held, in the place of one that others have too.
// The mark in it is durable before it has the name; that the name may be the old file's again after
// a power cut does no harm.
func (j *journal) ownLock(path string) (lock io.Closer, err error) {
	was, err := engine.WasLog(j.fs, j.dir)
	if err != nil {
		return nil, err
	}
	tmp := filepath.Join(j.dir, newLockName)
	if err := j.remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if lock, err = j.fs.Lock(tmp); err != nil {
		return nil, err
	}
	if was {
		err = j.lengthen(tmp)
	}
	if err == nil {
		err = j.rename(tmp, path)
	}
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return lock, nil
}
