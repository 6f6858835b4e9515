package logcache_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/logcache"
	"github.com/raft-ballast/ballast/memstore"
	"github.com/raft-ballast/ballast/metrics"
	"github.com/raft-ballast/ballast/wal"
)

// scripted is a log store that calls a hook before and after the store behind it, so that a test can
// fail a call or stop in the middle of it.
type scripted struct {
	raft.LogStore
	before func(call string) error // nil: go on; otherwise the call fails without an effect
	after  func(call string) error // the call has had its effect and fails nevertheless
	reads  int                     // calls of GetLog
}

func (s *scripted) around(call string, f func() error) error {
	if s.before != nil {
		if err := s.before(call); err != nil {
			return err
		}
	}
	if err := f(); err != nil {
		return err
	}
	if s.after != nil {
		return s.after(call)
	}
	return nil
}

func (s *scripted) GetLog(index uint64, log *raft.Log) error {
	s.reads++
	return s.around("GetLog", func() error { return s.LogStore.GetLog(index, log) })
}

func (s *scripted) StoreLog(log *raft.Log) error {
	return s.around("StoreLog", func() error { return s.LogStore.StoreLog(log) })
}

func (s *scripted) StoreLogs(logs []*raft.Log) error {
	return s.around("StoreLogs", func() error { return s.LogStore.StoreLogs(logs) })
}

func (s *scripted) DeleteRange(lowest, highest uint64) error {
	return s.around("DeleteRange", func() error { return s.LogStore.DeleteRange(lowest, highest) })
}

func open(t testing.TB, store raft.LogStore, opts *logcache.Options) logcache.Cache {
	t.Helper()
	c, err := logcache.New(store, opts)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func entry(index, term uint64) *raft.Log {
	return &raft.Log{
		Index: index, Term: term, Type: raft.LogCommand,
		Data:       fmt.Appendf(nil, "data %d.%d", index, term),
		Extensions: fmt.Appendf(nil, "ext %d.%d", index, term),
		AppendedAt: time.Unix(int64(index), int64(term)).UTC(),
	}
}

// batch holds the entries of a term from first to last.
func batch(term, first, last uint64) []*raft.Log {
	var logs []*raft.Log
	for i := first; i <= last; i++ {
		logs = append(logs, entry(i, term))
	}
	return logs
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// wantTerm reads index and expects the entry of that term, whole; 0 expects that there is none.
func wantTerm(t testing.TB, c raft.LogStore, index, term uint64) {
	t.Helper()
	var got raft.Log
	err := c.GetLog(index, &got)
	if term == 0 {
		if err != raft.ErrLogNotFound {
			t.Fatalf("GetLog(%d) = term %d, %v; want raft.ErrLogNotFound itself", index, got.Term, err)
		}
		return
	}
	if err != nil {
		t.Fatalf("GetLog(%d): %v", index, err)
	}
	wantEqual(t, &got, entry(index, term))
}

func wantEqual(t testing.TB, got, want *raft.Log) {
	t.Helper()
	if got.Index != want.Index || got.Term != want.Term || got.Type != want.Type ||
		!bytes.Equal(got.Data, want.Data) || (got.Data == nil) != (want.Data == nil) ||
		!bytes.Equal(got.Extensions, want.Extensions) || (got.Extensions == nil) != (want.Extensions == nil) ||
		!got.AppendedAt.Equal(want.AppendedAt) {
		t.Fatalf("got %+v, want %+v", got, want)
	}
}

// cached returns those of the indexes up to 100 that are answered without the store.
func cached(t testing.TB, c logcache.Cache) (indexes []uint64) {
	t.Helper()
	for i := uint64(0); i <= 100; i++ {
		before := c.Stats().Hits
		var l raft.Log
		_ = c.GetLog(i, &l) // a miss of an index that is not in the store
		if c.Stats().Hits > before {
			indexes = append(indexes, i)
		}
	}
	return indexes
}

func TestNewRefuses(t *testing.T) {
	for name, tc := range map[string]struct {
		store raft.LogStore
		opts  logcache.Options
		says  string
	}{
		"no store":         {nil, logcache.Options{}, "store is nil"},
		"negative entries": {memstore.New(), logcache.Options{MaxEntries: -1}, "MaxEntries is -1"},
		"negative bytes":   {memstore.New(), logcache.Options{MaxBytes: -5}, "MaxBytes is -5"},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := logcache.New(tc.store, &tc.opts)
			if c != nil || err == nil || !strings.Contains(err.Error(), tc.says) {
				t.Fatalf("New = %v, %v; want an error that says %q", c, err, tc.says)
			}
		})
	}
}

