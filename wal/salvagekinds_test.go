package wal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/vfs"
)

// everyKind returns a log whose tail has records of each kind that a tail may have, and the tail.
func everyKind(t *testing.T, closed bool) (*vfs.Mem, *testLog) {
	t.Helper()
	mem := vfs.NewMem()
	l := newTestLog(t, mem, 1)
	l.set("removed", "once")
	l.set("kept", "long")
	l.rotate()
	l.fill(3, 100)
	must(t, l.StageCommitIndex(l.model.Last()))
	l.fill(3, 100)
	l.remove(1, 2)
	l.set("kept", "longer")
	l.unset("removed")
	if closed {
		l.close()
		file := mem.ReadFile(l.j.tail.path)
		clear(file[markerOffset:][:markerBytes]) // which is where the index and the checkpoint are told
		mem.WriteFile(l.j.tail.path, file)
		return mem, l
	}
	l.abandon()
	seg, file := l.j.tail, mem.ReadFile(l.j.tail.path)
	at := frameStart(seg.end)
	identity := binary.LittleEndian.AppendUint64(nil, 1)
	frame := encodeFrame([]record{
		{kind: recordDrop, group: 7},
		{kind: recordUnset, first: []byte("never there")},
		{kind: recordLink, a: 1, second: identity, raw: 8},
		{kind: recordIndex, a: 1, second: make([]byte, 8), raw: 8},
	}, seg.sequence+1, seg.seed, at)
	copy(file[at:], frame)
	seg.end = at + int64(len(frame))
	mem.WriteFile(seg.path, file)
	return mem, l
}

// TestSalvageEachKind damages each part of each record of a tail, of every kind. What Open refuses,
// Salvage tells, and what is doubtful it does not do.
func TestSalvageEachKind(t *testing.T) {
	for _, closed := range []bool{false, true} {
		mem, l := everyKind(t, closed)
		seg, kinds := l.j.tail, make(map[string]bool)
		file := mem.ReadFile(seg.path)
		for off := int64(framesOffset); off < seg.end; {
			h, ok := parseFrameHeader(file[off:], seg.seed, off, seg.size)
			if !ok {
				t.Fatalf("no frame at %d", off)
			}
			frame := file[off : off+h.length]
			must(t, walk(frame, h, seg.seed, off, func(q *record, at int64, _ bool) error {
				if q.kind == recordEntry && q.a%8 != 0 {
					return nil // there are many of them
				}
				first := at + recordHeaderBytes
				for part, place := range map[string]int64{"header": at + 24, "checksum": at, "length": at + 4,
					"first": first, "second": first + int64(len(q.first))} {
					if part == "first" && len(q.first) == 0 || part == "second" && len(q.second) == 0 {
						continue
					}
					kinds[fmt.Sprintf("%d %s", q.kind, part)] = true
					damaged := mem.Clone()
					damaged.Flip(seg.path, place, 4)
					if err := toldBySalvage(damaged, l.model); err != nil {
						t.Errorf("closed %v, %s of record %d in frame %d: %v", closed, part, q.kind, h.sequence, err)
					}
				}
				return nil
			}))
			off = frameStart(off + h.length)
		}
		for _, kind := range []string{"1 second", "2 first", "2 second", "3 header", "4 header", "5 second", "6 second", "7 second",
			"8 second", "10 first"} {
			if !kinds[kind] {
				t.Errorf("closed %v: no record of kind %s was damaged", closed, kind)
			}
		}
	}
}

// toldBySalvage returns what Salvage does not tell of a log that Open refuses.
func toldBySalvage(mem *vfs.Mem, m *model) error {
	opened, openErr := Open(dataDir, memOptions(mem.Clone()))
	if openErr == nil {
		return opened.Close()
	}
	if !errors.Is(openErr, ballast.ErrCorrupt) {
		return openErr
	}
	s, err := Salvage(dataDir, memOptions(mem))
	if err != nil {
		return err
	}
	defer s.Close()
	if !s.Missing() && len(s.Damage) == 0 {
		return fmt.Errorf("nothing is told of what Open refuses: %v", openErr)
	}
	for key, value := range s.Stable {
		if !slices.Contains(s.Stale, key) && !bytes.Equal(value, m.Stable[key]) {
			return fmt.Errorf("%q is %q, and nobody says that it may be stale", key, value)
		}
	}
	for _, key := range s.Stale {
		if _, there := s.Stable[key]; !there {
			return fmt.Errorf("%q is said to be stale, and is not there", key)
		}
	}
	for key := range m.Stable {
		if _, there := s.Stable[key]; !there && !s.StableUnsure {
			return fmt.Errorf("%q is not there, and nothing is said to be unsure", key)
		}
	}
	return nil
}

// TestSalvageRemovedKey: the key of a removal reads as another one that is there. It stays, and all
// are said to be unsure.
func TestSalvageRemovedKey(t *testing.T) {
	mem := vfs.NewMem()
	l := newTestLog(t, mem, 1)
	l.set("CurrentTerm", "\x05")
	l.set("CurrentTerl", "\x04")
	l.unset("CurrentTerl")
	l.abandon()
	seg, file := l.j.tail, mem.ReadFile(l.j.tail.path)
	at := bytes.LastIndex(file[:seg.end], []byte("CurrentTerl"))
	mem.Flip(seg.path, int64(at)+10, 1) // an m
	if _, err := Open(dataDir, memOptions(mem.Clone())); !errors.Is(err, ballast.ErrCorrupt) {
		t.Fatalf("Open: %v", err)
	}
	s, err := Salvage(dataDir, memOptions(mem))
	must(t, err)
	defer s.Close()
	if string(s.Stable["CurrentTerm"]) != "\x05" || !s.StableUnsure || len(s.Damage) == 0 || len(s.Stale) != 2 {
		t.Errorf("salvaged %q, unsure %v, stale %q, damage %v", s.Stable, s.StableUnsure, s.Stale, s.Damage)
	}
}
