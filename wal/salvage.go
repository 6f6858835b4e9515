package wal

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/engine"
	"github.com/raft-ballast/ballast/internal/vfs"
)

// Salvaged is what can still be read of a log. Close it.
//
// Log has the entries as they were before the first call that cannot be read, and Later those that were stored behind the last
// of such calls. They must not be put together: what is missing may have deleted or replaced some of the former. Damage to single
// entries is no such call. GetLog of these returns a *[ballast.CorruptionError].
type Salvaged struct {
	Log *Store

	// Later is nil when no call is missing.
	Later *Store

	// Stable are the newest stable values that can be read, in both stores.
	Stable map[string][]byte

	// StableUnsure is whether one may have been set that cannot be read. Stale are the keys of those values that may be older than what was acknowledged
	// last, ascending.
	StableUnsure bool
	Stale        []string

	// Damage is what keeps the log from being opened, in the order of the log, where that is known: each is of the file that it
	// names. It has no entries; whoever reads Log and Later finds these.
	Damage []*ballast.CorruptionError

	// Reached is the highest index of an entry that is seen to have been stored, also behind what is missing. There may have been more.
	Reached uint64

	held *vfs.Dir
}

// Missing reports whether calls are missing that may have been acknowledged. What they stored or deleted nobody knows.
func (s *Salvaged) Missing() bool { return s.Later != nil }

// Close closes both stores.
func (s *Salvaged) Close() error {
	err := s.Log.Close()
	if s.Later != nil {
		err = errors.Join(err, s.Later.Close())
	}
	return errors.Join(err, s.held.Close())
}

// Salvage reads what can still be read of the log in dir, whatever is damaged. It writes nothing, takes no lock, and must not
// be used on a log that is written meanwhile: what is half written would look damaged. It goes on where Open ends with
// damage: it finds out what a damaged segment header said, passes over damaged frames, begins at an older checkpoint when the
// newest one cannot be read, and takes what the disk does not read for damaged.
//
// The stores are read-only. The error matches [ballast.ErrUnknownVersion] for a newer format, [ballast.ErrForeign] for another
// store's directory, fs.ErrNotExist for one without a log, and [ballast.ErrCorrupt] when nothing can be read. A log of several raft groups is refused.
func Salvage(dir string, opts *Options) (*Salvaged, error) {
	o, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	held, err := holdDir(o.fs, dir, true)
	if err != nil {
		return nil, err
	}
	out, err := salvage(held, o)
	if err != nil {
		return nil, errors.Join(err, held.Close())
	}
	return out, nil
}

func salvage(held *vfs.Dir, o Options) (*Salvaged, error) {
	s := &salvager{fs: &mendedFS{FS: held, patches: make(map[string]*mending)}, dir: held.Name}
	defer s.closeFiles()
	if err := s.openAll(); err != nil {
		return nil, err
	}
	p, err := s.best()
	if err != nil {
		return nil, err
	}
	if err := p.onlyOneGroup(held.Name); err != nil {
		return nil, err
	}
	out := &Salvaged{
		Stable: maps.Collect(p.group(0).stable.all()), StableUnsure: p.stableUnsure, Stale: sortedKeys(p.stale), Reached: p.reached,
		Damage: append(s.relevant(p), p.damage...), held: held,
	}
	if p.missing {
		behind := s.pass(p.base, true)
		if err := behind.run(); err != nil {
			return nil, err
		}
		if err := behind.onlyOneGroup(held.Name); err != nil {
			return nil, err
		}
		out.Later = s.store(held.Again(), behind, o)
	}
	out.Log = s.store(held.Again(), p, o)
	return out, nil
}

// relevant returns the damage to files that a pass needs: others hold nothing that is live.
func (s *salvager) relevant(p *pass) (out []*ballast.CorruptionError) {
	for _, d := range s.damage {
		number, _ := segmentNumber(filepath.Base(d.Path))
		older := p.segments[number]
		found := slices.ContainsFunc(p.found, func(seg *segment) bool { return seg.number == number && seg.live > 0 })
		if number >= s.parts[max(p.base, 0)].number && !isMoved(number) || older != nil && older.live > 0 || found {
			out = append(out, d)
		}
	}
	return out
}

// store makes a read-only store of what a pass has found.
func (s *salvager) store(held *vfs.Dir, p *pass, o Options) *Store {
	o.fs = s.fs
	j := newJournal(held, s.fs, o, true)
	j.mended = true
	j.adopt(p.recovery)
	return &Store{j: j, g: j.group(0)}
}

var errGroups = fmt.Errorf("wal: %w, and what is salvaged is that of one: when it does not open, nothing can be taken out of it with this release; stop the peer, keep the folder, start all of its raft groups with an empty one, and let each join again as a new server", engine.ErrSharedLog)

// onlyOneGroup refuses a log of several raft groups, of which the others would be lost.
func (p *pass) onlyOneGroup(dir string) error {
	for id, g := range p.groups {
		if id != 0 && (len(g.runs) > 0 || len(g.stable) > 0) {
			return fmt.Errorf("%w: %s", errGroups, dir)
		}
	}
	return nil
}

// best tries the checkpoints from the newest one down and returns the pass that misses the least: the newest one, or the one before,
// when with that nothing is missing at all.
func (s *salvager) best() (best *pass, err error) {
	const most = 3 // each reads all that is behind its checkpoint
	tried := 0
	for base := len(s.parts) - 1; base >= -1 && tried < most; base-- {
		p := s.pass(base, false)
		ok, err := p.begin()
		if err != nil {
			return nil, err
		}
		if !ok {
			continue
		}
		tried++
		if err := p.replayAll(); err != nil {
			return nil, err
		}
		if base < 0 && best != nil {
			break // without any checkpoint is no better
		}
		if best == nil || !p.missing && !p.stableUnsure {
			best = p
		}
		if !best.missing && !best.stableUnsure {
			break
		}
	}
	return best, nil
}

// run is begin and replayAll for a base that was tried.
func (p *pass) run() error {
	if _, err := p.begin(); err != nil {
		return err
	}
	return p.replayAll()
}

// finish makes the state of a pass that of a log that was opened.
func (p *pass) finish(numbers []uint64) {
	live := make(map[*segment]int64)
	for _, g := range p.groups {
		g.lowerCommit()
		g.publish()
		for i := range g.runs {
			live[g.runs[i].seg] += g.runs[i].count()
		}
	}
	for _, seg := range p.segments {
		seg.live = 0
	}
	p.tail.live, p.order = 0, nil
	for seg, n := range live {
		if seg.live = n; seg != p.tail {
			p.order = append(p.order, seg)
		}
	}
	for _, seg := range p.order {
		if _, found := slices.BinarySearch(numbers, seg.number); !found {
			seg.bad = seg.corrupt(-1, "the segment's file is missing")
		}
	}
	p.order = append(p.order, p.tail)
	slices.SortFunc(p.order, inOrder)
}