func TestDefaults(t *testing.T) {
	opts := logcache.Options{}
	for _, o := range []*logcache.Options{nil, &opts} {
		c := open(t, memstore.New(), o)
		must(t, c.StoreLogs(batch(1, 1, logcache.DefaultMaxEntries+3)))
		must(t, c.StoreLog(&raft.Log{Index: 10_000, Data: make([]byte, logcache.DefaultMaxBytes+1)}))
		if s := c.Stats(); s.Entries != logcache.DefaultMaxEntries || s.Evictions != 3 {
			t.Errorf("after three entries too many: %+v", s)
		}
		must(t, c.StoreLog(&raft.Log{Index: 10_001, Data: make([]byte, logcache.DefaultMaxBytes)}))
		if s := c.Stats(); s.Entries != 1 || s.Bytes != logcache.DefaultMaxBytes {
			t.Errorf("after an entry as large as the bound: %+v", s)
		}
	}
	if opts != (logcache.Options{}) {
		t.Errorf("New changed its options to %+v", opts)
	}
}

// cacheCase is a script of writes, what is cached after it, and how many entries were evicted.
type cacheCase struct {
	name    string
	script  func(c logcache.Cache) error
	want    []uint64
	evicted uint64
}

// sized is an entry of so many bytes.
func sized(index uint64, bytes int) *raft.Log {
	return &raft.Log{Index: index, Data: make([]byte, bytes/2), Extensions: make([]byte, bytes-bytes/2)}
}

