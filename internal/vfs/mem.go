package vfs

import (
	"errors"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
)

// ErrCrashed is matched by every error of a [Mem] whose power was cut.
var ErrCrashed = errors.New("vfs: the power is cut")

// Mem is a file system in memory that knows what is durable, so that it can be looked at as it would be after a
// power cut:
//
//   - What the calls of [FS] and [File] made durable is there.
//   - Sizes that were set and not synced are kept up to one of them; a file has no content beyond its size.
//   - Each name that was made, changed or removed and not synced is there as before or as after. What was done to a
//     name depends on what was done to it before.
//   - Of a call that was cut in the middle any part may have happened: of a WriteBlocks any sectors. The same holds
//     for one that failed, until the blocks are written again; a Sync does not help.
//
// The seed of [Mem.Crash] chooses. Every call that changes something goes through the hook first, which may
// make it fail, or cut the power.
//
// Copies are cheap: only what is changed afterwards is copied, and neither holes nor zeros take memory.
type Mem struct {
	mu       sync.Mutex
	dirs     map[string]*memDir
	locks    map[*node]*memLock
	hook     func(*Call) error
	failed   error // what every call returns, nil while all is well
	capacity int64 // in bytes; 0 is no limit
	used     int64 // bytes allocated to files that have a name or are open

	noFolderLocks bool
}

type memDir struct {
	names map[string]*node // as every call sees them

	// pending is how names differs from durable, in order. Without any, durable is not looked at.
	pending []nameChange
	durable map[string]*node

	unsynced bool // the name of the folder itself may be lost

	moves []dirMove // of folders in this one, that are not durable, in order

	lock *memFolderLock // nil when nobody has it
}

// nameChange gives the file the name to, "" for none, where it had the name from, "" for none.
type nameChange struct {
	from, to string
	node     *node
}

func (c nameChange) apply(names map[string]*node) {
	delete(names, c.from)
	if c.to != "" {
		names[c.to] = c.node
	}
}

func (d *memDir) change(c nameChange) {
	if len(d.pending) == 0 {
		d.durable = maps.Clone(d.names)
	}
	d.pending = append(d.pending, c)
	c.apply(d.names)
}

func (d *memDir) sync() { d.pending, d.durable, d.moves = nil, nil, nil }

// crash returns the names that are there after a power cut.
func (d *memDir) crash(rng *rand.Rand) map[string]*node {
	if len(d.pending) == 0 {
		return d.names
	}
	names := maps.Clone(d.durable)
	keep := choose(rng, len(d.pending))
	lost := map[string]bool{"": false} // names to which something did not happen
	for i, c := range d.pending {
		if lost[c.from] || lost[c.to] || !keep(i) {
			lost[c.from], lost[c.to] = c.from != "", c.to != ""
			continue
		}
		c.apply(names)
	}
	return names
}

// NewMem returns an empty file system. The folders "/" and "." are there.
func NewMem() *Mem {
	m := &Mem{dirs: make(map[string]*memDir), locks: make(map[*node]*memLock)}
	for _, dir := range []string{string(filepath.Separator), "."} {
		m.dirs[dir] = &memDir{names: make(map[string]*node)}
	}
	return m
}

// Call is a call that changes something, before it is made.
type Call struct {
	Op   Op
	Path string // of an open file the path it was opened by
	To   string // the new path of a Rename
	Off  int64  // of a write and an allocation; the size of a Truncate
	Len  int64  // of a write and an allocation

	m *Mem

	// apply makes the call. Where cut is set, nothing of it is durable.
	apply func(m *Mem, at cloner, cut bool) error
}

// Cut returns a copy of the file system that the call is made on, whose power is cut during the call. Its Crash
// shows what there may be afterwards. For use in the hook: the file system itself goes on.
func (c *Call) Cut() *Mem {
	c.m.mu.Lock()
	defer c.m.mu.Unlock()
	out, at := c.m.clone()
	_ = c.apply(out, at, true) // a call that is refused changes nothing
	out.failed = ErrCrashed
	return out
}

