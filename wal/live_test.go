package wal

import (
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast/internal/oracle"
	"github.com/raft-ballast/ballast/internal/vfs"
)

var liveTurns = flag.Int("live.turns", 24, "how many logs are read while their writer makes steps between any two calls of the reader")

// pastLog is what a log that is written was at each moment.
type pastLog struct {
	states   []pastState
	versions map[uint64][]pastVersion
	done     int // the state that was acknowledged last; the last one may be in the making
}

type pastState struct{ first, last, term, other uint64 }

// pastVersion is an entry as it was from a state on, to the one before another.
type pastVersion struct {
	version  uint64
	from, to int
}

const forEver = 1 << 60

func newPastLog() *pastLog {
	return &pastLog{states: make([]pastState, 1), versions: make(map[uint64][]pastVersion)}
}

func (p *pastLog) now() pastState { return p.states[len(p.states)-1] }

// begin notes the state that a call leads to, in which entries from low to high are gone, and then
// logs are there.
func (p *pastLog) begin(next pastState, low, high uint64, logs []*raft.Log) {
	at := len(p.states)
	end := func(index uint64) {
		if v := p.versions[index]; len(v) > 0 && v[len(v)-1].to == forEver {
			v[len(v)-1].to = at
		}
	}
	for index := low; index <= high && high > 0; index++ {
		end(index)
	}
	for _, l := range logs {
		end(l.Index)
		p.versions[l.Index] = append(p.versions[l.Index], pastVersion{l.Term, at, forEver})
	}
	p.states = append(p.states, next)
}

// opened returns an error unless a store is as the log was at some moment from a state on.
func (p *pastLog) opened(since int, got pastState) error {
	for _, s := range p.states[since:] {
		if s == got {
			return nil
		}
	}
	return fmt.Errorf("it is %+v; from %+v to %+v it never was", got, p.states[since], p.now())
}

// read returns an error unless what GetLog has returned was so at some moment from a state on.
func (p *pastLog) read(since int, index uint64, l *raft.Log, err error) error {
	present := 0
	for _, v := range p.versions[index] {
		if v.to <= since {
			continue
		}
		present += min(v.to, len(p.states)) - max(v.from, since)
		if err == nil && l.Term == v.version && string(l.Data) == string(pastData(index, v.version, len(l.Data))) {
			return nil
		}
	}
	if err == raft.ErrLogNotFound && present < len(p.states)-since {
		return nil
	}
	return fmt.Errorf("entry %d: %v, %w", index, l, err)
}

func pastData(index, version uint64, size int) []byte {
	b := make([]byte, max(size, 16))
	binary.LittleEndian.PutUint64(b, index)
	binary.LittleEndian.PutUint64(b[8:], version)
	for i := 16; i < len(b); i++ {
		b[i] = byte(uint64(i)*version + index)
	}
	return b
}

// liveWriter writes a log in the way of a raft peer, and in that of an operator: it compacts,
// replaces the end, closes and dies.
type liveWriter struct {
	*pastLog
	opts    *Options
	rng     *rand.Rand
	groups  *Groups
	s       *Store
	other   *Store // of a group that lags, so that its entries are moved
	version uint64
}

const otherGroup = 7

func (w *liveWriter) open() (err error) {
	if w.groups, err = OpenGroups(dataDir, w.opts); err != nil {
		return err
	}
	if w.s, err = w.groups.Store(0); err == nil && w.other != nil {
		w.other, err = w.groups.Store(otherGroup)
	}
	return err
}

func (w *liveWriter) call(next pastState, low, high uint64, logs []*raft.Log, do func() error) error {
	w.begin(next, low, high, logs)
	err := do()
	w.done = len(w.states) - 1
	return err
}

func (w *liveWriter) append(n, size int) error {
	next := w.now()
	var logs []*raft.Log
	for range n {
		next.last++
		next.first = max(next.first, 1)
		logs = append(logs, &raft.Log{Index: next.last, Term: w.version, Data: pastData(next.last, w.version, size)})
	}
	return w.call(next, 0, 0, logs, func() error { return w.s.StoreLogs(logs) })
}