// The cache of these has room for 4 entries and 1000 bytes.
var cacheCases = []cacheCase{
	{"nothing", func(c logcache.Cache) error { return nil }, nil, 0},
	{"an empty batch", func(c logcache.Cache) error { return c.StoreLogs(nil) }, nil, 0},
	{"one entry", func(c logcache.Cache) error { return c.StoreLog(entry(7, 1)) }, []uint64{7}, 0},
	{"a batch that fits", func(c logcache.Cache) error { return c.StoreLogs(batch(1, 1, 4)) }, []uint64{1, 2, 3, 4}, 0},
	{"a batch too long keeps its end", func(c logcache.Cache) error { return c.StoreLogs(batch(1, 1, 9)) }, []uint64{6, 7, 8, 9}, 5},
	{"appending pushes out the lowest", func(c logcache.Cache) error {
		return errors.Join(c.StoreLogs(batch(1, 1, 4)), c.StoreLog(entry(5, 1)))
	}, []uint64{2, 3, 4, 5}, 1},
	{"gaps", func(c logcache.Cache) error {
		return errors.Join(c.StoreLog(entry(3, 1)), c.StoreLogs([]*raft.Log{entry(20, 1), entry(90, 1)}))
	}, []uint64{3, 20, 90}, 0},
	{"a gap that is filled", func(c logcache.Cache) error {
		return errors.Join(c.StoreLogs([]*raft.Log{entry(3, 1), entry(9, 1)}), c.StoreLog(entry(5, 1)))
	}, []uint64{3, 5, 9}, 0},
	{"an entry below a full cache", func(c logcache.Cache) error {
		return errors.Join(c.StoreLogs(batch(1, 10, 13)), c.StoreLog(entry(2, 1)))
	}, []uint64{10, 11, 12, 13}, 1},
	{"a batch in descending order", func(c logcache.Cache) error {
		return c.StoreLogs([]*raft.Log{entry(9, 1), entry(8, 1), entry(7, 1)})
	}, []uint64{7, 8, 9}, 0},
	{"an overwritten end", func(c logcache.Cache) error {
		return errors.Join(c.StoreLogs(batch(1, 1, 4)), c.StoreLogs(batch(2, 3, 5)))
	}, []uint64{2, 3, 4, 5}, 1},
	{"an overwritten middle", func(c logcache.Cache) error {
		return errors.Join(c.StoreLogs(batch(1, 1, 4)), c.StoreLog(entry(2, 2)))
	}, []uint64{1, 2, 3, 4}, 0},

	{"bytes: exactly the bound", func(c logcache.Cache) error {
		return c.StoreLogs([]*raft.Log{sized(1, 400), sized(2, 600)})
	}, []uint64{1, 2}, 0},
	{"bytes: one beyond the bound", func(c logcache.Cache) error {
		return c.StoreLogs([]*raft.Log{sized(1, 401), sized(2, 600)})
	}, []uint64{2}, 1},
	{"bytes: one large entry pushes out many", func(c logcache.Cache) error {
		return c.StoreLogs([]*raft.Log{sized(1, 100), sized(2, 100), sized(3, 100), sized(4, 900)})
	}, []uint64{3, 4}, 2},
	{"bytes: an entry above the bound is not cached", func(c logcache.Cache) error {
		return c.StoreLogs([]*raft.Log{sized(1, 100), sized(2, 1001), sized(3, 100)})
	}, []uint64{1, 3}, 0},
	{"bytes: it drops what it replaces in its own batch", func(c logcache.Cache) error {
		return c.StoreLogs([]*raft.Log{sized(1, 100), sized(2, 100), sized(2, 1001)})
	}, []uint64{1}, 0},
	{"bytes: it drops what it replaces", func(c logcache.Cache) error {
		return errors.Join(c.StoreLogs([]*raft.Log{sized(1, 100), sized(2, 100)}), c.StoreLog(sized(2, 1001)))
	}, []uint64{1}, 0},
	{"bytes: a replaced entry gives its bytes back", func(c logcache.Cache) error {
		return errors.Join(c.StoreLogs([]*raft.Log{sized(1, 100), sized(2, 900)}), c.StoreLogs([]*raft.Log{sized(2, 5), sized(3, 895)}))
	}, []uint64{1, 2, 3}, 0},

	{"delete: the front", func(c logcache.Cache) error {
		return errors.Join(c.StoreLogs(batch(1, 1, 4)), c.DeleteRange(1, 2))
	}, []uint64{3, 4}, 0},
	{"delete: the end", func(c logcache.Cache) error {
		return errors.Join(c.StoreLogs(batch(1, 1, 4)), c.DeleteRange(3, 4))
	}, []uint64{1, 2}, 0},
	{"delete: the middle", func(c logcache.Cache) error {
		return errors.Join(c.StoreLogs(batch(1, 1, 4)), c.DeleteRange(2, 3))
	}, []uint64{1, 4}, 0},
	{"delete: over a gap", func(c logcache.Cache) error {
		return errors.Join(c.StoreLogs([]*raft.Log{entry(3, 1), entry(20, 1), entry(90, 1)}), c.DeleteRange(4, 89))
	}, []uint64{3, 90}, 0},
	{"delete: into a gap", func(c logcache.Cache) error {
		return errors.Join(c.StoreLogs([]*raft.Log{entry(3, 1), entry(20, 1)}), c.DeleteRange(4, 19))
	}, []uint64{3, 20}, 0},
	{"delete: everything", func(c logcache.Cache) error {
		return errors.Join(c.StoreLogs(batch(1, 1, 4)), c.DeleteRange(0, math.MaxUint64))
	}, nil, 0},
	{"delete: index 0 only", func(c logcache.Cache) error {
		return errors.Join(c.StoreLogs(batch(1, 1, 4)), c.DeleteRange(0, 0))
	}, []uint64{1, 2, 3, 4}, 0},
	{"delete: an empty range", func(c logcache.Cache) error {
		return errors.Join(c.StoreLogs(batch(1, 1, 4)), c.DeleteRange(4, 1))
	}, []uint64{1, 2, 3, 4}, 0},
	{"delete: above and below", func(c logcache.Cache) error {
		return errors.Join(c.StoreLogs(batch(1, 11, 14)), c.DeleteRange(1, 10), c.DeleteRange(15, 99))
	}, []uint64{11, 12, 13, 14}, 0},
	{"delete and append again", func(c logcache.Cache) error {
		return errors.Join(c.StoreLogs(batch(1, 1, 6)), c.DeleteRange(5, 6), c.StoreLogs(batch(2, 5, 5)))
	}, []uint64{3, 4, 5}, 2},
}

func TestWhatIsCached(t *testing.T) {
	for _, tc := range cacheCases {
		t.Run(tc.name, func(t *testing.T) {
			store := memstore.New()
			c := open(t, store, &logcache.Options{MaxEntries: 4, MaxBytes: 1000})
			must(t, tc.script(c))
			if s := c.Stats(); s.Entries != len(tc.want) || s.Evictions != tc.evicted {
				t.Errorf("stats %+v, want %d entries and %d evictions", s, len(tc.want), tc.evicted)
			}
			if got := cached(t, c); fmt.Sprint(got) != fmt.Sprint(tc.want) {
				t.Errorf("cached are %v, want %v", got, tc.want)
			}
			wantSame(t, c, store, 100)
		})
	}
}

