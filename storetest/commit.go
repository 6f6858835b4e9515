package storetest

import (
	"math"

	"github.com/hashicorp/raft"
)

var commitTests = []test{
	{"is 0 at first", func(e *env) {
		e.tracker()
		e.put(entries(1, 5, 1)...)
		e.verify()
	}},
	{"is written with the next StoreLogs", func(e *env) {
		e.put(entries(1, 5, 1)...)
		e.stage(4)
		e.compare("staged only")
		e.put(entry(6, 1))
		e.verify()
		e.put(entry(7, 1))
		e.verify()
	}},
	{"is never written by itself", func(e *env) {
		e.put(entries(1, 5, 1)...)
		e.stage(3)
		e.set("k", []byte("v"))
		e.setUint64("n", 1)
		e.deleteRange(1, 1)
		e.put()
		e.verify() // reopening drops what was staged
		e.put(entry(6, 1))
		e.verify()
	}},
	{"outlives an empty batch", func(e *env) {
		e.put(entries(1, 5, 1)...)
		e.stage(3)
		e.put()
		e.compare("after an empty batch")
		e.put(entry(6, 1))
		e.verify()
	}},
	{"is used up by one StoreLogs", func(e *env) {
		e.stage(2)
		e.put(entries(1, 5, 1)...)
		e.deleteRange(2, 5)
		e.put(entries(2, 5, 2)...)
		e.verify()
	}},
	{"is never above the last index", func(e *env) {
		e.stage(100)
		e.put(entries(1, 5, 1)...)
		e.compare("staged above the last index")
		e.put(entries(6, 10, 1)...)
		e.verify()
		e.stage(math.MaxUint64)
		e.put(entry(11, 1))
		e.verify()
	}},
	{"may be lowered", func(e *env) {
		e.stage(5)
		e.put(entries(1, 5, 1)...)
		e.stage(2)
		e.put(entry(6, 1))
		e.verify()
		e.stage(0)
		e.put(entry(7, 1))
		e.verify()
	}},
	{"takes what was staged last", func(e *env) {
		e.stage(4)
		e.stage(1)
		e.stage(3)
		e.put(entries(1, 5, 1)...)
		e.verify()
	}},
	{"is lowered with a suffix", func(e *env) {
		e.stage(10)
		e.put(entries(1, 10, 1)...)
		e.deleteRange(7, 10)
		e.verify()
		e.put(entries(7, 12, 2)...)
		e.verify()
	}},
	{"stays when a prefix goes", func(e *env) {
		e.stage(8)
		e.put(entries(1, 10, 1)...)
		e.deleteRange(1, 5)
		e.verify()
	}},
	{"is 0 when everything goes", func(e *env) {
		e.stage(8)
		e.put(entries(1, 10, 1)...)
		e.deleteRange(0, math.MaxUint64)
		e.verify()
		e.put(entries(20, 22, 2)...)
		e.verify()
	}},
	{"is used up by a StoreLogs that fails", func(e *env) {
		e.tracker()
		e.put(entries(1, 5, 1)...)
		if e.cfg.maxEntryBytes == 0 {
			e.t.Skip("the store has no limit, so nothing is known that it refuses")
		}
		e.stage(4)
		big := &raft.Log{Index: 6, Term: 1, Data: make([]byte, e.cfg.maxEntryBytes+1)}
		if err := e.store.StoreLogs([]*raft.Log{big}); err == nil {
			e.Fatalf("an entry above the limit was accepted")
		}
		e.model.staged = nil
		e.put(entry(6, 1))
		e.verify()
	}},
}