func (w *liveWriter) step() error {
	now := w.now()
	switch at := w.rng.IntN(100); {
	case at < 55:
		return w.append(1+w.rng.IntN(3), 100)
	case at < 63:
		return w.append(16, 20<<10)
	case at < 75 && now.last > now.first+20:
		low, high := now.first, now.last-1-w.rng.Uint64N(20)
		next := now
		next.first = high + 1
		return w.call(next, low, high, nil, func() error { return w.s.DeleteRange(low, high) })
	case at < 80 && now.last > now.first+20:
		low := now.last - w.rng.Uint64N(10)
		next := now
		next.last = low - 1
		err := w.call(next, low, now.last, nil, func() error { return w.s.DeleteRange(low, now.last) })
		w.version++
		return errors.Join(err, w.append(3, 100))
	case at < 84:
		next := now
		next.term++
		return w.call(next, 0, 0, nil, func() error { return w.s.SetUint64([]byte("CurrentTerm"), next.term) })
	case at < 92 && w.other != nil:
		next := now
		next.other++
		l := &raft.Log{Index: next.other, Term: 1, Data: pastData(next.other, 1, 5000)}
		return w.call(next, 0, 0, nil, func() error { return w.other.StoreLog(l) })
	case at < 96:
		return errors.Join(w.groups.Close(), w.open())
	case at < 98:
		j := w.groups.j // it is killed
		j.gate.Close()
		j.handles.closeAll()
		return errors.Join(j.lock.Close(), w.open())
	}
	return nil
}

// duet is a reader and a writer who take turns at each call to the file system.
type duet struct {
	*liveWriter
	t     *testing.T
	mem   *vfs.Mem
	watch vfs.FS
	rng   *rand.Rand
	fast  bool          // the writer does something at each call of the reader
	turn  chan struct{} // given to the writer
	ready chan struct{} // given back
	over  bool

	settle func() // of the reader
}

func newDuet(t *testing.T, seed uint64, shared bool, steps int) *duet {
	mem := vfs.NewMem()
	opts := memOptions(mem)
	opts.garbage = 1 << 20
	d := &duet{t: t, mem: mem, rng: oracle.Random(seed + 1000), turn: make(chan struct{}), ready: make(chan struct{})}
	d.fast = seed%3 == 0
	d.liveWriter = &liveWriter{pastLog: newPastLog(), opts: opts, rng: oracle.Random(seed), version: 1}
	if shared {
		d.other = new(Store) // another one is opened
	}
	must(t, d.open())
	must(t, d.append(30, 100))
	if shared {
		must(t, d.other.SetUint64([]byte("a"), 1))
	}
	d.watch = piecemeal{&vfs.Watch{FS: mem, Before: func(vfs.Op, string) { d.let() }}}
	mem.SetHook(func(c *vfs.Call) error {
		if strings.HasPrefix(c.Path, dataDir) {
			d.ready <- struct{}{}
			<-d.turn
		}
		return nil
	})
	go func() {
		defer close(d.ready)
		for range steps {
			if err := d.step(); err != nil {
				t.Errorf("seed %d: the writer: %v", seed, err)
				return
			}
		}
	}()
	<-d.ready
	return d
}

// piecemeal is a file system that shows a folder, and what is in a file, as a kernel does: in
// pieces of which each is from another moment. Of names it shows those that there are all the time.
type piecemeal struct{ vfs.FS }

func (p piecemeal) List(dir string) ([]string, error) {
	before, err := p.FS.List(dir)
	if err != nil || len(before) == 0 {
		return before, err
	}
	after, err := p.FS.List(dir)
	at := before[len(before)/2]
	names := slices.DeleteFunc(before, func(name string) bool { return name >= at })
	return append(names, slices.DeleteFunc(after, func(name string) bool { return name < at })...), err
}

func (p piecemeal) Hold(dir string) (*vfs.Dir, error) {
	d, err := p.FS.Hold(dir)
	if err == nil {
		d.FS = piecemeal{d.FS}
	}
	return d, err
}

func (p piecemeal) OpenRead(path string) (vfs.File, error) {
	f, err := p.FS.OpenRead(path)
	if err != nil {
		return nil, err
	}
	return piecemealFile{f}, nil
}

