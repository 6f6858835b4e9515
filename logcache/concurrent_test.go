package logcache_test

import (
	"math"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast/logcache"
	"github.com/raft-ballast/ballast/memstore"
)

// stopping is a store in front of memstore that stops the first call of a name, before or after it has
// had its effect, until the test lets it go on.
type stopping struct {
	*scripted
	reached chan struct{} // closed when the call has stopped
	resume  chan struct{} // closed by the test
}

func stopOnce(call, where string) *stopping {
	s := &stopping{&scripted{LogStore: memstore.New()}, make(chan struct{}), make(chan struct{})}
	var stopped atomic.Bool
	stop := func(name string) error {
		if name == call && stopped.CompareAndSwap(false, true) {
			close(s.reached)
			<-s.resume
		}
		return nil
	}
	if where == "before" {
		s.before = stop
	} else {
		s.after = stop
	}
	return s
}

// GetLog of scripted counts without a lock; here reads meet.
func (s *stopping) GetLog(index uint64, log *raft.Log) error {
	return s.around("GetLog", func() error { return s.LogStore.GetLog(index, log) })
}

// during runs call, which stops in the store, and body while it is stopped there.
func (s *stopping) during(t *testing.T, call func() error, body func()) {
	t.Helper()
	done := make(chan error)
	go func() { done <- call() }()
	<-s.reached
	body()
	close(s.resume)
	must(t, <-done)
}

func wantHits(t *testing.T, c logcache.Cache, hits uint64) {
	t.Helper()
	if s := c.Stats(); s.Hits != hits {
		t.Errorf("%d reads were answered from memory, want %d", s.Hits, hits)
	}
}

func TestReadsDoNotWaitForAWrite(t *testing.T) {
	for _, where := range []string{"before", "after"} {
		t.Run("StoreLogs stopped "+where+" its effect", func(t *testing.T) {
			store := stopOnce("StoreLogs", where)
			c := open(t, store, nil)
			must(t, c.StoreLog(entry(1, 1)))
			store.during(t, func() error { return c.StoreLogs(batch(1, 2, 3)) }, func() {
				wantTerm(t, c, 1, 1)
				wantHits(t, c, 1)
			})
			wantTerm(t, c, 3, 1)
			wantHits(t, c, 2)
		})
		t.Run("DeleteRange stopped "+where+" its effect", func(t *testing.T) {
			store := stopOnce("DeleteRange", where)
			c := open(t, store, nil)
			must(t, c.StoreLogs(batch(1, 1, 9)))
			store.during(t, func() error { return c.DeleteRange(1, 4) }, func() {
				wantTerm(t, c, 5, 1)
				wantHits(t, c, 1)
			})
			wantTerm(t, c, 4, 0)
			wantTerm(t, c, 5, 1)
		})
	}
}

// While entries are being overwritten the store is asked for them, whose answer is the old ones or the
// new ones.
func TestReadOfWhatIsBeingOverwritten(t *testing.T) {
	for where, term := range map[string]uint64{"before": 1, "after": 2} {
		t.Run(where, func(t *testing.T) {
			store := stopOnce("StoreLogs", where)
			c := open(t, store, nil)
			must(t, c.StoreLog(entry(2, 1)))
			store.during(t, func() error { return c.StoreLogs(batch(2, 2, 3)) }, func() {
				wantTerm(t, c, 2, term)
				wantHits(t, c, 0)
			})
			wantTerm(t, c, 2, 2)
			wantHits(t, c, 1)
		})
	}
}

// The store has taken the first write, then the second, which returns first. What is cached last must
// not be the first one.
func TestTwoWritesOfAnIndex(t *testing.T) {
	for name, tc := range map[string]struct {
		second func(c logcache.Cache) error
		term   uint64 // of entry 3 afterwards
	}{
		"StoreLogs":             {func(c logcache.Cache) error { return c.StoreLogs(batch(2, 3, 5)) }, 2},
		"StoreLog":              {func(c logcache.Cache) error { return c.StoreLog(entry(3, 2)) }, 2},
		"DeleteRange":           {func(c logcache.Cache) error { return c.DeleteRange(3, 3) }, 0},
		"DeleteRange of it all": {func(c logcache.Cache) error { return c.DeleteRange(0, math.MaxUint64) }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			store := stopOnce("StoreLogs", "after")
			c := open(t, store, nil)
			store.during(t, func() error { return c.StoreLogs(batch(1, 1, 4)) }, func() {
				must(t, tc.second(c))
				wantTerm(t, c, 3, tc.term)
			})
			wantTerm(t, c, 3, tc.term)
			wantSame(t, c, store, 10)
		})
	}
}

