package storetest

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast"
)

// reporter is testing.TB or rapid.T.
type reporter interface {
	Helper()
	Fatalf(format string, args ...any)
	Logf(format string, args ...any)
}

// env is a store and, beside it, the model of what it has to hold. Its methods do the same to both.
type env struct {
	reporter
	t    *testing.T
	cfg  *config
	dir  string
	open OpenFunc

	store Store
	model model
}

// model is the contract as a program: plain maps, no order, no bounds.
type model struct {
	logs   map[uint64]raft.Log
	stable map[string][]byte
	number map[string]bool // of the keys in stable, those whose value SetUint64 wrote
	commit uint64
	staged *uint64
}

func newModel() model {
	return model{logs: map[uint64]raft.Log{}, stable: map[string][]byte{}, number: map[string]bool{}}
}

func (m *model) set(key string, value []byte) {
	m.stable[key] = append([]byte{}, value...)
	delete(m.number, key)
}

func (m *model) unset(key string) {
	delete(m.stable, key)
	delete(m.number, key)
}

func (m *model) setUint64(key string, value uint64) {
	m.stable[key] = uint64Bytes(value)
	m.number[key] = true
}

func newEnv(t *testing.T, open OpenFunc, cfg *config) *env {
	t.Helper()
	e := &env{reporter: t, t: t, cfg: cfg, dir: t.TempDir(), open: open, model: newModel()}
	e.start()
	t.Cleanup(func() { _ = e.closeStore() })
	return e
}

// start opens the store. The model keeps what it holds.
func (e *env) start() {
	e.Helper()
	store, err := e.open(e.t, e.dir)
	if err != nil {
		e.Fatalf("opening the store: %v", err)
	}
	e.store = store
}

func (e *env) closeStore() error {
	if c, ok := e.store.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

// reopen closes the store and opens it again. What was staged is gone.
func (e *env) reopen() {
	e.Helper()
	if e.cfg.volatile {
		return
	}
	if err := e.closeStore(); err != nil {
		e.Fatalf("Close: %v", err)
	}
	e.model.staged = nil
	e.start()
}

// reportPanic, deferred, makes a failure of a panic, so that one promise does not end all others.
func reportPanic(t *testing.T) {
	if p := recover(); p != nil {
		t.Errorf("the store panicked: %v\n%s", p, debug.Stack())
	}
}

// safely is f for a goroutine of its own.
func (e *env) safely(f func()) func() {
	return func() {
		defer reportPanic(e.t)
		f()
	}
}

// within fails when f does not return.
func (e *env) within(what string, f func()) {
	e.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer reportPanic(e.t)
		f()
	}()
	select {
	case <-done:
	case <-time.After(e.cfg.hangLimit):
		e.Fatalf("%s did not return within %v", what, e.cfg.hangLimit)
	}
}

// put stores a batch in the store and in the model, and expects no error, except where the store may
// refuse a gap.
func (e *env) put(logs ...*raft.Log) {
	e.Helper()
	gap := e.opensGap(logs)
	err := e.store.StoreLogs(logs)
	if err != nil && gap && e.cfg.refusesGaps {
		e.model.staged = nil
		return
	}
	if err != nil {
		e.Fatalf("StoreLogs of %s: %v", describe(logs), err)
	}
	e.modelPut(logs)
}

// opensGap reports whether a batch leaves a gap before or behind what is there. To replace entries is no gap.
func (e *env) opensGap(logs []*raft.Log) bool {
	first, last := e.bounds()
	for _, l := range logs {
		if last == 0 {
			first, last = l.Index, l.Index
			continue
		}
		if l.Index > last && l.Index-last > 1 || l.Index < first && first-l.Index > 1 {
			return true
		}
		first, last = min(first, l.Index), max(last, l.Index)
	}
	return false
}

func (e *env) modelPut(logs []*raft.Log) {
	for _, l := range logs {
		e.model.logs[l.Index] = cloneLog(l)
	}
	if e.model.staged != nil && len(logs) > 0 {
		_, last := e.bounds()
		e.model.commit = min(*e.model.staged, last)
		e.model.staged = nil
	}
}

// deleteRange deletes in the store and in the model.
func (e *env) deleteRange(min, max uint64) {
	e.Helper()
	var err error
	e.within(fmt.Sprintf("DeleteRange(%d, %d)", min, max), func() { err = e.store.DeleteRange(min, max) })
	first, last := e.bounds()
	middle := min > first && max < last && min <= max
	if err != nil && middle && e.cfg.refusesMiddleDeletes {
		return
	}
	if err != nil {
		e.Fatalf("DeleteRange(%d, %d): %v", min, max, err)
	}
	e.modelDelete(min, max)
}

func (e *env) modelDelete(min, max uint64) {
	for index := range e.model.logs {
		if min <= index && index <= max {
			delete(e.model.logs, index)
		}
	}
	if _, last := e.bounds(); e.model.commit > last {
		e.model.commit = last
	}
}

func (e *env) set(key string, value []byte) {
	e.Helper()
	if err := e.store.Set([]byte(key), value); err != nil {
		e.Fatalf("Set(%q): %v", key, err)
	}
	e.model.set(key, value)
}

