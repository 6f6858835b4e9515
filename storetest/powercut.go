package storetest

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/raft-ballast/ballast/internal/oracle"
	"github.com/raft-ballast/ballast/internal/vfs"
)

// cutDir is where the store is in a file system in memory.
const cutDir = "/store"

const (
	// callsPerSeed is how long a store lives until the next seed begins with an empty one.
	callsPerSeed = 60

	// maxIdle is how many seeds may go by for each power cut: some begin and end between two of them, when EveryCall is large.
	maxIdle = 20

	// outcomes is how many outcomes of one power cut are looked at.
	outcomes = 2

	// cutEntryBytes is what bounds Data, so that segments of a MiB are full after some calls.
	cutEntryBytes = 100 << 10
)

// powerCuts goes through one seed after the other, several at once, until the power was cut often enough.
func powerCuts(t *testing.T, open OpenFSFunc, cfg *config) {
	first := max(cfg.seed, 1)
	next := atomic.Uint64{}
	next.Store(first)
	total := &tally{wanted: cfg.crashes, logf: t.Logf}
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for total.more() && next.Load() < first+maxIdle*uint64(1+total.done()) {
				s := newSimulator(open, cfg, next.Add(1)-1)
				err := s.run()
				total.add(&s.tally, err)
			}
		})
	}
	wg.Wait()
	t.Logf("seeds %d to %d: %v", first, next.Load()-1, total)
	if total.err != nil {
		t.Fatal(total.err)
	}
	if total.more() {
		t.Fatal("there was hardly a call to cut the power in: does the store use the file system that it is given?")
	}
}

// tally counts what was gone through.
type tally struct {
	mu     sync.Mutex
	wanted int
	logf   func(format string, args ...any)
	said   int // tenths of wanted
	err    error

	cuts, again, opened, faults int
	byOp                        [vfs.OpClose + 1]int // cuts, by what they came into
}

func (t *tally) more() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.err == nil && t.cuts+t.again < t.wanted
}

// done returns how often the power was cut.
func (t *tally) done() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.cuts + t.again
}

// add adds the tally of one seed, with the error that ended it.
func (t *tally) add(s *tally, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.cuts += s.cuts
	t.again += s.again
	t.opened += s.opened
	t.faults += s.faults
	for op, n := range s.byOp {
		t.byOp[op] += n
	}
	if t.err == nil {
		t.err = err
	}
	if tenths := 10 * (t.cuts + t.again) / t.wanted; tenths > t.said && t.wanted >= 20_000 {
		t.said = tenths
		t.logf("%d of %d power cuts", t.cuts+t.again, t.wanted)
	}
}

func (t *tally) String() string {
	var ops []string
	for op, n := range t.byOp {
		if n > 0 {
			ops = append(ops, fmt.Sprintf("%v %d", vfs.Op(op), n))
		}
	}
	return fmt.Sprintf("%d power cuts (%d in the work: %s; %d in the recovery), %d calls that failed, opened %d times",
		t.cuts+t.again, t.cuts, strings.Join(ops, ", "), t.again, t.faults, t.opened)
}

// simulator makes the calls of one seed and cuts the power during the calls to the file system that they lead to, in copies of
// it. Each copy is opened, and what is found must be what the acknowledged calls made, with all of the call in progress or nothing
// of it.
type simulator struct {
	open OpenFSFunc
	cfg  *config
	load oracle.Workload
	rng  *rand.Rand
	mem  *vfs.Mem

	store Store

	// states[i] is what the store is like after i calls. Those up to acknowledged are certain; a later one is that of a call in
	// progress, or of one that failed.
	mu           sync.Mutex // a store may write in goroutines of its own
	states       []*oracle.Model
	acknowledged int

	// inject is what a call to the file system fails with, when untilFault comes down to 0.
	inject     error
	untilFault int
	fired      bool // it has

	calls uint64 // to the file system, that change something
	tally tally
	err   error // the first failure
}

func newSimulator(open OpenFSFunc, cfg *config, seed uint64) *simulator {
	return &simulator{
		open:   open,
		cfg:    cfg,
		load:   oracle.Workload{Seed: seed, MaxBytes: cmp.Or(cfg.crashEntryBytes, cutEntryBytes), NoGaps: cfg.refusesGaps, NoMiddleDeletes: cfg.refusesMiddleDeletes},
		rng:    oracle.Random(seed),
		mem:    vfs.NewMem(),
		states: []*oracle.Model{oracle.NewModel()},
	}
}

// run returns the first failure.
func (s *simulator) run() error {
	s.mem.SetHook(s.hook)
	err := s.reopen()
	for i := uint64(0); i < callsPerSeed && err == nil && s.failure() == nil; i++ {
		switch s.rng.IntN(20) {
		case 0:
			err = s.reopen()
		case 1:
			err = s.failed(i)
		case 2, 3, 4, 5:
			if s.cfg.twoWriters {
				err = s.callTwo(i)
				break
			}
			fallthrough
		default:
			err = s.call(i)
		}
	}
	s.mem.Fail(vfs.ErrCrashed)
	closeStore(s.store)
	if failure := s.failure(); failure != nil {
		return failure // a call that failed because of it is no other one
	}
	if err != nil {
		return fmt.Errorf("seed %d, call %d to the file system: %w", s.load.Seed, s.calls, err)
	}
	return nil
}

