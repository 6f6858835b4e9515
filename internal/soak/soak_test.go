package main

import (
	"flag"
	"regexp"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/memstore"
	"github.com/raft-ballast/ballast/wal"
)

var seed = flag.Uint64("seed", 1, "of what is written and read")

const segmentBytes = 1 << 20

// small is a run of so many batches, as fast as it goes, whatever the clock says.
func small(t *testing.T, e engine, batches int) (*report, error) {
	t.Helper()
	return soak(t.Context(), config{engine: e, dir: t.TempDir(), batches: batches, keep: 1000, seed: *seed, progress: func(float64, *writer) {}})
}

// What a run of an hour is for, without what depends on the clock.
func TestSoakWAL(t *testing.T) {
	const batches = 2000
	goroutines, heap := runtime.NumGoroutine(), liveHeap()
	rep, err := small(t, walEngine(wal.Options{SegmentBytes: segmentBytes, CacheBytes: segmentBytes}), batches)
	if err != nil {
		t.Fatal(err)
	}
	if rep.Batches != batches || rep.Opens != opensPerRun-1 || len(rep.Rows) != parts {
		t.Errorf("%d batches, %d openings, %d parts", rep.Batches, rep.Opens, len(rep.Rows))
	}
	if rep.FDsAfter != rep.FDsBefore {
		t.Errorf("%d descriptors before, %d after", rep.FDsBefore, rep.FDsAfter)
	}
	for n := runtime.NumGoroutine(); n > goroutines; n = runtime.NumGoroutine() { // hangs when one does not end
		time.Sleep(time.Millisecond)
	}
	if limit := diskBound(rep.LiveClosed, segmentBytes); float64(rep.DiskClosed) > limit {
		t.Errorf("%d bytes on the disk for %d live ones, should be at most %.0f", rep.DiskClosed, rep.LiveClosed, limit)
	}
	for i, r := range rep.Rows {
		// The cache, the reader's and writer's memory, and some more.
		if limit := heap + 16<<20; r.Heap > limit {
			t.Errorf("part %d: a heap of %d bytes, should be at most %d", i+1, r.Heap, limit)
		}
		// The keeper may be behind on a busy machine, but not by all that was written.
		if limit := 2 * diskBound(r.LiveMax, segmentBytes); float64(r.DiskMax) > limit {
			t.Errorf("part %d: %d bytes on the disk for %d live ones, should be at most %.0f", i+1, r.DiskMax, r.LiveMax, limit)
		}
	}
	var table strings.Builder
	if err := rep.print(&table); err != nil {
		t.Error(err)
	}
	t.Log(table.String())
}

// wrong is a store in memory that survives being closed, and does one thing wrong after a while.
type wrong struct {
	ballast.Store
	calls     atomic.Int64
	getLog    func(s *wrong, index uint64, l *raft.Log) error
	deleteLog func(s *wrong, low, high uint64) error
	setUint64 func(s *wrong, key []byte, v uint64) error
}

func (s *wrong) late() bool   { return s.calls.Add(1) > 200 }
func (s *wrong) Close() error { return nil }

func (s *wrong) GetLog(index uint64, l *raft.Log) error {
	if s.getLog != nil {
		return s.getLog(s, index, l)
	}
	return s.Store.GetLog(index, l)
}

func (s *wrong) DeleteRange(low, high uint64) error {
	if s.deleteLog != nil {
		return s.deleteLog(s, low, high)
	}
	return s.Store.DeleteRange(low, high)
}

func (s *wrong) SetUint64(key []byte, v uint64) error {
	if s.setUint64 != nil {
		return s.setUint64(s, key, v)
	}
	return s.Store.SetUint64(key, v)
}

