package oracle

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast"
)

// Random returns where a test takes its choices from.
func Random(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0)) }

// EntryOf returns an entry whose fields are made from its index and from data.
func EntryOf(index uint64, data []byte) *raft.Log {
	return &raft.Log{Index: index, Term: 1 + index/100, Type: raft.LogType(index % 4), Data: data,
		AppendedAt: time.Unix(1_700_000_000+int64(index), int64(index)).UTC()}
}

// Entries returns n entries from first on, each with Data of size bytes. A third of them have Extensions.
func Entries(rng *rand.Rand, first uint64, n, size int) []*raft.Log {
	logs := make([]*raft.Log, n)
	for i := range logs {
		logs[i] = EntryOf(first+uint64(i), Bytes(rng, size))
		if rng.IntN(3) == 0 {
			logs[i].Extensions = Bytes(rng, rng.IntN(20))
		}
	}
	return logs
}

// Bytes returns n bytes: noise, text that compresses, or zeros.
func Bytes(rng *rand.Rand, n int) []byte {
	b := make([]byte, n)
	switch rng.IntN(8) {
	case 0: // zeros
	case 1, 2, 3:
		for i := range b {
			b[i] = "ballast "[i%8]
		}
		for range n / 16 {
			b[rng.IntN(n)] = byte(rng.Uint32())
		}
	default:
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
	}
	return b
}

// Workload is an endless sequence of calls that change a store, as raft makes them and worse.
type Workload struct {
	Seed     uint64
	MaxBytes int // of the Data of an entry; at least 100

	// For stores that are not ours.
	NoGaps          bool // between entries
	NoMiddleDeletes bool
	NoOverwrites    bool // of entries that are there
	Plain           bool // Data is never empty, there are no Extensions and no AppendedAt
}

// Call is a call that changes a store: StoreLogs when there are Logs, Set when there is a Key, otherwise DeleteRange.
type Call struct {
	Logs      []*raft.Log
	Commit    uint64 // is staged before, when it is not 0 and the store can
	Low, High uint64
	Key       string
	Value     []byte
}

// Call returns the i-th call to a store that is like m. It depends on nothing else.
func (w Workload) Call(i uint64, m *Model) Call {
	rng := rand.New(rand.NewPCG(w.Seed, i+1))
	first, last := m.First(), m.Last()
	count := max(last-first, 1)
	within := func() uint64 { return first + rng.Uint64N(count) }
	switch kind := rng.IntN(20); {
	case kind < 3:
		return w.put(rng, last+1, 1+rng.IntN(30), rng.IntN(200))
	case kind < 5: // raft keeps its term and vote
		return Call{Key: fmt.Sprintf("key %d", rng.IntN(5)), Value: Bytes(rng, 1+rng.IntN(200))}
	case last == 0 && !w.NoGaps: // behind a snapshot that was installed
		return w.put(rng, 1+rng.Uint64N(3)*1000, 1, 100)
	case last == 0:
		return w.put(rng, 1+rng.Uint64N(3), 1, 100)
	case kind == 5 && !w.NoOverwrites: // an overwrite, with what follows it left as it is
		return w.put(rng, within()+1, 1+rng.IntN(4), rng.IntN(w.MaxBytes/10))
	case kind == 6: // a conflict with the leader
		return Call{Low: within() + 1, High: last}
	case kind < 10: // a compaction
		return Call{Low: first, High: within()}
	case kind == 10 && !w.NoMiddleDeletes:
		low := within()
		return Call{Low: low, High: low + rng.Uint64N(5)}
	case kind == 11: // a snapshot was installed
		return Call{Low: first, High: last}
	case kind == 12 && !w.NoGaps:
		return w.put(rng, last+2+rng.Uint64N(100), 1+rng.IntN(3), rng.IntN(w.MaxBytes/10))
	}
	return w.put(rng, last+1, 1+rng.IntN(8), rng.IntN(w.MaxBytes))
}

func (w Workload) put(rng *rand.Rand, first uint64, n, size int) Call {
	c := Call{Logs: Entries(rng, first, n, size)}
	for _, l := range c.Logs {
		if w.Plain {
			l.Data, l.Extensions, l.AppendedAt = append(l.Data, 1), nil, time.Time{}
		}
	}
	if rng.IntN(3) == 0 {
		c.Commit = first + uint64(rng.IntN(n+2)) // also above the last index
	}
	return c
}

// Apply makes the call on a model.
func (c Call) Apply(m *Model) {
	switch {
	case len(c.Logs) > 0:
		m.Put(c.Logs, c.Commit)
	case c.Key != "":
		m.Stable[c.Key] = c.Value
	default:
		m.Delete(c.Low, c.High)
	}
}

// Do makes the call on a store.
func (c Call) Do(s Store) error {
	switch tracker, ok := s.(ballast.CommitTracker); {
	case len(c.Logs) > 0:
		if ok && c.Commit > 0 {
			if err := tracker.StageCommitIndex(c.Commit); err != nil {
				return err
			}
		}
		return s.StoreLogs(c.Logs)
	case c.Key != "":
		return s.Set([]byte(c.Key), c.Value)
	}
	return s.DeleteRange(c.Low, c.High)
}

// String tells the call in a line.
func (c Call) String() string {
	switch n := len(c.Logs); {
	case n > 0:
		return fmt.Sprintf("StoreLogs of %d entries from %d on, commit index %d", n, c.Logs[0].Index, c.Commit)
	case c.Key != "":
		return fmt.Sprintf("Set of %q", c.Key)
	}
	return fmt.Sprintf("DeleteRange(%d, %d)", c.Low, c.High)
}
