package wal

import (
	"errors"
	"testing"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/vfs"
)

// states maps the numbers of segments to what they are.
func states(t *testing.T, s *Store) map[uint64]SegmentState {
	t.Helper()
	infos, err := s.Segments()
	must(t, err)
	out := make(map[uint64]SegmentState)
	for i, info := range infos {
		if i > 0 && info.Number <= infos[i-1].Number {
			t.Errorf("segment %d comes behind %d", info.Number, infos[i-1].Number)
		}
		if info.Err != nil {
			t.Errorf("segment %d: %v", info.Number, info.Err)
		}
		out[info.Number] = info.State
	}
	return out
}

// Who writes a log and who reads it see the same files, and together they hold what the log holds.
func TestSegments(t *testing.T) {
	mem := vfs.NewMem()
	l := newTestLog(t, mem, 1)
	l.rotate()
	l.rotate()
	l.remove(3, 4)
	reader, err := OpenReadOnly(dataDir, memOptions(mem))
	must(t, err)
	defer reader.Close()
	for name, s := range map[string]*Store{"writer": l.Store, "reader": reader} {
		got := states(t, s)
		want := map[uint64]SegmentState{1: SegmentSealed, 2: SegmentSealed, 3: SegmentTail, 4: SegmentPrepared}
		if len(got) != len(want) {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
		for number, state := range want {
			if got[number] != state {
				t.Errorf("%s: segment %d is %q, want %q", name, number, got[number], state)
			}
		}
		checkSegments(t, name, s)
	}
}

// checkSegments compares the sums with Stats.
func checkSegments(t *testing.T, name string, s *Store) {
	t.Helper()
	infos, err := s.Segments()
	must(t, err)
	st := s.Stats()
	var live, bytes int64
	var next uint64
	for _, info := range infos {
		live += info.Live
		bytes += info.LiveBytes
		if info.SizeBytes != minSegmentBytes || info.DiskBytes == 0 || info.DiskBytes > info.SizeBytes {
			t.Errorf("%s: segment %d has %d bytes and takes %d", name, info.Number, info.SizeBytes, info.DiskBytes)
		}
		if info.Live > info.Stored {
			t.Errorf("%s: of %d entries in segment %d live %d", name, info.Stored, info.Number, info.Live)
		}
		if info.FirstIndex == 0 {
			continue
		}
		if next != 0 && info.FirstIndex != next {
			t.Errorf("%s: segment %d begins with entry %d, want %d", name, info.Number, info.FirstIndex, next)
		}
		next = info.LastIndex + 1
	}
	if live != int64(st.Entries) || bytes != st.LiveBytes || next != st.LastIndex+1 {
		t.Errorf("%s: %d entries of %d bytes up to %d, Stats has %d of %d up to %d", name, live, bytes, next-1, st.Entries, st.LiveBytes, st.LastIndex)
	}
}

// What is wrong with a file is said without reading its entries, and a file that came back after it was removed is unused.
func TestSegmentsDamaged(t *testing.T) {
	mem := vfs.NewMem()
	l := newTestLog(t, mem, 2)
	l.rotate()
	l.rotate()
	first, second := segmentPath(dataDir, 1), segmentPath(dataDir, 2)
	stale := mem.ReadFile(first)
	infos, err := l.Segments()
	must(t, err)
	l.remove(1, infos[0].LastIndex)
	l.abandon()
	mem.WriteFile(first, stale)
	if got := readerStates(t, mem)[1]; got.State != SegmentUnused || got.Err != nil {
		t.Errorf("the file that came back: %+v", got)
	}
	mem.Flip(second, 16, 1)
	if got := readerStates(t, mem)[2]; got.State != SegmentSealed || !errors.Is(got.Err, ballast.ErrCorrupt) {
		t.Errorf("the damaged file: %+v", got)
	}
	must(t, mem.Remove(second))
	if got := readerStates(t, mem)[2]; got.State != SegmentSealed || !errors.Is(got.Err, ballast.ErrCorrupt) || got.SizeBytes != 0 {
		t.Errorf("the missing file: %+v", got)
	}
}

// readerStates returns what a reader sees, by number.
func readerStates(t *testing.T, fsys vfs.FS) map[uint64]SegmentInfo {
	t.Helper()
	s, err := OpenReadOnly(dataDir, memOptions(fsys))
	must(t, err)
	defer s.Close()
	infos, err := s.Segments()
	must(t, err)
	out := make(map[uint64]SegmentInfo)
	for _, info := range infos {
		out[info.Number] = info
	}
	return out
}

func TestSegmentsClosed(t *testing.T) {
	l := newTestLog(t, vfs.NewMem(), 3)
	l.close()
	if _, err := l.Segments(); !errors.Is(err, ballast.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

// What was deleted is told of a log that is opened again as before, so that the bytes of what is live are: also of one that is only read, and of
// a copy, and after the segment has been sealed.
func TestSegmentsReopened(t *testing.T) {
	mem := vfs.NewMem()
	l := newTestLog(t, mem, 9)
	l.fill(2000, 100)
	l.remove(1, 1900)
	l.fill(5, 100)
	before := firstSegment(t, l.Store)
	if before.Stored < 2000 || before.Live > 110 {
		t.Fatalf("%+v is no segment with few live entries", before)
	}
	l.close()
	same := func(name string, got SegmentInfo) {
		t.Helper()
		// Closing adds the index of the live entries and a checkpoint.
		if more := got.LiveBytes - before.LiveBytes; got.Live != before.Live || got.Stored != before.Stored || more < 0 || more > 1000 {
			t.Errorf("%s: %d live of %d, %d bytes; were %d of %d, %d bytes", name, got.Live, got.Stored, got.LiveBytes, before.Live, before.Stored, before.LiveBytes)
		}
	}
	same("read", readerStates(t, mem)[1])
	_, err := Backup(t.Context(), dataDir, "copy", &BackupOptions{fs: mem})
	must(t, err)
	copied, err := OpenReadOnly("copy", memOptions(mem))
	must(t, err)
	infos, err := copied.Segments()
	must(t, err)
	same("copied", infos[0])
	must(t, copied.Close())
	for range 2 { // the second time nothing was written in between
		l.open()
		same("opened again", firstSegment(t, l.Store))
		l.close()
	}
	l.open()
	l.rotate()
	if got := firstSegment(t, l.Store); got.State != SegmentSealed || got.Stored <= before.Stored {
		t.Errorf("sealed: %+v, it had %d entries", got, before.Stored)
	}
	stored := firstSegment(t, l.Store).Stored
	l.close()
	if got := readerStates(t, mem)[1].Stored; got != stored {
		t.Errorf("sealed, and opened again: %d entries were stored, should be %d", got, stored)
	}
}

func firstSegment(t *testing.T, s *Store) SegmentInfo {
	t.Helper()
	infos, err := s.Segments()
	must(t, err)
	return infos[0]
}
