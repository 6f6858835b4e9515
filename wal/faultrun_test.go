package wal

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"text/tabwriter"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/oracle"
	"github.com/raft-ballast/ballast/internal/vfs"
)

// faultKind is a way in which calls fail.
type faultKind struct {
	name  string
	cause error // what the caller is told
	how   error // what a rule returns for it

	torn    bool // the call is made, nothing of it is durable, and then it fails
	forever bool // and so is every later call of the same operation
	all     bool // and of any other: the disk is gone
}

var faultKinds = []faultKind{
	{name: "EIO", cause: syscall.EIO, how: syscall.EIO},
	{name: "EIO late", cause: syscall.EIO, how: vfs.Late(syscall.EIO)},
	{name: "EIO torn", cause: syscall.EIO, how: vfs.Late(syscall.EIO), torn: true},
	{name: "EIO short", cause: syscall.EIO, how: vfs.Short(syscall.EIO)},
	{name: "ENOSPC", cause: syscall.ENOSPC, how: syscall.ENOSPC},
	{name: "ENOSPC late", cause: syscall.ENOSPC, how: vfs.Late(syscall.ENOSPC)},
	{name: "ENOSPC torn", cause: syscall.ENOSPC, how: vfs.Late(syscall.ENOSPC), torn: true},
	{name: "ENOSPC short", cause: syscall.ENOSPC, how: vfs.Short(syscall.ENOSPC)},
	{name: "EDQUOT", cause: syscall.EDQUOT, how: syscall.EDQUOT},
	{name: "EIO from then on", cause: syscall.EIO, how: syscall.EIO, forever: true},
	{name: "EIO torn from then on", cause: syscall.EIO, how: vfs.Late(syscall.EIO), torn: true, forever: true},
	{name: "ENOSPC from then on", cause: syscall.ENOSPC, how: syscall.ENOSPC, forever: true},
	{name: "the disk is gone", cause: syscall.EIO, how: syscall.EIO, forever: true, all: true},
}

func faultKindOf(name string) faultKind {
	return faultKinds[slices.IndexFunc(faultKinds, func(k faultKind) bool { return k.name == name })]
}

// faultPlan makes calls of a file system fail, from the k-th on. It may be asked by several goroutines.
type faultPlan struct {
	kind faultKind
	only *vfs.Op // count calls of this one only; nil counts all
	k    int

	mu     sync.Mutex
	n      int // calls that count
	begun  bool
	op     vfs.Op // of the first call that failed
	what   string
	fired  map[vfs.Op]int
	lifted bool // nothing fails any more
	reads  bool // reading does not

	torn map[string]int // calls that were let through, to fail in Mem, by operation and path
}

var readOps = []vfs.Op{vfs.OpRead, vfs.OpOpenRead, vfs.OpSize, vfs.OpList}

// rule is the one of vfs.Faults.
func (p *faultPlan) rule(op vfs.Op, path string, _ int) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.lifted {
		return nil
	}
	if p.only == nil || *p.only == op {
		p.n++
	}
	switch {
	case !p.begun && p.n == p.k:
		p.begun, p.op, p.what = true, op, fmt.Sprintf("%v of %s", op, path)
	case p.begun && p.kind.forever && (p.kind.all || op == p.op) && !(p.reads && slices.Contains(readOps, op)):
	default:
		return nil
	}
	p.fired[op]++
	if p.kind.torn && changes(op) {
		p.torn[op.String()+path]++
		return nil
	}
	return p.kind.how
}

// changes reports whether Mem can make an operation that fails.
func changes(op vfs.Op) bool {
	switch op {
	case vfs.OpCreate, vfs.OpRename, vfs.OpRemove, vfs.OpSyncDir, vfs.OpWrite, vfs.OpAllocate, vfs.OpTruncate, vfs.OpSync, vfs.OpMkdirAll:
		return true
	}
	return false
}

// hook is the one of vfs.Mem.
func (p *faultPlan) hook(c *vfs.Call) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if key := c.Op.String() + c.Path; p.torn[key] > 0 {
		p.torn[key]--
		return p.kind.how
	}
	return nil
}

// firing reports whether calls may fail, or have.
func (p *faultPlan) started() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.begun
}

func (p *faultPlan) lift() {
	p.mu.Lock()
	p.lifted = true
	p.mu.Unlock()
}

func (p *faultPlan) liftReads() {
	p.mu.Lock()
	p.reads = true
	p.mu.Unlock()
}

// faultCounts are the outcomes of many runs.
type faultCounts struct {
	mu    sync.Mutex
	runs  int
	fired map[string]map[vfs.Op]int // by kind
	seen  map[string]int
}

func newFaultCounts() *faultCounts {
	return &faultCounts{fired: make(map[string]map[vfs.Op]int), seen: make(map[string]int)}
}

func (c *faultCounts) add(what string, n int) {
	c.mu.Lock()
	c.seen[what] += n
	c.mu.Unlock()
}

