package raftwal

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast/internal/boltmeta"
)

// FuzzSegment scans any bytes as a segment. What is found lies in the file, does not overlap, and has the indexes that it should have.
func FuzzSegment(f *testing.F) {
	tail, batches := tailOf()
	f.Add(tail.data[:batches[4]+64], uint64(10), uint64(0), uint64(0))
	f.Add(tail.data[:batches[2]+100], uint64(10), uint64(0), uint64(0))
	for _, at := range []int{3, batches[1], batches[1] + 6, batches[2] - 8, batches[2] + 30} {
		damaged := bytes.Clone(tail.data[:batches[4]+64])
		damaged[at] ^= 0x10
		f.Add(damaged, uint64(10), uint64(0), uint64(0))
		f.Add(damaged, uint64(10), uint64(21), uint64(0))
	}
	sealed := newSegment(10, 7).append(2).append(2).seal()
	f.Add(sealed.data, uint64(10), uint64(13), sealed.info.IndexStart)
	f.Add(sealed.data, uint64(10), uint64(0), uint64(0))
	fixture, err := os.ReadFile(filepath.Join(fixtureDir, segmentName(181, 1)))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(fixture[:2048], uint64(181), uint64(290), uint64(0))

	f.Fuzz(func(t *testing.T, data []byte, base, last, indexStart uint64) {
		info := &segmentInfo{BaseIndex: max(base, 1), MinIndex: max(base, 1), Codec: binaryCodec}
		if last >= info.BaseIndex {
			info.MaxIndex, info.IndexStart, info.SealTime = last, indexStart, time.Unix(1, 0)
		}
		in := &counter{in: bytes.NewReader(data)}
		c, err := scan(in, int64(len(data)), info)
		if err != nil {
			t.Fatal(err)
		}
		if in.n > 8*int64(len(data))+1024 {
			t.Errorf("%d bytes were read of %d", in.n, len(data))
		}
		checkContents(t, data, info, c)
	})
}

func checkContents(t *testing.T, data []byte, info *segmentInfo, c *contents) {
	t.Helper()
	if len(c.frames) > len(data)/minEntryBytes {
		t.Errorf("%d entries in %d bytes", len(c.frames), len(data))
	}
	end := uint64(headerBytes)
	for i, f := range c.frames {
		index := info.BaseIndex + uint64(i)
		found, bad := c.find(info.BaseIndex, index)
		if f.offset == 0 {
			if bad == nil || bad.err == nil || bad.offset < headerBytes {
				t.Errorf("entry %d is damaged, and the damage is %v", index, bad)
			}
			continue
		}
		if bad != nil || found != f {
			t.Errorf("entry %d: %v, %v", index, found, bad)
		}
		if uint64(f.offset) < end || uint64(f.offset)%8 != 0 {
			t.Errorf("entry %d at offset %d, and the one before it ends at %d", index, f.offset, end)
		}
		end = uint64(f.offset) + frameHeaderBytes + uint64(f.size)
		if end > uint64(len(data)) {
			t.Fatalf("entry %d ends at %d, of %d", index, end, len(data))
		}
		if got, err := entryIndex(data[f.offset+frameHeaderBytes:]); err != nil || got != index {
			t.Errorf("entry %d is entry %d, %v", index, got, err)
		}
	}
	if _, bad := c.find(info.BaseIndex, math.MaxUint64); bad == nil {
		t.Error("the highest index was found")
	}
}

// FuzzEntry decodes any bytes. What is decoded is encoded to what decodes to the same.
func FuzzEntry(f *testing.F) {
	for index := range uint64(8) {
		f.Add(encode(entry(index)))
	}
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		log := raft.Log{Term: 4711}
		if err := decodeEntry(bytes.Clone(data), &log); err != nil {
			if !reflect.DeepEqual(log, raft.Log{Term: 4711}) {
				t.Errorf("an error has changed the entry to %+v", log)
			}
			return
		}
		var again raft.Log
		if err := decodeEntry(encode(&log), &again); err != nil {
			t.Fatal(err)
		}
		if !again.AppendedAt.Equal(log.AppendedAt) {
			t.Errorf("%v became %v", log.AppendedAt, again.AppendedAt)
		}
		if again.AppendedAt = log.AppendedAt; !reflect.DeepEqual(again, log) {
			t.Errorf("%+v became %+v", log, again)
		}
	})
}

// FuzzPages reads any bytes as wal-meta.db, also with metas that are right.
func FuzzPages(f *testing.F) {
	dir := writeDir(f, newSegment(1, 0).append(2))
	data, err := os.ReadFile(filepath.Join(dir, metaName))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(smallPages(data), true)
	f.Add([]byte{}, false)
	f.Fuzz(func(t *testing.T, data []byte, right bool) {
		if right {
			signMeta(data, 0)
			signMeta(data, boltmeta.MinPageBytes)
		}
		state, stable, err := readBolt(data)
		if err != nil && (state != nil || stable != nil) {
			t.Error("an error, and values")
		}
		total := len(state)
		for key, value := range stable {
			total += len(key) + len(value)
		}
		if total > 2*len(data) {
			t.Errorf("%d bytes of values in %d", total, len(data))
		}
	})
}

// FuzzState reads any bytes as the JSON in wal-meta.db. What is taken is a log.
func FuzzState(f *testing.F) {
	for _, segments := range []any{
		[]any{}, nil, []any{newSegment(1, 0).json()},
		[]any{newSegment(5, 1).append(3).seal().json(), newSegment(8, 2).json()},
	} {
		data, err := json.Marshal(map[string]any{"NextSegmentID": 3, "Segments": segments})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		segments, err := parseState(data)
		if err != nil {
			return
		}
		for i, s := range segments {
			if s.BaseIndex == 0 || s.MinIndex < s.BaseIndex || s.sealed() && s.MaxIndex < s.MinIndex {
				t.Errorf("%+v", s)
			}
			if i > 0 && s.BaseIndex != segments[i-1].MaxIndex+1 {
				t.Errorf("%+v does not follow %+v", s, segments[i-1])
			}
		}
	})
}
