package wal

import (
	"testing"

	"github.com/raft-ballast/ballast/internal/vfs"
)

// A log that was closed is opened, read and closed without a change to the disk, background or not: the next segment gets its name once more only
// when something is written.
func TestOpeningAClosedLogWritesNothing(t *testing.T) {
	mem := vfs.NewMem()
	l := newTestLog(t, mem, 1) // whose background does at once what there is to do
	l.fill(100, 100)
	l.close()
	l.change = func(o *Options) { o.inline = false }
	mem.SetHook(func(c *vfs.Call) error {
		t.Errorf("%v %s", c.Op, c.Path)
		return nil
	})
	l.open()
	l.check()
	l.close()
	mem.SetHook(nil)
	l.open()
	l.fill(1, 100)
	l.rotate()
	l.check()
	l.close()
	l.open()
	l.check()
}

// The first frame since the log was opened begins in a block that somebody has read already, or that nobody has.
func TestFirstFrameSinceOpening(t *testing.T) {
	for _, size := range []int{1, 100, 3000, 70_000} {
		for _, read := range []bool{false, true} {
			l := newTestLog(t, vfs.NewMem(), uint64(size))
			for range 12 {
				l.fill(3, size)
				l.close()
				l.open()
				if read {
					l.check()
				}
				l.fill(2, size)
				l.check()
			}
		}
	}
}

// What the cache grows by waits to be moved into huge pages, and the background does that and then has nothing more to do.
func TestCacheMovesIntoHugePages(t *testing.T) {
	for _, inline := range []bool{true, false} {
		l := newTestLogWith(t, vfs.NewMem(), 1, func(o *Options) { o.inline, o.CacheBytes = inline, 8<<20 })
		grown, waits := 0, 0
		l.fillUntil(func() bool {
			l.j.mu.RLock()
			defer l.j.mu.RUnlock()
			grown, waits = max(grown, l.j.cache.slab), len(l.j.cache.small)
			return grown*cacheBlockBytes >= smallestSlab && (inline || waits == 0)
		})
		if inline && waits == 0 { // there is no background
			t.Error("nothing waits")
		}
		l.check()
	}
}