func (s *simulator) failure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// call makes the i-th call.
func (s *simulator) call(i uint64) error {
	if err := do(s.begin(i), s.store); err != nil {
		return err
	}
	s.settle(1)
	return nil
}

// do makes a call. A panic is an error, so that it has the seed.
func do(c oracle.Call, store Store) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%v panicked: %v\n%s", c, p, debug.Stack())
		}
	}()
	if err := c.Do(store); err != nil {
		return fmt.Errorf("%v: %w", c, err)
	}
	return nil
}

// callTwo makes the i-th call and sets a value at the same time, in two goroutines. As long as neither has returned the store may be
// in any of four states.
func (s *simulator) callTwo(i uint64) error {
	c := s.begin(i)
	set := oracle.Call{Key: "set at the same time", Value: oracle.Bytes(s.rng, 50)}
	s.mu.Lock()
	base := s.acknowledged
	onlySet, both := s.states[base].Clone(), s.states[base+1].Clone()
	set.Apply(onlySet)
	set.Apply(both)
	s.states = append(s.states, onlySet, both)
	s.mu.Unlock()
	returned := func(call oracle.Call) error {
		if err := do(call, s.store); err != nil {
			return err
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		// What is certain comes behind what is not any more: first the states without this call, then those with it.
		if only := s.states[base+1 : base+3]; s.acknowledged == base {
			if call.Key != set.Key {
				only[0], only[1] = only[1], only[0]
			}
			s.acknowledged = base + 2
		} else {
			s.acknowledged = base + 3
		}
		return nil
	}
	var first error
	var wg sync.WaitGroup
	wg.Go(func() { first = returned(c) })
	second := returned(set)
	wg.Wait()
	return errors.Join(first, second)
}

// begin says that the i-th call is in progress.
func (s *simulator) begin(i uint64) oracle.Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.states[s.acknowledged]
	c := s.load.Call(i, now)
	after := now.Clone()
	c.Apply(after)
	s.states = append(s.states, after)
	return c
}

// settle says that of the calls in progress n are certain now, and the others never happened.
func (s *simulator) settle(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.acknowledged += n
	s.states = s.states[:s.acknowledged+1]
}

// possible returns what the store may be like, from state number from on.
func (s *simulator) possible(from int) []*oracle.Model {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.states[min(from, len(s.states)-1):])
}

// certain returns the number of the last state that is certain.
func (s *simulator) certain() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.acknowledged
}

func (s *simulator) reopen() (err error) {
	if s.store != nil {
		if err := closeStore(s.store); err != nil {
			return fmt.Errorf("closing: %w", err)
		}
	}
	s.store, err = s.openOn(s.mem)
	return err
}

func (s *simulator) openOn(mem *vfs.Mem) (store Store, err error) {
	s.mu.Lock()
	s.tally.opened++
	s.mu.Unlock()
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("opening panicked: %v\n%s", p, debug.Stack())
		}
	}()
	if store, err = s.open(mem, cutDir); err != nil {
		return nil, fmt.Errorf("opening: %w", err)
	}
	return store, nil
}

// failed makes the i-th call, or none, then closes the store and opens it again, and one call to the file system fails
// meanwhile. When that fails the store's call nobody knows whether it happened, until the store is opened: then it is known for ever.
func (s *simulator) failed(i uint64) error {
	s.mu.Lock()
	s.inject = []error{syscall.EIO, vfs.Late(syscall.EIO), vfs.Late(syscall.EIO), syscall.ENOSPC}[s.rng.IntN(4)]
	s.untilFault = 1 + s.rng.IntN(8)
	s.fired = false
	s.tally.faults++
	s.mu.Unlock()
	if s.rng.IntN(3) > 0 {
		if err := do(s.begin(i), s.store); err == nil {
			s.settle(1) // something else has met the fault, or it comes later
		} else if !s.hasFired() {
			return err
		} else {
			s.afterFailure()
		}
	}
	if err := closeStore(s.store); err != nil && !s.hasFired() {
		return fmt.Errorf("closing: %w", err)
	}
	// This opening, or the next, is without any fault.
	store, err := s.openOn(s.mem)
	if err != nil && !s.hasFired() {
		return err
	}
	s.mu.Lock()
	s.untilFault = 0
	s.mu.Unlock()
	if err == nil {
		if err := s.findAfterFault(store); err != nil {
			return err
		}
		_ = closeStore(store) // it may have met the fault
	}
	if s.store, err = s.openOn(s.mem); err != nil {
		return err
	}
	return s.findAfterFault(s.store)
}

