package compare

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/raft-ballast/ballast/bench/internal/report"
	"github.com/raft-ballast/ballast/bench/internal/stores"
	"github.com/raft-ballast/ballast/wal"
)

const (
	lagBatch = 8 // entries of a call
	lagSize  = 1 << 10
	lagKept  = 256 // entries that a group keeps which compacts
	lagEach  = 256 // calls of the others for one of the group that never does

	aboutLag = "64 groups append 8 entries of 1 KiB with each call, from a goroutine each; 63 of them keep their last 256 entries, and the one that never compacts makes one call in 257. What the process has written to the device for each byte of Data, and what the log takes of the disk for each byte that is live, over time; the figure is the median of the second half."
)

// lagging measures what it costs that one group keeps entries all over the log. Segments of 0 bytes are the usual ones.
func lagging(span time.Duration, segment int64) step {
	return step{names: []string{groupDevice, groupDisk}, takes: span, measure: func(e *env) ([]report.Workload, error) {
		l := &lag{e: e, span: e.span(span)}
		device, disk := l.run(segment)
		w := report.Workload{Group: "lagging", Unit: "bytes a byte", Better: "lower", Entries: lagBatch, Bytes: lagSize, About: aboutLag}
		one, two := w, w
		one.Name, one.Results = groupDevice, []report.Result{device}
		two.Name, two.Results = groupDisk, []report.Result{disk}
		if device.Store == "" { // the system does not count
			return []report.Workload{two}, nil
		}
		return []report.Workload{one, two}, nil
	}}
}

// lag is one run.
type lag struct {
	e      *env
	list   []*wal.Store
	begun  time.Time
	span   time.Duration // of the run
	calls  atomic.Int64
	behind chan struct{} // has the group that never compacts make a call
	shares []report.Point
}

func (l *lag) run(segment int64) (device, disk report.Result) {
	const name = "64 groups"
	gs, list, err := l.e.openGroups(fewGroups, wal.Options{SegmentBytes: segment})
	if err != nil {
		return failed(name, err), failed(name, err)
	}
	defer gs.Close() // the folder is removed
	l.list, l.behind, l.begun = list, make(chan struct{}, fewGroups), time.Now()
	before, err := writtenBytes()
	if err == nil {
		err = l.work()
	}
	after, e := writtenBytes()
	if err = errors.Join(err, e); err != nil {
		return failed(name, err), failed(name, err)
	}
	var settled []float64
	for _, p := range l.shares[len(l.shares)/2:] {
		settled = append(settled, p.Y)
	}
	disk = single(name, settled)
	disk.Series, disk.SeriesX, disk.SeriesY = l.shares, "seconds", "bytes on the disk for each that is live"
	if before >= 0 {
		device = single(name, []float64{float64(after-before) / float64(l.calls.Load()*lagBatch*lagSize)})
	}
	return device, disk
}

// work has all groups append until the time is over.
func (l *lag) work() error {
	return together(fewGroups+1, func(i int) error {
		switch i {
		case 0:
			return l.lags()
		case fewGroups:
			return l.look()
		}
		return l.compacts(l.list[i])
	})
}

func (l *lag) over() bool { return l.e.ctx.Err() != nil || time.Since(l.begun) > l.span }

// every is how long it takes from one look at the disk to the next.
func (l *lag) every() time.Duration { return l.span / churnPoints }

// compacts appends to a group and keeps the last entries of it.
func (l *lag) compacts(s *wal.Store) error {
	f := newFeed(stores.Kind{}, 1, lagBatch, lagSize)
	for !l.over() {
		if err := s.StoreLogs(f.take()); err != nil {
			return err
		}
		if l.calls.Add(1)%lagEach == 0 {
			select {
			case l.behind <- struct{}{}:
			default:
			}
		}
		if f.next%lagKept == 1 {
			if err := keep(s, lagKept); err != nil {
				return err
			}
		}
	}
	return nil
}

// lags appends to the group that keeps everything.
func (l *lag) lags() error {
	f := newFeed(stores.Kind{}, 1, lagBatch, lagSize)
	for !l.over() {
		select {
		case <-l.behind:
		case <-time.After(l.every()):
			continue
		}
		if err := l.list[0].StoreLogs(f.take()); err != nil {
			return err
		}
		l.calls.Add(1)
	}
	return nil
}

// look notes what the log takes, at least once.
func (l *lag) look() error {
	for len(l.shares) == 0 || !l.over() {
		time.Sleep(l.every())
		st := l.list[0].Stats()
		l.shares = append(l.shares, report.Point{X: time.Since(l.begun).Seconds(), Y: float64(st.DiskBytes) / float64(max(st.LiveBytes, 1))})
	}
	return nil
}
