package wal

import (
	"testing"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast/internal/vfs"
)

// TestLargeFramesCached: large frames are written from the same few blocks again and again, until somebody reads farther behind. Then as much stays in
// memory as the limit allows, for a while.
func TestLargeFramesCached(t *testing.T) {
	const limit = 24
	l := newTestLogWith(t, vfs.NewMem(), 1, func(o *Options) { o.CacheBytes = limit * cacheBlockBytes })
	const all = 1 << 20
	inMemory := func(segments int) (n int) { // of the newest
		for _, seg := range l.j.segments[max(0, len(l.j.segments)-segments):] {
			for _, b := range seg.blocks {
				if b != nil {
					n++
				}
			}
		}
		return n
	}
	frames := func(n int) {
		t.Helper()
		for range n {
			l.fill(1, largeFrame+1000)
		}
	}
	frames(60)
	if n := inMemory(all); n > hotBlocks+2 {
		t.Errorf("%d blocks are in memory, though nobody has read", n)
	}
	var log raft.Log
	must(t, l.GetLog(l.model.Last()-1, &log)) // which is in memory
	frames(60)
	if n := inMemory(all); n > hotBlocks+2 {
		t.Errorf("%d blocks are in memory, though nobody has read far behind", n)
	}
	must(t, l.GetLog(1, &log)) // so far behind that no limit would help
	frames(60)
	if n := inMemory(all); n > hotBlocks+4 { // those that were read with it
		t.Errorf("%d blocks are in memory, though somebody has only read what is long gone", n)
	}
	must(t, l.GetLog(l.model.Last()-12, &log))
	frames(30)
	if n := inMemory(all); n < limit-2 || n > limit+2 {
		t.Errorf("%d blocks are in memory when somebody reads behind, the limit is %d", n, limit)
	}
	l.check()
	l.j.cache.lag.Store(false) // what the check has read
	frames(8*limit + 2*hotBlocks)
	if n := len(l.j.cache.large); n > hotBlocks+1 {
		t.Errorf("%d blocks are noted", n)
	}
	if n := inMemory(8); n > hotBlocks+2 {
		t.Errorf("%d blocks of the newest segments are in memory, and nobody reads any more", n)
	}
	l.check()
}
