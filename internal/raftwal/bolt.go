package raftwal

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/boltmeta"
)

// What raft-wal calls its database, and what is in it. Wire format.
const (
	metaName     = "wal-meta.db"
	metaBucket   = "wal-meta"
	metaKey      = "m"
	stableBucket = "stable"
)

// maxUnread is how much of a file is read that may be none of bbolt's.
const maxUnread = 1 << 30

// metaDB is wal-meta.db. Its lock is held until it is closed. bbolt is not needed for that, so nobody who moves away from raft-wal
// has it in his build.
type metaDB struct {
	path string
	file *os.File

	state  []byte            // JSON; nil when raft-wal has not come to writing it
	stable map[string][]byte // parts of the file
}

// openMeta locks wal-meta.db and reads it.
func openMeta(dir string) (*metaDB, error) {
	m := &metaDB{path: filepath.Join(dir, metaName)}
	if err := m.checkPath(dir); err != nil {
		return nil, err
	}
	if err := m.lock(); err != nil {
		return nil, err
	}
	if err := m.read(); err != nil {
		_ = m.close() // what failed before says more
		return nil, err
	}
	return m, nil
}

// checkPath refuses what is no directory of raft-wal, before anybody waits for a pipe.
func (m *metaDB) checkPath(dir string) error {
	if dir == "" {
		return errors.New("raftwal: the path is empty; give the directory of raft-wal")
	}
	info, err := os.Stat(dir)
	switch {
	case err != nil:
		return fmt.Errorf("raftwal: %w; check the path", err)
	case !info.IsDir():
		return fmt.Errorf("raftwal: %w: %s is a file; give the directory of raft-wal", ballast.ErrForeign, dir)
	}
	switch info, err = os.Stat(m.path); {
	case errors.Is(err, fs.ErrNotExist):
		return m.missing(dir)
	case err != nil:
		return fmt.Errorf("raftwal: %w", err)
	case !info.Mode().IsRegular():
		return fmt.Errorf("raftwal: %w: %s is not a file", ballast.ErrForeign, m.path)
	case info.Size() == 0:
		return m.corrupt(errors.New("it is empty"))
	}
	return nil
}

// missing says what a directory without wal-meta.db is.
func (m *metaDB) missing(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("raftwal: %w", err)
	}
	other := ""
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), segmentSuffix) && len(e.Name()) == len(segmentName(0, 0)) {
			return m.corrupt(fmt.Errorf("it is missing, and there is the segment %s: %w", e.Name(), fs.ErrNotExist))
		}
		if e.Name() != metaName+".tmp" { // raft-wal's, when a crash has cut its creation off
			other = e.Name()
		}
	}
	if other != "" {
		return fmt.Errorf("raftwal: %w: %s holds %s and no %s; give the directory of raft-wal", ballast.ErrForeign, dir, other, metaName)
	}
	return fmt.Errorf("raftwal: %s holds no log of raft-wal: %w; check the path", dir, fs.ErrNotExist)
}

// lock opens the file and takes bbolt's own lock on it, which others who read may share.
func (m *metaDB) lock() error {
	f, err := os.Open(m.path)
	if err != nil {
		return fmt.Errorf("raftwal: %w", err)
	}
	held, err := lockShared(f)
	switch {
	case err == nil && held:
		m.file = f
		return nil
	case err == nil:
		err = &ballast.LockedError{Path: m.path, Err: errors.New("bbolt's lock is held")}
	default:
		err = fmt.Errorf("raftwal: locking %s: %w", m.path, err)
	}
	_ = f.Close() // nothing was done with it
	return err
}

// read takes the file into memory. It does not change while the lock is held.
func (m *metaDB) read() error {
	info, err := m.file.Stat()
	if err != nil {
		return fmt.Errorf("raftwal: %w", err)
	}
	size := info.Size()
	if newest, err := boltmeta.Newest(m.file); err == nil { // what follows its pages is no part of it
		if pages, err := newest.In(m.file); err == nil {
			size = min(size, int64(pages.Count*pages.PageBytes))
		}
	} else if size > maxUnread {
		return m.corrupt(fmt.Errorf("it has %d bytes, and no valid meta page", size))
	}
	data := make([]byte, size)
	if _, err := io.ReadFull(io.NewSectionReader(m.file, 0, size), data); err != nil {
		return fmt.Errorf("raftwal: reading %s: %w", m.path, err)
	}
	switch m.state, m.stable, err = readBolt(data); {
	case errors.Is(err, ballast.ErrForeign), errors.Is(err, ballast.ErrUnknownVersion):
		return fmt.Errorf("raftwal: %s: %w", m.path, err)
	case err != nil:
		return m.corrupt(err)
	}
	return nil
}

func (m *metaDB) corrupt(cause error) error {
	return &ballast.CorruptionError{Path: m.path, Offset: -1, Err: cause}
}

// close lets go of the lock.
func (m *metaDB) close() error { return m.file.Close() }
