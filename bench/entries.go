package main

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/hashicorp/raft"
)

// feed makes batches of entries, each with the indexes that follow those of the one before. An entry is the feed's again
// when three batches more were made.
type feed struct {
	next    uint64
	batches [][]*raft.Log
	turn    int
}

// newFeed makes batches of n entries with Data of size bytes.
func newFeed(first uint64, n, size int) *feed {
	f := &feed{next: first}
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
		logs[i] = &raft.Log{
			Index: index, Term: 3, Type: raft.LogCommand, Data: noise(index, size),
			AppendedAt: time.Unix(1_700_000_000, 42),
		}
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
	return logs
}

// fill stores count entries of size bytes, from index 1 on, in batches of step.
func fill(s store, count, step, size int) error {
	f := newFeed(1, step, size)
	for left := count; left > 0; left -= step {
		if err := s.StoreLogs(f.take()[:min(left, step)]); err != nil {
			return err
		}
	}
	return nil
}

// fillClosed fills a store in a folder and closes it cleanly.
func fillClosed(k kind, dir string, count, size int) error {
	s, err := k.open(dir, options{noSync: true})
	if err != nil {
		return err
	}
	return errors.Join(fill(s, count, 1000, size), s.Close())
}

// openFilled fills a store, closes it and opens it again.
func openFilled(k kind, dir string, count, size int) (store, error) {
	if err := fillClosed(k, dir, count, size); err != nil {
		return nil, err
	}
	return k.open(dir, options{})
}
