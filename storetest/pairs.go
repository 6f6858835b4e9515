package storetest

import (
	"io"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/raft"
)

// pairRounds is how often the two calls of a pair are made at once.
const pairRounds = 8

// pairs makes each call at the same time as each other one and as itself, and then each at the same
// time as Close: that call returns what it returns of an open store, or the sentinel. Run it with
// -race.
func pairs(e *env) {
	names := callNames(e, e.store)
	e.put(entries(1, 20, 1)...)
	e.set("k", []byte("v"))
	e.setUint64("n", 1)
	calls := e.calls(e.store)
	for i, one := range names {
		for _, other := range names[i:] {
			refused := func(error) bool { return e.cfg.refusesGaps }
			e.atOnce(one, calls[one], other, calls[other], refused)
		}
	}
	if _, ok := e.store.(io.Closer); !ok {
		return
	}
	for _, name := range names {
		c := e.closer()
		closed := func(err error) bool { return e.cfg.refusesGaps || isAny(err, e.cfg.errClosed) }
		e.atOnce(name, e.calls(e.store)[name], "Close", c.Close, closed)
		if e.cfg.volatile || e.t.Failed() {
			return
		}
		e.start()
		if e.t.Failed() {
			return
		}
	}
}

// callNames returns the names of the calls, in order.
func callNames(e *env, store Store) (names []string) {
	for name := range e.calls(store) {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// atOnce makes two calls at once, several times. What allowed says so may fail, and what one call
// has deleted the other may miss.
func (e *env) atOnce(one string, first func() error, other string, second func() error,
	allowed func(error) bool,
) {
	e.Helper()
	e.within(one+" beside "+other, func() {
		var ready atomic.Int32
		var wg sync.WaitGroup
		for who, call := range []func() error{first, second} {
			name := []string{one, other}[who]
			wg.Go(e.safely(func() {
				for ready.Add(1); ready.Load() < 2; { // no lock, which would order the two
				}
				for range pairRounds {
					err := call()
					if err != nil && !allowed(err) && !isAny(err, raft.ErrLogNotFound) {
						e.t.Errorf("%s beside %s: %v", name, []string{other, one}[who], err)
						return
					}
				}
			}))
		}
		wg.Wait()
	})
}

// startAgain is start for a goroutine of its own.
func (e *env) startAgain() {
	if e.cfg.volatile {
		return
	}
	store, err := e.open(e.t, e.dir)
	if err != nil {
		e.t.Errorf("opening the store behind a Close: %v", err)
		return
	}
	e.store = store
}

// closeTwice closes the store from several goroutines. After each Close that has returned all is
// durable, and nobody holds the store: whoever opens it again is not refused.
func closeTwice(e *env) {
	const closers = 3
	for round := range uint64(4) {
		c := e.closer()
		e.put(entries(round*10+1, round*10+10, round+1)...)
		e.within("Close beside Close", func() {
			var first sync.Once
			var wg sync.WaitGroup
			for range closers {
				wg.Go(e.safely(func() {
					if err := c.Close(); err != nil {
						e.t.Errorf("Close beside Close: %v", err)
					}
					first.Do(e.startAgain)
				}))
			}
			wg.Wait()
		})
		if e.t.Failed() || e.cfg.volatile {
			return
		}
		e.compare("closed by several")
	}
}
