package wal

import (
	"bytes"
	"flag"
	"fmt"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast/internal/oracle"
	"github.com/raft-ballast/ballast/internal/vfs"
	"github.com/raft-ballast/ballast/storetest"
)

var crashPoints = flag.Int("crash.points", 2400, "how often the simulator cuts the power, over all settings")

var crashSeed = flag.Uint64("crash.seed", 1, "the first seed of the simulator")

// openForCrash opens logs with the smallest segments, which are full after some calls.
func openForCrash(change func(*Options)) storetest.OpenFSFunc {
	return func(fsys storetest.FS, dir string) (storetest.Store, error) {
		opts := memOptions(fsys)
		change(opts)
		s, err := Open(dir, opts)
		if err != nil {
			return nil, err
		}
		return checkedStore{s}, nil
	}
}

// TestCrash cuts the power at each step of rotation, preparation, recycling, deletion, opening and closing. A log that is lost here is lost
// in a data centre.
func TestCrash(t *testing.T) {
	for _, c := range []struct {
		name   string
		share  int // in percent of all power cuts
		change func(*Options)
		opts   []storetest.Option
	}{
		{"plain", 40, func(*Options) {}, nil},
		{"s2", 15, func(o *Options) { o.Compression = S2 }, nil},
		{"zstd", 15, func(o *Options) { o.Compression = Zstd }, nil},
		{"goroutines", 30, func(o *Options) { o.inline = false }, []storetest.Option{storetest.TwoWriters()}},
	} {
		t.Run(c.name, func(t *testing.T) {
			opts := append(c.opts, storetest.Seed(*crashSeed), storetest.Crashes(*crashPoints*c.share/100/thin), storetest.EveryCall(3*min(thin, 4)))
			storetest.RunCrash(t, storetest.PowerCuts(openForCrash(c.change)), opts...)
		})
	}
}

// forge returns n bytes of data for an entry stored next, in which all looks like frames: a copy of the last one of this
// segment, and frames that would be the next ones, sealed with the identities of all segments so far, for just the place
// where the data will be. Only the identity of the next segment is not known to who stores entries.
func forge(l *testLog, mem *vfs.Mem, identities []uint64, n int) []byte {
	w := &l.j.writer
	last := mem.ReadFile(w.seg.path)[w.start:w.seg.end]
	last = last[:min(len(last), 2<<10)]
	at := frameStart(w.seg.end) + frameHeaderBytes + recordHeaderBytes
	data := bytes.Clone(last)
	for i := 0; len(data) < n; i++ {
		data = append(data, make([]byte, -len(data)&7)...)
		forged := record{kind: recordEntry, flags: flagData, a: l.model.Last() + 1, b: 1}
		seed := seedOf(identities[i%len(identities)])
		data = append(data, encodeFrame([]record{forged}, w.sequence+1+uint64(i/4%3), seed, at+int64(len(data)))...)
	}
	return data[:n]
}

// TestStaleBytes fills segments with data that looks like frames, recycles them, and cuts the power in every call. Behind a
// write that was cut off lies what the segment held before, and none of that may ever be taken for a frame.
func TestStaleBytes(t *testing.T) {
	mem := vfs.NewMem()
	l := newTestLog(t, mem, 1)
	before, cuts := l.model, 0
	mem.SetHook(func(call *vfs.Call) error {
		cut := call.Cut()
		for range 2 {
			cuts++
			s := openMem(t, cut.Crash(uint64(cuts)))
			if _, err := oracle.Find(checkedStore{s}, before, l.model); err != nil {
				t.Errorf("power cut %d (%v of %s): %v", cuts, call.Op, call.Path, err)
			}
		}
		return nil
	})
	identities, tail := []uint64{0}, l.j.tail
	for !t.Failed() && l.j.keeper.recycled.Load() < 3 {
		logs := []*raft.Log{oracle.EntryOf(l.model.Last()+1, forge(l, mem, identities, 150<<10))}
		before, l.model = l.model, l.model.Clone()
		l.model.Put(logs, 0)
		must(t, l.StoreLogs(logs))
		if tail == l.j.tail {
			continue
		}
		identities = append(identities, tail.identity)
		tail = l.j.tail
		before, l.model = l.model, l.model.Clone()
		l.model.Delete(1, l.model.Last()-1)
		must(t, l.DeleteRange(1, l.model.Last()-1))
	}
	mem.SetHook(nil)
	t.Logf("%d power cuts, %d segments recycled", cuts, l.j.keeper.recycled.Load())
}

