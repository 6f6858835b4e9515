package ballast_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/memstore"
)

func entry(index uint64) *raft.Log {
	return &raft.Log{
		Index: index, Term: 3, Type: raft.LogCommand, Data: fmt.Appendf(nil, "data %d", index),
		Extensions: []byte("e"), AppendedAt: time.Unix(1_700_000_000, int64(index%1e9)).UTC(),
	}
}

func entries(indexes ...uint64) (logs []*raft.Log) {
	for _, index := range indexes {
		logs = append(logs, entry(index))
	}
	return logs
}

func upTo(first, last uint64) (logs []*raft.Log) {
	for i := first; i <= last; i++ {
		logs = append(logs, entry(i))
	}
	return logs
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// source returns a store of these entries, its commit index staged with them, and of raft's stable state.
func source(t *testing.T, commit uint64, logs []*raft.Log) *memstore.Store {
	t.Helper()
	s := memstore.New()
	must(t, s.StageCommitIndex(commit))
	must(t, s.StoreLogs(logs))
	must(t, s.SetUint64([]byte("CurrentTerm"), 3))
	must(t, s.SetUint64([]byte("LastVoteTerm"), 2))
	must(t, s.Set([]byte("LastVoteCand"), []byte("10.0.0.1:8300")))
	return s
}

// hidden is a store of which Copy sees nothing but the methods that raft calls.
type hidden struct{ ballast.Source }

// contents is everything that is in a store.
type contents struct {
	Logs   []raft.Log
	Commit uint64
	Stable map[string]string
}

func contentsOf(t *testing.T, s *memstore.Store) (c contents) {
	t.Helper()
	index, err := s.FirstIndex()
	for ; err == nil && index != 0; index, err = s.NextIndex(index + 1) {
		var l raft.Log
		must(t, s.GetLog(index, &l))
		c.Logs = append(c.Logs, l)
		if index == math.MaxUint64 {
			break
		}
	}
	must(t, err)
	c.Commit, err = s.GetCommitIndex()
	must(t, err)
	keys, err := s.StableKeys()
	must(t, err)
	c.Stable = map[string]string{}
	for _, key := range keys {
		value, err := s.Get(key)
		must(t, err)
		c.Stable[string(key)] = string(value)
	}
	return c
}

func TestCopy(t *testing.T) {
	large := func(index uint64) *raft.Log {
		return &raft.Log{Index: index, Data: bytes.Repeat([]byte{byte(index)}, 1<<20)}
	}
	for _, tc := range []struct {
		name  string
		build func(t *testing.T) *memstore.Store
		total uint64
	}{
		{"an empty store", func(t *testing.T) *memstore.Store { return memstore.New() }, 0},
		{"stable state only", func(t *testing.T) *memstore.Store { return source(t, 0, nil) }, 0},
		{"one entry", func(t *testing.T) *memstore.Store { return source(t, 1, upTo(1, 1)) }, 1},
		{"no commit index", func(t *testing.T) *memstore.Store { return source(t, 0, upTo(1, 9)) }, 9},
		{"a commit index in the middle", func(t *testing.T) *memstore.Store { return source(t, 5, upTo(1, 9)) }, 9},
		{"one batch exactly", func(t *testing.T) *memstore.Store { return source(t, 512, upTo(1, 512)) }, 512},
		{"many batches, the commit index in the first", func(t *testing.T) *memstore.Store { return source(t, 7, upTo(1, 1300)) }, 1300},
		{"many batches, the commit index at the end", func(t *testing.T) *memstore.Store { return source(t, 1300, upTo(1, 1300)) }, 1300},
		{"a high first index", func(t *testing.T) *memstore.Store { return source(t, 1<<40+3, upTo(1<<40, 1<<40+9)) }, 10},
		{"up to the highest index", func(t *testing.T) *memstore.Store {
			return source(t, math.MaxUint64, entries(math.MaxUint64-1, math.MaxUint64))
		}, 2},
		{"gaps", func(t *testing.T) *memstore.Store { return source(t, 40, entries(3, 4, 10, 11, 12, 40, 50)) }, 48},
		{"a gap of 2^60", func(t *testing.T) *memstore.Store { return source(t, 2, entries(1, 2, 1<<60, 1<<60+1)) }, 1<<60 + 1},
		{"the largest gap", func(t *testing.T) *memstore.Store { return source(t, 1, entries(1, math.MaxUint64)) }, math.MaxUint64},
		{"large entries", func(t *testing.T) *memstore.Store {
			return source(t, 3, []*raft.Log{large(1), large(2), large(3), large(4), large(5), entry(6)})
		}, 6},
		{"more stable keys, an empty value among them", func(t *testing.T) *memstore.Store {
			s := source(t, 1, upTo(1, 3))
			must(t, s.Set([]byte("of the application"), []byte("v")))
			must(t, s.Set([]byte("empty"), []byte{}))
			must(t, s.Set([]byte{0, 0xff}, []byte{0}))
			must(t, s.SetUint64([]byte("a number of the application"), 7))
			return s
		}, 3},
		{"a vote for nobody", func(t *testing.T) *memstore.Store {
			s := memstore.New()
			must(t, s.SetUint64([]byte("CurrentTerm"), 0))
			return s
		}, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			src, dst := tc.build(t), memstore.New()
			done, err := ballast.Copy(t.Context(), dst, src, nil)
			must(t, err)
			want := contentsOf(t, src)
			if got := contentsOf(t, dst); !reflect.DeepEqual(got, want) {
				t.Errorf("the copy has %.500v, want %.500v", fmt.Sprint(got), fmt.Sprint(want))
			}
			var size uint64
			for _, l := range want.Logs {
				size += uint64(len(l.Data) + len(l.Extensions))
			}
			wantDone := ballast.CopyProgress{Entries: uint64(len(want.Logs)), Total: tc.total, Bytes: size}
			if n := len(want.Logs); n > 0 {
				wantDone.Index = want.Logs[n-1].Index
			}
			if done != wantDone {
				t.Errorf("Copy says %+v, want %+v", done, wantDone)
			}
			if done, err := ballast.VerifyCopy(t.Context(), dst, src, nil); err != nil || done != wantDone {
				t.Errorf("VerifyCopy says %+v, %v; want %+v", done, err, wantDone)
			}
		})
	}
}