// wantSame compares what the cache answers with what the store answers, and Bytes with what is cached.
func wantSame(t testing.TB, c logcache.Cache, store raft.LogStore, last uint64) {
	t.Helper()
	var held int64
	for i := uint64(0); i <= last; i++ {
		var got, want raft.Log
		hits := c.Stats().Hits
		err, wantErr := c.GetLog(i, &got), store.GetLog(i, &want)
		if err != wantErr {
			t.Fatalf("GetLog(%d) = %v, the store's is %v", i, err, wantErr)
		}
		wantEqual(t, &got, &want)
		if c.Stats().Hits > hits {
			held += int64(len(got.Data) + len(got.Extensions))
		}
	}
	if s := c.Stats(); s.Bytes != held {
		t.Fatalf("Stats tells of %d bytes, the cached entries have %d", s.Bytes, held)
	}
}

var errDisk = errors.New("the disk is on fire")

func TestFailedWrites(t *testing.T) {
	for _, tc := range []struct {
		name string
		call func(c logcache.Cache) error
		want []uint64 // cached afterwards, of 1 to 5
	}{
		{"StoreLogs", func(c logcache.Cache) error { return c.StoreLogs(batch(2, 4, 6)) }, []uint64{1, 2, 3}},
		{"StoreLog", func(c logcache.Cache) error { return c.StoreLog(entry(3, 2)) }, []uint64{1, 2, 4, 5}},
		{"DeleteRange", func(c logcache.Cache) error { return c.DeleteRange(2, 4) }, []uint64{1, 5}},
	} {
		for _, effect := range []string{"without an effect", "with its effect"} {
			t.Run(tc.name+" "+effect, func(t *testing.T) {
				store := &scripted{LogStore: memstore.New()}
				c := open(t, store, nil)
				must(t, c.StoreLogs(batch(1, 1, 5)))
				fail := func(string) error { return fmt.Errorf("write: %w", errDisk) }
				if effect == "with its effect" {
					store.after = fail
				} else {
					store.before = fail
				}
				if err := tc.call(c); !errors.Is(err, errDisk) || err.Error() != "write: the disk is on fire" {
					t.Fatalf("the error became %v", err)
				}
				store.before, store.after = nil, nil
				if got := cached(t, c); fmt.Sprint(got) != fmt.Sprint(tc.want) {
					t.Errorf("cached are %v, want %v", got, tc.want)
				}
				wantSame(t, c, store, 10)
			})
		}
	}
}

func TestReadErrorsAreTheStores(t *testing.T) {
	store := &scripted{LogStore: memstore.New()}
	c := open(t, store, nil)
	var l raft.Log
	if err := c.GetLog(1, &l); err != raft.ErrLogNotFound {
		t.Errorf("a missing index: %v, want raft.ErrLogNotFound itself", err)
	}
	damage := &ballast.CorruptionError{Path: "f", Offset: 3, Index: 1, Err: errDisk}
	store.before = func(string) error { return damage }
	if err := c.GetLog(1, &l); err != error(damage) {
		t.Errorf("a damaged entry: %v, want the store's own error", err)
	}
	if s := c.Stats(); s.Misses != 2 || s.Hits != 0 {
		t.Errorf("two misses: %+v", s)
	}
}

func TestRefusedBatchIsNotCached(t *testing.T) {
	store := memstore.New()
	c := open(t, store, nil)
	if err := c.StoreLogs([]*raft.Log{entry(1, 1), {Index: 0}}); !errors.Is(err, ballast.ErrZeroIndex) {
		t.Fatalf("an entry of index 0: %v", err)
	}
	if got := cached(t, c); got != nil {
		t.Errorf("cached are %v", got)
	}
}

func TestLastOfABatchWins(t *testing.T) {
	c := open(t, memstore.New(), nil)
	must(t, c.StoreLogs([]*raft.Log{entry(1, 1), entry(2, 1), entry(1, 2)}))
	wantTerm(t, c, 1, 2)
	if s := c.Stats(); s.Hits != 1 || s.Entries != 2 {
		t.Errorf("stats %+v", s)
	}
}

