package wal

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast/internal/oracle"
	"github.com/raft-ballast/ballast/internal/vfs"
)

// spaceRounds is how often each workload of TestDiskOfSizes goes on, with some 64 KiB to 1 MiB
// each.
const spaceRounds = 160

// sizeMix is a workload in which what is kept has other sizes than what is deleted.
type sizeMix struct {
	name   string
	change func(*Options)
	round  func(l *testGroups, rng *rand.Rand, i int)
}

// keepLast deletes all entries of a group but the last n.
func (l *testGroups) keepLast(id, n uint64) {
	l.t.Helper()
	if last := l.model(id).Last(); last > n {
		l.do(id, oracle.Call{Low: 1, High: last - n})
	}
}

// put appends entries of the given Data.
func (l *testGroups) put(id uint64, data ...[]byte) {
	l.t.Helper()
	next := l.model(id).Last() + 1
	var logs []*raft.Log
	for i, d := range data {
		logs = append(logs, &raft.Log{Index: next + uint64(i), Term: 1, Data: d})
	}
	l.do(id, oracle.Call{Logs: logs})
}

func (l *testGroups) set(id uint64, key string, value []byte) {
	l.t.Helper()
	must(l.t, l.store(id).Set([]byte(key), value))
	l.model(id).Stable[key] = value
}

func withS2(o *Options) { o.Compression = S2 }

var sizeMixes = []sizeMix{
	{"a laggard's small ones beside large ones", nil, func(l *testGroups, _ *rand.Rand, i int) {
		for range 10 {
			l.append(1, 1, 100)
		}
		l.append(2, 1, 64<<10)
		l.keepLast(2, 1)
	}},
	{"the large ones go at last", nil, func(l *testGroups, _ *rand.Rand, i int) {
		l.append(1, 10, 100)
		l.append(2, 1, 64<<10)
		if i == spaceRounds-1 {
			l.keepLast(2, 1)
		}
	}},
	{"a laggard's large ones beside small ones", nil, func(l *testGroups, _ *rand.Rand, i int) {
		if i%40 == 0 {
			l.append(1, 1, 200<<10)
		}
		for range 8 {
			l.append(2, 60, 100)
		}
		l.keepLast(2, 1)
	}},
	{"one group, with holes", nil, func(l *testGroups, _ *rand.Rand, i int) {
		l.append(1, 1, 50)
		l.append(1, 1, 100<<10)
		last := l.model(1).Last()
		l.do(1, oracle.Call{Low: last, High: last})
		l.append(1, 1, 70)
	}},
	{"one group, whose end is replaced", nil, func(l *testGroups, _ *rand.Rand, i int) {
		last := l.model(1).Last()
		l.append(1, 3, 40<<10)
		l.do(1, oracle.Call{Low: last + 1, High: last + 3})
		l.append(1, 2, 60)
	}},
	{"batches of both sizes", nil, func(l *testGroups, rng *rand.Rand, i int) {
		small, large := make([]byte, 30), make([]byte, 120<<10)
		l.put(1, small, large, small, large, small)
		last := l.model(1).Last()
		l.do(1, oracle.Call{Low: last - 3, High: last - 3})
		l.do(1, oracle.Call{Low: last - 1, High: last - 1})
	}},
	{"compressed ones", withS2, func(l *testGroups, rng *rand.Rand, i int) {
		l.put(1, []byte(strings.Repeat(fmt.Sprint("much of the same", i), 6000)))
		random := make([]byte, 64<<10)
		for k := range random {
			random[k] = byte(rng.Uint32())
		}
		l.put(2, random)
		l.keepLast(2, 1)
	}},
	{"larger than a segment", nil, func(l *testGroups, _ *rand.Rand, i int) {
		l.append(1, 2, 80)
		if i%12 == 0 {
			l.append(2, 1, 3<<19)
		}
		l.append(3, 1, 60<<10)
		l.keepLast(2, 1)
		l.keepLast(3, 1)
	}},
	{"many groups with tiny commits", nil, func(l *testGroups, rng *rand.Rand, i int) {
		for id := range uint64(24) {
			last := l.model(10 + id).Last()
			l.do(10+id, oracle.Call{Commit: last, Logs: oracle.Entries(rng, last+1, 1, 40)})
		}
		l.append(2, 1, 48<<10)
		l.keepLast(2, 1)
	}},
	{"large stable values", nil, func(l *testGroups, _ *rand.Rand, i int) {
		l.append(1, 1, 90)
		l.set(2, "state", make([]byte, 90<<10))
	}},
	{"any", nil, func(l *testGroups, rng *rand.Rand, i int) {
		for range 3 {
			id := 1 + rng.Uint64N(3)
			l.append(id, 1+rng.IntN(4), 1<<rng.IntN(17))
			if last := l.model(id).Last(); rng.IntN(3) == 0 {
				low := rng.Uint64N(last + 1)
				l.do(id, oracle.Call{Low: low, High: low + rng.Uint64N(1+last/2)})
			}
		}
	}},
}

// TestDiskOfSizes: whatever the sizes of what is kept and what is deleted are, what lies on the
// disk is bounded by what is live, and Stats says what that is; after a crash too.
func TestDiskOfSizes(t *testing.T) {
	for _, mix := range sizeMixes {
		t.Run(mix.name, func(t *testing.T) {
			t.Parallel()
			seed := rand.Uint64()
			rng, mem := oracle.Random(seed), vfs.NewMem()
			l := newTestGroups(t, mem, mix.change)
			for i := range spaceRounds {
				mix.round(l, rng, i)
			}
			l.checkSpace("live", seed)
			crashed := newTestGroups(t, mem.Crash(seed), mix.change)
			crashed.models = l.models
			crashed.rest()
			crashed.checkSpace("after a crash", seed)
			crashed.reopen()
			crashed.rest()
			crashed.checkSpace("closed and opened", seed)
			crashed.check()
		})
	}
}

// rest appends what the reclaimer needs to come to an end.
func (l *testGroups) rest() {
	l.t.Helper()
	for range 40 {
		l.append(99, 1, 256<<10)
		l.keepLast(99, 1)
	}
}

// checkSpace compares what Stats and Segments say is live with what the models hold, and what is on
// the disk with that.
func (l *testGroups) checkSpace(when string, seed uint64) {
	l.t.Helper()
	live, entries := int64(0), int64(0)
	for _, m := range l.models {
		for _, log := range m.Logs {
			r := l.j.writer.compressor.entry(log, 0)
			live += r.size()
			entries++
		}
	}
	st := l.Stats()
	infos, err := l.Segments()
	must(l.t, err)
	told := int64(0)
	for _, info := range infos {
		told += info.LiveBytes
	}
	l.t.Logf("%s: %d bytes live, Stats says %d and Segments %d; %d on the disk, %d moved, seed %d",
		when, live, st.LiveBytes, told, st.DiskBytes, st.MovedBytes, seed)
	slack := live/4 + minSegmentBytes/2 // in the tail nobody looks
	most := live + loneUnits<<3*entries + slack
	for _, said := range []int64{st.LiveBytes, told} {
		if said < live-slack || said > most {
			l.t.Errorf("%s: %d bytes are live, it says %d; seed %d", when, live, said, seed)
		}
	}
	if disk, most := diskUsage(l.t, l.fs, dataDir), 3*live+10*minSegmentBytes; disk > most {
		l.t.Errorf("%s: %d bytes are live, and %d on the disk, at most %d should be; seed %d",
			when, live, disk, most, seed)
	}
}
