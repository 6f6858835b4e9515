package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	raftwal "github.com/hashicorp/raft-wal"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/bench/internal/stores"
	"github.com/raft-ballast/ballast/internal/oracle"
	reader "github.com/raft-ballast/ballast/internal/raftwal"
	"github.com/raft-ballast/ballast/memstore"
)

const walSegmentBytes = 64 << 10 // small, so that there are many

func openRaftWAL(t *testing.T, dir string) stores.Store {
	t.Helper()
	s, err := stores.Open("raft-wal", dir, stores.Options{SegmentBytes: walSegmentBytes})
	must(t, err)
	return s
}

// walContent is what of sample a raft-wal can hold: it takes no gaps.
func walContent() content {
	c := sample()
	delete(c.logs, 1<<20)
	delete(c.logs, 1<<40)
	return c
}

// checkReader reads a closed directory, itself and through a copy.
func checkReader(t *testing.T, dir string, c *content) {
	t.Helper()
	l, err := reader.Open(dir)
	must(t, err)
	defer func() { must(t, l.Close()) }()
	c.check(t, "the reader", l)
	if err := l.Dropped(); err != nil {
		t.Errorf("dropped: %v", err)
	}
	store := memstore.New()
	_, err = ballast.Copy(context.Background(), store, l, nil)
	must(t, err)
	copied := *c
	copied.numbers = map[string]uint64{}
	for _, raftsOwn := range []string{"CurrentTerm", "LastVoteTerm"} {
		if v, ok := c.numbers[raftsOwn]; ok {
			copied.numbers[raftsOwn] = v
		}
	}
	copied.check(t, "the copy", store)
}

// What raft-wal writes is read: every kind of entry, many segments, and after each way of deleting what it can delete.
func TestRaftWALIsRead(t *testing.T) {
	dir, c := t.TempDir(), walContent()
	step := func(name string, f func(s stores.Store)) {
		t.Helper()
		s := openRaftWAL(t, dir)
		f(s)
		must(t, s.Close())
		checkReader(t, dir, &c)
		s = openRaftWAL(t, dir) // until it is opened again raft-wal shows what it has deleted at the begin of the last segment
		c.check(t, "raft-wal, "+name, missingIsError{s})
		must(t, s.Close())
		if t.Failed() {
			t.FailNow()
		}
	}
	step("written", func(s stores.Store) { c.writeTo(t, s) })
	step("more", func(s stores.Store) {
		for range 10 {
			c.append(t, s, 40)
		}
	})
	if names, _ := filepath.Glob(filepath.Join(dir, "*.wal")); len(names) < 10 {
		t.Errorf("there are %d segments", len(names))
	}
	step("begin deleted", func(s stores.Store) { c.deleteRange(t, s, 1, 77) })
	step("end deleted", func(s stores.Store) { c.deleteRange(t, s, 490, 600) })
	step("end deleted in an earlier segment", func(s stores.Store) { c.deleteRange(t, s, 301, 600) })
	step("written over", func(s stores.Store) { c.append(t, s, 60) })
	step("begin deleted in the last segment", func(s stores.Store) { c.deleteRange(t, s, 1, 355) })
	step("a value changed", func(s stores.Store) {
		c.numbers["CurrentTerm"], c.values["LastVoteCand"] = 1<<40+3, "127.0.0.1:7003"
		must(t, errors.Join(s.SetUint64([]byte("CurrentTerm"), 1<<40+3), s.Set([]byte("LastVoteCand"), []byte("127.0.0.1:7003"))))
	})
}

// missingIsError makes of raft-wal's error for a missing entry the one that raft knows.
type missingIsError struct{ stores.Store }

func (m missingIsError) GetLog(index uint64, log *raft.Log) error {
	err := m.Store.GetLog(index, log)
	if errors.Is(err, raftwal.ErrNotFound) {
		return raft.ErrLogNotFound
	}
	return err
}

