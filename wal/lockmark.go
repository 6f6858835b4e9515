package wal

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/engine"
	"github.com/raft-ballast/ballast/internal/vfs"
)

// This file tells a folder whose log is gone from one in which none was ever made. Both have a LOCK
// and nothing else: a first opening that is cut off leaves that, and has to be gone on from without
// help.

// markLock makes the LOCK one byte long, durably. The log is there by now, and its names are
// durable: LOCK came before the first segment. Nothing depends on the byte; without it the next
// opening writes it.
func (j *journal) markLock() {
	if j.marked {
		return
	}
	if err := j.lengthen(filepath.Join(j.dir, engine.LockName)); err != nil && !errors.Is(noSpace(err), ballast.ErrNoSpace) {
		j.opts.Logger.Warn("wal: noting in LOCK that there is a log failed; the next opening tries it again", "dir", j.dir, "err", err)
	}
}

// lengthen makes a LOCK one byte long.
func (j *journal) lengthen(path string) (err error) {
	f, err := j.fs.Open(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := f.Truncate(1); err != nil {
		return err
	}
	return f.Sync()
}

// lostLog returns the error for a folder without segments in which there was a log, or of which
// that cannot be found out, and nil for one in which there was none.
func lostLog(fsys vfs.FS, dir string) error {
	was, err := engine.WasLog(fsys, dir)
	if err != nil {
		return fmt.Errorf("wal: looking whether there was a log: %w", err)
	}
	if !was {
		return nil
	}
	return &ballast.CorruptionError{Path: dir, Offset: -1, Err: fmt.Errorf("there was a log, as %s says, "+
		"and its segments are gone; bring the folder back from a copy, or remove it when this peer is "+
		"to join again as a new server, with another ID", engine.LockName)}
}
