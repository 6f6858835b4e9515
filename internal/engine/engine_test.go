package engine

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast"
)

func TestGate(t *testing.T) {
	var g Gate
	for range 2 {
		if err := g.Enter(); err != nil {
			t.Fatalf("Enter of an open gate: %v", err)
		}
	}
	g.Leave()
	g.Leave()
	if !g.Close() {
		t.Error("the first Close did not close it")
	}
	if g.Close() {
		t.Error("the second Close says that it closed it")
	}
	if err := g.Enter(); err != ballast.ErrClosed {
		t.Errorf("Enter of a closed gate: %v, want ErrClosed itself", err)
	}
	if g.Close() {
		t.Error("a refused Enter left something behind") // or Close would wait for it for ever
	}
}

// Close waits for who is inside. Who comes while it waits, waits too and is refused.
func TestGateCloseWaits(t *testing.T) {
	var g Gate
	if err := g.Enter(); err != nil {
		t.Fatal(err)
	}
	closed := make(chan bool, 1)
	go func() { closed <- g.Close() }()
	for g.mu.TryRLock() { // until Close is waiting: then nobody gets the lock
		g.mu.RUnlock()
		runtime.Gosched()
	}
	late := make(chan error, 1)
	go func() { late <- g.Enter() }()
	select {
	case <-closed:
		t.Fatal("Close returned while a call was inside")
	case err := <-late:
		t.Fatalf("Enter returned %v while Close was waiting", err)
	default:
	}
	g.Leave()
	if !<-closed {
		t.Error("Close says that somebody else closed the gate")
	}
	if err := <-late; err != ballast.ErrClosed {
		t.Errorf("Enter after Close: %v", err)
	}
}

// However many close it at once while calls come and go, one of them has closed it, and afterwards nobody
// is inside.
func TestGateManyClosers(t *testing.T) {
	var (
		g               Gate
		wg              sync.WaitGroup
		closers, inside counter
	)
	for range 8 {
		wg.Go(func() {
			for g.Enter() == nil {
				inside.add(1)
				runtime.Gosched()
				inside.add(-1)
				g.Leave()
			}
		})
		wg.Go(func() {
			runtime.Gosched()
			if g.Close() {
				closers.add(1)
			}
			if n := inside.get(); n != 0 {
				t.Errorf("%d calls are inside a closed gate", n)
			}
		})
	}
	wg.Wait()
	if n := closers.get(); n != 1 {
		t.Errorf("%d calls closed the gate", n)
	}
}

type counter struct {
	mu sync.Mutex
	n  int
}

func (c *counter) add(d int) {
	c.mu.Lock()
	c.n += d
	c.mu.Unlock()
}

func (c *counter) get() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n
}

func TestLatch(t *testing.T) {
	var l Latch
	if err := l.Err(); err != nil {
		t.Fatalf("a new latch holds %v", err)
	}
	first, second := errors.New("first"), errors.New("second")
	if err := l.Fail(first); err != first {
		t.Errorf("Fail = %v, want the error itself", err)
	}
	if err := l.Fail(second); err != first {
		t.Errorf("the second Fail = %v, want the first error", err)
	}
	err := l.Err()
	if !errors.Is(err, first) || errors.Is(err, second) || !strings.Contains(err.Error(), "opened again: first") {
		t.Errorf("Err = %v", err)
	}
}

// Everybody who fails at once is told the same cause.
func TestLatchConcurrent(t *testing.T) {
	var (
		l    Latch
		wg   sync.WaitGroup
		told [16]error
	)
	for i := range told {
		wg.Go(func() { told[i] = l.Fail(fmt.Errorf("failure %d", i)) })
	}
	wg.Wait()
	for i, err := range told {
		if err != told[0] || !errors.Is(l.Err(), err) {
			t.Errorf("caller %d was told %v, caller 0 %v, later ones %v", i, err, told[0], l.Err())
		}
	}
}

func TestCommitStage(t *testing.T) {
	const none = math.MaxUint64 // nothing is staged
	for _, tc := range []struct {
		name                        string
		staged, current, last, want uint64
	}{
		{"nothing is staged", none, 3, 9, 3},
		{"nothing is staged, nothing is known", none, 0, 9, 0},
		{"staged", 5, 3, 9, 5},
		{"staged at the end", 9, 3, 9, 9},
		{"staged above the end", 12, 3, 9, 9},
		{"staged lower than before", 2, 3, 9, 2},
		{"zero is staged", 0, 3, 9, 0},
		{"nothing is staged and the log is shorter than the current one", none, 8, 5, 5},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var c CommitStage
			if tc.staged != none {
				c.Stage(1_000_000) // is replaced
				c.Stage(tc.staged)
			}
			if got := c.Take(tc.current, tc.last); got != tc.want {
				t.Errorf("Take = %d, want %d", got, tc.want)
			}
			if got := c.Take(7, 100); got != 7 {
				t.Errorf("the second Take = %d: the first did not use up what was staged", got)
			}
		})
	}
}