// A log without entries, as created, and after all was deleted.
func TestRaftWALEmpty(t *testing.T) {
	dir := t.TempDir()
	check := func(name string) {
		t.Helper()
		l, err := reader.Open(dir)
		must(t, err)
		first, err1 := l.FirstIndex()
		last, err2 := l.LastIndex()
		if err := errors.Join(err1, err2, l.Dropped(), l.Close()); err != nil || first != 0 || last != 0 {
			t.Errorf("%s: from %d to %d, %v", name, first, last, err)
		}
	}
	must(t, openRaftWAL(t, dir).Close())
	check("created")
	s := openRaftWAL(t, dir)
	must(t, s.StoreLogs(oracle.Entries(oracle.Random(1), 1000, 50, 300)))
	must(t, s.DeleteRange(1000, 1049))
	must(t, s.Close())
	check("all deleted")
}

// While raft-wal has a directory open it is refused at once.
func TestRaftWALLocked(t *testing.T) {
	dir := t.TempDir()
	s := openRaftWAL(t, dir)
	before := time.Now()
	if _, err := reader.Open(dir); !errors.Is(err, ballast.ErrLocked) {
		t.Errorf("while raft-wal has it open: %v", err)
	}
	if waited := time.Since(before); waited > 5*time.Second {
		t.Errorf("it took %v", waited)
	}
	must(t, s.Close())
}

// A directory as a crash leaves it: the end of the last segment cut off somewhere, or with holes. What raft-wal then shows is what is read.
func TestRaftWALTorn(t *testing.T) {
	dir := t.TempDir()
	s := openRaftWAL(t, dir)
	var logs []*raft.Log
	for len(logs) < 130 { // two segments and a half
		logs = append(logs, oracle.Entries(oracle.Random(uint64(len(logs))), uint64(len(logs)+1), 6, 2000)...)
		must(t, s.StoreLogs(logs[len(logs)-6:]))
	}
	must(t, s.Close())
	names, err := filepath.Glob(filepath.Join(dir, "*.wal"))
	must(t, err)
	tail := filepath.Base(slices.Max(names))
	data, err := os.ReadFile(filepath.Join(dir, tail))
	must(t, err)
	end := len(data)
	for end > 0 && data[end-1] == 0 {
		end--
	}
	if end < 2000 {
		t.Fatalf("the last segment, %s, holds %d bytes", tail, end)
	}
	random := rand.New(rand.NewPCG(1, 2))
	for n := range 40 {
		cut := end - random.IntN(min(1500, end-32))
		torn := slices.Clone(data)
		if n%2 == 0 {
			clear(torn[cut:])
		} else {
			clear(torn[cut&^511 : min(end, cut&^511+512)]) // one sector was not written
		}
		compareTorn(t, fmt.Sprintf("%d at %d of %d", n, cut, end), dir, tail, torn, logs)
	}
}

// compareTorn gives a copy of the directory with another last segment to the reader and then to raft-wal. Where raft-wal has lost more than
// the last batch the reader has to find damage instead: a crash does not do that.
func compareTorn(t *testing.T, name, dir, tail string, data []byte, logs []*raft.Log) {
	t.Helper()
	copied := t.TempDir()
	must(t, os.CopyFS(copied, os.DirFS(dir)))
	must(t, os.WriteFile(filepath.Join(copied, tail), data, 0o600))
	l, err := reader.Open(copied)
	must(t, err)
	last, err := l.LastIndex()
	must(t, err)
	damaged := 0
	for _, want := range logs[:last] {
		var got raft.Log
		err := l.GetLog(want.Index, &got)
		if errors.Is(err, ballast.ErrCorrupt) {
			damaged++
		} else if must(t, err); diffLog(&got, want) != "" {
			t.Errorf("%s: entry %d: %s", name, want.Index, diffLog(&got, want))
		}
	}
	if dropped := l.Dropped(); last < uint64(len(logs)) && dropped == nil {
		t.Logf("%s: cut between two appends, so that nothing is missed", name)
	}
	must(t, l.Close())

	theirs, err := raftwal.Open(copied, raftwal.WithSegmentSize(walSegmentBytes), raftwal.WithLogger(hclog.NewNullLogger()))
	must(t, err)
	theirLast, err := theirs.LastIndex()
	must(t, err)
	if last != theirLast && (damaged == 0 || last < theirLast) {
		t.Errorf("%s: the log ends with %d, for raft-wal with %d; %d damaged entries", name, last, theirLast, damaged)
	}
	must(t, theirs.Close())
}