func (e *env) setUint64(key string, value uint64) {
	e.Helper()
	if err := e.store.SetUint64([]byte(key), value); err != nil {
		e.Fatalf("SetUint64(%q): %v", key, err)
	}
	e.model.setUint64(key, value)
}

// tracker returns the store's commit tracking; the test ends when it has none.
func (e *env) tracker() ballast.CommitTracker {
	e.Helper()
	tracker, ok := e.store.(ballast.CommitTracker)
	if !ok {
		e.t.Skip("the store does not track the commit index, which is optional")
	}
	return tracker
}

func (e *env) stage(index uint64) {
	e.Helper()
	if err := e.tracker().StageCommitIndex(index); err != nil {
		e.Fatalf("StageCommitIndex(%d): %v", index, err)
	}
	e.model.staged = &index
}

// bounds returns the model's lowest and highest index, 0 when it is empty.
func (e *env) bounds() (first, last uint64) {
	for index := range e.model.logs {
		if first == 0 || index < first {
			first = index
		}
		last = max(last, index)
	}
	return first, last
}

// verify compares the whole store with the model, live and after reopening.
func (e *env) verify() {
	e.Helper()
	e.compare("live")
	if !e.cfg.volatile {
		e.reopen()
		e.compare("after reopening")
	}
}

// compare compares the whole store with the model.
func (e *env) compare(when string) {
	e.Helper()
	e.compareBounds(when)
	for _, index := range slices.Sorted(maps.Keys(e.model.logs)) {
		want := e.model.logs[index]
		var got raft.Log
		if err := e.store.GetLog(index, &got); err != nil {
			e.Fatalf("%s: GetLog(%d): %v", when, index, err)
		}
		if diff := diffLogs(&got, &want); diff != "" {
			e.Fatalf("%s: GetLog(%d): %s", when, index, diff)
		}
	}
	for _, index := range e.absent() {
		e.notFound(when, index)
	}
	e.compareStable(when)
	e.compareCommit(when)
	e.compareInspector(when)
}

func (e *env) compareBounds(when string) {
	e.Helper()
	wantFirst, wantLast := e.bounds()
	if first, err := e.store.FirstIndex(); err != nil || first != wantFirst {
		e.Fatalf("%s: FirstIndex is %d, %v; want %d", when, first, err, wantFirst)
	}
	if last, err := e.store.LastIndex(); err != nil || last != wantLast {
		e.Fatalf("%s: LastIndex is %d, %v; want %d", when, last, err, wantLast)
	}
}

// absent returns indexes beside the model's own that it does not hold.
func (e *env) absent() []uint64 {
	beside := map[uint64]bool{0: true, 1: true, math.MaxUint64: true}
	for index := range e.model.logs {
		beside[index-1] = true
		beside[index+1] = true
	}
	var out []uint64
	for index := range beside {
		if _, ok := e.model.logs[index]; !ok {
			out = append(out, index)
		}
	}
	slices.Sort(out)
	return out
}

func (e *env) notFound(when string, index uint64) {
	e.Helper()
	var got raft.Log
	if err := e.store.GetLog(index, &got); err != raft.ErrLogNotFound {
		e.Fatalf("%s: GetLog(%d) of an entry that is not there returned %v; want raft.ErrLogNotFound itself, since raft compares with ==",
			when, index, err)
	}
}

func (e *env) compareStable(when string) {
	e.Helper()
	for _, key := range slices.Sorted(maps.Keys(e.model.stable)) {
		want, isNumber := e.model.stable[key], e.model.number[key]
		if !isNumber || !e.cfg.numbersApart {
			got, err := e.store.Get([]byte(key))
			if err != nil || !bytes.Equal(got, want) {
				e.Fatalf("%s: Get(%q) is %q, %v; want %q", when, key, short(got), err, short(want))
			}
		}
		if len(want) != 8 || !isNumber && e.cfg.numbersApart {
			continue
		}
		number, err := e.store.GetUint64([]byte(key))
		if err != nil || !bytes.Equal(uint64Bytes(number), want) {
			e.Fatalf("%s: GetUint64(%q) is %d, %v; want the bytes %x", when, key, number, err, want)
		}
	}
}

func (e *env) compareCommit(when string) {
	e.Helper()
	tracker, ok := e.store.(ballast.CommitTracker)
	if !ok {
		return
	}
	if commit, err := tracker.GetCommitIndex(); err != nil || commit != e.model.commit {
		e.Fatalf("%s: GetCommitIndex is %d, %v; want %d", when, commit, err, e.model.commit)
	}
}

