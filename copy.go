package ballast

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/hashicorp/raft"
)

// What raft itself keeps in a StableStore (raft.go of hashicorp/raft: keyCurrentTerm, keyLastVoteTerm,
// keyLastVoteCand). A store that cannot list its keys is asked for these.
var (
	raftUint64Keys = []string{"CurrentTerm", "LastVoteTerm"}
	raftBytesKeys  = []string{"LastVoteCand"}
)

const (
	copyBatchEntries = 512
	copyBatchBytes   = 4 << 20
)

// Source is what Copy reads: any raft store. When it is an [Inspector] too, gaps cost nothing and every
// stable key is found.
type Source interface {
	raft.LogStore
	raft.StableStore
}

// CopyOptions are the options of Copy; nil stands for the zero value.
type CopyOptions struct {
	// Progress, when not nil, is called by Copy's goroutine after each batch.
	Progress func(CopyProgress)

	// StableKeys are looked for besides CurrentTerm, LastVoteTerm and LastVoteCand when the source
	// is no [Inspector], with Get and then with GetUint64.
	StableKeys [][]byte
}

// CopyProgress says how far a Copy is.
type CopyProgress struct {
	Entries uint64 // copied so far
	Total   uint64 // that there are at most: the distance from the first to the last index
	Bytes   uint64 // of Data and Extensions copied so far
	Index   uint64 // of the last entry copied; with gaps, this says better than Entries how far it is
}

// Copy copies the log, the commit index and the stable state of src into dst, which has to be
// empty, and returns what it has copied. No one may write to either meanwhile.
//
// An index that src does not have is a gap. When src is an [Inspector], or monotonic, and so knows what it
// has, an entry that GetLog does not find is an error; so is one that comes back with another index.
//
// What Copy is given it copies, whether that is all that a peer has promised or not: the log alone
// of a peer that keeps its term and its votes in another store comes across without them, and a
// peer on the copy would have forgotten whom it has voted for. Package migrate and `ballast
// migrate` refuse that, and take both stores.
//
// A source that says, as a [DamageReporter], that a part of it may be missing is refused with what it says: a copy would not show that any more.
//
// The stable state comes last, after every entry is durable. A Copy that returned an error, ctx's
// among them, has left a part of the log in dst: start again with a new one.
func Copy(ctx context.Context, dst Store, src Source, opts *CopyOptions) (CopyProgress, error) {
	if opts == nil {
		opts = &CopyOptions{}
	}
	if r, ok := src.(DamageReporter); ok {
		if err := r.Damaged(); err != nil {
			return CopyProgress{}, fmt.Errorf("copy: source: %w; `ballast repair` says what can be kept of it", err)
		}
	}
	last, err := dst.LastIndex()
	if err != nil {
		return CopyProgress{}, fmt.Errorf("copy: destination: %w", err)
	}
	if last != 0 {
		return CopyProgress{}, fmt.Errorf("copy: destination has entries up to %d: %w", last, ErrNotEmpty)
	}
	if i, ok := dst.(Inspector); ok {
		// A term or a vote that the destination has must not go back.
		keys, err := i.StableKeys()
		if err != nil {
			return CopyProgress{}, fmt.Errorf("copy: destination: %w", err)
		}
		if len(keys) > 0 {
			return CopyProgress{}, fmt.Errorf("copy: destination has stable values, %q is one: %w", keys[0], ErrNotEmpty)
		}
	}
	c := newCopier(dst, src, opts)
	if err := c.log(ctx); err != nil {
		return c.done, err
	}
	return c.done, c.stable(ctx)
}

type copier struct {
	dst  Store
	src  Source
	opts *CopyOptions
	done CopyProgress

	inspector  Inspector // the source; nil when it is none
	gapless    bool      // no index that is asked for is a gap
	first      uint64    // of the source; 0 when it is empty
	last       uint64
	commit     uint64 // of the source; 0 for none
	batch      []*raft.Log
	batchBytes uint64
}

func newCopier(dst Store, src Source, opts *CopyOptions) *copier {
	c := &copier{dst: dst, src: src, opts: opts}
	c.inspector, c.gapless = src.(Inspector)
	if m, ok := src.(raft.MonotonicLogStore); ok && m.IsMonotonic() {
		c.gapless = true
	}
	return c
}

// log copies the entries in ascending order.
func (c *copier) log(ctx context.Context) error {
	if err := c.bounds(); err != nil || c.last == 0 {
		return err
	}
	if err := c.walk(ctx, c.add); err != nil {
		return err
	}
	return c.flush()
}

// bounds finds out what the source has.
func (c *copier) bounds() (err error) {
	if c.first, err = c.src.FirstIndex(); err != nil {
		return fmt.Errorf("copy: source: %w", err)
	}
	if c.last, err = c.src.LastIndex(); err != nil {
		return fmt.Errorf("copy: source: %w", err)
	}
	if c.last == 0 {
		return nil
	}
	if c.first == 0 || c.first > c.last {
		return fmt.Errorf("copy: source says that its entries go from %d to %d; check it first", c.first, c.last)
	}
	c.done.Total = c.last - c.first + 1
	if tracker, ok := c.src.(CommitTracker); ok {
		if c.commit, err = tracker.GetCommitIndex(); err != nil {
			return fmt.Errorf("copy: source's commit index: %w", err)
		}
	}
	return nil
}

