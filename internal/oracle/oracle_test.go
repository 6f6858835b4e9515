package oracle

import (
	"errors"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast/memstore"
)

// TestWorkload does the same calls to a store and to a model, with each kind of workload.
func TestWorkload(t *testing.T) {
	for _, w := range []Workload{
		{Seed: 1, MaxBytes: 1000},
		{Seed: 2, MaxBytes: 1000, NoGaps: true, NoMiddleDeletes: true, NoOverwrites: true},
		{Seed: 3, MaxBytes: 1000, Plain: true},
	} {
		s, m := memstore.New(), NewModel()
		kinds := make(map[string]int)
		for i := range uint64(500) {
			c := w.Call(i, m)
			if again := w.Call(i, m); again.String() != c.String() {
				t.Fatalf("call %d is %v, and then %v", i, c, again)
			}
			kind := c.String()[:3]
			if last := m.Last(); kind == "Del" && c.Low > m.First() && c.High < last {
				kind = "middle"
			} else if kind == "Sto" && last > 0 && c.Logs[0].Index > last+1 {
				kind = "gap"
			} else if kind == "Sto" && c.Logs[0].Index <= last {
				kind = "overwrite"
			}
			kinds[kind]++
			if err := c.Do(s); err != nil {
				t.Fatalf("%v: %v", c, err)
			}
			c.Apply(m)
		}
		if _, err := Find(s, m); err != nil {
			t.Errorf("seed %d: %v", w.Seed, err)
		}
		// Behind an empty log there is no gap.
		if (kinds["gap"] > 0) == w.NoGaps || (kinds["middle"] > 0) == w.NoMiddleDeletes || (kinds["overwrite"] > 0) == w.NoOverwrites || kinds["Set"] == 0 || kinds["Del"] == 0 {
			t.Errorf("seed %d: %v", w.Seed, kinds)
		}
	}
}

// hidden is a store that tells only what raft asks for.
type hidden struct {
	raft.LogStore
	raft.StableStore
}

// TestFind has stores that differ in one thing.
func TestFind(t *testing.T) {
	full := func() *Model {
		m := NewModel()
		m.Put(Entries(Random(1), 5, 4, 10), 6)
		m.Put([]*raft.Log{EntryOf(20, []byte("behind a gap"))}, 0)
		m.Stable["vote"] = []byte("a")
		return m
	}
	for _, c := range []struct {
		name   string
		change func(*Model)
		kind   Kind
		lost   int
	}{
		{"an entry is missing", func(m *Model) { m.Delete(6, 6) }, Missing, 1},
		{"the log is empty", func(m *Model) { m.Delete(0, 100); m.Commit = 0 }, Missing, 5},
		{"an entry is another one", func(m *Model) { m.Logs[7] = EntryOf(7, []byte("other")) }, Wrong, 0},
		{"a deleted entry is there", func(m *Model) { m.Logs[10] = EntryOf(10, nil) }, Extra, 0},
		{"a value is missing", func(m *Model) { delete(m.Stable, "vote") }, Missing, 0},
		{"a value is another one", func(m *Model) { m.Stable["vote"] = []byte("b") }, Wrong, 0},
		{"the commit index is another one", func(m *Model) { m.Commit = 7 }, Wrong, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, changed := full(), full()
			c.change(changed)
			store := memstore.New()
			for _, index := range changed.Indexes() {
				_ = store.StageCommitIndex(changed.Commit)
				if err := store.StoreLog(changed.Logs[index]); err != nil {
					t.Fatal(err)
				}
			}
			for key, value := range changed.Stable {
				if err := store.Set([]byte(key), value); err != nil {
					t.Fatal(err)
				}
			}
			for _, s := range []Store{store, hidden{store, store}} {
				_, tracks := s.(*memstore.Store)
				_, err := Find(s, m)
				d, ok := errors.AsType[*Difference](err)
				if tracks || c.name != "the commit index is another one" {
					if !ok || d.Kind != c.kind || d.Lost != c.lost {
						t.Errorf("%#v, %v", d, err)
					}
				}
				if i, err := Find(s, m, changed); i != 1 && (tracks || i != 0) {
					t.Errorf("%d, %v", i, err)
				}
			}
		})
	}
}
