// Package logcache keeps the entries that were stored last in memory, in front of any raft.LogStore.
//
// # Usage
//
// Wrap the store, hand the cache to raft as its log, and close the cache instead of the store (in front of an engine of Ballast the
// cache is an io.Closer, as every engine is):
//
//	store, err := boltstore.Open("/var/lib/app/raft.db", nil)
//	if err != nil {
//		return err
//	}
//	cache, err := logcache.New(store, &logcache.Options{MaxBytes: 64 << 20})
//	if err != nil {
//		return err
//	}
//	defer cache.(io.Closer).Close()
//	r, err := raft.NewRaft(config, fsm, cache, store, snapshots, transport)
//
// What the store can do besides being a log, the cache can do too: commit tracking, the stable
// state, Close and ballast.Inspector are there, for a type assertion, exactly when the store has
// them. In front of an engine of Ballast the cache is a ballast.Store itself. Methods of the store
// beyond those are reached through the store.
//
// # Guarantees
//
//   - What a call returns is what the store alone would have returned: after StoreLogs or DeleteRange has
//     returned, GetLog never answers with what was there before. For that, every write has to go through
//     the cache.
//   - A write that failed leaves nothing in the cache of the indexes that it was about; they are read
//     from the store.
//   - Errors are the store's own, not wrapped.
//   - GetLog of a cached entry waits for no write in progress, and gives each caller bytes of its own. What
//     is handed to StoreLogs is copied.
//   - The cache holds at most MaxEntries entries and MaxBytes bytes. Beyond that the entries of the lowest
//     indexes go first, since what raft reads is what it appended last.
//   - GetLog of an entry that is not cached reads the store and caches nothing. Raft reads old entries
//     once and in order: for a follower that lags behind, and all of them in NewRaft. They would push
//     out the new ones that every other follower is about to need.
//   - After Close nothing is cached and every call is the store's to answer.
//
// All methods may be called by any goroutine at any time, as far as the store's may.
//
// # Layout
//
//	logcache.go    Cache, and how reads and writes meet
//	entries.go     the cached entries in order, and their bounds
//	optional.go    the optional interfaces
package logcache

import (
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/engine"
	"github.com/raft-ballast/ballast/metrics"
)

// The bounds of a cache for which nothing else was asked.
const (
	DefaultMaxEntries = 512
	DefaultMaxBytes   = 16 << 20
)

// Options are the options of New; nil stands for the zero value.
type Options struct {
	// MaxEntries is how many entries the cache holds at the most; 0 stands for DefaultMaxEntries.
	MaxEntries int

	// MaxBytes is how many bytes of Data and Extensions the cache holds at the most; 0 stands for
	// DefaultMaxBytes. A larger entry is not cached. An entry costs about 100 bytes more, which
	// only MaxEntries bounds.
	MaxBytes int64

	// Metrics is told how many entries were read from the cache; nil is nobody. With the sink of the store behind it, whose own
	// reads are those that the cache had not, the sum is all reads.
	Metrics metrics.Sink
}

// Cache is a raft.LogStore with its newest entries in memory. See the package's documentation for
// what a type assertion finds besides.
type Cache interface {
	raft.LogStore

	// MonotonicLogStore is always there; IsMonotonic is false when the store does not have it, as raft
	// takes it.
	raft.MonotonicLogStore

	// DamageReporter is always there; Damaged returns nil when the store does not have it.
	ballast.DamageReporter

	// Stats returns what the cache holds and has done.
	Stats() Stats
}

// Stats says what a cache holds and has done since New.
type Stats struct {
	Hits      uint64 // calls of GetLog that were answered from memory
	Misses    uint64 // calls of GetLog that went to the store, whatever it answered
	Evictions uint64 // entries that were dropped to keep the bounds
	Entries   int    // that are held now
	Bytes     int64  // of Data and Extensions that are held now
}

// New returns an empty cache in front of store. It fails when store is nil or a bound is negative.
func New(store raft.LogStore, opts *Options) (Cache, error) {
	if store == nil {
		return nil, errors.New("logcache: the store is nil; open one first")
	}
	var o Options
	if opts != nil {
		o = *opts
	}
	if o.MaxEntries < 0 || o.MaxBytes < 0 {
		return nil, fmt.Errorf("logcache: MaxEntries is %d and MaxBytes is %d; give at least 0, which stands for the default",
			o.MaxEntries, o.MaxBytes)
	}
	if o.MaxEntries == 0 {
		o.MaxEntries = DefaultMaxEntries
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = DefaultMaxBytes
	}
	c := &cache{store: store, held: entries{maxEntries: o.MaxEntries, maxBytes: o.MaxBytes}}
	if o.Metrics != nil {
		c.detach = o.Metrics.Attach(func() metrics.Stats {
			hits := c.hits.Load()
			return metrics.Stats{Reads: hits, CacheHits: hits}
		})
	}
	return withOptional(c), nil
}

