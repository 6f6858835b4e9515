package wal

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"slices"
)

// FormatVersion is the version of the format that this release writes. docs/FORMAT.md describes it.
const FormatVersion = formatVersion

// SegmentState says what a segment's file is to its log.
type SegmentState string

// The states of a segment.
const (
	SegmentTail     SegmentState = "tail"     // the newest with entries or stable values, which is written
	SegmentSealed   SegmentState = "sealed"   // written no more; some of its entries are live
	SegmentMoved    SegmentState = "moved"    // holds entries that were moved out of others, in which little else was live
	SegmentPrepared SegmentState = "prepared" // holds nothing yet; the log goes on in it
	SegmentUnused   SegmentState = "unused"   // nothing in it is live; to be used again or removed
)

// SegmentInfo is what a store knows of one of its files.
type SegmentInfo struct {
	Number uint64
	Path   string
	State  SegmentState

	FirstIndex, LastIndex uint64 // of the store's entries that are live in it; 0 when there is none
	Groups                int    // raft groups that have live entries in it
	Live                  int64  // entries, of every raft group
	Stored                int64  // entries that were ever put into it, also those that are deleted, replaced or moved; 0 where nobody looked
	LiveBytes             int64  // of live entries with their headers; an estimate where others died
	EndBytes              int64  // up to where it is written; 0 where nothing was
	SizeBytes             int64  // of the file
	DiskBytes             int64  // that the file system says the file takes

	// Err is why none of its entries can be read, as far as the file's name and header show that: a *ballast.CorruptionError, or
	// one that matches ballast.ErrUnknownVersion.
	Err error
}

// Segments returns what the directory holds, with live entries of all raft groups in it, in the order of the log. It reads the headers of the
// files, and where nobody has since the log was opened their indexes, and of entries at most where
// they are. It may be called by any goroutine.
func (s *Store) Segments() ([]SegmentInfo, error) {
	if err := s.gate.Enter(); err != nil {
		return nil, err
	}
	defer s.gate.Leave()
	return s.j.segmentInfos(s.g)
}

// Segments is that of [Store] for all groups: no first and last index are told.
func (gs *Groups) Segments() ([]SegmentInfo, error) {
	if err := gs.j.gate.Enter(); err != nil {
		return nil, err
	}
	defer gs.j.gate.Leave()
	return gs.j.segmentInfos(nil)
}

// GroupInfo is what a log knows of one of its raft groups.
type GroupInfo struct {
	ID                    uint64
	FirstIndex, LastIndex uint64 // 0 when there is no entry
	CommitIndex           uint64 // 0 unless raft v1.8.0 is told to track it
	Entries               uint64
}

// List returns what there is of each group in [Groups.IDs], and reads nothing for it; nil after Close.
func (gs *Groups) List() (list []GroupInfo) {
	if gs.j.gate.Enter() != nil {
		return nil
	}
	defer gs.j.gate.Leave()
	ids := gs.j.ids()
	gs.j.mu.RLock()
	defer gs.j.mu.RUnlock()
	for _, id := range ids {
		if g := gs.j.groups[id]; g != nil && g.known() { // or it was dropped just now
			list = append(list, GroupInfo{ID: id, FirstIndex: g.first(), LastIndex: g.last(), CommitIndex: g.commit, Entries: g.entries()})
		}
	}
	return list
}

// segmentInfos returns what the directory holds, with the range of a group; nil for none.
func (j *journal) segmentInfos(of *group) ([]SegmentInfo, error) {
	if err := j.weighGuessed(); err != nil {
		return nil, err
	}
	infos, tail := j.knownSegments(of)
	// After the state, so that the file of a segment which is live is not missed.
	names, err := j.fs.List(j.dir)
	if err != nil {
		return nil, fmt.Errorf("wal: listing %s: %w", j.dir, err)
	}
	for _, name := range names {
		number, ok := segmentNumber(name)
		if !ok || slices.ContainsFunc(infos, func(i SegmentInfo) bool { return i.Number == number }) {
			continue
		}
		state := SegmentUnused
		if number > tail && !isMoved(number) {
			state = SegmentPrepared
		}
		infos = append(infos, SegmentInfo{Number: number, Path: segmentPath(j.dir, number), State: state})
	}
	for i := range infos {
		if err := j.measure(&infos[i]); err != nil {
			return nil, err
		}
	}
	// The owner of the log may have removed one since it was listed.
	infos = slices.DeleteFunc(infos, func(i SegmentInfo) bool { return i.State == SegmentUnused && i.SizeBytes == 0 })
	slices.SortFunc(infos, func(a, b SegmentInfo) int { return cmp.Compare(a.Number, b.Number) })
	return infos, nil
}

// knownSegments returns those with live entries and the tail, and the tail's number.
func (j *journal) knownSegments(of *group) (infos []SegmentInfo, tail uint64) {
	j.mu.RLock()
	defer j.mu.RUnlock()
	at := make(map[*segment]*SegmentInfo, len(j.segments))
	infos = make([]SegmentInfo, len(j.segments))
	for i, seg := range j.segments {
		infos[i] = SegmentInfo{
			Number: seg.number, Path: seg.path, State: SegmentSealed,
			Live: seg.live, Stored: seg.stored, LiveBytes: seg.liveBytes(), EndBytes: seg.end, Err: seg.bad,
		}
		switch {
		case seg == j.tail:
			infos[i].State = SegmentTail
		case isMoved(seg.number):
			infos[i].State = SegmentMoved
		}
		at[seg] = &infos[i]
	}
	for _, g := range j.groups {
		seen := make(map[*segment]bool)
		for i := range g.runs {
			info := at[g.runs[i].seg]
			if info == nil {
				continue
			}
			if !seen[g.runs[i].seg] {
				seen[g.runs[i].seg] = true
				info.Groups++
			}
			if g != of {
				continue
			}
			if info.FirstIndex == 0 {
				info.FirstIndex = g.runs[i].first
			}
			info.LastIndex = g.runs[i].last
		}
	}
	return infos, j.tail.number
}

// measure looks at a segment's file, and at the header in it; one that is gone takes nothing. A
// header that says something else is looked at again until it says the same: the file may have been
// opened while the owner of the log used it again, under another name.
func (j *journal) measure(info *SegmentInfo) error {
	for before := ""; ; {
		found, err := j.measureOnce(info)
		if err != nil || found == nil || found.Error() == before {
			if info.Err == nil {
				info.Err = found
			}
			return err
		}
		before = found.Error()
	}
}

// measureOnce returns what is wrong with the header.
func (j *journal) measureOnce(info *SegmentInfo) (found, err error) {
	info.SizeBytes, info.DiskBytes = 0, 0
	disk, err := j.fs.DiskUsage(info.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("wal: %w", err)
	}
	f, err := j.fs.OpenRead(info.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("wal: opening a segment: %w", err)
	}
	defer f.Close() // it was only read from
	if info.SizeBytes, err = f.Size(); err != nil {
		return nil, fmt.Errorf("wal: %w", err)
	}
	info.DiskBytes = disk
	_, _, found = readHeader(f, j.dir, info.Number)
	return found, nil
}
