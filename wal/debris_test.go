package wal

import (
	"bytes"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast/internal/oracle"
	"github.com/raft-ballast/ballast/internal/vfs"
)

// asleep makes options with which the background never comes to its work.
func asleep(o *Options) { o.asleep = func() bool { return true } }

// tornNext returns a log whose power was cut in the first frame of segment 2, of which something is
// there and not all.
func tornNext(t *testing.T, seed uint64) (*vfs.Mem, *model) {
	t.Helper()
	mem := vfs.NewMem()
	l := newTestLog(t, mem, seed)
	var cut *vfs.Mem
	mem.SetHook(func(c *vfs.Call) error {
		if c.Op == vfs.OpWrite && c.Off == framesOffset && c.Path == segmentPath(dataDir, 2) && cut == nil {
			cut = c.Cut()
		}
		return nil
	})
	before := l.model
	for cut == nil {
		before = l.model.Clone()
		l.fill(16, 4<<10)
	}
	for n := range uint64(200) {
		after := cut.Crash(100*seed + n)
		file := after.ReadFile(segmentPath(dataDir, 2))
		if !isZero(file[framesOffset+sectorBytes:]) && isZero(file[framesOffset:framesOffset+sectorBytes]) {
			return after, before
		}
	}
	t.Fatal("no power cut tears the frame")
	return nil, nil
}

// TestCleanCloseAboveDebris: a power cut tears the first frame of the next segment. The log is
// opened, which removes that segment, is closed, and loses power again. Nothing of the segment may
// come back, since the marker says that there is nothing behind the end.
func TestCleanCloseAboveDebris(t *testing.T) {
	for seed := range uint64(6) {
		mem, m := tornNext(t, seed%3)
		opts := memOptions(mem)
		opts.SegmentBytes = 2 << 20 // another one is to follow
		asleep(opts)
		s := openWith(t, opts)
		must(t, s.Close())
		after := mem.Crash(seed)
		if after.ReadFile(segmentPath(dataDir, 2)) != nil {
			t.Errorf("seed %d: the segment with debris is back beside a log that is closed", seed)
		}
		goesOn(t, seed, after, m)
	}
}

// TestDebrisBesideAClosedLog: a release before has left a log in that state.
func TestDebrisBesideAClosedLog(t *testing.T) {
	torn, m := tornNext(t, 0)
	for name, debris := range map[string]func(file []byte){
		"a lost header":   func([]byte) {},
		"a damaged frame": func(file []byte) { file[framesOffset] = 1 },
	} {
		t.Run(name, func(t *testing.T) {
			mem := torn.Clone()
			file := mem.ReadFile(segmentPath(dataDir, 2))
			must(t, mem.Remove(segmentPath(dataDir, 2)))
			opts := memOptions(mem)
			asleep(opts)
			must(t, openWith(t, opts).Close())
			for i := framesOffset + sectorBytes; i < framesOffset+64<<10; i++ {
				file[i] |= 1
			}
			debris(file)
			mem.WriteFile(segmentPath(dataDir, 2), file)
			goesOn(t, 1, mem, m)
		})
	}
}

// goesOn opens a log, writes on until it is in the next segment, one small frame there, and loses
// power in the one behind that: it opens without damage.
func goesOn(t *testing.T, seed uint64, mem *vfs.Mem, m *model) {
	t.Helper()
	l := &testLog{t: t, fs: mem, rng: oracle.Random(seed), model: m.Clone(), change: asleep}
	l.open()
	l.check()
	tail := l.j.tail
	for l.j.tail == tail {
		l.fill(1, 1500)
	}
	before := l.model.Clone()
	var cut *vfs.Mem
	mem.SetHook(func(c *vfs.Call) error {
		cut = c.Cut()
		return nil
	})
	logs := []*raft.Log{oracle.EntryOf(l.model.Last()+1, bytes.Repeat([]byte{7}, 1500))}
	must(t, l.StoreLogs(logs))
	l.model.Put(logs, 0)
	for n := range uint64(20) {
		s, err := Open(dataDir, memOptions(cut.Crash(n)))
		must(t, err)
		_, err = oracle.Find(checkedStore{s}, before, l.model)
		must(t, err)
		must(t, s.Close())
	}
}

// TestKilledCompact: a process is killed when the tail was written anew, and has got its name,
// which is not durable yet. Whoever opens the log next makes it so before anything is acknowledged.
func TestKilledCompact(t *testing.T) {
	mem := vfs.NewMem()
	l := newTestLog(t, mem, 1)
	l.fill(20, 1000)
	l.close()
	var killed *vfs.Mem
	mem.SetHook(func(c *vfs.Call) error {
		if c.Op == vfs.OpSyncDir && killed == nil {
			killed = mem.Clone()
		}
		return nil
	})
	must(t, Compact(dataDir, memOptions(mem)))
	for seed := range uint64(16) {
		after := killed.Clone()
		next := &testLog{t: t, fs: after, rng: oracle.Random(seed), model: l.model.Clone(), change: asleep}
		next.open()
		next.fill(2, 1000)
		checkReopened(t, next.model, after.Crash(seed))
	}
}
