package wal

import (
	"fmt"
	"slices"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast/internal/oracle"
	"github.com/raft-ballast/ballast/internal/vfs"
)

// livePlace is where the record of an entry of a group is on the disk.
type livePlace struct {
	group, index uint64
	path         string
	off          int64
	bytes        int64
}

// places returns where the entries of some groups are.
func (l *testGroups) places(ids ...uint64) (list []livePlace) {
	l.t.Helper()
	for _, id := range ids {
		for _, index := range l.model(id).Indexes() {
			at, err := l.j.locate(l.j.groups[id], index)
			must(l.t, err)
			e := new(raft.Log)
			must(l.t, l.store(id).GetLog(index, e))
			list = append(list, livePlace{id, index, at.seg.path, at.off, recordHeaderBytes + int64(len(e.Data)+len(e.Extensions))})
		}
	}
	return list
}

// TestFlipsOfGroups flips bits in entries of a log of several groups, most of which have moved. The entry is told to be damaged, in its own
// group; all else can be read, and the other groups take entries.
func TestFlipsOfGroups(t *testing.T) {
	mem := vfs.NewMem()
	l := lagging(t, mem)
	l.append(3, 5, 60)
	for range 8 {
		l.do(2, oracle.Call{Low: 1, High: l.model(2).Last()})
		l.append(2, 16, 32<<10)
	}
	l.do(2, oracle.Call{Low: 1, High: l.model(2).Last() - 1})
	moved := l.store(1).Stats().Moved
	if moved == 0 {
		t.Fatal("nothing was moved")
	}
	places := l.places(1, 3)
	if !slices.ContainsFunc(places, func(p livePlace) bool { return slices.Contains(movedFiles(mem), p.path) }) {
		t.Fatal("no entry is in a segment of moved entries")
	}
	l.check()
	must(t, l.Groups.Close())
	each := 7 * thin
	if *flipsAll {
		each = 1
	}
	trials := 0
	for i, p := range places {
		for at := i % each; at < 8*int(p.bytes); at += each {
			off, bit := int64(at/8), at%8
			damaged := mem.Clone()
			damaged.Flip(p.path, p.off+off, 1<<bit)
			trials++
			if err := l.lookAtFlip(damaged, p); err != nil {
				t.Errorf("bit %d of byte %d of entry %d of group %d, at %d of %s: %v", bit, off, p.index, p.group, p.off, p.path, err)
			}
		}
	}
	t.Logf("%d flips in %d entries; %d were moved", trials, len(places), moved)
}

// lookAtFlip opens a log with one damaged entry, twice.
func (l *testGroups) lookAtFlip(mem *vfs.Mem, p livePlace) error {
	for again := range 2 {
		gs, err := OpenGroups(dataDir, l.options(mem))
		if err != nil {
			return err
		}
		for id, m := range l.models {
			s, err := gs.Store(id)
			if err != nil {
				return err
			}
			if again > 0 { // what was written beside the damage
				m = m.Clone()
				m.Put([]*raft.Log{oracle.EntryOf(m.Last()+1, nil)}, m.Commit)
			}
			told, err := compare(s, m)
			if err != nil {
				return fmt.Errorf("group %d: %w", id, err)
			}
			if want := id == p.group; told[p.index] != want || !want && len(told) > 0 || len(told) > 1 {
				return fmt.Errorf("group %d: the entries %v are said to be damaged", id, told)
			}
			if again == 0 {
				if err := s.StoreLog(oracle.EntryOf(m.Last()+1, nil)); err != nil {
					return fmt.Errorf("group %d: %w", id, err)
				}
			}
		}
		if err := gs.Close(); err != nil {
			return err
		}
	}
	return nil
}
