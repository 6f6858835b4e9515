package wal

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/raft"
)

// maxGroupBytes is how much the others that wait may add to the frame of the first one. It bounds what a caller waits
// for beyond its own write.
const maxGroupBytes = 4 << 20

// request is one durable call.
type request struct {
	group  *group
	kind   byte // recordEntry, recordSet, recordUnset, recordDelete, recordDrop
	logs   []*raft.Log
	one    [1]*raft.Log // the backing of logs for a single one
	commit uint64       // staged for the entries, when staged
	staged bool
	key    []byte
	value  []byte
	low    uint64 // of a deletion
	high   uint64

	passed bool // others were preferred once

	bytes int64 // at most, of its records
	err   error
	leads bool          // it was woken to write, not because it is done
	wake  chan struct{} // holds one
}

var requests = sync.Pool{New: func() any { return &request{wake: make(chan struct{}, 1)} }}

func (r *request) release() {
	*r = request{wake: r.wake}
	requests.Put(r)
}

// measure sets bytes.
func (r *request) measure() {
	switch r.kind {
	case recordEntry:
		r.bytes = recordHeaderBytes // of the commit index
		for _, l := range r.logs {
			r.bytes += padded(recordHeaderBytes + int64(len(l.Data)) + int64(len(l.Extensions)))
		}
	case recordSet, recordUnset:
		r.bytes = padded(recordHeaderBytes + int64(len(r.key)) + int64(len(r.value)))
	case recordDelete, recordDrop:
		r.bytes = recordHeaderBytes
	}
}

// queue is where calls wait while another one writes. Whoever comes when nobody writes is the leader and writes for all that
// wait; then the first of those that came meanwhile leads. With one caller that costs a lock.
type queue struct {
	mu      sync.Mutex
	leading bool
	waiting []*request
}

// submit makes a request durable and visible.
func (j *journal) submit(r *request) error {
	err := j.enqueue(r)
	if j.opts.inline {
		j.reclaimer.work()
	}
	return err
}

func (j *journal) enqueue(r *request) error {
	r.measure()
	q := &j.queue
	q.mu.Lock()
	if q.leading {
		q.waiting = append(q.waiting, r)
		q.mu.Unlock()
		<-r.wake
		if !r.leads {
			return r.err
		}
		q.mu.Lock()
	}
	q.leading = true
	batch := q.collect(append(j.writer.batch[:0], r))
	q.mu.Unlock()

	j.writer.batch = batch
	j.watch.Begin()
	j.writer.write(batch)
	j.watch.End(r.err)
	for _, other := range batch {
		if other != r {
			other.wake <- struct{}{} // it is not ours afterwards
		}
	}
	clear(batch)

	q.mu.Lock()
	next := q.next()
	q.leading = next != nil
	q.mu.Unlock()
	if next != nil {
		next.wake <- struct{}{}
	}
	return r.err
}

// next takes the request that leads next out of the queue: the first one. One that is so large that all others would wait for its write lets
// those go first that came meanwhile, once.
func (q *queue) next() *request {
	if len(q.waiting) == 0 {
		return nil
	}
	i := 0
	if first := q.waiting[0]; first.bytes > maxGroupBytes && !first.passed {
		first.passed = true
		i = max(0, slices.IndexFunc(q.waiting, func(r *request) bool { return r.bytes <= maxGroupBytes }))
	}
	next := q.waiting[i]
	q.waiting = slices.Delete(q.waiting, i, i+1)
	next.leads = true
	return next
}

// collect adds to batch what waits and fits beside its first request. What is too large stays, and what comes behind it does not wait for it.
func (q *queue) collect(batch []*request) []*request {
	rest, bytes := q.waiting[:0], int64(0)
	for _, r := range q.waiting {
		if bytes+r.bytes > maxGroupBytes {
			rest = append(rest, r)
			continue
		}
		bytes += r.bytes
		batch = append(batch, r)
	}
	clear(q.waiting[len(rest):])
	q.waiting = rest
	return batch
}

// writer appends frames to the tail. Only the leader of the queue uses it, or an opening or closing store.
type writer struct {
	j *journal

	seg      *segment // the tail
	sequence uint64   // of the last frame
	batch    []*request

	// The frame that is made. Its blocks are the memory that it is written from and read from later.
	cur        *cacheBlock // the last frame ended in it; nil until the first one is made
	end        []byte      // while there is no cur: what was written of the last block of the disk
	blocks     []*cacheBlock
	base       int64 // number of blocks[0] in the segment
	start, pos int64
	digest     uint32
	records    uint32
	spots      []placed // of the frame's entries, in order
	head       [recordHeaderBytes]byte
	bufs       [][]byte
	compressor compressor

	checkpointRoom int64 // of the tail, kept for the checkpoint at closing

	marked marker // the tail's, as it is on the disk
	alone  bool   // the tail was made for one large frame

	moved adoption // what the next rotation takes over

	calls      atomic.Uint64 // that succeeded
	frames     atomic.Uint64
	frameBytes atomic.Int64
	blockBytes atomic.Int64 // that were written for them, in whole blocks
}