func (e *env) compareInspector(when string) {
	e.Helper()
	in, ok := e.store.(ballast.Inspector)
	if !ok {
		return
	}
	indexes := slices.Sorted(maps.Keys(e.model.logs))
	for _, from := range append(e.absent(), indexes...) {
		var want uint64
		if at, _ := slices.BinarySearch(indexes, from); at < len(indexes) {
			want = indexes[at]
		}
		if got, err := in.NextIndex(from); err != nil || got != want {
			e.Fatalf("%s: NextIndex(%d) is %d, %v; want %d", when, from, got, err, want)
		}
	}
	keys, err := in.StableKeys()
	if err != nil {
		e.Fatalf("%s: StableKeys: %v", when, err)
	}
	var got []string
	for _, key := range keys {
		got = append(got, string(key))
	}
	if want := slices.Sorted(maps.Keys(e.model.stable)); !slices.Equal(got, want) {
		e.Fatalf("%s: StableKeys are %q; want %q", when, got, want)
	}
}

// missing expects that there is no such key.
func (e *env) missing(key string) {
	e.Helper()
	value, err := e.store.Get([]byte(key))
	if value != nil {
		e.Fatalf("Get(%q) of a missing key is %q; want nil", key, value)
	}
	e.missingError(fmt.Sprintf("Get(%q)", key), err)
	number, err := e.store.GetUint64([]byte(key))
	if number != 0 {
		e.Fatalf("GetUint64(%q) of a missing key is %d; want 0", key, number)
	}
	e.missingError(fmt.Sprintf("GetUint64(%q)", key), err)
}

func (e *env) missingError(what string, err error) {
	e.Helper()
	if err == nil && e.cfg.missingKeyIsNil {
		return
	}
	if err == nil || err.Error() != ballast.ErrKeyNotFound.Error() {
		e.Fatalf("%s of a missing key returned the error %v; want one whose text is %q, since raft compares the text",
			what, err, ballast.ErrKeyNotFound.Error())
	}
}

// entry makes an entry that differs from every other index and term in all its fields.
func entry(index, term uint64) *raft.Log {
	l := &raft.Log{
		Index:      index,
		Term:       term,
		Type:       raft.LogType(index % 6),
		Data:       payload(index, term, int(index%7)*13),
		AppendedAt: time.Unix(int64(1_700_000_000+index%1_000_000), int64(term%1_000_000_000)).UTC(),
	}
	if index%3 == 0 {
		l.Extensions = payload(index, term+1, int(index%5)+1)
	}
	return l
}

// entries makes the entries from first to last of one term.
func entries(first, last, term uint64) []*raft.Log {
	var out []*raft.Log
	for index := first; ; index++ {
		out = append(out, entry(index, term))
		if index == last {
			return out
		}
	}
}

// sized is entry with Data of n bytes.
func sized(index, term uint64, n int) *raft.Log {
	l := entry(index, term)
	l.Data = payload(index, term, n)
	return l
}

// payload makes n bytes that depend on index and term (xorshift, eight bytes a step).
func payload(index, term uint64, n int) []byte {
	out := make([]byte, (n+7)/8*8)
	x := index*0x9e3779b97f4a7c15 ^ term*0xbf58476d1ce4e5b9 | 1
	for i := 0; i < len(out); i += 8 {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		binary.LittleEndian.PutUint64(out[i:], x)
	}
	return out[:n:n]
}

func cloneLog(l *raft.Log) raft.Log {
	out := *l
	out.Data, out.Extensions = bytes.Clone(l.Data), bytes.Clone(l.Extensions)
	return out
}

// diffLogs says in which fields two entries differ, "" when they are the same.
func diffLogs(got, want *raft.Log) string {
	var diffs []string
	add := func(field string, got, want any) {
		diffs = append(diffs, fmt.Sprintf("%s is %v, want %v", field, got, want))
	}
	if got.Index != want.Index {
		add("Index", got.Index, want.Index)
	}
	if got.Term != want.Term {
		add("Term", got.Term, want.Term)
	}
	if got.Type != want.Type {
		add("Type", uint8(got.Type), uint8(want.Type))
	}
	if !bytes.Equal(got.Data, want.Data) {
		add("Data", short(got.Data), short(want.Data))
	}
	if !bytes.Equal(got.Extensions, want.Extensions) {
		add("Extensions", short(got.Extensions), short(want.Extensions))
	}
	if !got.AppendedAt.Equal(want.AppendedAt) {
		add("AppendedAt", got.AppendedAt, want.AppendedAt)
	}
	return strings.Join(diffs, "; ")
}

// short prints bytes without filling the screen.
func short(b []byte) string {
	if len(b) <= 24 {
		return fmt.Sprintf("%x", b)
	}
	return fmt.Sprintf("%x... (%d bytes)", b[:24], len(b))
}

func describe(logs []*raft.Log) string {
	if len(logs) == 0 {
		return "nothing"
	}
	first := slices.MinFunc(logs, func(a, b *raft.Log) int { return cmp.Compare(a.Index, b.Index) })
	last := slices.MaxFunc(logs, func(a, b *raft.Log) int { return cmp.Compare(a.Index, b.Index) })
	return fmt.Sprintf("%d entries from %d to %d", len(logs), first.Index, last.Index)
}

func uint64Bytes(v uint64) []byte { return binary.BigEndian.AppendUint64(nil, v) }

// isAny reports whether err is one of targets.
func isAny(err error, targets ...error) bool {
	return slices.ContainsFunc(targets, func(target error) bool { return errors.Is(err, target) })
}