// A store that can do no more than raft asks of it: gaps are walked through, raft's own stable keys are known.
func TestCopyFromNoInspector(t *testing.T) {
	src, dst := source(t, 5, entries(3, 4, 10, 900)), memstore.New()
	must(t, src.Set([]byte("of the application"), []byte("v")))
	must(t, src.Set([]byte("unheard of"), []byte("v")))
	must(t, src.SetUint64([]byte("a number"), 7))
	_, err := ballast.Copy(t.Context(), dst, hidden{src}, &ballast.CopyOptions{
		StableKeys: [][]byte{[]byte("of the application"), []byte("a number"), []byte("missing")},
	})
	must(t, err)
	want := contentsOf(t, src)
	want.Commit = 0 // what cannot be asked for
	delete(want.Stable, "unheard of")
	if got := contentsOf(t, dst); !reflect.DeepEqual(got, want) {
		t.Errorf("the copy has %v, want %v", got, want)
	}
}

func TestCopyFromInmemStore(t *testing.T) {
	src, dst := raft.NewInmemStore(), memstore.New()
	must(t, src.StoreLogs(upTo(5, 700)))
	must(t, src.SetUint64([]byte("CurrentTerm"), 9))
	must(t, src.SetUint64([]byte("a number"), 7)) // in a key space of its own
	must(t, src.Set([]byte("bytes"), []byte("b")))
	done, err := ballast.Copy(t.Context(), dst, src, &ballast.CopyOptions{
		StableKeys: [][]byte{[]byte("a number"), []byte("bytes"), []byte("missing")},
	})
	must(t, err)
	if done.Entries != 696 || done.Total != 696 {
		t.Errorf("Copy says %+v", done)
	}
	got := contentsOf(t, dst)
	if len(got.Logs) != 696 || got.Logs[0].Index != 5 || string(got.Logs[695].Data) != "data 700" {
		t.Errorf("the copy has %d entries", len(got.Logs))
	}
	wantStable := map[string]string{
		"CurrentTerm": "\x00\x00\x00\x00\x00\x00\x00\x09", "LastVoteTerm": "\x00\x00\x00\x00\x00\x00\x00\x00", // InmemStore cannot say that it has none
		"a number": "\x00\x00\x00\x00\x00\x00\x00\x07", "bytes": "b",
	}
	if !reflect.DeepEqual(got.Stable, wantStable) {
		t.Errorf("the stable state is %q, want %q", got.Stable, wantStable)
	}
}

