// Package engine holds the parts of the contract that every engine keeps in the same way: closing,
// failing, staging a commit index, checking a batch, and what a uint64 is in the stable state.
package engine

import (
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast"
)

// Gate lets calls in until it is closed. The zero Gate is open.
type Gate struct {
	mu     sync.RWMutex
	closed bool
	once   sync.Once // what CloseWith ends
}

// Enter returns ballast.ErrClosed when the gate is closed; otherwise the caller calls Leave when it is
// done.
func (g *Gate) Enter() error {
	g.mu.RLock()
	if g.closed {
		g.mu.RUnlock()
		return ballast.ErrClosed
	}
	return nil
}

// Leave ends what a successful Enter began.
func (g *Gate) Leave() { g.mu.RUnlock() }

// Close waits until everybody has left and lets nobody in again. It reports whether it was this call
// that closed the gate.
func (g *Gate) Close() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	was := g.closed
	g.closed = true
	return !was
}

// CloseWith closes the gate, calls end once everybody has left, and returns its error. Another call
// of it that comes meanwhile returns nil when end has returned, and so does each later one: after
// any of them all is closed.
func (g *Gate) CloseWith(end func() error) (err error) {
	g.once.Do(func() {
		if g.Close() {
			err = end()
		}
	})
	return err
}

// Latch keeps the first failure of an engine. The zero Latch holds none.
type Latch struct{ err atomic.Pointer[error] }

// Fail keeps err unless there is one already, and returns the one that is kept.
func (l *Latch) Fail(err error) error {
	l.err.CompareAndSwap(nil, &err)
	return *l.err.Load()
}

// Err returns nil, or what an engine that has failed answers to every later write.
func (l *Latch) Err() error {
	if p := l.err.Load(); p != nil {
		return fmt.Errorf("ballast: an earlier write failed, so the store takes no more until it is opened again: %w", *p)
	}
	return nil
}

// CommitStage holds the commit index that the next StoreLogs writes. The zero CommitStage holds none.
type CommitStage struct {
	mu    sync.Mutex
	index uint64
	set   bool
}

// Stage replaces what is staged.
func (c *CommitStage) Stage(index uint64) {
	c.mu.Lock()
	c.index, c.set = index, true
	c.mu.Unlock()
}

// Take uses up what is staged. Without anything staged it returns current. What it returns is at
// most last, the log's last index after the batch.
func (c *CommitStage) Take(current, last uint64) uint64 {
	if index, ok := c.Pop(); ok {
		current = index
	}
	return min(current, last)
}

// Pop uses up what is staged and returns it, false without anything.
func (c *CommitStage) Pop() (index uint64, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	index, ok = c.index, c.set
	c.set = false
	return index, ok
}

// CheckBatch refuses a batch that holds an entry of index 0 or one of more than limit bytes.
func CheckBatch(logs []*raft.Log, limit int) error {
	for _, l := range logs {
		if l.Index == 0 {
			return ballast.ErrZeroIndex
		}
		if n := len(l.Data) + len(l.Extensions); n > limit {
			return &ballast.EntryTooLargeError{Index: l.Index, Bytes: n, Limit: limit}
		}
	}
	return nil
}

// Bounds returns the lowest and the highest index of a batch that is not empty.
func Bounds(logs []*raft.Log) (first, last uint64) {
	first, last = logs[0].Index, logs[0].Index
	for _, l := range logs[1:] {
		first, last = min(first, l.Index), max(last, l.Index)
	}
	return first, last
}

// Uint64Bytes is the stable value of a uint64.
func Uint64Bytes(v uint64) []byte { return binary.BigEndian.AppendUint64(nil, v) }

// Uint64 reads the stable value of key as a uint64.
func Uint64(key, value []byte) (uint64, error) {
	if len(value) != 8 {
		return 0, fmt.Errorf("%w: key %q holds %d bytes; read it with Get", ballast.ErrNotUint64, key, len(value))
	}
	return binary.BigEndian.Uint64(value), nil
}

// Overlay is the stable state that a read-only store takes into memory, because raft writes the
// current term even where it only reads. The zero Overlay is empty.
type Overlay struct {
	mu     sync.RWMutex
	values map[string][]byte
}

// Set keeps a copy of value, which is not nil afterwards.
func (o *Overlay) Set(key, value []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.values == nil {
		o.values = make(map[string][]byte)
	}
	o.values[string(key)] = append([]byte{}, value...)
}

// Get returns a copy of the value, nil when the overlay has none.
func (o *Overlay) Get(key []byte) []byte {
	o.mu.RLock()
	defer o.mu.RUnlock()
	v, ok := o.values[string(key)]
	if !ok {
		return nil
	}
	return append([]byte{}, v...)
}

// AllKeys returns the keys of the overlay and those in stored, each once and in ascending order. They are the
// caller's.
func (o *Overlay) AllKeys(stored []string) [][]byte {
	keys := append(o.Keys(), stored...)
	slices.Sort(keys)
	keys = slices.Compact(keys)
	out := make([][]byte, len(keys))
	for i, key := range keys {
		out[i] = []byte(key)
	}
	return out
}

// Keys returns the keys in no order.
func (o *Overlay) Keys() []string {
	o.mu.RLock()
	defer o.mu.RUnlock()
	keys := make([]string, 0, len(o.values))
	for k := range o.values {
		keys = append(keys, k)
	}
	return keys
}
