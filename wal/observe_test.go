package wal

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/oracle"
	"github.com/raft-ballast/ballast/internal/vfs"
	"github.com/raft-ballast/ballast/metrics"
)

// countingSink adds up what it is told.
type countingSink struct {
	metrics.Sources
	n, sum [metrics.Distributions]atomic.Int64 // the sum in billionths
}

func (s *countingSink) Observe(d metrics.Distribution, v float64) {
	s.n[d].Add(1)
	s.sum[d].Add(int64(v * 1e9))
}

func TestMetrics(t *testing.T) {
	var sink countingSink
	fsys := vfs.NewFaults(vfs.NewMem())
	l := newTestLogWith(t, fsys, 1, func(o *Options) { o.Metrics = &sink })
	l.fill(3, 100)
	l.fill(1, 50)
	l.set("key", "value")
	for index := uint64(1); index <= 4; index++ {
		must(t, l.GetLog(index, new(raft.Log)))
	}
	if err := l.GetLog(5, new(raft.Log)); err != raft.ErrLogNotFound {
		t.Fatal(err)
	}
	entries, data := sink.sum[metrics.BatchEntries].Load()/1e9, sink.sum[metrics.BatchBytes].Load()/1e9
	if n := sink.n[metrics.AppendSeconds].Load(); n != 2 || entries != 4 || data < 250 {
		t.Errorf("%d appends of %d entries and %d bytes", n, entries, data)
	}
	st := l.Stats()
	if n := sink.n[metrics.SyncSeconds].Load(); uint64(n) != st.Frames-1 { // the first frame is Open's
		t.Errorf("%d syncs, %d frames", n, st.Frames)
	}
	got := sink.Stats()
	if got.Entries != 4 || got.Reads != 4 || got.CacheHits != 4 || got.Segments != 1 || got.DiskBytes != st.DiskBytes || got.LiveBytes == 0 {
		t.Errorf("%+v", got)
	}

	fsys.SetRule(func(op vfs.Op, _ string, _ int) error {
		if op == vfs.OpWrite {
			return syscall.EIO
		}
		return nil
	})
	if l.StoreLogs(oracle.Entries(l.rng, 5, 1, 10)) == nil {
		t.Fatal("an append beside EIO")
	}
	if got := sink.Stats(); got.AppendFailures != 1 || got.Failed != 1 {
		t.Errorf("after a failed write: %+v", got)
	}
	fsys.SetRule(nil)
	must(t, l.Close())
	if got := sink.Stats(); got != (metrics.Stats{AppendFailures: 1, Reads: 4, CacheHits: 4}) {
		t.Errorf("after Close: %+v", got)
	}
}

// What is read from the disk is no hit, and damage is counted.
func TestMetricsOfReads(t *testing.T) {
	var sink countingSink
	mem := vfs.NewMem()
	l := newTestLogWith(t, mem, 2, func(o *Options) { o.Metrics = &sink })
	l.fill(2, 100)
	seg, off := l.j.tail, l.g.runs[0].offset(1)
	l.rotate()
	l.close()
	f, err := mem.Open(seg.path)
	must(t, err)
	block := vfs.AlignedBytes(blockBytes)
	at := roundDown(off, blockBytes)
	_, err = f.ReadAt(block, at)
	must(t, err)
	block[off-at+recordHeaderBytes] ^= 1
	must(t, f.WriteBlocks([][]byte{block}, at))
	must(t, f.Close())
	before := sink.Stats()
	l.open()
	must(t, l.GetLog(1, new(raft.Log)))
	corruption(t, l.GetLog(2, new(raft.Log)))
	got := sink.Stats()
	if got.Reads != before.Reads+1 || got.CacheHits != before.CacheHits || got.Corruptions != 1 || l.Stats().Corruptions != 1 {
		t.Errorf("%+v, before %+v", got, before)
	}
}

// held is a file system on which a write can be made to wait.
type held struct {
	*vfs.Faults
	long atomic.Int64 // nanoseconds that each durable write takes more
}

func newHeld() *held {
	h := &held{Faults: vfs.NewFaults(vfs.NewMem())}
	h.SetRule(func(op vfs.Op, _ string, _ int) error {
		if op == vfs.OpWrite {
			time.Sleep(time.Duration(h.long.Load()))
		}
		return nil
	})
	return h
}

