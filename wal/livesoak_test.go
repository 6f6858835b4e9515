package wal

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast/internal/oracle"
)

var liveFor = flag.Duration("live.for", time.Second, "how long a log is read beside its writer")

// soakEntry is an entry of 100 bytes.
func soakEntry(index uint64) *raft.Log {
	return &raft.Log{Index: index, Term: 1, Data: pastData(index, 1, 100)}
}

// soakedLog is a log that is written as fast as the disk can, by one entry after the other. All
// entries of an index are the same.
type soakedLog struct {
	dir    string
	done   atomic.Bool
	stored atomic.Uint64 // up to here entries are there, but for those that were deleted at the front
	begun  atomic.Uint64 // above this one none was ever stored
	doomed atomic.Uint64 // up to here they may be deleted at the front
	cuts   atomic.Uint64 // how often the end was deleted, maxCut entries at most
}

// maxCut is how many entries of the end are deleted at once.
const maxCut = 20

// soakState is what a look has to find at the least.
type soakState struct{ stored, cuts uint64 }

func (l *soakedLog) state() soakState {
	cuts := l.cuts.Load() // first: a cut that comes in between counts
	return soakState{l.stored.Load(), cuts}
}

// least is up to where entries were there all the time since a state.
func (l *soakedLog) least(since soakState) uint64 {
	return since.stored - min(since.stored, maxCut*(l.cuts.Load()-since.cuts))
}

// write appends until it is done. At times it compacts, replaces the end, and closes.
func (l *soakedLog) write(opts *Options) error {
	rng := oracle.Random(1)
	s, err := Open(l.dir, opts)
	for last := uint64(0); err == nil && !l.done.Load(); {
		last++
		l.begun.Store(max(l.begun.Load(), last))
		if err = s.StoreLog(soakEntry(last)); err != nil {
			break
		}
		l.stored.Store(last)
		switch at := rng.IntN(20_000); {
		case at < 4 && last > l.doomed.Load()+4000:
			l.doomed.Store(last - 1000 - rng.Uint64N(1000))
			err = s.DeleteRange(0, l.doomed.Load())
		case at < 10 && last > l.doomed.Load()+100:
			low := last - rng.Uint64N(maxCut)
			l.cuts.Add(1)
			l.stored.Store(low - 1)
			err = s.DeleteRange(low, last)
			last = low - 1
		case at < 14:
			if err = s.Close(); err == nil {
				s, err = Open(l.dir, opts)
			}
		}
	}
	return errors.Join(err, s.Close())
}

// look opens the log, or a copy of it, and reads all that is there.
func (l *soakedLog) look(dir string, since soakState) error {
	s, err := OpenReadOnly(dir, nil)
	if err != nil {
		return fmt.Errorf("opening: %w", err)
	}
	defer s.Close()
	first, err1 := s.FirstIndex()
	last, err2 := s.LastIndex()
	err = errors.Join(err1, err2)
	least, most := l.least(since), l.begun.Load()
	if err != nil || last < least || last > most || first > l.doomed.Load()+1 {
		return fmt.Errorf("there are entries %d to %d, %d to %d were stored, %v", first, last, least, most, err)
	}
	for index := first; index <= last; index++ {
		var got raft.Log
		err := s.GetLog(index, &got)
		if err == nil {
			err = oracle.DiffEntry(soakEntry(index), &got)
		}
		switch {
		case err == raft.ErrLogNotFound && (index <= l.doomed.Load() || s.Readings() > 1):
		case err != nil:
			return fmt.Errorf("entry %d of %d to %d: %w", index, first, last, err)
		}
	}
	infos, err := s.Segments()
	for _, info := range infos {
		err = errors.Join(err, info.Err)
	}
	return err
}

// TestLiveReaders opens, reads and copies a log of small segments beside a writer that appends one
// small entry after the other, on a disk, and in memory, where it is much faster. `make live` does
// it for an hour. No damage is seen.
func TestLiveReaders(t *testing.T) {
	memory := "/dev/shm"
	for name, dir := range map[string]string{"on disk": "", "in memory": memory} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := os.Stat(memory); dir != "" && err != nil {
				t.Skip("there is no file system in memory")
			}
			dir, err := os.MkdirTemp(dir, "ballast-live")
			must(t, err)
			defer os.RemoveAll(dir)
			soakReaders(t, dir)
		})
	}
}

func soakReaders(t *testing.T, parent string) {
	l := &soakedLog{dir: filepath.Join(parent, "wal")}
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := l.write(&Options{SegmentBytes: 1 << 20}); err != nil {
			t.Errorf("the writer: %v", err)
		}
	})
	for l.stored.Load() < 100 && !t.Failed() {
		time.Sleep(time.Millisecond)
	}
	end := time.Now().Add(*liveFor)
	var looks, copies atomic.Int64
	wg.Go(func() {
		for ; time.Now().Before(end) && !t.Failed(); looks.Add(1) {
			if err := l.look(l.dir, l.state()); err != nil {
				t.Errorf("look %d: %v", looks.Load(), err)
			}
		}
		l.done.Store(true)
	})
	wg.Go(func() {
		for ; !l.done.Load() && !t.Failed(); copies.Add(1) {
			since, dst := l.state(), filepath.Join(parent, "copy")
			_, err := Backup(t.Context(), l.dir, dst, nil)
			if err == nil {
				err = l.look(dst, since)
			}
			if err = errors.Join(err, os.RemoveAll(dst)); err != nil {
				t.Errorf("copy %d: %v", copies.Load(), err)
			}
		}
	})
	wg.Wait()
	t.Logf("%d looks and %d copies beside %d entries", looks.Load(), copies.Load(), l.begun.Load())
}