// done adds a run.
func (c *faultCounts) done(p *faultPlan) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.runs++
	if c.fired[p.kind.name] == nil {
		c.fired[p.kind.name] = make(map[vfs.Op]int)
	}
	for op, n := range p.fired {
		c.fired[p.kind.name][op] += n
	}
}

// faultOutcomes are what runs count, in the order in which they are printed.
var faultOutcomes = []string{
	"calls of a store", "calls of a file system", "calls refused, and made again", "engines failed", "openings failed",
	"closings failed", "opened again", "power cuts", "with the call that failed", "without it",
}

func (c *faultCounts) print(t *testing.T) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	ops := make(map[vfs.Op]bool)
	for _, fired := range c.fired {
		for op := range fired {
			ops[op] = true
		}
	}
	sorted := slices.Sorted(maps.Keys(ops))
	fmt.Fprint(w, "faults\t")
	for _, op := range sorted {
		fmt.Fprintf(w, "%v\t", op)
	}
	fmt.Fprintln(w)
	for _, kind := range faultKinds {
		if c.fired[kind.name] == nil {
			continue
		}
		fmt.Fprintf(w, "%s\t", kind.name)
		for _, op := range sorted {
			fmt.Fprintf(w, "%d\t", c.fired[kind.name][op])
		}
		fmt.Fprintln(w)
	}
	_ = w.Flush() // into memory
	fmt.Fprintf(&b, "%9d runs\n", c.runs)
	for _, what := range faultOutcomes {
		fmt.Fprintf(&b, "%9d %s\n", c.seen[what], what)
	}
	t.Logf("\n%s", b.String())
}

// faultRun makes calls that a seed chooses on a log whose file system fails by a plan, and looks after each what is there.
type faultRun struct {
	t      *testing.T
	seed   uint64
	plan   *faultPlan
	mem    *vfs.Mem
	doubt  *doubtFS
	faults *vfs.Faults
	files  *countingFS
	opts   *Options
	rng    *rand.Rand
	work   oracle.Workload
	store  *Store
	model  *model
	calls  uint64
	counts *faultCounts
}

func newFaultRun(t *testing.T, kind faultKind, seed uint64, counts *faultCounts) *faultRun {
	mem := vfs.NewMem()
	r := &faultRun{t: t, seed: seed, mem: mem, faults: vfs.NewFaults(mem), rng: oracle.Random(seed), model: oracle.NewModel(), counts: counts,
		work: oracle.Workload{Seed: seed, MaxBytes: 120 << 10},
		plan: &faultPlan{kind: kind, fired: make(map[vfs.Op]int), torn: make(map[string]int)}}
	r.doubt = newDoubtFS(r.faults, mem)
	r.files = &countingFS{FS: r.doubt}
	r.opts = memOptions(r.files)
	r.opts.Compression = Compression(seed % 3)
	mem.SetHook(r.plan.hook)
	r.faults.SetRule(r.plan.rule)
	return r
}

// fatal ends the test and says which run that was.
func (r *faultRun) fatal(format string, args ...any) {
	r.t.Helper()
	r.plan.mu.Lock()
	defer r.plan.mu.Unlock()
	r.t.Fatalf("%s, seed %d, k %d (%s), after %d calls: %s", r.plan.kind.name, r.seed, r.plan.k, r.plan.what, r.calls, fmt.Sprintf(format, args...))
}

func (r *faultRun) must(err error) {
	r.t.Helper()
	if err != nil {
		r.fatal("%v", err)
	}
}

// run makes n calls and reports whether anything has failed.
func (r *faultRun) run(n int) bool {
	r.t.Helper()
	r.open(r.model)
	for range n {
		switch r.rng.IntN(16) {
		case 0:
			r.close()
			r.open(r.model)
		case 1:
			r.cut()
		case 2, 3:
			r.read()
		}
		r.call()
	}
	r.close()
	r.plan.lift()
	r.open(r.model)
	r.cut()
	r.close()
	r.counts.add("calls of a store", int(r.calls))
	r.counts.add("calls of a file system", r.faults.Count())
	r.counts.done(r.plan)
	return r.plan.started()
}

// open opens the log, again when the fault comes into it, and expects one of the models.
func (r *faultRun) open(models ...*model) {
	r.t.Helper()
	s, err := Open(dataDir, r.opts)
	for tries := 1; err != nil; tries++ {
		r.counts.add("openings failed", 1)
		r.refusal(err)
		if r.files.open.Load() != 0 {
			r.fatal("%d files are open after an Open that failed: %v", r.files.open.Load(), err)
		}
		if tries == 2 {
			r.plan.lift()
		}
		if tries == 3 {
			r.fatal("nothing fails any more, and yet Open: %v", err)
		}
		s, err = Open(dataDir, r.opts)
	}
	r.store = s
	r.counts.add("opened again", 1)
	r.adopt(models...)
	r.sound()
}