// likeRaftBoltDB returns an empty value as nil, and panics when that is asked for as a number.
type likeRaftBoltDB struct{ ballast.Source }

func (s likeRaftBoltDB) Get(key []byte) ([]byte, error) {
	value, err := s.Source.Get(key)
	return append([]byte(nil), value...), err
}

func (s likeRaftBoltDB) GetUint64(key []byte) (uint64, error) {
	value, err := s.Get(key)
	if err != nil {
		return 0, err
	}
	return binary.BigEndian.Uint64(value), nil
}

func TestCopyOfAnEmptyValue(t *testing.T) {
	src, dst := source(t, 0, nil), memstore.New()
	must(t, src.Set([]byte("empty"), nil))
	opts := &ballast.CopyOptions{StableKeys: [][]byte{[]byte("empty"), []byte("missing")}}
	_, err := ballast.Copy(t.Context(), dst, likeRaftBoltDB{src}, opts)
	must(t, err)
	if _, err := ballast.VerifyCopy(t.Context(), dst, likeRaftBoltDB{src}, opts); err != nil {
		t.Error(err)
	}
	if value, err := dst.Get([]byte("empty")); err != nil || len(value) != 0 {
		t.Errorf("%q, %v", value, err)
	}
	if _, err := dst.Get([]byte("missing")); err != ballast.ErrKeyNotFound {
		t.Errorf("what was not there: %v", err)
	}
}

// faulty is a store that can be made to fail, or to lie, in each of its calls.
type faulty struct {
	*memstore.Store
	fault func(call string, index uint64, key []byte) error
	batch []int // entries of each StoreLogs
	bytes []int // of each StoreLogs
	lie   map[uint64]uint64
}

func (f *faulty) hit(call string, index uint64, key []byte) error {
	if f.fault == nil {
		return nil
	}
	return f.fault(call, index, key)
}

func (f *faulty) FirstIndex() (uint64, error) {
	if err := f.hit("FirstIndex", 0, nil); err != nil {
		return 0, err
	}
	return f.Store.FirstIndex()
}

func (f *faulty) LastIndex() (uint64, error) {
	if err := f.hit("LastIndex", 0, nil); err != nil {
		return 0, err
	}
	return f.Store.LastIndex()
}

func (f *faulty) GetCommitIndex() (uint64, error) {
	if err := f.hit("GetCommitIndex", 0, nil); err != nil {
		return 0, err
	}
	return f.Store.GetCommitIndex()
}

func (f *faulty) StageCommitIndex(index uint64) error {
	if err := f.hit("StageCommitIndex", index, nil); err != nil {
		return err
	}
	return f.Store.StageCommitIndex(index)
}

func (f *faulty) GetLog(index uint64, log *raft.Log) error {
	if err := f.hit("GetLog", index, nil); err != nil {
		return err
	}
	return f.Store.GetLog(index, log)
}

func (f *faulty) StoreLogs(logs []*raft.Log) error {
	size := 0
	for _, l := range logs {
		size += len(l.Data) + len(l.Extensions)
	}
	f.batch, f.bytes = append(f.batch, len(logs)), append(f.bytes, size)
	if err := f.hit("StoreLogs", logs[0].Index, nil); err != nil {
		return err
	}
	return f.Store.StoreLogs(logs)
}

func (f *faulty) NextIndex(index uint64) (uint64, error) {
	if err := f.hit("NextIndex", index, nil); err != nil {
		return 0, err
	}
	if lie, ok := f.lie[index]; ok {
		return lie, nil
	}
	return f.Store.NextIndex(index)
}

func (f *faulty) StableKeys() ([][]byte, error) {
	if err := f.hit("StableKeys", 0, nil); err != nil {
		return nil, err
	}
	return f.Store.StableKeys()
}

func (f *faulty) Get(key []byte) ([]byte, error) {
	if err := f.hit("Get", 0, key); err != nil {
		return nil, err
	}
	return f.Store.Get(key)
}