// SetHook has hook called before each call that changes something, which is not made when hook returns an error. There are
// two special ones: ErrCrashed makes the call and cuts the power during it, and one of Late makes the call
// without anything of it being durable, and then fails it. hook may be called by several goroutines at once; it may
// use m, but nothing that calls it again.
func (m *Mem) SetHook(hook func(*Call) error) {
	m.mu.Lock()
	m.hook = hook
	m.mu.Unlock()
}

// SetCapacity limits the bytes that are allocated; 0 is no limit.
func (m *Mem) SetCapacity(n int64) {
	m.mu.Lock()
	m.capacity = n
	m.mu.Unlock()
}

// Fail has every later call fail with err.
func (m *Mem) Fail(err error) {
	m.mu.Lock()
	m.failed = err
	m.mu.Unlock()
}

// do makes a call that changes something.
func (m *Mem) do(c Call) error {
	m.mu.Lock()
	err, hook := m.failed, m.hook
	m.mu.Unlock()
	if err == nil && hook != nil {
		c.m = m
		err = hook(&c)
	}
	late, isLate := errors.AsType[*lateError](err)
	crashed := errors.Is(err, ErrCrashed)
	if err != nil && !isLate && !crashed {
		return c.wrap(err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.failed != nil {
		return c.wrap(m.failed)
	}
	err = c.apply(m, nil, isLate || crashed)
	if crashed {
		m.failed = ErrCrashed
		return c.wrap(ErrCrashed)
	}
	if isLate && err == nil {
		err = late.err
	}
	return c.wrap(err)
}

func (c *Call) wrap(err error) error { return wrap(c.Op, c.Path, err) }

// wrap gives an error the call and the path, as package os does.
func wrap(op Op, path string, err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: op.String(), Path: path, Err: err}
}

// MkdirAll implements FS.
func (m *Mem) MkdirAll(dir string) error {
	return m.do(Call{Op: OpMkdirAll, Path: dir, apply: func(m *Mem, _ cloner, cut bool) error {
		return m.mkdirAll(dir, cut)
	}})
}

func (m *Mem) mkdirAll(dir string, cut bool) error {
	dir = filepath.Clean(dir)
	for whole := dir; ; dir = filepath.Dir(dir) {
		if _, err := m.lookup(dir); err == nil {
			return syscall.ENOTDIR
		}
		d := m.dirs[dir]
		if parent := m.dirs[filepath.Dir(dir)]; parent != nil && !cut && (d == nil || dir == whole) {
			parent.moves = nil // it is synced
		}
		if d == nil {
			d = &memDir{names: make(map[string]*node), unsynced: true}
			m.dirs[dir] = d
		}
		d.unsynced = d.unsynced && cut
		if dir == filepath.Dir(dir) {
			return nil
		}
	}
}

// List implements FS.
func (m *Mem) List(dir string) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.failed != nil {
		return nil, wrap(OpList, dir, m.failed)
	}
	dir = filepath.Clean(dir)
	d := m.dirs[dir]
	if d == nil {
		_, err := m.lookup(dir)
		if err == nil {
			err = ErrNotDir
		}
		return nil, wrap(OpList, dir, err)
	}
	names := slices.Collect(maps.Keys(d.names))
	for sub := range m.dirs {
		if sub != dir && filepath.Dir(sub) == dir {
			names = append(names, filepath.Base(sub))
		}
	}
	slices.Sort(names)
	return names, nil
}

// lookup returns the file at path.
func (m *Mem) lookup(path string) (*node, error) {
	path = filepath.Clean(path)
	if m.dirs[path] != nil {
		return nil, syscall.EISDIR
	}
	if d := m.dirs[filepath.Dir(path)]; d != nil {
		if n := d.names[filepath.Base(path)]; n != nil {
			return n, nil
		}
	}
	return nil, fs.ErrNotExist
}

// Create implements FS.
func (m *Mem) Create(path string) (File, error) {
	var f *memFile
	err := m.do(Call{Op: OpCreate, Path: path, apply: func(m *Mem, _ cloner, _ bool) error {
		n, err := m.create(path)
		if err == nil {
			f = m.open(path, n, true)
		}
		return err
	}})
	if err == nil {
		return f, nil
	}
	if f != nil {
		_ = f.Close() // made, and then failed by the hook
	}
	return nil, err
}

