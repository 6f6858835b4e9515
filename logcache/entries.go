package logcache

import (
	"cmp"
	"slices"

	"github.com/hashicorp/raft"
)

// entries are the cached entries in ascending order of their indexes, within two bounds.
type entries struct {
	maxEntries int
	maxBytes   int64

	// buf[head:] are the entries; buf[:head] is zero, room that evicted ones have left. Entries
	// come at the end and go at the front, so that both are cheap.
	buf  []raft.Log
	head int

	bytes   int64  // of Data and Extensions in buf[head:]
	evicted uint64 // so far
}

func (e *entries) live() []raft.Log { return e.buf[e.head:] }

func size(l *raft.Log) int64 { return int64(len(l.Data)) + int64(len(l.Extensions)) }

// fits reports whether l could be held at all.
func (e *entries) fits(l *raft.Log) bool { return size(l) <= e.maxBytes }

// find returns where in live the entry of index is or would be put. A log without gaps, which is
// nearly every one, is not searched.
func (e *entries) find(index uint64) (at int, found bool) {
	live := e.live()
	if len(live) == 0 || index < live[0].Index {
		return 0, false
	}
	if d := index - live[0].Index; d < uint64(len(live)) && live[d].Index == index {
		return int(d), true
	}
	if index > live[len(live)-1].Index {
		return len(live), false
	}
	return slices.BinarySearchFunc(live, index, func(l raft.Log, index uint64) int {
		return cmp.Compare(l.Index, index)
	})
}

// get returns the entry of index with the cached bytes, which no one may write to.
func (e *entries) get(index uint64) (raft.Log, bool) {
	at, ok := e.find(index)
	if !ok {
		return raft.Log{}, false
	}
	return e.live()[at], true
}

// put takes l in place of what there is at its index, and then keeps the bounds. Of an entry that does not
// fit nothing is kept.
func (e *entries) put(l *raft.Log) {
	if !e.fits(l) {
		e.drop(l.Index, l.Index)
		return
	}
	at, found := e.find(l.Index)
	if found {
		old := &e.live()[at]
		e.bytes -= size(old)
		*old = *l
	} else {
		e.makeRoom()
		e.buf = slices.Insert(e.buf, e.head+at, *l)
	}
	e.bytes += size(l)
	for len(e.live()) > e.maxEntries || e.bytes > e.maxBytes {
		e.evict()
	}
}

// makeRoom moves the entries to the front of a full buffer when at least half of it was evicted, so
// that the buffer does not grow with the log.
func (e *entries) makeRoom() {
	if len(e.buf) < cap(e.buf) || e.head < len(e.buf)/2 {
		return
	}
	n := copy(e.buf, e.live())
	clear(e.buf[n:])
	e.buf, e.head = e.buf[:n], 0
}

func (e *entries) evict() {
	first := &e.buf[e.head]
	e.bytes -= size(first)
	*first = raft.Log{}
	e.head++
	e.evicted++
}

// drop forgets the entries from lowest to highest.
func (e *entries) drop(lowest, highest uint64) {
	from, _ := e.find(lowest)
	to, found := e.find(highest)
	if found {
		to++
	}
	if from >= to {
		return
	}
	for i := from; i < to; i++ {
		e.bytes -= size(&e.live()[i])
	}
	if from > 0 {
		e.buf = slices.Delete(e.buf, e.head+from, e.head+to)
		return
	}
	clear(e.live()[:to])
	e.head += to
}

// clone returns a copy of l in memory of its own. The time loses its monotonic reading, as it does on
// the way to a disk and back.
func clone(l *raft.Log) raft.Log {
	out := *l
	out.AppendedAt = l.AppendedAt.Round(0)
	buf := make([]byte, len(l.Data)+len(l.Extensions))
	data, extensions := buf[:len(l.Data):len(l.Data)], buf[len(l.Data):]
	copy(data, l.Data)
	copy(extensions, l.Extensions)
	if l.Data != nil {
		out.Data = data
	}
	if l.Extensions != nil {
		out.Extensions = extensions
	}
	return out
}

// cloneBytes returns a copy of b, nil for nil, with no room behind it.
func cloneBytes(b []byte) []byte {
	if b == nil {
		return nil
	}
	out := make([]byte, len(b))
	copy(out, b)
	return out
}