// afterFailure makes one more call behind one that failed. It may fail as well; when it returns nil it is durable, whatever became of the
// other one.
func (s *simulator) afterFailure() {
	set := oracle.Call{Key: "set after a failure", Value: oracle.Bytes(s.rng, 50)}
	s.mu.Lock()
	for _, m := range s.states[s.acknowledged : s.acknowledged+2] {
		m = m.Clone()
		set.Apply(m)
		s.states = append(s.states, m)
	}
	s.mu.Unlock()
	if do(set, s.store) == nil {
		s.mu.Lock()
		s.acknowledged += 2
		s.mu.Unlock()
	}
}

func (s *simulator) hasFired() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fired
}

// findAfterFault finds out whether a call that failed has happened.
func (s *simulator) findAfterFault(store Store) error {
	n, err := oracle.Find(store, s.possible(s.certain())...)
	if err != nil {
		return fmt.Errorf("after a fault: %w", err)
	}
	s.settle(n)
	return nil
}

// hook comes before each call to the file system that changes something.
func (s *simulator) hook(call *vfs.Call) error {
	s.mu.Lock()
	s.calls++
	n := s.calls
	s.mu.Unlock()
	if every := uint64(max(s.cfg.everyCall, 1)); (n+s.load.Seed)%every == 0 {
		if err := s.look(call, n); err != nil {
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.err == nil {
				s.err = fmt.Errorf("seed %d, power cut in call %d to the file system, %s: %w", s.load.Seed, n, describeCall(call), err)
			}
			return vfs.ErrCrashed // ends the run
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.untilFault--; s.untilFault == 0 {
		s.fired = true
		return s.inject
	}
	return nil
}

func describeCall(c *vfs.Call) string {
	switch c.Op {
	case vfs.OpRename:
		return fmt.Sprintf("%v of %s to %s", c.Op, c.Path, c.To)
	case vfs.OpWrite, vfs.OpAllocate:
		return fmt.Sprintf("%v of %d bytes at %d of %s", c.Op, c.Len, c.Off, c.Path)
	}
	return fmt.Sprintf("%v of %s", c.Op, c.Path)
}

// look cuts the power during the n-th call.
func (s *simulator) look(call *vfs.Call, n uint64) error {
	from := s.certain()
	cut := call.Cut()
	may := s.possible(from) // with what has begun meanwhile
	for i := range uint64(outcomes) {
		s.mu.Lock()
		s.tally.cuts++
		s.tally.byOp[call.Op]++
		s.mu.Unlock()
		if err := s.recover(cut, may, (s.load.Seed<<32)+n*outcomes+i); err != nil {
			return fmt.Errorf("outcome %d: %w", i, err)
		}
	}
	return nil
}

// recover opens what a power cut has left, lets the store go on, and cuts the power again in between.
func (s *simulator) recover(cut *vfs.Mem, may []*oracle.Model, seed uint64) error {
	rng := oracle.Random(seed)
	mem := cut.Crash(seed)
	var mu sync.Mutex
	var again []*vfs.Mem
	mem.SetHook(func(call *vfs.Call) error {
		mu.Lock()
		defer mu.Unlock()
		again = append(again, call.Cut())
		return nil
	})
	store, err := s.openOn(mem)
	if err != nil {
		return err
	}
	mem.SetHook(nil)
	n, err := s.goOn(store, mem, may, rng)
	if err != nil || len(again) == 0 {
		return err
	}
	s.mu.Lock()
	s.tally.again++
	s.mu.Unlock()
	i := rng.IntN(len(again))
	mem = again[i].Crash(seed)
	if store, err = s.openOn(mem); err == nil {
		_, err = s.goOn(store, mem, may[n:n+1], rng)
	}
	if err != nil {
		return fmt.Errorf("the power cut again in call %d of %d of the recovery: %w", i+1, len(again), err)
	}
	return nil
}

// goOn compares a store with what it may be like, writes to it, closes it or cuts the power, and expects all of it when it is
// opened again. It returns what was found.
func (s *simulator) goOn(store Store, mem *vfs.Mem, may []*oracle.Model, rng *rand.Rand) (found int, err error) {
	defer func() {
		mem.Fail(vfs.ErrCrashed)
		closeStore(store)
	}()
	if found, err = oracle.Find(store, may...); err != nil {
		return 0, err
	}
	m := may[found].Clone()
	c := oracle.Call{Logs: oracle.Entries(rng, m.Last()+1, 1, rng.IntN(2000))}
	c.Apply(m)
	if err := do(c, store); err != nil {
		return 0, fmt.Errorf("the store was opened after that: %w", err)
	}
	end := "the power was cut once more"
	if rng.IntN(2) == 0 {
		end = "it was closed and the power cut"
		if err := closeStore(store); err != nil {
			return 0, fmt.Errorf("closing: %w", err)
		}
	}
	after := mem.Crash(rng.Uint64())
	again, err := s.openOn(after)
	if err == nil {
		_, err = oracle.Find(again, m)
		after.Fail(vfs.ErrCrashed)
		closeStore(again)
	}
	if err != nil {
		return 0, fmt.Errorf("the store was opened after that, %v was made, %s, and the store opened again: %w", c, end, err)
	}
	return found, nil
}

func closeStore(s Store) error {
	if c, ok := s.(io.Closer); ok {
		return c.Close()
	}
	return nil
}