// write makes a batch of requests one frame and sets the error of each.
func (w *writer) write(batch []*request) {
	err := w.j.failed.Err()
	if err == nil {
		err = w.writeAll(batch)
	}
	if err != nil && w.j.failed.Err() == nil {
		// No room. What is kept back is for votes and deletions, so these need not fail with the entries.
		rest := batch[:0:0]
		for _, r := range batch {
			if r.err = err; len(r.logs) == 0 {
				rest = append(rest, r)
			}
		}
		if len(rest) == 0 || len(rest) == len(batch) {
			return
		}
		batch = rest
		err = w.writeAll(batch)
	}
	for _, r := range batch {
		r.err = err
	}
}

func (w *writer) writeAll(batch []*request) error {
	size, entries := int64(frameHeaderBytes), 0
	for _, r := range batch {
		size += r.bytes
		entries += len(r.logs)
	}
	if err := w.reopen(); err != nil {
		return err
	}
	rotated, err := w.place(size, entries)
	if err != nil {
		return err
	}
	if rotated != nil {
		size += w.checkpointBytes()
	}
	w.begin(size)
	if rotated != nil {
		w.moved.apply(w.j)
		w.checkpoint(rotated)
	}
	for _, r := range batch {
		w.request(r)
	}
	if err := w.finish(); err != nil {
		return err
	}
	w.publish(batch)
	w.calls.Add(uint64(len(batch)))
	w.compressor.trim()
	if rotated != nil {
		w.j.keeper.seal(rotated)
		w.j.reclaimer.mover.adopted(&w.moved)
	}
	w.j.keeper.appended(w.pos - w.start)
	w.j.reclaimer.appended()
	return nil
}

// begin starts a frame of at most size bytes behind the last one.
func (w *writer) begin(size int64) {
	w.start = frameStart(w.seg.end)
	w.base = w.start >> cacheBlockShift
	w.blocks = w.blocks[:0]
	if w.cur == nil {
		w.cur = w.endBlock()
	}
	if w.cur != nil && w.cur.seg == w.seg && w.cur.no == w.base {
		w.blocks = append(w.blocks, w.cur)
	}
	need := int((w.start+size-1)>>cacheBlockShift-w.base) + 1
	if len(w.blocks) < need {
		w.j.mu.Lock()
		for len(w.blocks) < need {
			w.blocks = append(w.blocks, w.j.cache.take())
		}
		grown := len(w.j.cache.small) > 0
		w.j.mu.Unlock()
		if grown {
			w.j.keeper.wakeUp()
		}
	}
	w.pos, w.digest, w.records = w.start, 0, 0
	w.spots = w.spots[:0]
	w.put(zeroBlock[:frameHeaderBytes])
}

func (w *writer) put(p []byte) {
	for len(p) > 0 {
		n := copy(w.blocks[w.pos>>cacheBlockShift-w.base].data[w.pos&cacheBlockMask:], p)
		w.pos += int64(n)
		p = p[n:]
	}
}

// record adds a record to the frame.
func (w *writer) record(r *record) {
	n := recordHeaderBytes + len(r.first) + len(r.second)
	rest := w.blocks[w.pos>>cacheBlockShift-w.base].data[w.pos&cacheBlockMask:]
	w.records++
	if end := int(padded(int64(n))); end <= len(rest) {
		// Almost always it lies in one block. The parts are copied first, so that the checksum finds them in the processor's cache.
		b := rest[:end]
		putRecordHeader(b, r)
		copy(b[recordHeaderBytes:], r.first)
		copy(b[recordHeaderBytes+len(r.first):], r.second)
		clear(b[n:])
		sealRecord(b[:n], w.seg.seed, w.pos)
		w.digest = crc32.Update(w.digest, castagnoli, b[:recordHeaderBytes])
		w.pos += int64(end)
		return
	}
	h := w.head[:]
	putRecordHeader(h, r)
	crc := crc32.Update(w.seg.seed, castagnoli, h[4:])
	crc = crc32.Update(crc32.Update(crc, castagnoli, r.first), castagnoli, r.second)
	binary.LittleEndian.PutUint32(h, crc^place(w.pos))
	w.digest = crc32.Update(w.digest, castagnoli, h)
	w.put(h)
	w.put(r.first)
	w.put(r.second)
	w.put(zeroBlock[:-w.pos&7])
}

// request adds the records of a request.
func (w *writer) request(q *request) {
	switch q.kind {
	case recordEntry:
		for _, l := range q.logs {
			r := w.compressor.entry(l, q.group.id)
			w.spots = append(w.spots, r.spot(w.pos))
			w.record(&r)
		}
		if q.staged {
			w.record(&record{kind: recordCommit, group: q.group.id, a: q.commit})
			w.spots[len(w.spots)-1].size += recordHeaderBytes >> 3
		}
	case recordSet:
		w.record(&record{kind: recordSet, group: q.group.id, first: q.key, second: q.value, raw: uint32(len(q.value))})
	case recordUnset:
		w.record(&record{kind: recordUnset, group: q.group.id, first: q.key})
	case recordDelete:
		w.record(&record{kind: recordDelete, group: q.group.id, a: q.low, b: q.high})
	case recordDrop:
		w.record(&record{kind: recordDrop, group: q.group.id})
	}
}