func TestCheckBatch(t *testing.T) {
	sized := func(index uint64, data, extensions int) *raft.Log {
		return &raft.Log{Index: index, Data: make([]byte, data), Extensions: make([]byte, extensions)}
	}
	for _, tc := range []struct {
		name string
		logs []*raft.Log
		want string // part of the error; "" for none
		is   error
	}{
		{"no batch", nil, "", nil},
		{"an empty entry", []*raft.Log{{Index: 1}}, "", nil},
		{"at the limit", []*raft.Log{sized(1, 60, 40), sized(2, 100, 0), sized(3, 0, 100)}, "", nil},
		{"above the limit together", []*raft.Log{sized(1, 1, 1), sized(7, 60, 41)}, "entry 7 has 101 bytes, the limit is 100", ballast.ErrEntryTooLarge},
		{"index 0", []*raft.Log{sized(1, 1, 1), sized(0, 1, 1)}, "index of at least 1", ballast.ErrZeroIndex},
		{"index 0 and too large", []*raft.Log{sized(0, 1000, 0)}, "index of at least 1", ballast.ErrZeroIndex},
		{"the highest index", []*raft.Log{{Index: math.MaxUint64}}, "", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := CheckBatch(tc.logs, 100)
			if tc.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if !errors.Is(err, tc.is) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
	err := CheckBatch([]*raft.Log{sized(7, 60, 41)}, 100)
	if tooLarge, ok := errors.AsType[*ballast.EntryTooLargeError](err); !ok || *tooLarge != (ballast.EntryTooLargeError{Index: 7, Bytes: 101, Limit: 100}) {
		t.Errorf("got %+v", err)
	}
}

func TestBounds(t *testing.T) {
	for _, tc := range []struct{ indexes, want []uint64 }{
		{[]uint64{5}, []uint64{5, 5}},
		{[]uint64{5, 6, 7}, []uint64{5, 7}},
		{[]uint64{7, 5, 6}, []uint64{5, 7}},
		{[]uint64{5, math.MaxUint64, 5}, []uint64{5, math.MaxUint64}},
	} {
		var logs []*raft.Log
		for _, index := range tc.indexes {
			logs = append(logs, &raft.Log{Index: index})
		}
		if first, last := Bounds(logs); first != tc.want[0] || last != tc.want[1] {
			t.Errorf("Bounds of %v = %d, %d; want %v", tc.indexes, first, last, tc.want)
		}
	}
}

func TestUint64(t *testing.T) {
	for _, v := range []uint64{0, 1, 255, 256, 1 << 63, math.MaxUint64} {
		b := Uint64Bytes(v)
		if got, err := Uint64([]byte("k"), b); got != v || err != nil || len(b) != 8 {
			t.Errorf("%d became %x, then %d, %v", v, b, got, err)
		}
	}
	if got := Uint64Bytes(0x0102030405060708); !bytes.Equal(got, []byte{1, 2, 3, 4, 5, 6, 7, 8}) {
		t.Errorf("not big-endian: %x", got)
	}
	for _, n := range []int{0, 1, 7, 9, 16} {
		_, err := Uint64([]byte("some key"), make([]byte, n))
		if !errors.Is(err, ballast.ErrNotUint64) || !strings.Contains(err.Error(), fmt.Sprintf(`"some key" holds %d bytes`, n)) {
			t.Errorf("a value of %d bytes: %v", n, err)
		}
	}
	if _, err := Uint64(nil, nil); !errors.Is(err, ballast.ErrNotUint64) {
		t.Errorf("no value at all: %v", err)
	}
}

func TestOverlay(t *testing.T) {
	var o Overlay
	if v := o.Get([]byte("k")); v != nil {
		t.Errorf("an empty overlay has %q", v)
	}
	if keys := o.Keys(); len(keys) != 0 {
		t.Errorf("an empty overlay has the keys %q", keys)
	}
	key, value := []byte("key"), []byte("value")
	o.Set(key, value)
	o.Set([]byte("empty"), []byte{})
	o.Set([]byte("nil"), nil)
	o.Set(nil, []byte("of no key"))
	copy(key, "xxx")
	copy(value, "xxxxx")

	got := o.Get([]byte("key"))
	if string(got) != "value" {
		t.Errorf("the value became %q", got)
	}
	copy(got, "yyyyy")
	for k, want := range map[string]string{"key": "value", "empty": "", "nil": "", "": "of no key"} {
		if v := o.Get([]byte(k)); v == nil || string(v) != want {
			t.Errorf("Get(%q) = %q (nil %v), want %q, not nil", k, v, v == nil, want)
		}
	}
	if v := o.Get([]byte("xxx")); v != nil {
		t.Errorf("the caller's key is shared: %q", v)
	}
	o.Set([]byte("key"), []byte("another"))
	if v := o.Get([]byte("key")); string(v) != "another" {
		t.Errorf("the new value is %q", v)
	}
	all := o.AllKeys([]string{"stored", "key"})
	if !slices.EqualFunc(all, []string{"", "empty", "key", "nil", "stored"}, func(k []byte, want string) bool { return string(k) == want }) {
		t.Errorf("AllKeys = %q", all)
	}
	keys := o.Keys()
	slices.Sort(keys)
	if !slices.Equal(keys, []string{"", "empty", "key", "nil"}) {
		t.Errorf("Keys = %q", keys)
	}
}

// A Close beside another one returns when what the first one ends has ended.
func TestGateCloseWith(t *testing.T) {
	var g Gate
	ending, end := make(chan struct{}), make(chan struct{})
	first, second := make(chan error, 1), make(chan error, 1)
	failure := errors.New("failure")
	go func() {
		first <- g.CloseWith(func() error {
			close(ending)
			<-end
			return failure
		})
	}()
	<-ending
	go func() { second <- g.CloseWith(func() error { return errors.New("ended twice") }) }()
	for range 1000 {
		runtime.Gosched()
	}
	if err := g.Enter(); err != ballast.ErrClosed || len(second) > 0 {
		t.Errorf("while it ends a call gets %v, and %d Closes have returned", err, len(second))
	}
	close(end)
	if err := <-first; err != failure {
		t.Errorf("the first Close returns %v", err)
	}
	if err := <-second; err != nil {
		t.Errorf("the second Close returns %v", err)
	}
}