// A run has to find what a store does wrong.
func TestSoakFindsWhatIsWrong(t *testing.T) {
	cases := []struct {
		name  string
		store *wrong
		want  string // a regular expression for the error
	}{
		{"nothing", &wrong{}, ""},
		{"a bit of an entry", &wrong{getLog: func(s *wrong, index uint64, l *raft.Log) error {
			err := s.Store.GetLog(index, l)
			if err == nil && s.late() {
				l.Data[20] ^= 4
			}
			return err
		}}, "should be {index"},
		{"the entry before", &wrong{getLog: func(s *wrong, index uint64, l *raft.Log) error {
			if s.late() && s.Store.GetLog(index-1, l) == nil {
				return nil
			}
			return s.Store.GetLog(index, l)
		}}, "should be {index"},
		{"an entry is lost", &wrong{getLog: func(s *wrong, index uint64, l *raft.Log) error {
			if s.late() {
				return raft.ErrLogNotFound
			}
			return s.Store.GetLog(index, l)
		}}, raft.ErrLogNotFound.Error()},
		{"a failure", &wrong{getLog: func(s *wrong, index uint64, l *raft.Log) error {
			if s.late() {
				return ballast.ErrReadOnly
			}
			return s.Store.GetLog(index, l)
		}}, ballast.ErrReadOnly.Error()},
		{"a prefix stays", &wrong{deleteLog: func(s *wrong, low, high uint64) error {
			if first, err := s.FirstIndex(); low == first {
				return err
			}
			return s.Store.DeleteRange(low, high)
		}}, "which is deleted|the first index is"},
		{"a suffix stays", &wrong{deleteLog: func(s *wrong, low, high uint64) error {
			if last, err := s.LastIndex(); high == last {
				return err
			}
			return s.Store.DeleteRange(low, high)
		}}, "the last index is"},
		{"a vote is lost", &wrong{setUint64: func(s *wrong, key []byte, v uint64) error {
			if v > 2 {
				return nil
			}
			return s.Store.SetUint64(key, v)
		}}, "the term is 2"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			c.store.Store = memstore.New()
			rep, err := small(t, engine{"mem", func(string) (ballast.Store, error) { return c.store, nil }, 0}, 600)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !regexp.MustCompile(c.want).MatchString(err.Error())) {
				t.Errorf("%v; want %q", err, c.want)
			}
			if err != nil && rep.good() {
				t.Error("the report is good")
			}
		})
	}
}

// steady is a report in which nothing grows.
func steady() *report {
	rep := &report{FDsBefore: 5, FDsAfter: 5, DiskClosed: 3 << 20, LiveClosed: 1 << 20}
	for i := range parts {
		noise := int64(i % 3)
		us := time.Duration(noise) * time.Microsecond
		rep.Rows = append(rep.Rows, row{Seconds: 300, Appends: 1000 - uint64(noise), AppendP50: 100*time.Microsecond + us, AppendP99: time.Millisecond - us,
			ReadP50: time.Microsecond + us, ReadP99: 50*time.Microsecond - us, Heap: 40<<20 + noise<<16, RSS: 70<<20 - noise<<16, Descriptors: 15 + int(noise),
			Goroutines: 8, Disk: 4<<20 + noise<<12, DiskMax: 5 << 20, Live: 1 << 20, LiveMax: 1 << 20})
	}
	return rep
}