func (m *Mem) create(path string) (*node, error) {
	if _, err := m.lookup(path); err != fs.ErrNotExist {
		return nil, fs.ErrExist
	}
	d := m.dirs[filepath.Dir(filepath.Clean(path))]
	if d == nil {
		return nil, fs.ErrNotExist
	}
	n := &node{links: 1}
	d.change(nameChange{to: filepath.Base(path), node: n})
	return n, nil
}

// Open implements FS.
func (m *Mem) Open(path string) (File, error) { return m.openPath(OpOpen, path) }

// OpenRead implements FS.
func (m *Mem) OpenRead(path string) (File, error) { return m.openPath(OpOpenRead, path) }

func (m *Mem) openPath(op Op, path string) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.failed != nil {
		return nil, wrap(op, path, m.failed)
	}
	n, err := m.lookup(path)
	if err != nil {
		return nil, wrap(op, path, err)
	}
	return m.open(path, n, op == OpOpen), nil
}

func (m *Mem) open(path string, n *node, writable bool) *memFile {
	n.opens++
	return &memFile{m: m, path: path, node: n, writable: writable}
}

// Rename implements FS.
func (m *Mem) Rename(from, to string) error {
	return m.do(Call{Op: OpRename, Path: from, To: to, apply: func(m *Mem, _ cloner, _ bool) error {
		return m.rename(filepath.Clean(from), filepath.Clean(to))
	}})
}

func (m *Mem) rename(from, to string) error {
	if filepath.Dir(from) != filepath.Dir(to) {
		return syscall.EXDEV
	}
	if m.dirs[from] != nil {
		return m.renameDir(from, to)
	}
	n, err := m.lookup(from)
	if err != nil || from == to {
		return err
	}
	replaced, err := m.lookup(to)
	if err != nil && err != fs.ErrNotExist {
		return err
	}
	m.dirs[filepath.Dir(from)].change(nameChange{filepath.Base(from), filepath.Base(to), n})
	if replaced != nil {
		m.unlink(replaced)
	}
	return nil
}

// Place implements FS. There are no links.
func (m *Mem) Place(path string) string { return filepath.Clean(path) }

// DiskUsage implements FS.
func (m *Mem) DiskUsage(path string) (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.lookup(path)
	if err != nil {
		return 0, wrap(OpSize, path, err)
	}
	return n.now.blocks * BlockBytes, nil
}

// Remove implements FS.
func (m *Mem) Remove(path string) error {
	return m.do(Call{Op: OpRemove, Path: path, apply: func(m *Mem, _ cloner, _ bool) error {
		if m.dirs[filepath.Clean(path)] != nil {
			return m.removeDir(filepath.Clean(path))
		}
		n, err := m.lookup(path)
		if err != nil {
			return err
		}
		path := filepath.Clean(path)
		m.dirs[filepath.Dir(path)].change(nameChange{from: filepath.Base(path), node: n})
		m.unlink(n)
		return nil
	}})
}

// unlink takes a file's name. Its space is free when nobody has it open either.
func (m *Mem) unlink(n *node) {
	n.links--
	m.release(n)
}

func (m *Mem) release(n *node) {
	if n.links == 0 && n.opens == 0 {
		m.used -= n.now.blocks * BlockBytes
	}
}

// SyncDir implements FS.
func (m *Mem) SyncDir(dir string) error {
	return m.do(Call{Op: OpSyncDir, Path: dir, apply: func(m *Mem, _ cloner, cut bool) error {
		d := m.dirs[filepath.Clean(dir)]
		if d == nil {
			return fs.ErrNotExist
		}
		if !cut {
			d.sync()
		}
		return nil
	}})
}

// Lock implements FS. The name of the lock file is not durable, and the hook is not asked.
func (m *Mem) Lock(path string) (io.Closer, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.failed != nil {
		return nil, wrap(OpLock, path, m.failed)
	}
	n, err := m.lookup(path)
	if err == fs.ErrNotExist {
		n, err = m.create(path)
	}
	if err == nil && m.locks[n] != nil {
		err = ErrLocked
	}
	if err != nil {
		return nil, wrap(OpLock, path, err)
	}
	m.locks[n] = &memLock{m: m, node: n}
	return m.locks[n], nil
}

