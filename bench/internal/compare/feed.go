package compare

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"time"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast/bench/internal/stores"
)

// feed makes batches of entries, each with the indexes that follow those of the one before. An entry is the feed's again
// when three batches more were made.
type feed struct {
	next    uint64
	batches [][]*raft.Log
	turn    int
	fresh   bool // each batch is new, for a store that keeps it
}

// newFeed makes batches for a store, of n entries with Data of size bytes, from an index on.
func newFeed(k stores.Kind, first uint64, n, size int) *feed {
	f := &feed{next: first, fresh: k.Keeps}
	for i := range 4 {
		f.batches = append(f.batches, batch(uint64(i*n), n, size))
	}
	return f
}

// batch makes n entries with Data of size bytes that no store can compress.
func batch(first uint64, n, size int) []*raft.Log {
	logs := make([]*raft.Log, n)
	for i := range logs {
		index := first + uint64(i)
		logs[i] = &raft.Log{Index: index, Term: 3, Type: raft.LogCommand, Data: noise(index, size), AppendedAt: time.Unix(1_700_000_000, 42)}
	}
	return logs
}

// noise returns n random bytes, the same for a seed.
func noise(seed uint64, n int) []byte {
	var key [32]byte
	binary.BigEndian.PutUint64(key[:], seed)
	data := make([]byte, n)
	_, _ = rand.NewChaCha8(key).Read(data) // never fails
	return data
}

// take returns the next batch.
func (f *feed) take() []*raft.Log {
	logs := f.batches[f.turn]
	f.turn = (f.turn + 1) % len(f.batches)
	now := time.Now()
	for _, l := range logs {
		l.Index, l.AppendedAt = f.next, now
		f.next++
	}
	if f.fresh {
		return copied(logs)
	}
	return logs
}

func copied(logs []*raft.Log) []*raft.Log {
	list := make([]*raft.Log, len(logs))
	for i, l := range logs {
		c := *l
		c.Data = bytes.Clone(l.Data)
		list[i] = &c
	}
	return list
}

// fill stores entries up to the index last, in batches of step at most.
func (f *feed) fill(s stores.Store, last uint64) error {
	for f.next <= last {
		logs := f.take()
		if over := f.next - 1; over > last {
			logs = logs[:uint64(len(logs))-(over-last)]
			f.next = last + 1
		}
		if err := s.StoreLogs(logs); err != nil {
			return err
		}
	}
	return nil
}
