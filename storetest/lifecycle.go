package storetest

import (
	"fmt"
	"io"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast"
)

// calls is one call of each method. A store that was closed answers each with the same error.
func (e *env) calls(store Store) map[string]func() error {
	calls := map[string]func() error{
		"FirstIndex":  func() error { _, err := store.FirstIndex(); return err },
		"LastIndex":   func() error { _, err := store.LastIndex(); return err },
		"GetLog":      func() error { return store.GetLog(1, &raft.Log{}) },
		"StoreLog":    func() error { return store.StoreLog(entry(4, 1)) },
		"StoreLogs":   func() error { return store.StoreLogs([]*raft.Log{entry(4, 1)}) },
		"DeleteRange": func() error { return store.DeleteRange(1, 1) },
		"Set":         func() error { return store.Set([]byte("k"), []byte("v")) },
		"Get":         func() error { _, err := store.Get([]byte("k")); return err },
		"SetUint64":   func() error { return store.SetUint64([]byte("n"), 1) },
		"GetUint64":   func() error { _, err := store.GetUint64([]byte("n")); return err },
	}
	if tracker, ok := store.(ballast.CommitTracker); ok {
		calls["StageCommitIndex"] = func() error { return tracker.StageCommitIndex(1) }
		calls["GetCommitIndex"] = func() error { _, err := tracker.GetCommitIndex(); return err }
	}
	if in, ok := store.(ballast.Inspector); ok {
		calls["NextIndex"] = func() error { _, err := in.NextIndex(1); return err }
		calls["StableKeys"] = func() error { _, err := in.StableKeys(); return err }
	}
	return calls
}

// closer returns the store as an io.Closer; the test ends when it is none.
func (e *env) closer() io.Closer {
	e.Helper()
	c, ok := e.store.(io.Closer)
	if !ok {
		e.t.Skip("the store is no io.Closer, which is optional")
	}
	return c
}

// fill puts something of everything into the store.
func (e *env) fill() {
	e.Helper()
	e.put(entries(1, 3, 1)...)
	e.set("k", []byte("v"))
	e.setUint64("n", 1)
}

var closeTests = []test{
	{"makes every call return one sentinel", func(e *env) {
		c := e.closer()
		e.fill()
		if err := c.Close(); err != nil {
			e.Fatalf("Close: %v", err)
		}
		for name, call := range e.calls(e.store) {
			e.within(name+" after Close", func() {
				if err := call(); !isAny(err, e.cfg.errClosed) {
					e.t.Errorf("%s after Close returned %v; want %v", name, err, e.cfg.errClosed)
				}
			})
		}
		if e.cfg.volatile {
			return
		}
		e.start()
		e.verify()
	}},
	{"is harmless twice", func(e *env) {
		c := e.closer()
		e.fill()
		for i := range 3 {
			e.within("Close", func() {
				if err := c.Close(); err != nil {
					e.t.Errorf("Close number %d: %v", i+1, err)
				}
			})
		}
	}},
	{"keeps everything that was acknowledged", func(e *env) {
		e.closer()
		for round := range uint64(5) {
			e.put(entries(round*10+1, round*10+10, round+1)...)
			e.setUint64("CurrentTerm", round)
			e.reopen()
		}
		e.verify()
	}},
	{"may follow right after any write", func(e *env) {
		e.closer()
		e.put(entries(1, 10, 1)...)
		e.verify()
		e.deleteRange(8, 10)
		e.verify()
		e.set("k", []byte("v"))
		e.verify()
		e.put(sized(8, 2, 1<<20))
		e.verify()
		e.put(entry(9, 2))
		e.verify()
	}},
}

var openTests = []test{
	{"refuses a second opener at once", func(e *env) {
		if e.cfg.volatile {
			e.t.Skip("the store is in memory, where nobody else can open it")
		}
		e.fill()
		for range 2 {
			e.within("opening a store that is open", func() {
				second, err := e.open(e.t, e.dir)
				if err == nil {
					if c, ok := second.(io.Closer); ok {
						_ = c.Close()
					}
					e.t.Errorf("a second opener was let in")
				} else if !isAny(err, e.cfg.errLocked) {
					e.t.Errorf("a second opener got %v; want %v", err, e.cfg.errLocked)
				}
			})
		}
		e.put(entry(4, 1))
		e.verify()
	}},
	{"of a new folder makes an empty store", func(e *env) {
		e.verify()
		e.verify()
	}},
	{"finds the same again and again", func(e *env) {
		e.fill()
		for i := range 4 {
			e.reopen()
			e.compare(fmt.Sprintf("opened %d times", i+2))
		}
	}},
}
