package cli

import (
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"time"

	"github.com/hashicorp/raft"

	common "github.com/raft-ballast/ballast/internal/engine"
	"github.com/raft-ballast/ballast/internal/vfs"
)

const (
	// pollEvery is how often a log that is followed is looked at.
	pollEvery = 200 * time.Millisecond

	// maxLoad is how many times as long as opening the log takes there is rest before the next opening: a log that is not closed is read from the beginning of
	// its last segment on, and its peer needs the disk.
	maxLoad = 10

	// racy is how close to the moment of looking a time of change says nothing: another change may have come in the same tick
	// of the file system's clock.
	racy = time.Second

	// rememberEntries is how far back it is noticed that raft has replaced what was shown.
	rememberEntries = 4096
)

// position is what an entry is known by: two of the same index and term are the same.
type position struct{ index, term uint64 }

// follower shows what is added to a log.
type follower struct {
	d    *dumper
	at   place
	held *vfs.Dir   // at.path when it began
	next uint64     // to be read
	seen []position // the newest that were read, ascending

	changed time.Time     // of the newest file, when the log was opened last; zero for the first opening
	looked  time.Time     // when that was asked for
	took    time.Duration // opening it, the last time
}

// followLog shows the entries of a log, and then what is added, until it is interrupted or all that was wanted was shown.
func (d *dumper) followLog(ctx context.Context, src *source) error {
	if src.engine.name != defaultEngine {
		return errors.Join(usagef("%s cannot be followed: who writes it keeps everybody else out; give a wal", src), src.Close())
	}
	ctx, ended := interruptible(ctx)
	defer ended()
	if err := d.begin(src); err != nil {
		return errors.Join(err, src.Close())
	}
	held, err := vfs.OS.Hold(src.path)
	if err != nil {
		return errors.Join(err, src.Close())
	}
	defer held.Close() // it was only looked at
	f := &follower{d: d, at: src.place, held: held, next: max(d.from, 1)}
	for {
		err := errors.Join(f.read(ctx, src), src.Close(), d.out.flush())
		switch {
		case ctx.Err() != nil:
			d.undecoded = nil // Ctrl-C goes to the decoder too
			return d.end(nil)
		case err != nil:
			return d.end(err)
		case f.next > d.to:
			return d.end(nil)
		}
		if src, err = f.reopen(ctx); src == nil {
			return d.end(err)
		}
	}
}

// read shows what is new in an open log.
func (f *follower) read(ctx context.Context, src *source) error {
	first, last, err := src.bounds()
	if err != nil || last == 0 { // what became of an empty log shows when something follows
		return err
	}
	f.rewind(src)
	c := src.cursor(max(first, f.next), min(last, f.d.to))
	for ctx.Err() == nil {
		log, err := c.step()
		damage, corrupt := damageOf(err)
		switch {
		case corrupt:
			if err := f.d.damage(damage); err != nil {
				return err
			}
		case errors.Is(err, io.EOF):
			if last >= f.d.to { // also when what was wanted is not there any more
				f.next = f.d.to + 1
			}
			return nil
		case err != nil:
			return err
		default:
			f.tellMissed(src, log.Index)
			f.remember(position{log.Index, log.Term})
			if err := f.d.entry(log); err != nil {
				return err
			}
		}
		f.next = c.next
	}
	return nil
}

// tellMissed says which entries before an index were never seen: raft may have deleted them before this looked, or while it read, or the
// log never had them.
func (f *follower) tellMissed(src *source, index uint64) {
	if len(f.seen) == 0 || index <= f.next {
		return
	}
	why := "are not in the log: raft leaves a gap when it installs a snapshot"
	if first, err := src.FirstIndex(); err == nil && first > f.next {
		why = "were not seen: they are behind a snapshot by now"
	}
	f.d.tell("entries %d to %d %s", f.next, index-1, why)
}

func (f *follower) remember(p position) {
	if len(f.seen) >= 2*rememberEntries {
		f.seen = slices.Delete(f.seen, 0, rememberEntries)
	}
	f.seen = append(f.seen, p)
}

// rewind goes back to the first entry that is another one than was shown. Raft replaces what was never committed, at the end of the
// log, so it looks from there.
func (f *follower) rewind(src *source) {
	kept := len(f.seen)
	for ; kept > 0; kept-- {
		var log raft.Log
		p := f.seen[kept-1]
		err := src.GetLog(p.index, &log)
		if errors.Is(err, raft.ErrLogNotFound) {
			if first, ferr := src.FirstIndex(); ferr == nil && first > p.index {
				break // deleted behind a snapshot
			}
			continue
		}
		if err == nil && log.Term != p.term {
			continue
		}
		break // the same, or damaged, which was no reason to show it again
	}
	if kept == len(f.seen) {
		return
	}
	f.next = f.seen[kept].index
	f.seen = f.seen[:kept]
	f.d.tell("from entry %d on the log is another one than was shown", f.next)
}

// reopen waits until the log has changed and opens it again. It returns nil when it was interrupted.
func (f *follower) reopen(ctx context.Context) (*source, error) {
	for {
		select {
		case <-ctx.Done():
			return nil, nil
		case <-time.After(max(pollEvery, maxLoad*f.took)):
		}
		looked, changed := time.Now(), f.lastChange()
		if changed.Equal(f.changed) && f.looked.Sub(f.changed) > racy {
			continue
		}
		src, err := f.at.open()
		f.took = time.Since(looked)
		// The name may be another log's by now, whose entries would be shown as if they were of
		// this one.
		if e := f.held.Check(); e != nil {
			if err == nil {
				_ = src.Close() // it was only read from
			}
			return nil, common.Displaced(e)
		}
		if err == nil {
			f.changed, f.looked = changed, looked
		}
		return src, err
	}
}

// lastChange returns the time at which a file of the log, or the folder, was changed last.
func (f *follower) lastChange() (newest time.Time) {
	note := func(info os.FileInfo, err error) {
		if err == nil && info.ModTime().After(newest) { // what cannot be looked at, opening tells
			newest = info.ModTime()
		}
	}
	note(os.Stat(f.at.path))
	entries, _ := os.ReadDir(f.at.path) // the same
	for _, e := range entries {
		note(e.Info())
	}
	return newest
}
