package bench

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast/bench/internal/stores"
	"github.com/raft-ballast/ballast/internal/oracle"
)

// content is what a store holds.
type content struct {
	logs    map[uint64]*raft.Log
	values  map[string]string
	numbers map[string]uint64
}

// sample makes entries of all kinds, sizes and times, and stable values, those of raft among them.
func sample() content {
	times := []time.Time{
		{},
		time.Unix(0, 0).UTC(),
		time.Unix(1<<31, 5),
		time.Unix(1<<34, 999_999_999),
		time.Date(2026, 11, 23, 9, 30, 0, 123_456_789, time.FixedZone("east", 5*3600+45*60)),
		time.Date(1890, 1, 1, 0, 0, 0, 0, time.FixedZone("local mean time", -(4*3600+56*60+2))),
	}
	sizes := []int{0, 1, 31, 32, 255, 256, 4096, 65535, 65536, 1<<20 + 17}
	c := content{
		logs: map[uint64]*raft.Log{},
		values: map[string]string{
			"LastVoteCand": "127.0.0.1:7001", "empty": "", "binary\x00\xff": "\x00\x01\xfe\xff",
		},
		numbers: map[string]uint64{"CurrentTerm": 12, "LastVoteTerm": 1<<63 + 5},
	}
	for i := range 120 {
		l := &raft.Log{
			Index:      uint64(i + 1),
			Term:       uint64(i/10) + 1,
			Type:       raft.LogType(i % 6),
			Data:       bytes.Repeat([]byte{byte(i + 1)}, sizes[i%len(sizes)]),
			AppendedAt: times[i%len(times)],
		}
		switch {
		case i%4 == 0:
			l.Extensions = bytes.Repeat([]byte{byte(i)}, i)
		case i%20 == 10:
			l.Data = nil
		}
		c.logs[l.Index] = l
	}
	c.logs[119].Index, c.logs[120].Index = 1<<20, 1<<40 // gaps, as a snapshot leaves them
	c.logs[1<<20], c.logs[1<<40] = c.logs[119], c.logs[120]
	delete(c.logs, 119)
	delete(c.logs, 120)
	c.logs[118].Type = 255
	return c
}

// inOrder returns the entries in ascending order.
func (c *content) inOrder() (logs []*raft.Log) {
	for _, index := range slices.Sorted(maps.Keys(c.logs)) {
		logs = append(logs, c.logs[index])
	}
	return logs
}

// writeTo stores everything, in batches.
func (c *content) writeTo(t *testing.T, s stores.Store) {
	t.Helper()
	for batch := range slices.Chunk(c.inOrder(), 13) {
		must(t, s.StoreLogs(batch))
	}
	for key, value := range c.values {
		must(t, s.Set([]byte(key), []byte(value)))
	}
	for key, number := range c.numbers {
		must(t, s.SetUint64([]byte(key), number))
	}
}

// append stores n more entries behind the last one.
func (c *content) append(t *testing.T, s stores.Store, n int) {
	t.Helper()
	first := slices.Max(slices.Collect(maps.Keys(c.logs))) + 1
	logs := oracle.Entries(oracle.Random(first), first, n, 300)
	for _, l := range logs {
		c.logs[l.Index] = l
	}
	must(t, s.StoreLogs(logs))
}

func (c *content) deleteRange(t *testing.T, s stores.Store, first, last uint64) {
	t.Helper()
	must(t, s.DeleteRange(first, last))
	maps.DeleteFunc(c.logs, func(index uint64, _ *raft.Log) bool { return first <= index && index <= last })
}

// check compares everything with what a store holds.
func (c *content) check(t *testing.T, who string, s stores.Store) {
	t.Helper()
	logs := c.inOrder()
	if first, err := s.FirstIndex(); err != nil || first != logs[0].Index {
		t.Errorf("%s: FirstIndex is %d, %v; want %d", who, first, err, logs[0].Index)
	}
	if last, err := s.LastIndex(); err != nil || last != logs[len(logs)-1].Index {
		t.Errorf("%s: LastIndex is %d, %v; want %d", who, last, err, logs[len(logs)-1].Index)
	}
	for _, want := range logs {
		var got raft.Log
		must(t, s.GetLog(want.Index, &got))
		if diff := diffLog(&got, want); diff != "" {
			t.Errorf("%s: entry %d: %s", who, want.Index, diff)
		}
		for _, beside := range []uint64{want.Index - 1, want.Index + 1} {
			if _, ok := c.logs[beside]; !ok {
				if err := s.GetLog(beside, new(raft.Log)); err != raft.ErrLogNotFound {
					t.Errorf("%s: entry %d: %v; want raft.ErrLogNotFound", who, beside, err)
				}
			}
		}
	}
	for key, want := range c.values {
		if got, err := s.Get([]byte(key)); err != nil || string(got) != want {
			t.Errorf("%s: Get(%q) is %q, %v; want %q", who, key, got, err, want)
		}
	}
	for key, want := range c.numbers {
		if got, err := s.GetUint64([]byte(key)); err != nil || got != want {
			t.Errorf("%s: GetUint64(%q) is %d, %v; want %d", who, key, got, err, want)
		}
	}
}

func diffLog(got, want *raft.Log) string {
	switch {
	case got.Index != want.Index || got.Term != want.Term || got.Type != want.Type:
		return fmt.Sprintf("index %d, term %d, type %d; want %d, %d, %d", got.Index, got.Term, got.Type, want.Index, want.Term, want.Type)
	case !bytes.Equal(got.Data, want.Data) || !bytes.Equal(got.Extensions, want.Extensions):
		return fmt.Sprintf("%d bytes of data and %d of extensions, not the %d and %d that were stored",
			len(got.Data), len(got.Extensions), len(want.Data), len(want.Extensions))
	case !got.AppendedAt.Equal(want.AppendedAt):
		return fmt.Sprintf("appended at %v; want %v", got.AppendedAt, want.AppendedAt)
	}
	return ""
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
