package storetest

import (
	"math"
	"testing"

	"github.com/hashicorp/raft"
	"pgregory.net/rapid"

	"github.com/raft-ballast/ballast"
)

var randomTests = []test{
	{"operations agree with the model", func(e *env) {
		_ = e.closeStore()
		rapid.Check(e.t, func(rt *rapid.T) { randomRun(e.t, rt, e.open, e.cfg) })
		e.start() // for the cleanup that newEnv has set up
	}},
}

// randomRun drives a new store and its model through one random sequence of calls.
func randomRun(t *testing.T, rt *rapid.T, open OpenFunc, cfg *config) {
	e := &env{reporter: rt, t: t, cfg: cfg, dir: t.TempDir(), open: open, model: newModel()}
	e.start()
	defer func() { _ = e.closeStore() }()

	actions := map[string]func(*rapid.T){
		"append":      func(rt *rapid.T) { e.randomAppend(rt) },
		"overwrite":   func(rt *rapid.T) { e.randomBatch(rt) },
		"deleteRange": func(rt *rapid.T) { e.randomDelete(rt) },
		"set": func(rt *rapid.T) {
			e.set(randomKey(rt), rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(rt, "value"))
		},
		"setUint64": func(rt *rapid.T) {
			e.setUint64(randomKey(rt), rapid.Uint64().Draw(rt, "number"))
		},
		"reopen": func(*rapid.T) { e.reopen() },
		"":       func(*rapid.T) { e.compare("after a random call") },
	}
	if _, ok := e.store.(ballast.CommitTracker); ok {
		actions["stage"] = func(rt *rapid.T) { e.stage(randomIndex(rt, "commit")) }
	}
	rt.Repeat(actions)
	e.verify()
}

func (e *env) randomAppend(rt *rapid.T) {
	_, last := e.bounds()
	n := rapid.IntRange(0, 6).Draw(rt, "entries")
	if n == 0 || last > math.MaxUint64-10 {
		return
	}
	e.put(e.randomEntries(rt, last+1, n)...)
}

// randomBatch stores anywhere: over what is there, across a gap, in no order.
func (e *env) randomBatch(rt *rapid.T) {
	if e.cfg.refusesGaps {
		return
	}
	var logs []*raft.Log
	for range rapid.IntRange(1, 4).Draw(rt, "entries") {
		logs = append(logs, e.randomEntries(rt, max(1, randomIndex(rt, "index")), 1)...)
	}
	e.put(logs...)
}

func (e *env) randomEntries(rt *rapid.T, first uint64, n int) []*raft.Log {
	term := rapid.Uint64Range(0, 5).Draw(rt, "term")
	size := rapid.SampledFrom([]int{0, 1, 10, 100, 600, 5000, 20_000}).Draw(rt, "size")
	var logs []*raft.Log
	for i := range uint64(n) {
		logs = append(logs, sized(first+i, term, size))
	}
	return logs
}

func (e *env) randomDelete(rt *rapid.T) {
	first, last := e.bounds()
	lo, hi := randomIndex(rt, "min"), randomIndex(rt, "max")
	switch rapid.SampledFrom([]string{"prefix", "suffix", "any"}).Draw(rt, "range") {
	case "prefix":
		lo = first
	case "suffix":
		hi = last
	}
	e.deleteRange(lo, hi)
}

// randomIndex is mostly small, so that ranges and batches meet, and sometimes at the far end.
func randomIndex(rt *rapid.T, label string) uint64 {
	return rapid.OneOf(
		rapid.Uint64Range(0, 30), rapid.Uint64Range(0, 30), rapid.Uint64Range(0, 30),
		rapid.Uint64Range(0, 100),
		rapid.SampledFrom([]uint64{1 << 33, math.MaxUint64 - 1, math.MaxUint64}),
	).Draw(rt, label)
}

func randomKey(rt *rapid.T) string {
	return rapid.SampledFrom([]string{"CurrentTerm", "LastVoteTerm", "LastVoteCand", "a", "b"}).Draw(rt, "key")
}
