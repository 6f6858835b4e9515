package wal

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/engine"
)

// This file tells a folder whose log is gone from one in which none was ever made. Both have a LOCK and
// nothing else: a first opening that is cut off leaves that, and has to be gone on from without help.

// markLock makes the LOCK one byte long, durably. The log is there by now, and its names are durable: LOCK
// came before the first segment. Nothing depends on the byte; without it the next opening writes it.
func (j *journal) markLock() {
	if engine.WasLog(j.fs, j.dir) {
		return
	}
	if err := j.lengthenLock(); err != nil && !errors.Is(noSpace(err), ballast.ErrNoSpace) {
		j.opts.Logger.Warn("wal: noting in LOCK that there is a log failed; the next opening tries it again", "dir", j.dir, "err", err)
	}
}

func (j *journal) lengthenLock() (err error) {
	f, err := j.fs.Open(filepath.Join(j.dir, engine.LockName))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := f.Truncate(1); err != nil {
		return err
	}
	return f.Sync()
}

// lostLog is the error for a folder in which there was a log and no segment is left.
func lostLog(dir string) error {
	return &ballast.CorruptionError{Path: dir, Offset: -1, Err: fmt.Errorf("there was a log, as %s says, and its segments are gone; "+
		"bring the folder back from a copy, or remove it when this peer is to join again as a new server, with another ID", engine.LockName)}
}