func (f *faulty) GetUint64(key []byte) (uint64, error) {
	if err := f.hit("GetUint64", 0, key); err != nil {
		return 0, err
	}
	return f.Store.GetUint64(key)
}

func (f *faulty) Set(key, value []byte) error {
	if err := f.hit("Set", 0, key); err != nil {
		return err
	}
	return f.Store.Set(key, value)
}

func (f *faulty) SetUint64(key []byte, value uint64) error {
	if err := f.hit("SetUint64", 0, key); err != nil {
		return err
	}
	return f.Store.SetUint64(key, value)
}

// Each call of the source and of the destination fails in turn. The error is wrapped and tells where.
func TestCopyFails(t *testing.T) {
	const last = 1200
	for _, tc := range []struct {
		side, call string
		index      uint64 // 0: whichever it is
		key        string
		says       string
		entries    uint64 // copied before
	}{
		{"destination", "LastIndex", 0, "", "copy: destination: ", 0},
		{"source", "FirstIndex", 0, "", "copy: source: ", 0},
		{"source", "LastIndex", 0, "", "copy: source: ", 0},
		{"source", "GetCommitIndex", 0, "", "copy: source's commit index: ", 0},
		{"source", "GetLog", 1, "", "copy: source's entry 1: ", 0},
		{"source", "GetLog", 700, "", "copy: source's entry 700: ", 512},
		{"source", "GetLog", last, "", "copy: source's entry 1200: ", 1024},
		{"source", "NextIndex", 701, "", "copy: source: ", 512},
		{"destination", "StageCommitIndex", 0, "", "copy: destination's commit index: ", 0},
		{"destination", "StoreLogs", 1, "", "copy: destination's entries from 1: ", 0},
		{"destination", "StoreLogs", 513, "", "copy: destination's entries from 513: ", 512},
		{"destination", "StoreLogs", 1025, "", "copy: destination's entries from 1025: ", 1024},
		{"source", "StableKeys", 0, "", "copy: source's stable keys: ", last},
		{"source", "GetUint64", 0, "CurrentTerm", `copy: stable key "CurrentTerm": `, last},
		{"source", "Get", 0, "LastVoteCand", `copy: stable key "LastVoteCand": `, last},
		{"destination", "SetUint64", 0, "LastVoteTerm", `copy: stable key "LastVoteTerm": `, last},
		{"destination", "Set", 0, "LastVoteCand", `copy: stable key "LastVoteCand": `, last},
	} {
		t.Run(fmt.Sprintf("%s's %s %d %s", tc.side, tc.call, tc.index, tc.key), func(t *testing.T) {
			fault := func(call string, index uint64, key []byte) error {
				if call == tc.call && (tc.index == 0 || tc.index == index) && tc.key == string(key) {
					return fmt.Errorf("%s: %w", call, errCause)
				}
				return nil
			}
			src := &faulty{Store: source(t, 3, upTo(1, last))}
			dst := &faulty{Store: memstore.New()}
			if tc.side == "source" {
				src.fault = fault
			} else {
				dst.fault = fault
			}
			done, err := ballast.Copy(t.Context(), dst, src, nil)
			if !errors.Is(err, errCause) || !strings.HasPrefix(err.Error(), tc.says) {
				t.Errorf("got %v, want an error that begins with %q", err, tc.says)
			}
			if got := uint64(len(contentsOf(t, dst.Store).Logs)); done.Entries != tc.entries || got != tc.entries {
				t.Errorf("Copy says %d entries, there are %d, want %d", done.Entries, got, tc.entries)
			}
			if got := contentsOf(t, dst.Store).Stable; tc.entries < last && len(got) != 0 {
				t.Errorf("the stable state came before the log was complete: %q", got)
			}
		})
	}
}

func TestCopyOfADamagedEntry(t *testing.T) {
	src := &faulty{Store: source(t, 0, upTo(1, 9))}
	src.fault = func(call string, index uint64, _ []byte) error {
		if call == "GetLog" && index == 5 {
			return &ballast.CorruptionError{Path: "raft.db", Offset: 77, Index: 5, Err: errCause}
		}
		return nil
	}
	_, err := ballast.Copy(t.Context(), memstore.New(), src, nil)
	damage, ok := errors.AsType[*ballast.CorruptionError](err)
	if !ok || damage.Index != 5 || damage.Offset != 77 || !errors.Is(err, ballast.ErrCorrupt) || !errors.Is(err, errCause) {
		t.Errorf("got %v", err)
	}
}