// cache answers for the log. Its lock is never held while the store is called, so that reads do not
// wait for a sync, and two writes meet in the store as they would without a cache.
//
// Invariant: an entry in held is what the store has at that index, and no write in progress covers it.
type cache struct {
	store raft.LogStore

	hits, misses atomic.Uint64
	detach       func() // from Options.Metrics; nil without

	mu     sync.RWMutex
	held   entries
	writes []*write // in progress
	closed bool     // nothing is cached any more
}

// write is a StoreLogs or DeleteRange in progress, of the indexes from min to max.
type write struct {
	min, max uint64

	// contested is set when another write of one of these indexes was in progress at the same
	// time: which of them the store took last is not known, so neither is cached.
	contested bool
}

// begin drops what is cached of the indexes that a write is about to change, before it is handed to the
// store: should it fail, what is there is unknown.
func (c *cache) begin(lowest, highest uint64) *write {
	w := &write{min: lowest, max: highest}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.held.drop(lowest, highest)
	for _, other := range c.writes {
		if w.min <= other.max && other.min <= w.max {
			w.contested, other.contested = true, true
		}
	}
	c.writes = append(c.writes, w)
	return w
}

// end caches what w has stored, nil when it has deleted or failed.
func (c *cache) end(w *write, stored []raft.Log) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, other := range c.writes {
		if other == w {
			last := len(c.writes) - 1
			c.writes[i], c.writes[last] = c.writes[last], nil
			c.writes = c.writes[:last]
			break
		}
	}
	if w.contested || c.closed {
		return
	}
	for i := range stored {
		c.held.put(&stored[i])
	}
}

// copies returns copies of the entries of a batch. One that is too large to be cached is not copied
// and nevertheless among them: it may replace an entry of the same index that came before it.
func (c *cache) copies(logs []*raft.Log) []raft.Log {
	out := make([]raft.Log, len(logs))
	for i, l := range logs {
		if c.held.fits(l) {
			out[i] = clone(l)
		} else {
			out[i] = *l
		}
	}
	return out
}

// FirstIndex is the store's.
func (c *cache) FirstIndex() (uint64, error) { return c.store.FirstIndex() }

// LastIndex is the store's.
func (c *cache) LastIndex() (uint64, error) { return c.store.LastIndex() }

// GetLog fills log from memory or else from the store.
func (c *cache) GetLog(index uint64, log *raft.Log) error {
	c.mu.RLock()
	entry, ok := c.held.get(index)
	c.mu.RUnlock()
	if !ok {
		c.misses.Add(1)
		return c.store.GetLog(index, log)
	}
	c.hits.Add(1)
	// The cached bytes are never written to, so that they can be copied without the lock.
	entry.Data, entry.Extensions = cloneBytes(entry.Data), cloneBytes(entry.Extensions)
	*log = entry
	return nil
}

// StoreLog stores one entry, and caches it when the store has it.
func (c *cache) StoreLog(log *raft.Log) error {
	w := c.begin(log.Index, log.Index)
	err := c.store.StoreLog(log)
	var stored []raft.Log
	if err == nil {
		stored = c.copies([]*raft.Log{log})
	}
	c.end(w, stored)
	return err
}

// StoreLogs stores a batch, and caches it when the store has it.
func (c *cache) StoreLogs(logs []*raft.Log) error {
	if len(logs) == 0 {
		return c.store.StoreLogs(logs)
	}
	w := c.begin(engine.Bounds(logs))
	err := c.store.StoreLogs(logs)
	var stored []raft.Log
	if err == nil {
		stored = c.copies(logs)
	}
	c.end(w, stored)
	return err
}

// DeleteRange drops the range from memory and deletes it from the store.
func (c *cache) DeleteRange(lowest, highest uint64) error {
	if lowest > highest {
		return c.store.DeleteRange(lowest, highest)
	}
	w := c.begin(lowest, highest)
	err := c.store.DeleteRange(lowest, highest)
	c.end(w, nil)
	return err
}

// IsMonotonic is the store's, false when it does not say.
func (c *cache) IsMonotonic() bool {
	m, ok := c.store.(raft.MonotonicLogStore)
	return ok && m.IsMonotonic()
}

// Damaged is the store's, nil when it does not say.
func (c *cache) Damaged() error {
	if r, ok := c.store.(ballast.DamageReporter); ok {
		return r.Damaged()
	}
	return nil
}

// Stats returns what the cache holds and has done.
func (c *cache) Stats() Stats {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return Stats{
		Hits:      c.hits.Load(),
		Misses:    c.misses.Load(),
		Evictions: c.held.evicted,
		Entries:   len(c.held.live()),
		Bytes:     c.held.bytes,
	}
}

// shut empties the cache for good.
func (c *cache) shut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	c.held.drop(0, math.MaxUint64)
	c.held.buf, c.held.head = nil, 0
	if c.detach != nil {
		c.detach()
		c.detach = nil // it is called once, however often the cache is closed
	}
}