// refusal expects that an error is the fault, and nothing else.
func (r *faultRun) refusal(err error) {
	r.t.Helper()
	if !r.plan.started() || !errors.Is(err, r.plan.kind.cause) || errors.Is(err, ballast.ErrCorrupt) || errors.Is(err, ballast.ErrForeign) {
		r.fatal("the error should be the fault: %v", err)
	}
}

// adopt takes the model that the store is like. Where reading meets the fault, it does so without it.
func (r *faultRun) adopt(models ...*model) {
	r.t.Helper()
	got, err := readAll(r.store)
	if err != nil {
		r.refusal(err)
		r.plan.liftReads()
		if got, err = readAll(r.store); err != nil && r.plan.started() && errors.Is(err, r.plan.kind.cause) {
			got, err = readAll(r.store) // a fault that comes once came in the second reading
		}
	}
	r.must(err)
	for i, m := range models {
		if err = m.Diff(got); err == nil {
			r.model = m
			if len(models) == 2 {
				r.counts.add([]string{"without it", "with the call that failed"}[i], 1)
			}
			return
		}
	}
	r.fatal("%v", err)
}

func (r *faultRun) sound() {
	r.t.Helper()
	if r.store.j.failed.Err() == nil {
		r.must(r.doubt.sound(r.store.j))
	}
}

// call makes the next call of the workload.
func (r *faultRun) call() {
	r.t.Helper()
	c := r.work.Call(r.calls, r.model)
	r.calls++
	before, after := r.model, r.model.Clone()
	c.Apply(after)
	err := c.Do(r.store)
	if err == nil {
		r.model = after
		r.sound()
		return
	}
	r.refusal(err)
	if vfs.IsNoSpace(r.plan.kind.cause) && r.store.j.failed.Err() == nil && !errors.Is(err, ballast.ErrNoSpace) {
		r.fatal("a want of space: %v", err)
	}
	r.through(before)
	r.adopt(before)
	if r.store.j.failed.Err() != nil {
		r.counts.add("engines failed", 1)
		r.failed(c, err, before, after)
	} else {
		r.counts.add("calls refused, and made again", 1)
		r.plan.lift()
	}
	c.Commit = 0 // the staged one was used up
	after = r.model.Clone()
	c.Apply(after)
	r.must(c.Do(r.store))
	r.adopt(after)
	r.sound()
}

// failed is what follows when a call has failed the engine: it says so to every later one, also when nothing fails any more.
func (r *faultRun) failed(c oracle.Call, first error, before, after *model) {
	r.t.Helper()
	for range 2 {
		for _, again := range []error{
			c.Do(r.store), r.store.Set([]byte("vote"), nil), r.store.DeleteRange(1, 2), r.store.StoreLog(oracle.EntryOf(before.Last()+1, nil)),
		} {
			// The first call has the cause itself, or what failed before it in the background.
			if again == nil || !strings.HasSuffix(again.Error(), cause(first)) {
				r.fatal("the first cause is %v, a later write returns %v", first, again)
			}
		}
		r.plan.lift()
	}
	r.adopt(before)
	r.close()
	r.open(before, after)
	cut := r.mem.Crash(r.rng.Uint64())
	checkReopened(r.t, r.model, cut) // what was found stays
}

// cause returns what an error says behind the words for a later call.
func cause(err error) string {
	text := err.Error()
	if _, behind, found := strings.Cut(text, "until it is opened again: "); found {
		return behind
	}
	return text
}

// through reads with the fault still there: each entry comes back right, or with the fault.
func (r *faultRun) through(m *model) {
	r.t.Helper()
	indexes := m.Indexes()
	for range min(len(indexes), 5) {
		index := indexes[r.rng.IntN(len(indexes))]
		var got raft.Log
		if err := r.store.GetLog(index, &got); err != nil {
			r.refusal(err)
		} else {
			r.must(oracle.DiffEntry(m.Logs[index], &got))
		}
	}
	for _, index := range []uint64{m.Last() + 1, m.Last() + 100} {
		if err := r.store.GetLog(index, new(raft.Log)); err != raft.ErrLogNotFound {
			r.fatal("GetLog(%d), which is not there: %v", index, err)
		}
	}
}

func (r *faultRun) read() {
	r.t.Helper()
	r.through(r.model)
	r.adopt(r.model)
}

// close closes the log. With the fault in it that may fail; it lets go of everything, and nothing is lost.
func (r *faultRun) close() {
	r.t.Helper()
	wasFailed := r.store.j.failed.Err() != nil
	if err := r.store.Close(); err != nil {
		r.counts.add("closings failed", 1)
		if !wasFailed {
			r.refusal(err)
		}
	}
	if r.files.open.Load() != 0 {
		r.fatal("%d files are open after Close", r.files.open.Load())
	}
}

// cut opens what a power cut would leave.
func (r *faultRun) cut() {
	r.t.Helper()
	r.counts.add("power cuts", 1)
	checkReopened(r.t, r.model, r.mem.Crash(r.rng.Uint64()))
}