type piecemealFile struct{ vfs.File }

func (f piecemealFile) ReadAt(b []byte, off int64) (n int, err error) {
	for step := roundUp(int64(len(b))/3+1, blockBytes); n < len(b) && err == nil; {
		at := off + int64(n)
		piece := b[n:][:min(int64(len(b)-n), roundDown(at+step, blockBytes)-at)]
		got := 0
		got, err = f.File.ReadAt(piece, at)
		n += got
	}
	return n, err
}

// let has the writer make some calls.
func (d *duet) let() {
	n := 0
	switch at := d.rng.IntN(100); {
	case at < 30 || d.fast:
		n = 1 + d.rng.IntN(3)
	case at < 33:
		n = 50 + d.rng.IntN(100)
	}
	for ; n > 0 && !d.over; n-- {
		d.turn <- struct{}{}
		_, more := <-d.ready
		d.over = !more
	}
}

func (d *duet) finish() {
	for !d.over {
		d.turn <- struct{}{}
		_, more := <-d.ready
		d.over = !more
	}
}

// reader opens the log in a folder for reading, on a file system, and returns its groups.
func (d *duet) reader(dir string, fsys vfs.FS) (gs *Groups, s, other *Store, err error) {
	opts := memOptions(fsys)
	opts.MaxOpenFiles, opts.settle = 1+d.rng.IntN(3), d.settle
	if gs, err = OpenGroupsReadOnly(dir, opts); err != nil {
		return nil, nil, nil, err
	}
	if s, err = gs.Store(0); err == nil {
		other, err = gs.Store(otherGroup)
	}
	return gs, s, other, err
}

// look opens the log in a folder and reads all of it, twice.
func (d *duet) look(dir string, fsys vfs.FS, since int) error {
	gs, s, other, err := d.reader(dir, fsys)
	if err != nil {
		return fmt.Errorf("opening: %w", err)
	}
	defer gs.Close()
	var got pastState
	got.first, _ = s.FirstIndex()
	got.last, _ = s.LastIndex()
	got.term, _ = s.GetUint64([]byte("CurrentTerm"))
	got.other, _ = other.LastIndex()
	if err := d.opened(since, got); err != nil {
		return err
	}
	for range 2 {
		for index := got.first; index <= got.last && index > 0; index++ {
			var l raft.Log
			err := s.GetLog(index, &l)
			if err := d.read(since, index, &l, err); err != nil {
				return fmt.Errorf("reading %d, opened with %+v: %w", s.Readings(), got, err)
			}
		}
		for index := uint64(1); index <= got.other; index++ {
			var l raft.Log
			if err := other.GetLog(index, &l); err != nil || string(l.Data) != string(pastData(index, 1, 5000)) {
				return fmt.Errorf("entry %d of the other group: %w", index, err)
			}
		}
	}
	infos, err := gs.Segments()
	for _, info := range infos {
		err = errors.Join(err, info.Err)
	}
	return err
}

// TestReadBetweenAnyTwoCalls: a log is read, and copied, while its writer appends, rotates, uses
// segments again, moves entries, closes, dies and opens, and does a part of that between any two
// calls of the reader. No damage is seen, and nothing that never was.
func TestReadBetweenAnyTwoCalls(t *testing.T) {
	for turn := range *liveTurns / min(thin, 4) {
		seed := uint64(turn)
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			d := newDuet(t, seed, turn%2 == 1, 500)
			defer d.finish()
			for n := 0; !d.over && !t.Failed(); n++ {
				since := d.done
				if n%4 < 3 {
					if err := d.look(dataDir, d.watch, since); err != nil {
						t.Errorf("look %d: %v", n, err)
					}
					continue
				}
				dst := filepath.Join("/copies", fmt.Sprint(n))
				_, err := Backup(t.Context(), dataDir, dst, &BackupOptions{fs: d.watch})
				if err == nil {
					err = d.look(dst, d.mem, since)
				}
				if err != nil {
					t.Errorf("copy %d: %v", n, err)
				}
			}
		})
	}
}