// The other way round: a deletion has had its effect and has not returned when the index is written anew.
func TestWriteDuringADeletion(t *testing.T) {
	store := stopOnce("DeleteRange", "after")
	c := open(t, store, nil)
	must(t, c.StoreLogs(batch(1, 1, 4)))
	store.during(t, func() error { return c.DeleteRange(3, 4) }, func() {
		must(t, c.StoreLogs(batch(2, 3, 4)))
		wantTerm(t, c, 3, 2)
	})
	wantTerm(t, c, 3, 2)
	wantTerm(t, c, 2, 1)
}

// Compaction of old entries beside an append: neither costs the other its cached entries.
func TestWritesOfDifferentIndexes(t *testing.T) {
	store := stopOnce("StoreLogs", "after")
	c := open(t, store, nil)
	for i := uint64(1); i <= 4; i++ {
		must(t, c.StoreLog(entry(i, 1)))
	}
	store.during(t, func() error { return c.StoreLogs(batch(1, 5, 6)) }, func() {
		must(t, c.DeleteRange(0, 2))
	})
	wantTerm(t, c, 2, 0)
	for i := uint64(3); i <= 6; i++ {
		wantTerm(t, c, i, 1)
	}
	wantHits(t, c, 4)
}

// A read that missed has the old entry in its hand when the new one is stored: what it got is its own affair,
// the next read gets the new one.
func TestMissDuringAWrite(t *testing.T) {
	for name, tc := range map[string]struct {
		write func(c logcache.Cache) error
		term  uint64
	}{
		"StoreLogs":   {func(c logcache.Cache) error { return c.StoreLogs(batch(2, 1, 2)) }, 2},
		"DeleteRange": {func(c logcache.Cache) error { return c.DeleteRange(1, 2) }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			store := stopOnce("GetLog", "after")
			must(t, store.LogStore.StoreLogs(batch(1, 1, 2)))
			c := open(t, store, nil)
			var old raft.Log
			store.during(t, func() error { return c.GetLog(1, &old) }, func() {
				must(t, tc.write(c))
				wantTerm(t, c, 1, tc.term)
			})
			wantEqual(t, &old, entry(1, 1))
			wantTerm(t, c, 1, tc.term)
		})
	}
}

// closing is a stopping store that can be closed.
type closing struct{ *stopping }

func (closing) Close() error { return nil }

// A write that returns after Close does not bring anything back into memory.
func TestWriteDuringClose(t *testing.T) {
	store := closing{stopOnce("StoreLogs", "after")}
	c := open(t, store, nil)
	store.during(t, func() error { return c.StoreLogs(batch(1, 1, 4)) }, func() {
		must(t, c.(interface{ Close() error }).Close())
	})
	if s := c.Stats(); s.Entries != 0 {
		t.Errorf("stats %+v", s)
	}
}

// Each goroutine owns some indexes and reads its own writes, while the others push its entries out, delete
// next to them and read them. For the race detector too.
func TestConcurrentOwners(t *testing.T) {
	const owners, perOwner, rounds = 6, 8, 150
	store := memstore.New()
	c := open(t, store, &logcache.Options{MaxEntries: owners * perOwner / 2})
	var wg sync.WaitGroup
	for o := range uint64(owners) {
		wg.Go(func() {
			first, last := o*perOwner+1, (o+1)*perOwner
			for term := uint64(1); term <= rounds; term++ {
				if err := c.StoreLogs(batch(term, first, last)); err != nil {
					t.Error(err)
				}
				if err := c.DeleteRange(last, last); err != nil {
					t.Error(err)
				}
				for i := first; i <= last; i++ {
					var l raft.Log
					err := c.GetLog(i, &l)
					if i == last && err != raft.ErrLogNotFound {
						t.Errorf("term %d: deleted entry %d: %v", term, i, err)
					}
					if i < last && (err != nil || l.Term != term || l.Index != i) {
						t.Errorf("entry %d of term %d: got %+v, %v", i, term, l, err)
					}
				}
				var l raft.Log
				_ = c.GetLog((last+term)%(owners*perOwner), &l) // another's entry, in any state
				c.Stats()
			}
		})
	}
	wg.Wait()
	wantSame(t, c, store, owners*perOwner)
}

// Everybody writes everywhere. When all is quiet the cache tells what the store has.
func TestConcurrentWritesOfTheSameIndexes(t *testing.T) {
	store := memstore.New()
	c := open(t, store, &logcache.Options{MaxEntries: 16})
	for round := range uint64(100) {
		var wg sync.WaitGroup
		for o := range uint64(4) {
			wg.Go(func() {
				var err error
				if (o+round)%4 == 0 {
					err = c.DeleteRange(round%8, 12)
				} else {
					err = c.StoreLogs(batch(10*round+o+1, 1+o, 10+o))
				}
				if err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		wantSame(t, c, store, 20)
	}
}