// monotonic is a store without gaps, by its own word.
type monotonic struct{ hidden }

func (monotonic) IsMonotonic() bool { return true }

// mislabelled gives out its entry 5 with another index.
type mislabelled struct{ hidden }

func (m mislabelled) GetLog(index uint64, log *raft.Log) error {
	err := m.hidden.GetLog(index, log)
	if index == 5 {
		log.Index = 6
	}
	return err
}

// bounds is a store that says that its log goes from first to last.
type bounds struct {
	hidden
	first, last uint64
}

func (b bounds) FirstIndex() (uint64, error) { return b.first, nil }
func (b bounds) LastIndex() (uint64, error)  { return b.last, nil }

// suspect opens, and says that it has lost something.
type suspect struct{ ballast.Store }

func (suspect) Damaged() error {
	return &ballast.CorruptionError{Path: "the file", Offset: -1, Err: errors.New("the last vote may be missing")}
}

// What a source cannot mean is an error, never a copy with something missing.
func TestCopyFromAStoreThatContradictsItself(t *testing.T) {
	vanished := func(t *testing.T) *faulty {
		src := &faulty{Store: source(t, 0, upTo(1, 9))}
		src.fault = func(call string, index uint64, _ []byte) error {
			if call == "GetLog" && index == 5 {
				return raft.ErrLogNotFound
			}
			return nil
		}
		return src
	}
	for _, tc := range []struct {
		name string
		src  func(t *testing.T) ballast.Source
		says string
		is   error
	}{
		{"an inspector has lost an entry", func(t *testing.T) ballast.Source { return vanished(t) }, "source's entry 5", raft.ErrLogNotFound},
		{"a monotonic store has lost an entry", func(t *testing.T) ballast.Source { return monotonic{hidden{vanished(t)}} }, "source's entry 5", raft.ErrLogNotFound},
		{"an entry with the index of another", func(t *testing.T) ballast.Source {
			return mislabelled{hidden{source(t, 0, upTo(1, 9))}}
		}, "damaged entry 5 in the source: it comes back as entry 6", ballast.ErrCorrupt},
		{"a store that knows that something is missing", func(t *testing.T) ballast.Source {
			return suspect{source(t, 0, upTo(1, 9))}
		}, "copy: source: ballast: damaged in the file: the last vote may be missing; `ballast repair`", ballast.ErrCorrupt},
		{"NextIndex goes back", func(t *testing.T) ballast.Source {
			return &faulty{Store: source(t, 0, upTo(1, 9)), lie: map[uint64]uint64{6: 3}}
		}, "NextIndex says 3", nil},
		{"NextIndex sees nothing below the last index", func(t *testing.T) ballast.Source {
			return &faulty{Store: source(t, 0, upTo(1, 9)), lie: map[uint64]uint64{6: 0}}
		}, "NextIndex says 0", nil},
		{"a last index without a first", func(t *testing.T) ballast.Source {
			return bounds{hidden{memstore.New()}, 0, 9}
		}, "from 0 to 9", nil},
		{"a first index above the last", func(t *testing.T) ballast.Source {
			return bounds{hidden{memstore.New()}, 9, 3}
		}, "from 9 to 3", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := ballast.Copy(t.Context(), memstore.New(), tc.src(t), nil)
			if err == nil || !strings.Contains(err.Error(), tc.says) || tc.is != nil && !errors.Is(err, tc.is) {
				t.Errorf("got %v, want an error that says %q", err, tc.says)
			}
		})
	}
}

func TestCopyIntoAStoreThatIsNotEmpty(t *testing.T) {
	dst := memstore.New()
	must(t, dst.StoreLog(entry(4)))
	_, err := ballast.Copy(t.Context(), dst, source(t, 1, upTo(1, 9)), nil)
	if !errors.Is(err, ballast.ErrNotEmpty) || !strings.Contains(err.Error(), "entries up to 4") {
		t.Errorf("got %v", err)
	}
	if got := contentsOf(t, dst); len(got.Logs) != 1 || len(got.Stable) != 0 {
		t.Errorf("the destination was changed: %v", got)
	}

	dst = memstore.New()
	must(t, dst.SetUint64([]byte("CurrentTerm"), 99))
	_, err = ballast.Copy(t.Context(), dst, source(t, 1, upTo(1, 9)), nil)
	if !errors.Is(err, ballast.ErrNotEmpty) || !strings.Contains(err.Error(), `"CurrentTerm"`) {
		t.Errorf("into a store with a term: %v", err)
	}
	if term, err := dst.GetUint64([]byte("CurrentTerm")); term != 99 || err != nil {
		t.Errorf("the term became %d, %v", term, err)
	}
}