// Scribbling over everything that went in and came out changes nothing.
func TestNothingIsShared(t *testing.T) {
	c := open(t, memstore.New(), nil)
	scribble := func(l *raft.Log) {
		for _, b := range [][]byte{l.Data[:cap(l.Data)], l.Extensions[:cap(l.Extensions)]} {
			for i := range b {
				b[i] = '#'
			}
		}
		l.Term = 99
	}
	in := batch(1, 1, 3)
	must(t, c.StoreLogs(in))
	one := entry(4, 1)
	must(t, c.StoreLog(one))
	for _, l := range append(in, one) {
		scribble(l)
	}
	for range 2 {
		for i := uint64(1); i <= 4; i++ {
			var out raft.Log
			must(t, c.GetLog(i, &out))
			wantEqual(t, &out, entry(i, 1))
			scribble(&out)
		}
	}

	old := []byte("what the caller's log held before")
	out := raft.Log{Data: old, Extensions: old}
	must(t, c.GetLog(1, &out))
	if string(old) != "what the caller's log held before" {
		t.Errorf("GetLog wrote into the slices it was given: %q", old)
	}
	if s := c.Stats(); s.Misses != 0 {
		t.Errorf("the cache was not what answered: %+v", s)
	}
}

func TestNilAndEmptyBytes(t *testing.T) {
	c := open(t, memstore.New(), nil)
	logs := []*raft.Log{
		{Index: 1},
		{Index: 2, Data: []byte{}, Extensions: []byte{}},
		{Index: 3, Data: []byte("d")},
		{Index: 4, Extensions: []byte("e")},
	}
	must(t, c.StoreLogs(logs))
	for _, want := range logs {
		var got raft.Log
		must(t, c.GetLog(want.Index, &got))
		wantEqual(t, &got, want)
	}
	if s := c.Stats(); s.Hits != 4 || s.Bytes != 2 {
		t.Errorf("stats %+v", s)
	}
}

// A reading of the monotonic clock would make two times differ that a disk makes equal.
func TestTimeLosesItsMonotonicReading(t *testing.T) {
	c := open(t, memstore.New(), nil)
	now := time.Now()
	must(t, c.StoreLog(&raft.Log{Index: 1, AppendedAt: now}))
	var got raft.Log
	must(t, c.GetLog(1, &got))
	if !got.AppendedAt.Equal(now) || got.AppendedAt != now.Round(0) {
		t.Errorf("got %v, want %v", got.AppendedAt, now.Round(0))
	}
}

func TestClose(t *testing.T) {
	c := open(t, memstore.New(), nil)
	must(t, c.StoreLogs(batch(1, 1, 3)))
	must(t, c.(io.Closer).Close())
	must(t, c.(io.Closer).Close())
	var l raft.Log
	for call, err := range map[string]error{
		"GetLog":      c.GetLog(2, &l),
		"StoreLog":    c.StoreLog(entry(4, 1)),
		"StoreLogs":   c.StoreLogs(batch(1, 4, 5)),
		"DeleteRange": c.DeleteRange(1, 2),
	} {
		if !errors.Is(err, ballast.ErrClosed) {
			t.Errorf("%s after Close: %v, want ErrClosed", call, err)
		}
	}
	if s := c.Stats(); s.Entries != 0 || s.Bytes != 0 {
		t.Errorf("after Close there is still something: %+v", s)
	}
}

// unclosable is a store whose Close fails, and which is open afterwards.
type unclosable struct{ raft.LogStore }

func (unclosable) Close() error { return errDisk }

func TestFailedClose(t *testing.T) {
	store := unclosable{memstore.New()}
	c := open(t, store, nil)
	must(t, c.StoreLogs(batch(1, 1, 3)))
	if err := c.(io.Closer).Close(); err != errDisk {
		t.Fatalf("Close: %v", err)
	}
	must(t, c.StoreLogs(batch(1, 4, 5)))
	wantSame(t, c, store, 10)
	if s := c.Stats(); s.Hits != 0 {
		t.Errorf("a closed cache answered from memory: %+v", s)
	}
}

