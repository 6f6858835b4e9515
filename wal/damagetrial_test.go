package wal

import (
	"errors"
	"flag"
	"fmt"
	"sync"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/oracle"
	"github.com/raft-ballast/ballast/internal/vfs"
)

var flipsAll = flag.Bool("flips.all", false, "damage small logs at every bit and at every pair of sectors, in about five minutes; print the outcomes with -v")

// outcome of opening and reading a damaged log.
type outcome int

const (
	allRight    outcome = iota // nothing is to be seen
	entryIsTold                // GetLog of some entries returns a CorruptionError
	openRefuses                // Open returns one
	isShorter                  // the log ends before what was damaged, and nobody could tell
	outcomes
)

// errLost is matched by the error of an entry or a value that was acknowledged, is not there, and nobody says so.
var errLost = errors.New("lost silently")

// compare returns how a store differs from the model, and of which entries it says that they are damaged.
func compare(s *Store, m *model) (told map[uint64]bool, err error) {
	if err := checkLive(s.j); err != nil {
		return nil, err
	}
	got := oracle.NewModel()
	told = make(map[uint64]bool)
	for _, index := range m.Indexes() {
		l := new(raft.Log)
		err := s.GetLog(index, l)
		if c, ok := errors.AsType[*ballast.CorruptionError](err); ok {
			if c.Index != index || c.Path == "" || l.Index != 0 {
				return told, fmt.Errorf("entry %d is said to be damaged by %#v", index, c)
			}
			told[index] = true
			l = m.Logs[index]
		} else if err != nil {
			return told, fmt.Errorf("%w: GetLog(%d): %w", errLost, index, err)
		}
		got.Logs[index] = l
	}
	first, _ := s.FirstIndex()
	last, _ := s.LastIndex()
	if first > m.First() || last < m.Last() {
		return told, fmt.Errorf("%w: the bounds are %d and %d, should be %s", errLost, first, last, m)
	}
	if first != m.First() || last != m.Last() {
		return told, fmt.Errorf("the bounds are %d and %d, should be %s", first, last, m)
	}
	for index := first; index <= last+1; index++ {
		if m.Logs[index] == nil {
			if err := s.GetLog(index, new(raft.Log)); err != raft.ErrLogNotFound {
				return told, fmt.Errorf("GetLog(%d), which was deleted: %w", index, err)
			}
		}
	}
	got.Commit, _ = s.GetCommitIndex()
	keys, _ := s.StableKeys()
	for _, key := range keys {
		got.Stable[string(key)], _ = s.Get(key)
	}
	err = m.Diff(got)
	if d, ok := errors.AsType[*oracle.Difference](err); ok && d.Kind == oracle.Missing {
		err = fmt.Errorf("%w: %w", errLost, err)
	}
	return told, err
}

// look opens a damaged copy of the log. Whatever is not as it was is an error: a wrong byte, an entry that is missing or
// was deleted, a stable value of another time.
func (im *image) look(mem *vfs.Mem, goOn bool) (outcome, error) {
	damaged := mem.Clone() // opening changes it
	s, err := Open(dataDir, im.options(mem))
	if err != nil {
		return openRefuses, refusal(err)
	}
	defer s.Close()
	m := im.model
	told, err := compare(s, m)
	got := allRight
	if err != nil {
		for _, shorter := range im.indistinguishable(damaged) {
			var e error
			if told, e = compare(s, shorter); e == nil {
				m, got, err = shorter, isShorter, nil
				break
			}
		}
	}
	if err != nil {
		return 0, err
	}
	if got == allRight && len(told) > 0 {
		got = entryIsTold
	}
	if goOn {
		err = im.goOn(mem, s, m.Clone(), told)
	}
	return got, err
}

func (im *image) options(mem *vfs.Mem) *Options {
	o := memOptions(mem)
	o.Compression = im.compression
	return o
}

// refusal returns nil for an error that says what is damaged.
func refusal(err error) error {
	c, ok := errors.AsType[*ballast.CorruptionError](err)
	if !ok || c.Path == "" || c.Err == nil {
		return fmt.Errorf("Open returns %w", err)
	}
	return nil
}

