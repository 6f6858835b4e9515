package compare

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast/bench/internal/report"
	"github.com/raft-ballast/ballast/bench/internal/stores"
)

const (
	grownSize   = 64 // bytes of Data of an entry
	openRounds  = 5
	quickRounds = 40 // of those that open in less than quickMillis: so short a time needs more samples
	quickMillis = 5
	growAppends = 40
	maxReplay   = 1_000_000 // entries; more take longer in the same way
	someEntries = 64 << 10  // are handled in well below a second: then whether somebody has interrupted is looked at
)

const (
	aboutOpen   = "Opening a log of so many entries with 64 B of Data that was closed cleanly; with the reading of its last entry, as a peer starts, and without."
	aboutReplay = "Reading all entries of such a log into a state machine, one GetLog after the other, as NewRaft does."
	aboutGrown  = "StoreLogs of one such entry to a log of so many: what an append costs by what came before."
	aboutDelete = "DeleteRange of so many entries of the largest of these logs: at its beginning, as after a snapshot, and at its end, as after a conflict."
)

// grownLog is a log that grows from one size to the next.
type grownLog struct {
	stores.Kind
	dir    string
	s      stores.Store // nil while it is closed
	feed   *feed
	failed error
}

// sizes measures what depends on the size of a log, on the same logs as they grow.
func sizes(counts, deletions []int, takes time.Duration) step {
	st := step{takes: takes}
	for _, n := range counts {
		st.names = append(st.names, "open "+thousands(n), "open "+thousands(n)+", first read", "replay "+thousands(n), "grown "+thousands(n))
	}
	for _, n := range deletions {
		st.names = append(st.names, "delete prefix of "+thousands(n), "delete suffix of "+thousands(n))
	}
	st.measure = func(e *env) (list []report.Workload, err error) {
		logs := e.grownLogs()
		defer func() {
			for _, l := range logs {
				_ = l.close() // the folder is removed
			}
		}()
		for _, n := range counts {
			more, err := e.atSize(logs, e.count(n, n/1000), n)
			if err != nil {
				return nil, err
			}
			list = append(list, more...)
		}
		for _, n := range deletions {
			more, err := e.deletions(logs, max(e.count(n, 1), 1), n)
			if err != nil {
				return nil, err
			}
			list = append(list, more...)
		}
		return list, nil
	}
	return st
}

func (e *env) grownLogs() (logs []*grownLog) {
	for _, k := range e.kinds(durable) {
		l := &grownLog{Kind: k, feed: newFeed(k, 1, 4096, grownSize)}
		l.dir, l.failed = e.folder(k.Name)
		logs = append(logs, l)
	}
	return logs
}

