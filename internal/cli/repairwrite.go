package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/raft-ballast/ballast"
	sites "github.com/raft-ballast/ballast/internal/place"
	"github.com/raft-ballast/ballast/internal/vfs"
)

// realPath follows links, so that the store itself changes places and not a link to it, and finds its name when it is the working directory.
func realPath(path string) (string, error) {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return "", fmt.Errorf("there is no store: %w; check the path", err)
	}
	if base := filepath.Base(real); base == "." || base == ".." {
		return filepath.Abs(real)
	}
	return real, nil
}

// lock keeps a peer from starting on a wal while it is repaired. bolt and badger take their own lock when they are read.
func (p place) lock() (unlock func(), err error) {
	if kind, err := kindOfDir(p.path); p.engine.name != "wal" || err != nil || kind != "wal" {
		return func() {}, nil // and whoever opens it says what it is
	}
	held, err := vfs.OS.Lock(filepath.Join(p.path, "LOCK"))
	if errors.Is(err, vfs.ErrLocked) {
		return nil, &ballast.LockedError{Path: p.path, Err: err}
	}
	if err != nil {
		return nil, fmt.Errorf("locking %s: %w", p, err)
	}
	return func() { _ = held.Close() }, nil // nothing depends on it any more
}

// quarantine is what the old store is called afterwards: a name that is not taken.
func (p place) quarantine() string {
	name := p.path + quarantineMark + time.Now().UTC().Format("20060102T150405Z")
	for path, n := name, 2; ; n++ {
		if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) || n > maxQuarantines {
			return path
		}
		path = fmt.Sprintf("%s-%d", name, n)
	}
}

// maxQuarantines is how many stores are put aside in one second.
const maxQuarantines = 100

// do makes the new store and puts it in the place of the old one.
func (p *repairPlan) do(s streams) (err error) {
	ctx, stop := interruptible(context.Background())
	defer stop()
	site, err := sites.Beside(p.at.path)
	if err != nil {
		return err
	}
	defer site.Abandon()
	if err := build(ctx, s, p.at.engine, site.Path, p.source); err != nil {
		return err
	}
	if err := site.Like(p.at.path); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	quarantine := p.at.quarantine()
	check, err := p.check(quarantine)
	if err != nil {
		return err
	}
	if err := site.Swap(quarantine, check); err != nil {
		return err
	}
	p.Written, p.Quarantine = true, outside(quarantine)
	s.done()
	return nil
}

// check returns what looks at a bbolt file when it has the name under which it is kept: somebody may have opened it before, and wait for its lock, as raft-boltdb
// does for ever, and what that one wrote to it would be lost. So it must not be in use, and as it was read. It is nil for the other engines, which refuse a store that is in use at once:
// nobody waits for one.
func (p *repairPlan) check(kept string) (func() error, error) {
	if p.at.engine.name != "bolt" {
		return nil, nil
	}
	before, err := boltHead(p.at.path)
	// Who waits must be able to come forward.
	if err = errors.Join(err, p.wreck.close()); err != nil {
		return nil, err
	}
	inUse := &ballast.LockedError{Path: p.at.path, Err: errors.New("it was opened by somebody who waits to use it")}
	return func() error {
		if writers(kept) {
			return inUse
		}
		src, err := place{p.at.engine, kept}.open() // with the lock
		if errors.Is(err, ballast.ErrLocked) {
			return inUse
		}
		if err != nil {
			return fmt.Errorf("looking at the old store again: %w", err)
		}
		now, err := boltHead(kept)
		if err = errors.Join(err, src.Close()); err == nil && !bytes.Equal(before, now) {
			err = errUsedMeanwhile
		}
		return err
	}, nil
}

var errUsedMeanwhile = errors.New("a peer has run on it since it was read; start again when that has stopped")

// writers is sites.Writers; tests replace it by one that does not know.
var writers = sites.Writers

// boltHeadBytes are enough for the two pages that a bbolt file begins with. Each transaction writes one of them, with a number of its own.
const boltHeadBytes = 2 * 64 << 10

// boltHead reads what tells whether there was a transaction.
func boltHead(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() // it was only read from
	return io.ReadAll(io.LimitReader(f, boltHeadBytes))
}

// print shows the plan to people.
func (p *repairPlan) print(w io.Writer, f repairFlags) error {
	var lines []string
	add := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	if p.OK {
		add("%s: nothing is damaged, nothing was written", p.Store)
		return writeLines(w, p.addHalf(lines)...)
	}
	add("%s: damaged", p.Store)
	lines = append(lines, atMost(maxDamage, damageLines(p.Damaged))...)
	add("kept: %s", p.keptText())
	lines = p.addHalf(append(lines, p.lossLines()...))
	if p.SnapshotKeeps != nil && f.snapshot == 0 && !p.Written {
		add("choice: entries %s, behind the damage, are good; when this peer has a snapshot at %d or above, --snapshot with its index keeps them instead",
			p.SnapshotKeeps, p.SnapshotKeeps.From-1)
	}
	switch {
	case p.Written:
		add("done: what was there is in %s, nothing of it was changed", p.Quarantine)
	case f.write:
		add("nothing was written")
	case p.Loses:
		add("nothing was written; the safe way is another one: %s", startAnew)
	default:
		add("nothing was written; --write does it")
	}
	return writeLines(w, lines...)
}

func (p *repairPlan) addHalf(lines []string) []string {
	if p.HalfPeer != "" {
		lines = append(lines, halfText(p.HalfPeer))
	}
	return lines
}

func (p *repairPlan) keptText() string {
	text := "no entries"
	if k := p.Kept; k.Entries > 0 {
		text = fmt.Sprintf("%s, %s, commit index %d", countText(k.Entries, "entry", "entries"), indexRange{k.FirstIndex, k.LastIndex}, k.CommitIndex)
	}
	var values []string
	for _, v := range p.Kept.values {
		values = append(values, v.label()+" "+v.text())
	}
	if len(values) == 0 {
		return text + "; no stable values"
	}
	return text + "; " + strings.Join(values, ", ")
}

// lossLines say what is not there any more.
func (p *repairPlan) lossLines() (lines []string) {
	add := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	more := ""
	if p.ComeMore {
		more = ", and perhaps more behind, which cannot be seen"
	}
	switch {
	case len(p.ComeAgain) > 0:
		add("must come again from the other peers: %s %s%s", plural(p.ComeAgain, "entry", "entries"), rangesText(p.ComeAgain), more)
	case p.ComeMore:
		add("must come again from the other peers: perhaps entries behind %d, which cannot be seen", p.Kept.LastIndex)
	default:
		add("must come again from the other peers: nothing")
	}
	if p.SnapshotBeyond > 0 {
		add("snapshot: %d is above the last entry that is seen to have been stored, %d; is it the right number?", p.SnapshotBeyond, p.wreck.reached)
	}
	if !p.StableUnsure {
		return lines
	}
	if len(p.StableStale) > 0 {
		add("votes: %s may be older than what this peer has promised", strings.Join(quoteKeys(p.StableStale), ", "))
	} else {
		add("votes: a stable value may be missing, or older than what this peer has promised")
	}
	return lines
}

func quoteKeys(keys []outside) (out []string) {
	for _, key := range keys {
		out = append(out, stableValue{key: string(key)}.label())
	}
	return out
}