type memLock struct {
	m       *Mem
	node    *node // nil when it was let go
	vouched bool
}

// Close lets go of the lock, also when the power is cut: there is nobody who could hold it.
func (l *memLock) Close() error {
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	delete(l.m.locks, l.node)
	l.node = nil
	return nil
}

// reserve refuses blocks when there is no space for them.
func (m *Mem) reserve(blocks int64) error {
	if m.capacity > 0 && blocks > 0 && m.used+blocks*BlockBytes > m.capacity {
		return syscall.ENOSPC
	}
	return nil
}

// Crash returns the file system as it may be after a power cut at this moment, or, where the power was cut during a
// call, after that. Everything in it is durable; nothing is open or locked, and there is no hook. m is left as it
// is.
func (m *Mem) Crash(seed uint64) *Mem {
	m.mu.Lock()
	defer m.mu.Unlock()
	rng := rand.New(rand.NewPCG(seed, 0))
	out := NewMem()
	out.capacity = m.capacity
	after := make(map[*node]*node) // by what they are here: a file may have several names
	for _, dir := range slices.Sorted(maps.Keys(m.dirs)) {
		d := m.dirs[dir]
		lost := d.unsynced && rng.IntN(2) == 0
		if out.dirs[filepath.Dir(dir)] == nil || lost {
			continue // with all that is in it: folders come behind the ones that they are in
		}
		names := d.crash(rng)
		survivors := make(map[string]*node, len(names))
		for _, name := range slices.Sorted(maps.Keys(names)) {
			n := after[names[name]]
			if n == nil {
				n = names[name].crash(rng)
				after[names[name]] = n
				out.used += n.now.blocks * BlockBytes
			} else {
				n.links++
			}
			survivors[name] = n
		}
		out.dirs[dir] = &memDir{names: survivors}
	}
	m.crashMoves(out, rng)
	return out
}

// Clone returns a copy with all that is not durable yet, where nothing is open or locked, and without a hook.
func (m *Mem) Clone() *Mem {
	m.mu.Lock()
	defer m.mu.Unlock()
	out, _ := m.clone()
	return out
}

// cloner finds the files of a clone by the ones of the original. A nil cloner is the original's own.
type cloner map[*node]*node

func (c cloner) node(n *node) *node {
	if c == nil {
		return n
	}
	if c[n] == nil {
		c[n] = n.clone()
	}
	return c[n]
}

func (c cloner) names(names map[string]*node) map[string]*node {
	out := make(map[string]*node, len(names))
	for name, n := range names {
		out[name] = c.node(n)
	}
	return out
}

func (m *Mem) clone() (*Mem, cloner) {
	out := NewMem()
	out.capacity, out.failed = m.capacity, m.failed
	at := make(cloner)
	for dir, d := range m.dirs {
		to := &memDir{names: at.names(d.names), unsynced: d.unsynced, moves: slices.Clone(d.moves)}
		if len(d.pending) > 0 {
			to.durable = at.names(d.durable)
		}
		for _, c := range d.pending {
			c.node = at.node(c.node)
			to.pending = append(to.pending, c)
		}
		out.dirs[dir] = to
	}
	for _, n := range at {
		if n.links > 0 {
			out.used += n.now.blocks * BlockBytes
		}
	}
	return out, at
}

// Usage returns how many bytes are allocated: whole blocks, without the holes, of all files that have a name or
// are open.
func (m *Mem) Usage() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.used
}

// Files returns the paths of all files, in ascending order.
func (m *Mem) Files() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var paths []string
	for dir, d := range m.dirs {
		for name := range d.names {
			paths = append(paths, filepath.Join(dir, name))
		}
	}
	slices.SortFunc(paths, strings.Compare)
	return paths
}

// ReadFile returns the content of a file, nil when it is not there.
func (m *Mem) ReadFile(path string) []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.lookup(path)
	if err != nil {
		return nil
	}
	b := make([]byte, n.now.size)
	_, _ = n.now.readAt(b, 0) // is as long as b
	return b
}