// lookReading is look without the right to write. What can be opened for writing can be opened for reading, and the other way.
func (im *image) lookReading(mem *vfs.Mem, want outcome) error {
	s, err := OpenReadOnly(dataDir, im.options(mem))
	if err != nil {
		if want != openRefuses {
			return fmt.Errorf("only OpenReadOnly returns %w", err)
		}
		return refusal(err)
	}
	defer s.Close()
	if want == openRefuses {
		return errors.New("OpenReadOnly opens what Open refuses")
	}
	told, err := compare(s, im.model)
	if want == isShorter {
		return nil // where it ends was compared
	}
	if err == nil && (len(told) > 0) != (want == entryIsTold) {
		err = fmt.Errorf("for reading %d entries are damaged, for writing it is another number", len(told))
	}
	return err
}

// goOn uses a damaged log: damage that was told must not become silence later, nor spread. What is written to it is there
// after it was closed, and what could be read still can. Then the log goes on in another segment, the older ones are used
// again, and the process is killed.
func (im *image) goOn(mem *vfs.Mem, s *Store, m *model, told map[uint64]bool) error {
	rng := oracle.Random(7)
	write := func(n, size int) error {
		logs := oracle.Entries(rng, m.Last()+1, n, size)
		m.Put(logs, 0)
		m.Stable["later"] = fmt.Appendf(nil, "%d", m.Last())
		return errors.Join(s.StoreLogs(logs), s.Set([]byte("later"), m.Stable["later"]))
	}
	again := func(what string) error {
		now, err := compare(s, m)
		if err != nil {
			return fmt.Errorf("after %s: %w", what, err)
		}
		for index := range now {
			if !told[index] {
				return fmt.Errorf("after %s entry %d is said to be damaged, it could be read before", what, index)
			}
		}
		told = now
		return nil
	}
	reopen := func(what string) (err error) {
		if s, err = Open(dataDir, im.options(mem)); err != nil {
			return fmt.Errorf("after %s: %w", what, err)
		}
		return again(what)
	}
	for _, step := range []func() error{
		func() error { return write(2, 300) },
		func() error { return again("two entries more") },
		func() error { return s.Close() },
		func() error { return reopen("closing") },
		func() error {
			for tail := s.j.tail.number; s.j.tail.number == tail; {
				if err := write(16, 4<<10); err != nil {
					return err
				}
			}
			return again("a rotation")
		},
		func() error {
			low, high := m.First(), m.Last()-18
			m.Delete(low, high)
			return s.DeleteRange(low, high)
		},
		func() error { return again("a deletion") },
		func() error { return write(16, 4<<10) },
		func() error { abandon(s); return reopen("a kill") },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return s.Close()
}

// abandon stops using a store as if the process were gone.
func abandon(s *Store) {
	s.j.gate.Close()
	s.j.closed = true
	s.j.handles.closeAll()
	_ = s.j.lock.Close() // in memory
}

// trials counts what became of damaged logs of one kind. It may be used by several goroutines.
type trials struct {
	name string

	mu          sync.Mutex
	n           int
	count       [outcomes]int
	wrong, lost int
	failures    []string
}

// maxFailures is how many failures are told in words.
const maxFailures = 10

// Of the trials one of so many uses the log afterwards, and one of so many is also opened for reading.
const (
	goOnEach = 32
	readEach = 40
)

// add makes a trial with what is on mem, which it uses up.
func (c *trials) add(im *image, mem *vfs.Mem, format string, args ...any) outcome {
	c.mu.Lock()
	n := c.n
	c.n++
	c.mu.Unlock()
	var reading *vfs.Mem
	if n%readEach == 0 {
		reading = mem.Clone()
	}
	got, err := im.look(mem, n%goOnEach == 0)
	if err == nil && reading != nil {
		err = im.lookReading(reading, got)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case err == nil:
		c.count[got]++
		return got
	case errors.Is(err, errLost):
		c.lost++
	default:
		c.wrong++
	}
	if len(c.failures) < maxFailures {
		c.failures = append(c.failures, fmt.Sprintf(format, args...)+": "+err.Error())
	}
	return outcomes
}

// report prints the outcomes, so that those of several tests line up.
func (c *trials) report(t *testing.T) {
	for _, failure := range c.failures {
		t.Errorf("%s: %s", c.name, failure)
	}
	t.Logf("%-44s %8d trials: %8d right, %8d GetLog tells, %8d Open refuses, %6d shorter where nobody can tell, %d wrong, %d lost silently",
		c.name, c.n, c.count[allRight], c.count[entryIsTold], c.count[openRefuses], c.count[isShorter], c.wrong, c.lost)
	if c.wrong+c.lost > 0 {
		t.Fail()
	}
}