// Random calls, a third of which fail with or without an effect: the cache answers what the store has,
// and keeps its bounds.
func TestRandomCallsAgainstTheStore(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	for range 30 {
		store := &scripted{LogStore: memstore.New()}
		opts := logcache.Options{MaxEntries: 1 + rng.IntN(20), MaxBytes: 1 + rng.Int64N(300)}
		c := open(t, store, &opts)
		fail := func(string) error {
			if rng.IntN(6) == 0 {
				return errDisk
			}
			return nil
		}
		for step := range 60 {
			store.before, store.after = fail, fail
			randomCall(rng, c)
			store.before, store.after = nil, nil
			wantSame(t, c, store, 50)
			if s := c.Stats(); s.Entries > opts.MaxEntries || s.Bytes > opts.MaxBytes {
				t.Fatalf("step %d: %+v is beyond %+v", step, s, opts)
			}
		}
	}
}

func randomCall(rng *rand.Rand, c logcache.Cache) {
	at := 1 + rng.Uint64N(40)
	if rng.IntN(3) == 0 {
		_ = c.DeleteRange(at, at+rng.Uint64N(6)-1) // may fail, may be empty
		return
	}
	var logs []*raft.Log
	for range rng.IntN(5) {
		l := entry(at, rng.Uint64N(1000))
		l.Data = make([]byte, rng.IntN(1<<rng.IntN(10))) // some are above the bound
		logs = append(logs, l)
		at = max(1, at+rng.Uint64N(4)-1) // the same again, the next, or one further on
	}
	if len(logs) == 1 {
		_ = c.StoreLog(logs[0]) // may fail
		return
	}
	_ = c.StoreLogs(logs) // may fail
}

func TestAllocations(t *testing.T) {
	c := open(t, memstore.New(), nil)
	must(t, c.StoreLogs([]*raft.Log{{Index: 1, Data: make([]byte, 256)}, entry(2, 1)}))
	var l raft.Log
	for index, want := range map[uint64]float64{1: 1, 2: 2} {
		if got := testing.AllocsPerRun(100, func() { must(t, c.GetLog(index, &l)) }); got != want {
			t.Errorf("GetLog of entry %d takes %v allocations, want %v", index, got, want)
		}
	}
}

// The cache forgets what it has evicted: its memory is bounded by MaxEntries, not by the log.
func TestLongLog(t *testing.T) {
	c := open(t, nothing{}, &logcache.Options{MaxEntries: 10})
	l := raft.Log{Data: []byte("d")}
	next := func() {
		l.Index++
		must(t, c.StoreLog(&l))
	}
	for range 1000 {
		next()
	}
	if s := c.Stats(); s.Entries != 10 || s.Evictions != 990 || s.Bytes != 10 {
		t.Errorf("stats %+v", s)
	}
	// One for the bytes, three for the bookkeeping of the write; none for a growing buffer.
	if got := testing.AllocsPerRun(1000, next); got > 4 {
		t.Errorf("storing takes %v allocations", got)
	}
}

// nothing is a store that takes everything and has nothing.
type nothing struct{}

func (nothing) FirstIndex() (uint64, error)    { return 0, nil }
func (nothing) LastIndex() (uint64, error)     { return 0, nil }
func (nothing) GetLog(uint64, *raft.Log) error { return raft.ErrLogNotFound }
func (nothing) StoreLog(*raft.Log) error       { return nil }
func (nothing) StoreLogs([]*raft.Log) error    { return nil }
func (nothing) DeleteRange(_, _ uint64) error  { return nil }

// A store and its cache that share a sink count each entry that was read once.
func TestMetrics(t *testing.T) {
	var sink sharedSink
	store, err := wal.Open(t.TempDir(), &wal.Options{Metrics: &sink})
	must(t, err)
	c, err := logcache.New(store, &logcache.Options{MaxEntries: 1, Metrics: &sink})
	must(t, err)
	must(t, c.StoreLogs([]*raft.Log{{Index: 1}, {Index: 2}}))
	for range 3 {
		must(t, c.GetLog(2, new(raft.Log)))
	}
	must(t, c.GetLog(1, new(raft.Log)))
	if got := sink.Stats(); got.Reads != 4 || got.CacheHits != 4 || got.Entries != 2 {
		t.Errorf("%+v", got)
	}
	must(t, c.(io.Closer).Close())
	if got := sink.Stats(); got != (metrics.Stats{Reads: 4, CacheHits: 4}) {
		t.Errorf("closed: %+v", got)
	}
}

type sharedSink struct{ metrics.Sources }

func (*sharedSink) Observe(metrics.Distribution, float64) {}