// A write that takes long is reported while it goes on and when it has ended; it counts, and was made once. The clock is the test's own.
func TestStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHeld()
		var sink countingSink
		var log bytes.Buffer
		told := make(chan ballast.Stall, 10)
		l := newTestLogWith(t, h, 3, func(o *Options) {
			o.Metrics, o.Logger = &sink, slog.New(slog.NewTextHandler(&log, nil))
			o.StallAfter, o.OnStall = 2*time.Second, func(s ballast.Stall) { told <- s }
		})
		l.fill(1, 100)
		time.Sleep(time.Minute)
		writes := l.Stats().Frames

		h.long.Store(int64(10 * time.Second))
		began := time.Now()
		stored := make(chan error, 1)
		go func() { stored <- l.StoreLogs(oracle.Entries(l.rng, 2, 1, 100)) }()
		s := <-told
		if s.Ended || s.For != 2*time.Second || !s.Began.Equal(began) || s.Path != dataDir {
			t.Errorf("in the beginning: %+v", s)
		}
		time.Sleep(3 * time.Second)
		if st := l.Stats(); st.Stalls != 1 || st.Stalled != 5*time.Second || st.LastIndex != 1 {
			t.Errorf("meanwhile: %+v", st)
		}
		if st := sink.Stats(); st.Stalls != 1 || st.StalledSeconds != 5 {
			t.Errorf("meanwhile: %+v", st)
		}
		must(t, l.GetLog(1, new(raft.Log))) // a reader does not wait
		s = <-told
		if !s.Ended || s.Err != nil || s.For != 10*time.Second {
			t.Errorf("in the end: %+v", s)
		}
		h.long.Store(0)
		must(t, <-stored)
		if st := l.Stats(); st.Stalls != 1 || st.Stalled != 0 || st.LastIndex != 2 || st.Frames != writes+1 {
			t.Errorf("afterwards: %+v", st)
		}
		synctest.Wait()
		for _, want := range []string{"a write to the disk stalls", "the write that stalled is durable"} {
			if strings.Count(log.String(), want) != 1 {
				t.Errorf("the log should have %q once:\n%s", want, &log)
			}
		}
		l.close()
		h.SetRule(nil)
		l.open()
		must(t, l.GetLog(2, new(raft.Log)))
		if len(told) > 0 {
			t.Errorf("more was told: %+v", <-told)
		}
	})
}

// Whoever is told of a stall may close the store. The write counts.
func TestCloseInAStall(t *testing.T) {
	fsys := vfs.NewFaults(vfs.NewMem())
	closing, closed := make(chan struct{}), make(chan error, 1)
	told := make(chan ballast.Stall, 10)
	var l *testLog
	l = newTestLogWith(t, fsys, 4, func(o *Options) {
		o.StallAfter = time.Millisecond
		o.OnStall = func(s ballast.Stall) {
			if told <- s; !s.Ended {
				close(closing)
				closed <- l.Close()
			}
		}
	})
	l.fill(1, 100)
	fsys.SetRule(func(op vfs.Op, _ string, _ int) error {
		if op == vfs.OpWrite {
			<-closing
		}
		return nil
	})
	logs := oracle.Entries(l.rng, 2, 1, 100)
	must(t, l.StoreLogs(logs))
	must(t, <-closed)
	for _, want := range []bool{false, true} {
		if s := <-told; s.Ended != want || s.Err != nil {
			t.Errorf("%+v", s)
		}
	}
	l.model.Put(logs, 0)
	checkReopened(t, l.model, fsys)
}

// Closing writes too, and that may stall and fail.
func TestStallOfClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHeld()
		told := make(chan ballast.Stall, 10)
		var sink countingSink
		l := newTestLogWith(t, h, 5, func(o *Options) {
			o.Metrics = &sink
			o.OnStall = func(s ballast.Stall) {
				if st := sink.Stats(); !s.Ended && (st.StalledSeconds == 0 || st.Entries != 1) {
					t.Errorf("the sink is told %+v", st)
				}
				told <- s
			}
		})
		l.fill(1, 100)
		h.SetRule(func(op vfs.Op, _ string, _ int) error {
			if op == vfs.OpWrite {
				time.Sleep(time.Minute)
				return syscall.EIO
			}
			return nil
		})
		if err := l.Close(); !errors.Is(err, syscall.EIO) {
			t.Errorf("Close: %v", err)
		}
		for _, want := range []bool{false, true} {
			if s := <-told; s.Ended != want || want != errors.Is(s.Err, syscall.EIO) {
				t.Errorf("%+v", s)
			}
		}
		h.SetRule(nil)
	})
}