// each calls fn for each log that has not failed, in an order drawn anew, until ctx is done.
func (e *env) each(logs []*grownLog, fn func(l *grownLog) error) error {
	for _, i := range e.rng.Perm(len(logs)) {
		if l := logs[i]; l.failed == nil {
			l.failed = fn(l)
		}
		if err := e.ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}

// atSize has the logs grow to count entries, which the report calls n, and measures.
func (e *env) atSize(logs []*grownLog, count, n int) ([]report.Workload, error) {
	if err := e.each(logs, func(l *grownLog) error {
		e.doing("filling " + l.Name + " up to " + thousands(n))
		return l.grow(e.ctx, uint64(count))
	}); err != nil {
		return nil, err
	}
	e.doing("opening logs of " + thousands(n))
	opened, read, replayed, appended := figures{}, figures{}, figures{}, figures{}
	for round := range e.count(quickRounds, openRounds) {
		if err := e.each(logs, func(l *grownLog) error {
			if round >= openRounds && slices.Min(opened[l.Name]) > quickMillis {
				return nil
			}
			return l.openOnce(opened, read)
		}); err != nil {
			return nil, err
		}
	}
	if n <= maxReplay {
		if err := e.each(logs, func(l *grownLog) error {
			e.doing("replaying " + thousands(n) + " of " + l.Name)
			return l.replay(e.ctx, replayed)
		}); err != nil {
			return nil, err
		}
	}
	for range e.count(growAppends, 3) {
		if err := e.each(logs, func(l *grownLog) error { return l.appendOne(appended) }); err != nil {
			return nil, err
		}
	}
	list := []report.Workload{
		{Group: "open", Name: "open " + thousands(n), Unit: "ms", About: aboutOpen, Results: opened.results(logs)},
		{Group: "open", Name: "open " + thousands(n) + ", first read", Unit: "ms", About: aboutOpen, Results: read.results(logs)},
		{Group: "grown", Name: "grown " + thousands(n), Unit: "µs", About: aboutGrown, Results: appended.results(logs)},
	}
	if n <= maxReplay {
		list = append(list, report.Workload{Group: "replay", Name: "replay " + thousands(n), Unit: "ms", About: aboutReplay, Results: replayed.results(logs)})
	}
	for i := range list {
		list[i].Better, list[i].X, list[i].XUnit = "lower", float64(n), "entries"
	}
	return list, nil
}

// figures are what was measured of each store.
type figures map[string][]float64

func (f figures) add(store string, v float64) { f[store] = append(f[store], v) }

func (f figures) results(logs []*grownLog) (list []report.Result) {
	for _, l := range logs {
		switch {
		case l.failed != nil:
			list = append(list, failed(l.Name, l.failed))
		case len(f[l.Name]) > 0:
			list = append(list, single(l.Name, f[l.Name]))
		}
	}
	return list
}

func millis(d time.Duration) float64 { return micros(d) / 1000 }

// grow fills up to the index last, without syncs where the store can, and closes.
func (l *grownLog) grow(ctx context.Context, last uint64) error {
	if err := l.close(); err != nil {
		return err
	}
	s, err := l.Open(l.dir, stores.Options{NoSync: true})
	if err != nil {
		return err
	}
	for l.feed.next <= last && err == nil {
		if err = ctx.Err(); err == nil {
			err = l.feed.fill(s, min(l.feed.next+someEntries-1, last))
		}
	}
	return errors.Join(err, s.Close())
}

func (l *grownLog) close() error {
	if l.s == nil {
		return nil
	}
	err := l.s.Close()
	l.s = nil
	return err
}

// openOnce leaves the log open.
func (l *grownLog) openOnce(opened, read figures) error {
	if err := l.close(); err != nil {
		return err
	}
	start := time.Now()
	s, err := l.Open(l.dir, stores.Options{})
	if err != nil {
		return err
	}
	l.s = s
	opened.add(l.Name, millis(time.Since(start)))
	last, err := s.LastIndex()
	if err != nil {
		return err
	}
	var entry raft.Log
	if err := s.GetLog(last, &entry); err != nil {
		return err
	}
	read.add(l.Name, millis(time.Since(start)))
	if last != l.feed.next-1 {
		return fmt.Errorf("the last entry is %d, should be %d", last, l.feed.next-1)
	}
	return nil
}

func (l *grownLog) replay(ctx context.Context, f figures) error {
	start, bytes := time.Now(), 0
	for index := uint64(1); index < l.feed.next; index++ {
		var entry raft.Log // a new one each time, as NewRaft has it
		if err := l.s.GetLog(index, &entry); err != nil {
			return fmt.Errorf("entry %d: %w", index, err)
		}
		bytes += len(entry.Data)
		if index%someEntries == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
	}
	f.add(l.Name, millis(time.Since(start)))
	if want := int(l.feed.next-1) * grownSize; bytes != want {
		return fmt.Errorf("%d bytes were read, should be %d", bytes, want)
	}
	return nil
}

func (l *grownLog) appendOne(f figures) error {
	logs := l.feed.take()[:1]
	l.feed.next = logs[0].Index + 1
	start := time.Now()
	if err := l.s.StoreLogs(logs); err != nil {
		return err
	}
	f.add(l.Name, micros(time.Since(start)))
	return nil
}

// deletions measures DeleteRange of count entries, which the report calls n, at both ends of the logs.
func (e *env) deletions(logs []*grownLog, count, n int) ([]report.Workload, error) {
	e.doing("deleting " + thousands(n))
	prefix, suffix := figures{}, figures{}
	for range max(min(10_000/n, 10), 1) {
		err := e.each(logs, func(l *grownLog) error {
			first, err := l.s.FirstIndex()
			if err != nil {
				return err
			}
			return l.remove(prefix, first, first+uint64(count)-1)
		})
		if err != nil {
			return nil, err
		}
		err = e.each(logs, func(l *grownLog) error {
			last := l.feed.next - 1
			l.feed.next -= uint64(count)
			return l.remove(suffix, last-uint64(count)+1, last)
		})
		if err != nil {
			return nil, err
		}
	}
	list := []report.Workload{
		{Name: "delete prefix of " + thousands(n), Results: prefix.results(logs)},
		{Name: "delete suffix of " + thousands(n), Results: suffix.results(logs)},
	}
	for i := range list {
		w := &list[i]
		w.Group, w.Unit, w.Better, w.About, w.X, w.XUnit = "delete", "ms", "lower", aboutDelete, float64(n), "entries"
	}
	return list, nil
}

func (l *grownLog) remove(f figures, from, to uint64) error {
	start := time.Now()
	if err := l.s.DeleteRange(from, to); err != nil {
		return err
	}
	f.add(l.Name, millis(time.Since(start)))
	return nil
}

// thousands prints a number with a comma after each three digits.
func thousands(n int) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%s,%03d", thousands(n/1000), n%1000)
}
