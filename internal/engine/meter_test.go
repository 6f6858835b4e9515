package engine

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/metrics"
)

// tally is a sink that keeps all values.
type tally struct {
	metrics.Sources
	values [metrics.Distributions][]float64
}

func (s *tally) Observe(d metrics.Distribution, v float64) { s.values[d] = append(s.values[d], v) }

func TestMeter(t *testing.T) {
	var sink tally
	var m Meter
	m.Attach(&sink, func() (s metrics.Stats) {
		m.Fill(&s)
		return s
	})
	logs := []*raft.Log{{Index: 1, Data: []byte("abc")}, {Index: 2, Data: []byte("d"), Extensions: []byte("ef")}}
	m.Appended(m.Start(), logs, nil)
	m.Appended(m.Start(), nil, nil)
	for _, refusal := range []error{ballast.ErrClosed, ballast.ErrReadOnly, ballast.ErrZeroIndex, &ballast.EntryTooLargeError{}} {
		m.Appended(m.Start(), logs, fmt.Errorf("refused: %w", refusal))
	}
	m.Appended(m.Start(), logs, ballast.ErrNoSpace)
	m.Appended(m.Start(), logs, errors.New("EIO"))
	m.Synced(m.Start())
	m.Hit()
	m.Missed(nil)
	m.Missed(raft.ErrLogNotFound)
	m.Missed(&ballast.CorruptionError{})
	want := metrics.Stats{AppendFailures: 2, Corruptions: 1, Reads: 2, CacheHits: 1}
	if got := sink.Stats(); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if got := sink.values[metrics.BatchEntries]; len(got) != 1 || got[0] != 2 {
		t.Errorf("entries: %v", got)
	}
	if got := sink.values[metrics.BatchBytes]; len(got) != 1 || got[0] != 6 {
		t.Errorf("bytes: %v", got)
	}
	if a, s := sink.values[metrics.AppendSeconds], sink.values[metrics.SyncSeconds]; len(a) != 1 || len(s) != 1 || a[0] < 0 || s[0] < 0 {
		t.Errorf("times: %v, %v", a, s)
	}
	m.Detach()
	if got := sink.Stats(); got != want {
		t.Errorf("after the store was closed: %+v, want %+v", got, want)
	}
}

// During a stall the file system is left alone.
func TestDiskInAStall(t *testing.T) {
	var m Meter
	asked := 0
	ask := func() (int, int64) {
		asked++
		return asked, int64(100 * asked)
	}
	for i, c := range []struct {
		stalled time.Duration
		files   int
	}{{time.Second, 0}, {0, 1}, {time.Second, 1}, {time.Minute, 1}, {0, 2}} {
		if files, bytes := m.Disk(c.stalled, ask); files != c.files || bytes != int64(100*c.files) {
			t.Errorf("%d: %d files with %d bytes", i, files, bytes)
		}
	}
}

// Without a sink only what is rare is counted.
func TestMeterWithoutSink(t *testing.T) {
	var m Meter
	m.Attach(nil, nil)
	if at := m.Start(); !at.IsZero() {
		t.Error("it looks at the clock")
	}
	m.Appended(m.Start(), nil, ballast.ErrNoSpace)
	m.Synced(m.Start())
	m.Hit()
	m.Missed(nil)
	m.Missed(&ballast.CorruptionError{})
	m.Detach()
	var s metrics.Stats
	m.Fill(&s)
	if want := (metrics.Stats{AppendFailures: 1, Corruptions: 1}); s != want {
		t.Errorf("%+v, want %+v", s, want)
	}
}
