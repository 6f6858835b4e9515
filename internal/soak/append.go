package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast"
)

const (
	maxBatch = 64 // entries
	voteAt   = 256
	cutAt    = 512 // batches

	// Fractions of a run: 3600 samples, of which each 30th collects garbage first, and so on.
	samplesPerRun = 3600
	heapEvery     = 30
	opensPerRun   = 6
	burstsPerRun  = 24
	burstShare    = 1.0 / 30 // of the time from one burst to the next
	learningShare = 1.0 / 60

	// A writer that is late by more does not catch up.
	maxLate = 100 * time.Millisecond
)

var (
	termKey = []byte("CurrentTerm")
	voteKey = []byte("LastVoteCand")
)

// writer is raft's main loop: the only one that appends, truncates, votes, closes and opens.
type writer struct {
	*run
	rng     *rand.Rand
	logs    []*raft.Log // reused
	batches int
	entries [parts]int
	commit  uint64 // that is durable
	term    uint64
	due     time.Time
	sampled int
	opens   int
	slowest time.Duration // opening
}

func newWriter(r *run) *writer {
	w := &writer{run: r, rng: rand.New(rand.NewPCG(r.cfg.seed, 1)), due: r.start}
	for range maxBatch {
		w.logs = append(w.logs, &raft.Log{Data: make([]byte, 0, largeBytes)})
	}
	return w
}

// fraction is how much of the run is over.
func (w *writer) fraction() float64 {
	if w.cfg.batches > 0 {
		return float64(w.batches) / float64(w.cfg.batches)
	}
	return time.Since(w.start).Seconds() / w.cfg.length.Seconds()
}

func (w *writer) write(ctx context.Context) error {
	if err := w.vote(); err != nil {
		return err
	}
	for at := 0.0; at < 1 && ctx.Err() == nil; at = w.fraction() {
		w.part.Store(int32(at * parts))
		if err := w.occasions(at); err != nil {
			return err
		}
		if err := w.append(); err != nil {
			return err
		}
		w.pace(at)
	}
	return nil
}

// occasions does what is due between two batches.
func (w *writer) occasions(at float64) error {
	if n := int(at * samplesPerRun); n > w.sampled {
		s, err := w.sample(n/heapEvery > w.sampled/heapEvery)
		if err != nil {
			return err
		}
		w.sampled = n
		w.samples = append(w.samples, s)
		w.cfg.progress(at, w)
	}
	if n := int(at * opensPerRun); n > w.opens {
		w.opens = n
		return w.reopen()
	}
	if w.batches%voteAt == voteAt-1 {
		if err := w.vote(); err != nil {
			return err
		}
	}
	if w.batches%cutAt == cutAt-1 {
		return w.truncate()
	}
	return nil
}

func (w *writer) append() error {
	v := w.model.view()
	logs := w.logs[:1+w.rng.IntN(maxBatch)]
	bytes := int64(0)
	for i, l := range logs {
		index := v.last + 1 + uint64(i)
		w.src.fill(l, index, v.term(index))
		bytes += int64(len(l.Data) + len(l.Extensions))
	}
	// Below what may be truncated, as a committed entry is.
	commit := max(v.last, maxBatch) - maxBatch
	if err := v.store.StageCommitIndex(commit); err != nil {
		return fmt.Errorf("StageCommitIndex(%d): %w", commit, err)
	}
	start := time.Now()
	if err := v.store.StoreLogs(logs); err != nil {
		return fmt.Errorf("StoreLogs of %d entries from %d on: %w", len(logs), logs[0].Index, err)
	}
	w.appends[w.part.Load()].add(time.Since(start))
	w.entries[w.part.Load()] += len(logs)
	w.commit = commit
	w.batches++
	w.model.update(func(v *view) { v.last, v.live = v.last+uint64(len(logs)), v.live+bytes })
	if v.last > v.first+2*w.cfg.keep {
		select {
		case w.compaction <- struct{}{}:
		default: // it is at it
		}
	}
	return nil
}

// pace waits until the next batch is due. It finds the rate first, when none was given.
func (w *writer) pace(at float64) {
	if w.cfg.batches > 0 {
		return
	}
	now := time.Now()
	if w.rate == 0 {
		if at < learningShare {
			return
		}
		w.rate = float64(w.batches) / now.Sub(w.start).Seconds() / 2
		w.due = now
	}
	if phase := at*burstsPerRun + 0.5; phase-float64(int(phase)) < burstShare {
		w.due = now
		return
	}
	w.due = w.due.Add(time.Duration(float64(time.Second) / w.rate))
	switch wait := w.due.Sub(now); {
	case wait > 0:
		time.Sleep(wait)
	case wait < -maxLate:
		w.due = now
	}
}

func (w *writer) vote() error {
	store := w.model.view().store
	w.term++
	if err := store.SetUint64(termKey, w.term); err != nil {
		return fmt.Errorf("storing the term: %w", err)
	}
	if err := store.Set(voteKey, []byte(candidate(w.term))); err != nil {
		return fmt.Errorf("storing the vote: %w", err)
	}
	return w.checkState(store)
}

func candidate(term uint64) string { return fmt.Sprintf("peer-%d", term) }

// checkState compares all but the entries with what it should be.
func (w *writer) checkState(store ballast.Store) error {
	before := w.model.view()
	first, err1 := store.FirstIndex()
	after := w.model.view() // a compaction may be in progress
	last, err2 := store.LastIndex()
	commit, err3 := store.GetCommitIndex()
	term, err4 := store.GetUint64(termKey)
	vote, err5 := store.Get(voteKey)
	switch err := errors.Join(err1, err2, err3, err4, err5); {
	case err != nil:
		return err
	case before.last > 0 && (first <= before.gone || first > after.first):
		return fmt.Errorf("the first index is %d, should be %d to %d", first, before.gone+1, after.first)
	case last != before.last:
		return fmt.Errorf("the last index is %d, should be %d", last, before.last)
	case commit != w.commit:
		return fmt.Errorf("the commit index is %d, should be %d", commit, w.commit)
	case term != w.term || string(vote) != candidate(term):
		return fmt.Errorf("the term is %d and the vote %q, should be %d and %q", term, vote, w.term, candidate(w.term))
	}
	return nil
}

// truncate deletes a suffix, as after a conflict with another leader. What is appended then has another term.
func (w *writer) truncate() error {
	v := w.model.view()
	from := v.last + 1 - w.rng.Uint64N(maxBatch)
	w.model.change()
	defer w.model.change()
	if err := v.store.DeleteRange(from, v.last); err != nil {
		return fmt.Errorf("DeleteRange(%d, %d) of a suffix: %w", from, v.last, err)
	}
	w.model.truncate(from)
	return w.checkState(v.store)
}

func (w *writer) reopen() error {
	w.model.change()
	defer w.model.change()
	if err := w.model.view().store.Close(); err != nil {
		return fmt.Errorf("closing the store: %w", err)
	}
	start := time.Now()
	store, err := w.cfg.engine.open(w.dir)
	if err != nil {
		return fmt.Errorf("opening the store again: %w", err)
	}
	w.slowest = max(w.slowest, time.Since(start))
	w.model.update(func(v *view) { v.store = store })
	return w.checkState(store)
}
