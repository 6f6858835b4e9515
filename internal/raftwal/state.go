package raftwal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/raft-ballast/ballast"
)

// The JSON in wal-meta.db:
//
//	{"NextSegmentID": 3, "Segments": [
//		{"ID": 0, "BaseIndex": 1, "MinIndex": 21, "MaxIndex": 180, "Codec": 1, "IndexStart": 279752,
//		 "CreateTime": "2026-11-22T22:24:11.4Z", "SealTime": "2026-11-22T22:24:11.4Z", "SizeLimit": 262144}, …
//
// in the order of BaseIndex. All but the last segment are sealed. The log begins at the first one's MinIndex.

// segmentInfo is what wal-meta.db says of a segment.
type segmentInfo struct {
	ID         uint64 // no other segment of the directory has or had it
	BaseIndex  uint64 // of the first entry in the file
	MinIndex   uint64 // of the first entry that was not truncated
	MaxIndex   uint64 // of the last entry that was not truncated; 0 when the segment is not sealed
	Codec      uint64
	IndexStart uint64    // offset of the index's payload; 0 when the segment is not sealed, and where raft-wal v0.4.0 has truncated
	SealTime   time.Time // zero when the segment is not sealed
}

// sealed reports whether nothing is appended to the segment any more.
func (i *segmentInfo) sealed() bool { return !i.SealTime.IsZero() }

// segmentJSON has pointers, because a name that was damaged must not look like a value of 0.
type segmentJSON struct {
	ID, BaseIndex, MinIndex, MaxIndex, Codec, IndexStart *uint64
	SealTime                                             *time.Time
}

var errField = errors.New("a field of a segment is missing")

// parseState returns the segments of the log. A log without any is empty.
func parseState(state []byte) ([]segmentInfo, error) {
	var outer struct{ Segments json.RawMessage }
	if err := json.Unmarshal(state, &outer); err != nil {
		return nil, err
	}
	if len(outer.Segments) == 0 {
		return nil, errors.New("there is no list of segments")
	}
	if string(outer.Segments) == "null" {
		return nil, nil
	}
	// One at a time: a list of many segments without fields must not take more memory than it is long.
	in := json.NewDecoder(bytes.NewReader(outer.Segments))
	if token, err := in.Token(); err != nil || token != json.Delim('[') {
		return nil, errors.New("the segments are no list")
	}
	var out []segmentInfo
	for in.More() {
		var j segmentJSON
		if err := in.Decode(&j); err != nil {
			return nil, err
		}
		if j.ID == nil || j.BaseIndex == nil || j.MinIndex == nil || j.MaxIndex == nil || j.Codec == nil ||
			j.IndexStart == nil || j.SealTime == nil {
			return nil, errField
		}
		out = append(out, segmentInfo{*j.ID, *j.BaseIndex, *j.MinIndex, *j.MaxIndex, *j.Codec, *j.IndexStart, *j.SealTime})
	}
	return out, checkState(out)
}

// checkState refuses segments that raft-wal cannot have left.
func checkState(segments []segmentInfo) error {
	for i := range segments {
		info := &segments[i]
		if info.Codec != binaryCodec {
			return errCodec(info)
		}
		if err := info.check(); err != nil {
			return fmt.Errorf("segment %d: %w", info.ID, err)
		}
		if i == 0 {
			// A DeleteRange up to the highest number there is makes raft-wal write 0 here and delete nothing.
			info.MinIndex = max(info.MinIndex, info.BaseIndex)
			continue
		}
		before := &segments[i-1]
		switch {
		case !before.sealed():
			return fmt.Errorf("segment %d is not sealed, and another one follows", before.ID)
		case info.BaseIndex != before.MaxIndex+1:
			return fmt.Errorf("segment %d begins with entry %d, and the one before it ends with %d", info.ID, info.BaseIndex, before.MaxIndex)
		case info.MinIndex != info.BaseIndex:
			return fmt.Errorf("segment %d was truncated at its begin, and is not the first one", info.ID)
		}
	}
	return nil
}

func (i *segmentInfo) check() error {
	switch {
	case i.BaseIndex == 0:
		return errors.New("it begins with entry 0")
	case !i.sealed() && (i.MaxIndex != 0 || i.IndexStart != 0):
		return errors.New("it has an end, and is not sealed")
	case i.sealed() && i.MaxIndex < max(i.MinIndex, i.BaseIndex):
		return fmt.Errorf("it ends with entry %d, before it begins", i.MaxIndex)
	}
	return nil
}

func errCodec(info *segmentInfo) error {
	return fmt.Errorf("the entries from %d on were encoded by codec %d, and only raft-wal's own, codec %d, is known; "+
		"copy them with the program that has that codec: %w", info.BaseIndex, info.Codec, binaryCodec, ballast.ErrUnknownVersion)
}