// TestLargeFrames cuts the power in every call of writing large frames, which go into space that was allocated and never written, and of
// small ones behind them. Space that is allocated anew in a segment that held something else does not read as zeros there.
func TestLargeFrames(t *testing.T) {
	mem := vfs.NewMem()
	l := newTestLogWith(t, mem, 1, func(o *Options) { o.SegmentBytes, o.busy = 2<<20, true })
	before, cuts := l.model, 0
	mem.SetHook(func(call *vfs.Call) error {
		cut := call.Cut()
		for range 2 {
			cuts++
			s, err := Open(dataDir, memOptions(cut.Crash(uint64(cuts))))
			must(t, err)
			if _, err := oracle.Find(checkedStore{s}, before, l.model); err != nil {
				t.Errorf("power cut %d (%v of %s): %v", cuts, call.Op, call.Path, err)
			}
			must(t, s.Close())
		}
		return nil
	})
	bytes := int64(0)
	for i := 0; !t.Failed() && i < 36; i++ {
		size := []int{300 << 10, 400 << 10, 270 << 10, 100}[i%4]
		logs := []*raft.Log{oracle.EntryOf(l.model.Last()+1, oracle.Bytes(l.rng, size))}
		before, l.model = l.model, l.model.Clone()
		l.model.Put(logs, 0)
		must(t, l.StoreLogs(logs))
		if bytes += int64(size); i%9 == 8 {
			before, l.model = l.model, l.model.Clone()
			l.model.Delete(1, l.model.Last()-1)
			must(t, l.DeleteRange(1, l.model.Last()-1))
		}
	}
	mem.SetHook(nil)
	recycled, zeros := l.j.keeper.recycled.Load(), l.j.keeper.zeroBytes.Load()
	t.Logf("%d power cuts, %d segments recycled, %d bytes of data, %d of zeros", cuts, recycled, bytes, zeros)
	if recycled == 0 {
		t.Error("no segment was recycled")
	}
}

// TestForgedFrames looks for frames where there are only forged ones, and copies of real ones in other places.
func TestForgedFrames(t *testing.T) {
	const size = minSegmentBytes
	seg := newSegment(dataDir, header{number: 1, identity: newIdentity(), size: size})
	real := encodeFrame([]record{{kind: recordEntry, a: 1}}, 1, seg.seed, framesOffset)
	data := make([]byte, size)
	for at := int64(framesOffset + 8); at < size-1<<10; at += 1 << 10 {
		copy(data[at:], real)
		forged := encodeFrame([]record{{kind: recordEntry, a: 1}}, 1, seedOf(seg.identity+1), at+int64(len(real)))
		copy(data[at+int64(len(real)):], forged)
	}
	mem := vfs.NewMem()
	mem.WriteFile(seg.path, data)
	f, err := mem.OpenRead(seg.path)
	must(t, err)
	if at, err := search(&reader{seg: seg, f: f}, framesOffset); at != 0 || err != nil {
		t.Errorf("a frame is found at %d: %v", at, err)
	}
	copy(data[framesOffset:], real)
	mem.WriteFile(seg.path, data)
	if at, err := search(&reader{seg: seg, f: f}, framesOffset); at != framesOffset || err != nil {
		t.Errorf("the real frame is found at %d: %v", at, err)
	}
}

// TestUnsetCrash cuts the power in every call to the file system that setting and deleting stable values leads to, also where the log goes on in
// the next segment, is closed, and is opened again.
func TestUnsetCrash(t *testing.T) {
	mem := vfs.NewMem()
	l := newTestLog(t, mem, 1)
	before, cuts := l.model, 0
	mem.SetHook(func(call *vfs.Call) error {
		cut := call.Cut()
		for range 2 {
			cuts++
			s := openMem(t, cut.Crash(uint64(cuts)))
			if _, err := oracle.Find(checkedStore{s}, before, l.model); err != nil {
				t.Errorf("power cut %d (%v of %s): %v", cuts, call.Op, call.Path, err)
			}
			must(t, s.Close())
		}
		return nil
	})
	change := func(apply func(m *model), do func() error) {
		before, l.model = l.model, l.model.Clone()
		apply(l.model)
		must(t, do())
	}
	for i := range 60 {
		key := fmt.Sprint("key ", l.rng.IntN(3))
		switch l.rng.IntN(4) {
		case 0:
			change(func(m *model) { delete(m.Stable, key) }, func() error { return l.DeleteKey([]byte(key)) })
		case 1:
			change(func(m *model) { m.Stable[key] = []byte(key) }, func() error { return l.Set([]byte(key), []byte(key)) })
		case 2:
			logs := oracle.Entries(l.rng, l.model.Last()+1, 2, 100<<10)
			change(func(m *model) { m.Put(logs, 0) }, func() error { return l.StoreLogs(logs) })
		case 3:
			if before = l.model; i%2 == 0 {
				l.close()
				l.open()
			}
		}
		if t.Failed() {
			return
		}
	}
	mem.SetHook(nil)
	l.check()
	if l.j.tail.number < 3 {
		t.Errorf("the log is in segment %d, so it hardly went on in another one", l.j.tail.number)
	}
	t.Logf("%d power cuts", cuts)
}
