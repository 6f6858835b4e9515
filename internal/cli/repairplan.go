package cli

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast"
	common "github.com/raft-ballast/ballast/internal/engine"
	"github.com/raft-ballast/ballast/wal"
)

// wreck is a damaged store, as far as it can be read.
type wreck struct {
	log   *source // before the first call that is missing
	later *source // behind the last one; nil when none is missing

	stable       map[string][]byte
	stableUnsure bool      // one may have been set that cannot be read
	stale        []outside // keys
	endUnsure    bool      // there may have been entries behind the last one
	reached      uint64    // the highest index that is seen to have been stored
	damaged      []damageJSON
	scan         *scanned // of log, when it was read already
	close        func() error
}

// openWreck reads what can be read. The error is a *ballast.CorruptionError when that is nothing.
// held says that the caller has locked it.
func (p place) openWreck(s streams, held bool) (*wreck, error) {
	if p.engine.name == "wal" {
		return p.openWal(s, held)
	}
	src, err := p.open()
	if err != nil {
		return nil, err
	}
	w := &wreck{log: src, stable: make(map[string][]byte), close: src.Close}
	if damage := src.damage(); damage != nil {
		w.damaged, w.stableUnsure, w.endUnsure = append(w.damaged, newDamageJSON(damage)), true, true
	}
	return w, errors.Join(w.readStable(src), w.readReached(src))
}

// openWal reads a wal as a peer would, so that one that is written meanwhile is not taken for damaged; and what can be read of it when it is.
func (p place) openWal(s streams, held bool) (w *wreck, err error) {
	src, err := p.open()
	refused, scan := damageJSON{}, (*scanned)(nil)
	if damage, ok := errors.AsType[*ballast.CorruptionError](err); ok {
		refused = newDamageJSON(damage)
	} else if unreadable(err) {
		refused = damageJSON{File: outside(p.path), Cause: oneLine(err)}
	} else if _, several := errors.AsType[*severalGroupsError](err); several {
		return nil, fmt.Errorf("%s is %w, and a repair is that of one; `ballast verify %s` says which of them are damaged, and what to do", p, common.ErrSharedLog, p)
	} else if err != nil {
		return nil, err
	} else {
		w = &wreck{log: src, stable: make(map[string][]byte), close: src.Close}
		if w.scan, err = src.scanAll(s); err != nil {
			return nil, errors.Join(err, src.Close())
		}
	}
	unlock, inUse := func() {}, error(nil)
	if w == nil || len(w.scan.bad) > 0 {
		unlock, inUse = p.keepOff(held)
	}
	defer unlock()
	switch {
	case w != nil && (len(w.scan.bad) == 0 || inUse != nil): // then it is what a reader sees
		return w, errors.Join(w.readStable(src), w.readReached(src))
	case inUse != nil:
		return nil, inUse
	case w != nil:
		if err := src.Close(); err != nil {
			return nil, err
		}
	}
	if w != nil {
		scan = w.scan
	}
	w, err = p.salvage()
	if err == nil && scan != nil && w.later == nil {
		w.scan, err = scan.again(s, w.log)
	}
	if errors.Is(err, common.ErrSharedLog) {
		return nil, fmt.Errorf("%s is %w, and does not open: %s; %s", p, common.ErrSharedLog, nothingOut, startAllAnew)
	}
	if err == nil && len(w.damaged) == 0 && refused.Cause != "" {
		w.damaged = append(w.damaged, refused) // it is needed by opening, and by nothing else
	}
	return w, err
}

// keepOff keeps a peer from writing a damaged wal while it is salvaged, because what is half
// written would look damaged, too. It returns a *ballast.LockedError when one does, and none where
// there is no right to lock it.
func (p place) keepOff(held bool) (unlock func(), err error) {
	none := func() {}
	if _, err := os.Lstat(filepath.Join(p.path, "LOCK")); held || err != nil { // who writes makes one
		return none, nil
	}
	unlock, err = p.lock()
	switch {
	case err == nil:
		return unlock, nil
	case errors.Is(err, ballast.ErrLocked):
		return none, err
	}
	return none, nil
}

func (p place) salvage() (*wreck, error) {
	found, err := wal.Salvage(p.path, nil)
	if err != nil {
		return nil, err
	}
	w := &wreck{
		log: &source{p, found.Log}, stable: found.Stable, stableUnsure: found.StableUnsure,
		reached: found.Reached, close: found.Close,
	}
	if found.Missing() {
		w.later = &source{p, found.Later}
	}
	for _, key := range found.Stale {
		w.stale = append(w.stale, outside(key))
	}
	for _, d := range found.Damage {
		w.damaged = append(w.damaged, newDamageJSON(d))
	}
	return w, w.readReached(w.log)
}

func (w *wreck) readReached(src *source) error {
	last, err := src.LastIndex()
	w.reached = max(w.reached, last)
	return err
}