func TestVerdict(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(r *row, i int) // each row
		rest   func(rep *report)
		fails  string
	}{
		{name: "steady"},
		{name: "one row stands out", change: func(r *row, i int) {
			if i == 10 {
				r.Heap, r.RSS, r.AppendP50, r.ReadP99, r.Appends = r.Heap*9, r.RSS*9, r.AppendP50*9, r.ReadP99*9, 1
			}
		}},
		{name: "the first part differs", change: func(r *row, i int) {
			if i == 0 {
				r.Heap, r.RSS, r.Disk, r.AppendP50, r.Appends = 1, 1, 1, 1, 1e6
			}
		}},
		{name: "memory shrinks", change: func(r *row, i int) { r.Heap -= int64(i) << 20 }},
		{name: "memory goes up and stays", change: func(r *row, i int) { r.Heap += int64(min(i, 2)) << 24 }},
		{name: "nothing is known of descriptors and memory", change: func(r *row, _ int) { r.Descriptors, r.RSS = -1, -1 },
			rest: func(rep *report) { rep.FDsBefore, rep.FDsAfter = -1, -1 }},
		{name: "the log", change: func(r *row, i int) { r.Live += int64(i) * 2 << 20 }, fails: "live entries"},
		{name: "heap", change: func(r *row, i int) { r.Heap += int64(i) * 3 << 20 }, fails: "heap"},
		{name: "rss", change: func(r *row, i int) { r.RSS += int64(i) * 5 << 20 }, fails: "resident memory"},
		{name: "descriptors", change: func(r *row, i int) { r.Descriptors += i / 2 }, fails: "descriptors"},
		{name: "goroutines", change: func(r *row, i int) { r.Goroutines += i / 2 }, fails: "goroutines"},
		{name: "disk", change: func(r *row, i int) { r.Disk += int64(i) * 2 << 20 }, fails: "disk"},
		{name: "append", change: func(r *row, i int) { r.AppendP50 += r.AppendP50 * time.Duration(i) / 10 }, fails: "append p50"},
		{name: "append tail", change: func(r *row, i int) { r.AppendP99 += r.AppendP99 * time.Duration(i) / 5 }, fails: "append p99"},
		{name: "read", change: func(r *row, i int) { r.ReadP50 += time.Duration(i) * time.Microsecond }, fails: "read p50"},
		{name: "read tail", change: func(r *row, i int) { r.ReadP99 += r.ReadP99 * time.Duration(i) / 5 }, fails: "read p99"},
		{name: "fewer appends", change: func(r *row, i int) { r.Appends /= uint64(1 + i/6) }, fails: "time for an append"},
		{name: "no appends any more", change: func(r *row, i int) { r.Appends *= uint64(max(0, 8-i)) }, fails: "time for an append"},
		{name: "a descriptor is left", rest: func(rep *report) { rep.FDsAfter++ }, fails: "descriptors after Close"},
		{name: "a moment of much disk", rest: func(rep *report) { rep.Rows[7].DiskMax = 6 << 20 }, fails: "disk at any moment"},
		{name: "disk is left", rest: func(rep *report) { rep.DiskClosed = 6 << 20 }, fails: "disk after Close"},
	} {
		t.Run(c.name, func(t *testing.T) {
			rep := steady()
			for i := range rep.Rows {
				if c.change != nil {
					c.change(&rep.Rows[i], i)
				}
			}
			if c.rest != nil {
				c.rest(rep)
			}
			rep.judge(segmentBytes)
			var failed []string
			for _, k := range rep.Checks {
				if !k.OK {
					failed = append(failed, k.What)
				}
			}
			if got := strings.Join(failed, ", "); got != c.fails || rep.good() != (c.fails == "") {
				t.Errorf("%q fails, want %q", got, c.fails)
			}
		})
	}
}

func TestHistogram(t *testing.T) {
	for _, n := range []uint64{1, 31, 32, 63, 64, 65, 1000, 1 << 20, 1<<40 + 12345, 1<<63 - 1} {
		low, next := smallest(bucket(n)), smallest(bucket(n)+1)
		if low > n || next <= n || next-low > max(1, low>>subBits) {
			t.Errorf("%d is counted as %d to %d", n, low, next-1)
		}
	}
	var h histogram
	for i := range 1000 {
		h.add(time.Duration(i) * time.Microsecond)
	}
	for share, want := range map[float64]time.Duration{0.5: 500, 0.99: 990, 1: 999} {
		if got := h.quantile(share); got > want*time.Microsecond || got < want*time.Microsecond*96/100 {
			t.Errorf("quantile(%v) is %v, want about %d µs", share, got, want)
		}
	}
}