// Debris of a torn append stays behind shorter ones that came later, and is not taken for entries.
func TestRaftWALDebris(t *testing.T) {
	dir, c := t.TempDir(), content{logs: map[uint64]*raft.Log{}}
	s := openRaftWAL(t, dir)
	store := func(n, size int) {
		first := uint64(len(c.logs) + 1)
		logs := oracle.Entries(oracle.Random(first), first, n, size)
		for _, l := range logs {
			c.logs[l.Index] = l
		}
		must(t, s.StoreLogs(logs))
	}
	for range 5 {
		store(2, 100)
	}
	kept := len(c.logs)
	store(5, 1500)
	must(t, s.Close())
	path := filepath.Join(dir, "00000000000000000001-0000000000000000.wal")
	data, err := os.ReadFile(path)
	must(t, err)
	end := len(data)
	for data[end-1] == 0 {
		end--
	}
	must(t, os.WriteFile(path, append(data[:end-2], data[end:]...), 0o600)) // the checksum was not written
	for index := range c.logs {
		if index > uint64(kept) {
			delete(c.logs, index)
		}
	}
	for range 4 {
		s = openRaftWAL(t, dir)
		store(1, 60)
		must(t, s.Close())
		l, err := reader.Open(dir)
		must(t, err)
		c.check(t, "the reader", l)
		if l.Dropped() == nil {
			t.Error("the debris is not told of")
		}
		must(t, l.Close())
	}
}

// jsonCodec is an application's own.
type jsonCodec struct{}

func (jsonCodec) ID() uint64                              { return raftwal.FirstExternalCodecID + 1 }
func (jsonCodec) Encode(l *raft.Log, out io.Writer) error { return json.NewEncoder(out).Encode(l) }
func (jsonCodec) Decode(b []byte, l *raft.Log) error      { return json.Unmarshal(b, l) }

// An application's own codec is another format, not damage, although raft-wal v0.4.2 writes the number of its own codec then too.
func TestRaftWALCodec(t *testing.T) {
	dir := t.TempDir()
	s, err := raftwal.Open(dir, raftwal.WithCodec(jsonCodec{}), raftwal.WithLogger(hclog.NewNullLogger()))
	must(t, err)
	for first := uint64(1); first < 20; first += 5 {
		must(t, s.StoreLogs(oracle.Entries(oracle.Random(1), first, 5, 100)))
	}
	must(t, s.Close())
	l, err := reader.Open(dir)
	must(t, err)
	defer func() { must(t, l.Close()) }()
	if last, err := l.LastIndex(); err != nil || last != 20 || l.Dropped() != nil {
		t.Errorf("the log ends with %d, %v; dropped: %v", last, err, l.Dropped())
	}
	_, err = ballast.Copy(context.Background(), memstore.New(), l, nil)
	if !errors.Is(err, ballast.ErrUnknownVersion) || errors.Is(err, ballast.ErrCorrupt) {
		t.Error(err)
	}
}

// A log that is closed right after the append that seals a segment: wal-meta.db does not know of the seal.
func TestRaftWALUntoldSeal(t *testing.T) {
	untold := 0
	for n := range 20 {
		dir := t.TempDir()
		s, err := raftwal.Open(dir, raftwal.WithSegmentSize(4096), raftwal.WithLogger(hclog.NewNullLogger()))
		must(t, err)
		logs := oracle.Entries(oracle.Random(uint64(n)), 1, 30, 400)
		must(t, s.StoreLogs(logs))
		must(t, s.Close())
		if names, _ := filepath.Glob(filepath.Join(dir, "*.wal")); len(names) == 1 {
			untold++
		}
		c := content{logs: map[uint64]*raft.Log{}}
		for _, l := range logs {
			c.logs[l.Index] = l
		}
		checkReader(t, dir, &c)
	}
	if untold == 0 {
		t.Log("every rotation came before Close")
	}
}