// readStable takes the values that can be read. One that cannot is unsure.
func (w *wreck) readStable(src *source) error {
	keys, err := src.StableKeys()
	if damage, ok := errors.AsType[*ballast.CorruptionError](err); ok {
		w.damaged, w.stableUnsure = append(w.damaged, newDamageJSON(damage)), true
		return nil
	}
	if err != nil {
		return err
	}
	for _, key := range keys {
		value, err := src.Get(key)
		damage, corrupt := errors.AsType[*ballast.CorruptionError](err)
		switch {
		case corrupt:
			w.damaged, w.stableUnsure = append(w.damaged, newDamageJSON(damage)), true
			w.stale = append(w.stale, outside(key))
		case err == nil:
			w.stable[string(key)] = value
		case !errors.Is(err, ballast.ErrKeyNotFound):
			return err
		}
	}
	return nil
}

// scanned is what a log holds, entry by entry.
type scanned struct {
	src     *source
	first   uint64
	last    uint64
	good    []indexRange // entries that can be read; gaps in the log part them too
	bad     []indexRange // that cannot
	damaged []damageJSON
}

func (src *source) scanAll(s streams) (*scanned, error) {
	out := &scanned{src: src}
	var err error
	if out.first, out.last, err = src.bounds(); err != nil {
		return nil, err
	}
	return out, src.scan(newReading(s, out.first, out.last), out.first, out.last, func(log *raft.Log) error {
		out.good = addIndex(out.good, log.Index)
		return nil
	}, out.damage)
}

// again reads of the same log, as it is salvaged, what could not be read before.
func (c *scanned) again(s streams, src *source) (*scanned, error) {
	out := &scanned{src: src}
	var err error
	if out.first, out.last, err = src.bounds(); err != nil || out.first != c.first || out.last != c.last {
		return nil, err
	}
	good := slices.Clone(c.good)
	for _, r := range c.bad {
		err := src.scan(newReading(s, r.From, r.To), r.From, r.To, func(log *raft.Log) error {
			good = append(good, indexRange{log.Index, log.Index})
			return nil
		}, out.damage)
		if err != nil {
			return nil, err
		}
	}
	slices.SortFunc(good, func(a, b indexRange) int { return cmp.Compare(a.From, b.From) })
	for _, r := range good {
		out.good = addRange(out.good, r)
	}
	return out, nil
}

// damage notes entries that cannot be read.
func (c *scanned) damage(d damageJSON) error {
	c.damaged = append(c.damaged, d)
	c.bad = addRange(c.bad, d.entries())
	return nil
}

// within returns the good entries from one index to another.
func (c *scanned) within(from, to uint64) (out []indexRange) {
	for _, r := range c.good {
		if r.To >= from && r.From <= to {
			out = append(out, indexRange{max(r.From, from), min(r.To, to)})
		}
	}
	return out
}

// prefix returns the last index before the first damaged entry.
func (c *scanned) prefix() uint64 {
	if len(c.bad) == 0 {
		return c.last
	}
	return c.bad[0].From - 1
}

// around returns the good piece that goes on where a snapshot ends: from behind the last damaged entry that the snapshot covers, up
// to before the first one that it does not.
func (c *scanned) around(snapshot uint64) (from, to uint64) {
	from, to = 1, uint64(math.MaxUint64)
	for _, r := range c.bad {
		if r.From > snapshot {
			return from, r.From - 1
		}
		if from = r.To + 1; r.To > snapshot {
			return snapshot + 1, snapshot // what is damaged goes on behind the snapshot
		}
	}
	return from, to
}

// view is the part of a store that is kept, as a store to be copied from.
type view struct {
	readStore
	from, to uint64
	stable   map[string][]byte
}

// FirstIndex implements raft.LogStore.
func (v *view) FirstIndex() (uint64, error) { return v.NextIndex(v.from) }

// LastIndex implements raft.LogStore.
func (v *view) LastIndex() (uint64, error) {
	first, err := v.FirstIndex()
	if err != nil || first == 0 {
		return 0, err
	}
	last, err := v.readStore.LastIndex()
	return min(last, v.to), err
}

// NextIndex implements ballast.Inspector.
func (v *view) NextIndex(index uint64) (uint64, error) {
	if index = max(index, v.from); index > v.to { // what is there may be damaged
		return 0, nil
	}
	next, err := v.readStore.NextIndex(index)
	if next > v.to {
		next = 0
	}
	return next, err
}

// GetCommitIndex implements ballast.CommitTracker.
func (v *view) GetCommitIndex() (uint64, error) {
	commit, err := v.readStore.GetCommitIndex()
	if err != nil {
		return 0, err
	}
	last, err := v.LastIndex()
	return min(commit, last), err
}

// StableKeys implements ballast.Inspector.
func (v *view) StableKeys() (keys [][]byte, err error) {
	for _, key := range slices.Sorted(maps.Keys(v.stable)) {
		keys = append(keys, []byte(key))
	}
	return keys, nil
}

// Get implements raft.StableStore.
func (v *view) Get(key []byte) ([]byte, error) {
	value, ok := v.stable[string(key)]
	if !ok {
		return nil, ballast.ErrKeyNotFound
	}
	return value, nil
}

// GetUint64 implements raft.StableStore.
func (v *view) GetUint64(key []byte) (uint64, error) {
	value, err := v.Get(key)
	if err != nil {
		return 0, err
	}
	if len(value) != 8 {
		return 0, ballast.ErrNotUint64
	}
	return binary.BigEndian.Uint64(value), nil
}