func TestCopyBatches(t *testing.T) {
	sized := func(index uint64, size int) *raft.Log {
		return &raft.Log{Index: index, Data: make([]byte, size-size/3), Extensions: make([]byte, size/3)}
	}
	const mib = 1 << 20
	for _, tc := range []struct {
		name  string
		logs  []*raft.Log
		batch []int
	}{
		{"by entries", upTo(1, 1025), []int{512, 512, 1}},
		{"by bytes", []*raft.Log{sized(1, 2*mib), sized(2, 2*mib), sized(3, 1), sized(4, 5*mib), sized(5, 1)}, []int{2, 2, 1}},
		{"an entry larger than a batch", []*raft.Log{sized(1, 9*mib), sized(2, 9*mib)}, []int{1, 1}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dst := &faulty{Store: memstore.New()}
			var progress []ballast.CopyProgress
			done, err := ballast.Copy(t.Context(), dst, source(t, 0, tc.logs), &ballast.CopyOptions{
				Progress: func(p ballast.CopyProgress) { progress = append(progress, p) },
			})
			must(t, err)
			if fmt.Sprint(dst.batch) != fmt.Sprint(tc.batch) {
				t.Fatalf("batches of %v entries and %v bytes, want %v entries", dst.batch, dst.bytes, tc.batch)
			}
			var want ballast.CopyProgress
			for i, n := range tc.batch {
				want.Total = uint64(len(tc.logs))
				want.Entries += uint64(n)
				want.Index = tc.logs[want.Entries-1].Index
				want.Bytes += uint64(dst.bytes[i])
				if len(progress) <= i || progress[i] != want {
					t.Fatalf("progress %+v, want %+v as number %d", progress, want, i)
				}
			}
			if len(progress) != len(tc.batch) || done != want {
				t.Errorf("progress was told %d times, at last %+v; want %d and %+v", len(progress), done, len(tc.batch), want)
			}
		})
	}
}

func TestCopyStopped(t *testing.T) {
	t.Run("before it began", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		dst := memstore.New()
		_, err := ballast.Copy(ctx, dst, source(t, 0, upTo(1, 9)), nil)
		if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "before entry 1:") {
			t.Errorf("got %v", err)
		}
		if got := contentsOf(t, dst); len(got.Logs) != 0 || len(got.Stable) != 0 {
			t.Errorf("something was copied: %v", got)
		}
	})
	t.Run("between two batches", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		dst := memstore.New()
		done, err := ballast.Copy(ctx, dst, source(t, 0, upTo(1, 2000)), &ballast.CopyOptions{
			Progress: func(ballast.CopyProgress) { cancel() },
		})
		if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "before entry 513:") {
			t.Errorf("got %v", err)
		}
		if got := contentsOf(t, dst); done.Entries != 512 || len(got.Logs) != 512 || len(got.Stable) != 0 {
			t.Errorf("Copy says %+v, there are %d entries and the stable state %v", done, len(got.Logs), got.Stable)
		}
	})
	t.Run("after the last batch", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		_, err := ballast.Copy(ctx, memstore.New(), source(t, 0, upTo(1, 9)), &ballast.CopyOptions{
			Progress: func(ballast.CopyProgress) { cancel() },
		})
		if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), `before the stable key "CurrentTerm":`) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("in a gap without end", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		src := &faulty{Store: source(t, 0, entries(1, 1<<60))}
		src.fault = func(call string, index uint64, _ []byte) error {
			if call == "GetLog" && index == 1000 {
				cancel()
			}
			return nil
		}
		_, err := ballast.Copy(ctx, memstore.New(), hidden{src}, nil)
		if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "before entry 1001:") {
			t.Errorf("got %v", err)
		}
	})
}