// finish writes the frame. When it fails the engine has failed: what is on the disk is unknown.
func (w *writer) finish() error {
	if w.sequence >= maxSequence {
		return w.j.failed.Fail(errNumbers)
	}
	end := w.pos
	zeros := uint32(0)
	first := w.blocks[0].data[w.start&cacheBlockMask:]
	// The first slice holds the header.
	for off := roundDown(w.start, sectorBytes) + sectorBytes; off < end; off += sectorBytes {
		slice := w.blocks[off>>cacheBlockShift-w.base].data[off&cacheBlockMask:]
		if isZero(slice[:min(sectorBytes, end-off)]) {
			zeros++
		}
	}
	putFrameHeader(first, frameHeader{length: end - w.start, sequence: w.sequence + 1, digest: w.digest,
		zeros: zeros, records: w.records}, w.seg.seed, w.start)

	from, to := roundDown(w.start, blockBytes), roundUp(end, blockBytes)
	w.bufs = w.bufs[:0]
	for off := from; off < to; {
		b := w.blocks[off>>cacheBlockShift-w.base]
		n := min(to-off, cacheBlockBytes-off&cacheBlockMask)
		w.bufs = append(w.bufs, b.data[off&cacheBlockMask:][:n])
		off += n
	}
	if last := w.bufs[len(w.bufs)-1]; to > end {
		clear(last[int64(len(last))-(to-end):])
	}
	began := w.j.meter.Start()
	err := w.seg.rw.WriteBlocks(w.bufs, from)
	w.j.meter.Synced(began)
	clear(w.bufs)
	if err != nil {
		return w.j.failed.Fail(fmt.Errorf("wal: writing %d bytes at %d of %s: %w", end-w.start, w.start, w.seg.path, err))
	}
	w.sequence++
	w.frames.Add(1)
	w.frameBytes.Add(end - w.start)
	w.blockBytes.Add(to - from)
	return nil
}

// publish makes a durable frame visible. Nothing here waits for the disk.
func (w *writer) publish(batch []*request) {
	j := w.j
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.tail != w.seg {
		j.tail = w.seg
		j.segments = append(j.segments, w.seg)
		j.keeper.published.Store(w.seg.number)
	}
	w.seg.end, w.seg.sequence = w.pos, w.sequence
	w.keepBlocks()
	spots := w.spots
	if len(spots) > 0 {
		spots[0].size += frameHeaderBytes >> 3
	}
	for _, r := range batch {
		spots = spots[j.apply(r, spots):]
	}
}

// keepBlocks puts the frame's blocks into the segment's table, to be read from.
func (w *writer) keepBlocks() {
	used := int((w.pos-1)>>cacheBlockShift-w.base) + 1
	for i, b := range w.blocks {
		switch {
		case i >= used:
			w.j.cache.give(b)
		case b != w.cur:
			w.j.cache.link(b, w.seg, w.base+int64(i))
		}
	}
	if last := w.blocks[used-1]; last != w.cur {
		if w.cur != nil {
			w.cur.writing = false
		}
		w.cur = last
		w.cur.writing = true
		w.j.cache.shrink()
	}
	clear(w.blocks)
}

// apply does to the state what a durable request says, and returns how many of spots it used. The
// caller holds j.mu.
func (j *journal) apply(r *request, spots []placed) int {
	g := r.group
	died := int64(0)
	switch r.kind {
	case recordEntry:
		for from := 0; from < len(r.logs); {
			to := from + 1
			for to < len(r.logs) && r.logs[to].Index == r.logs[to-1].Index+1 {
				to++
			}
			died += g.put(r.logs[from].Index, j.tail, spots[from:to])
			from = to
		}
		if r.staged {
			g.commit = min(r.commit, g.last())
		}
	case recordSet:
		g.stable.set(r.key, r.value)
	case recordUnset:
		g.stable.remove(r.key)
	case recordDrop:
		delete(j.groups, g.id)
		fallthrough
	case recordDelete:
		died = g.remove(r.low, r.high)
		g.lowerCommit()
	}
	if r.kind != recordSet && r.kind != recordUnset {
		g.publish()
	}
	if died > 0 {
		j.reclaimer.died += died
		j.sweep()
	}
	return len(r.logs)
}

// sweep hands segments in which nothing is live any more to the keeper. The caller holds j.mu, and what freed
// them is durable.
func (j *journal) sweep() {
	kept := j.segments[:0]
	for _, seg := range j.segments {
		if seg.live > 0 || seg == j.tail || seg.filling {
			kept = append(kept, seg)
			continue
		}
		seg.freed = true
		j.cache.forget(seg)
		j.streams.forget(seg)
		j.keeper.free(seg)
	}
	clear(j.segments[len(kept):])
	j.segments = kept
}