// walk calls visit for each entry of the source, in ascending order.
func (c *copier) walk(ctx context.Context, visit func(*raft.Log) error) error {
	for index := c.first; ; {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("copy: stopped before entry %d: %w", index, err)
		}
		entry, err := c.read(index)
		if err == nil && entry != nil {
			err = visit(entry)
		}
		if err != nil || index >= c.last {
			return err
		}
		if index, err = c.next(index + 1); err != nil {
			return fmt.Errorf("copy: source: %w", err)
		}
	}
}

// next returns where the next entry at or after index may be. There is one.
func (c *copier) next(index uint64) (uint64, error) {
	if c.inspector == nil {
		return index, nil
	}
	next, err := c.inspector.NextIndex(index)
	if err == nil && next < index {
		return 0, fmt.Errorf("no entry at %d or above, where LastIndex has one: NextIndex says %d", index, next)
	}
	return next, err
}

// read returns an entry of the source, nil for a gap.
func (c *copier) read(index uint64) (*raft.Log, error) {
	entry := new(raft.Log)
	switch err := c.src.GetLog(index, entry); {
	case errors.Is(err, raft.ErrLogNotFound) && !c.gapless:
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("copy: source's entry %d: %w", index, err)
	case entry.Index != index:
		return nil, fmt.Errorf("copy: %w", &CorruptionError{
			Path: "the source", Offset: -1, Index: index, Err: fmt.Errorf("it comes back as entry %d", entry.Index),
		})
	}
	return entry, nil
}

// add adds an entry to the batch, and flushes a full batch.
func (c *copier) add(entry *raft.Log) error {
	c.batch = append(c.batch, entry)
	c.batchBytes += entryBytes(entry)
	if len(c.batch) < copyBatchEntries && c.batchBytes < copyBatchBytes {
		return nil
	}
	return c.flush()
}

func entryBytes(entry *raft.Log) uint64 { return uint64(len(entry.Data) + len(entry.Extensions)) }

// flush stores the batch. The commit index is staged with each one, since a store clamps it to its
// last index.
func (c *copier) flush() error {
	if len(c.batch) == 0 {
		return nil
	}
	if c.commit != 0 {
		if err := c.dst.StageCommitIndex(c.commit); err != nil {
			return fmt.Errorf("copy: destination's commit index: %w", err)
		}
	}
	if err := c.dst.StoreLogs(c.batch); err != nil {
		return fmt.Errorf("copy: destination's entries from %d: %w", c.batch[0].Index, err)
	}
	c.done.Entries += uint64(len(c.batch))
	c.done.Bytes += c.batchBytes
	c.done.Index = c.batch[len(c.batch)-1].Index
	c.batch, c.batchBytes = c.batch[:0], 0
	if c.opts.Progress != nil {
		c.opts.Progress(c.done)
	}
	return nil
}

// stable copies the stable state.
func (c *copier) stable(ctx context.Context) error {
	return c.eachStable(ctx, func(key []byte, v stableValue) error {
		if v.isNumber {
			return c.dst.SetUint64(key, v.number)
		}
		return c.dst.Set(key, v.bytes)
	})
}

// stableValue is what the source has for a key. Raft's own numbers are numbers, because an engine may keep those elsewhere than
// bytes, or in another order of bytes, for the peer that it is interchangeable with.
type stableValue struct {
	isNumber bool
	number   uint64
	bytes    []byte
}

// eachStable calls visit for each key that the source has.
func (c *copier) eachStable(ctx context.Context, visit func(key []byte, v stableValue) error) error {
	keys, err := c.stableKeys()
	if err != nil {
		return fmt.Errorf("copy: source's stable keys: %w", err)
	}
	for _, key := range keys {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("copy: stopped before the stable key %q: %w", key, err)
		}
		value, ok, err := c.stableValue(key)
		if err == nil && ok {
			err = visit(key, value)
		}
		if err != nil {
			return fmt.Errorf("copy: stable key %q: %w", key, err)
		}
	}
	return nil
}

func (c *copier) stableKeys() ([][]byte, error) {
	if c.inspector != nil {
		return c.inspector.StableKeys()
	}
	keys := slices.Clone(c.opts.StableKeys)
	for _, key := range slices.Concat(raftUint64Keys, raftBytesKeys) {
		keys = append(keys, []byte(key))
	}
	return keys, nil
}

// stableValue reads a key of the source; ok is false when it has none.
func (c *copier) stableValue(key []byte) (v stableValue, ok bool, err error) {
	number := slices.Contains(raftUint64Keys, string(key))
	if !number {
		value, e := c.src.Get(key)
		switch {
		case e == nil && value != nil:
			return stableValue{bytes: value}, true, nil
		case e != nil && !isNotFound(e):
			return v, false, e
		}
		if e == nil {
			// raft-boltdb returns an empty value as nil, and panics when that is asked for as a number.
			defer func() {
				if recover() != nil {
					v, ok, err = stableValue{bytes: []byte{}}, true, nil
				}
			}()
		}
	}
	// A store may keep its numbers apart from its bytes. Where 0 may mean that there is none, a key that
	// is not raft's is left out.
	value, err := c.src.GetUint64(key)
	switch {
	case isNotFound(err), err == nil && value == 0 && !number:
		return v, false, nil
	case err != nil:
		return v, false, err
	}
	return stableValue{isNumber: true, number: value}, true, nil
}

// isNotFound tells a missing key of any raft store, as raft does it: by the text.
func isNotFound(err error) bool {
	return err != nil && (errors.Is(err, ErrKeyNotFound) || err.Error() == ErrKeyNotFound.Error())
}
