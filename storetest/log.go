package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast"
)

var emptyTests = []test{
	{"has bounds of 0 and no error", func(e *env) { e.verify() }},
	{"finds no entry", func(e *env) {
		for _, index := range []uint64{0, 1, 2, 1 << 40, math.MaxUint64} {
			e.notFound("empty", index)
		}
	}},
	{"takes any DeleteRange", func(e *env) {
		for _, r := range [][2]uint64{{0, 0}, {1, 1}, {5, 3}, {1, 100}, {0, math.MaxUint64}} {
			e.deleteRange(r[0], r[1])
		}
		e.verify()
		e.put(entries(1, 3, 1)...)
		e.verify()
	}},
	{"takes an empty batch", func(e *env) {
		e.put()
		e.verify()
	}},
	{"says whether it is monotonic", func(e *env) {
		m, ok := e.store.(raft.MonotonicLogStore)
		if monotonic := ok && m.IsMonotonic(); monotonic != e.cfg.refusesGaps {
			e.Fatalf("IsMonotonic is %v; want %v, as the store takes gaps or is declared to refuse them", monotonic, e.cfg.refusesGaps)
		}
	}},
}

var getLogTests = []test{
	{"returns every field", func(e *env) {
		for i, l := range fieldCases() {
			l.Index = uint64(i + 1)
			e.put(l)
		}
		e.verify()
	}},
	{"returns any time to the nanosecond", func(e *env) {
		for i, at := range timeCases() {
			e.put(&raft.Log{Index: uint64(i + 1), Term: 1, Data: []byte("x"), AppendedAt: at})
		}
		e.verify()
	}},
	{"sets every field of the log it is given", func(e *env) {
		e.put(&raft.Log{Index: 1})
		got := *entry(99, 99)
		got.Extensions = []byte("left over")
		if err := e.store.GetLog(1, &got); err != nil {
			e.Fatalf("GetLog: %v", err)
		}
		if diff := diffLogs(&got, &raft.Log{Index: 1}); diff != "" {
			e.Fatalf("a field kept what was there before: %s", diff)
		}
	}},
	{"does not write into what the log held", func(e *env) {
		e.put(sized(1, 1, 32))
		data, ext := bytes.Repeat([]byte("d"), 64), bytes.Repeat([]byte("e"), 64)
		got := raft.Log{Data: data[:8], Extensions: ext[:8]}
		if err := e.store.GetLog(1, &got); err != nil {
			e.Fatalf("GetLog: %v", err)
		}
		if !bytes.Equal(data, bytes.Repeat([]byte("d"), 64)) || !bytes.Equal(ext, bytes.Repeat([]byte("e"), 64)) {
			e.Fatalf("GetLog wrote into a slice that the log held before")
		}
	}},
	{"returns slices that are the caller's", func(e *env) {
		stored := entry(3, 1)
		stored.Data, stored.Extensions = []byte("some data"), []byte("some extensions")
		e.put(entries(1, 2, 1)...)
		e.put(stored)
		var got raft.Log
		if err := e.store.GetLog(3, &got); err != nil {
			e.Fatalf("GetLog: %v", err)
		}
		scribble(got.Data)
		scribble(got.Extensions)
		_ = append(got.Data[:0:len(got.Data)], "another text"...)
		e.verify()
	}},
	{"returns slices that later stores do not change", func(e *env) {
		e.put(entries(1, 50, 1)...)
		var held []raft.Log
		for index := uint64(1); index <= 50; index++ {
			var l raft.Log
			if err := e.store.GetLog(index, &l); err != nil {
				e.Fatalf("GetLog(%d): %v", index, err)
			}
			held = append(held, l)
		}
		e.deleteRange(20, 50)
		e.put(entries(20, 80, 2)...)
		e.deleteRange(1, 10)
		e.put(sized(81, 2, 1<<20))
		for i := range held {
			if diff := diffLogs(&held[i], entry(uint64(i+1), 1)); diff != "" {
				e.Fatalf("entry %d, read before, was changed by a later store: %s", i+1, diff)
			}
		}
	}},
	{"returns ErrLogNotFound itself around the log", func(e *env) {
		e.put(entries(100, 110, 1)...)
		for _, index := range []uint64{0, 1, 99, 111, 1 << 40, math.MaxUint64} {
			e.notFound("around the log", index)
		}
	}},
}

func fieldCases() []*raft.Log {
	at := time.Date(2026, 2, 3, 4, 5, 6, 7, time.UTC)
	logs := []*raft.Log{
		{Term: 1},
		{Term: 1, Data: []byte{}, Extensions: []byte{}},
		{Term: 1, Data: []byte("data only")},
		{Term: 1, Extensions: []byte("extensions only")},
		{Term: math.MaxUint64, Type: 255, Data: []byte{0}, Extensions: []byte{0xff}, AppendedAt: at},
	}
	for kind := raft.LogCommand; kind <= raft.LogConfiguration+1; kind++ {
		logs = append(logs, &raft.Log{Term: 7, Type: kind, Data: []byte(kind.String()), AppendedAt: at})
	}
	for _, term := range []uint64{0, 127, 128, 255, 256, 65535, 65536, 1<<32 - 1, 1 << 32, 1<<63 - 1, 1 << 63} {
		logs = append(logs, &raft.Log{Term: term, Data: []byte("term"), AppendedAt: at})
	}
	for _, n := range []int{1, 31, 32, 255, 256, 4000, 4095, 4096, 4097, 65535, 65536, 1 << 20} {
		logs = append(logs,
			&raft.Log{Term: 2, Data: payload(uint64(n), 1, n), AppendedAt: at},
			&raft.Log{Term: 2, Data: []byte("d"), Extensions: payload(uint64(n), 2, n)})
	}
	return logs
}

func timeCases() []time.Time {
	return []time.Time{
		{},
		time.Unix(0, 0).UTC(),
		time.Unix(0, 1),
		time.Unix(-1, 999_999_999),
		time.Unix(1<<31, 0),
		time.Unix(1<<32-1, 5),
		time.Unix(1<<34-1, 999_999_999),
		time.Unix(1<<34, 0),
		time.Unix(1<<40, 17),
		time.Date(1, 1, 1, 0, 0, 0, 1, time.UTC),
		time.Date(1969, 12, 31, 23, 59, 59, 999_999_999, time.UTC),
		time.Date(2026, 11, 23, 9, 30, 0, 123_456_789, time.FixedZone("east", 5*3600+45*60)),
		time.Date(1890, 1, 1, 0, 0, 0, 0, time.FixedZone("local mean time", -(4*3600+56*60+2))),
		time.Date(2026, 11, 23, 9, 30, 0, 0, time.FixedZone("further than a day", 40*24*3600)),
		time.Date(9999, 12, 31, 23, 59, 59, 999_999_999, time.UTC),
		time.Now(),
	}
}

func scribble(b []byte) {
	for i := range b {
		b[i] ^= 0xff
	}
}

var storeLogsTests = []test{
	{"appends", func(e *env) {
		e.put(entry(1, 1))
		if err := e.store.StoreLog(entry(2, 1)); err != nil {
			e.Fatalf("StoreLog: %v", err)
		}
		e.modelPut([]*raft.Log{entry(2, 1)})
		e.put(entries(3, 70, 2)...)
		e.verify()
	}},
	{"starts at any index", func(e *env) {
		e.put(entries(1_000_000_007, 1_000_000_020, 5)...)
		e.verify()
	}},
	{"takes an empty batch on a log that holds entries", func(e *env) {
		e.put(entries(4, 9, 1)...)
		e.put()
		if err := e.store.StoreLogs([]*raft.Log{}); err != nil {
			e.Fatalf("StoreLogs of an empty slice: %v", err)
		}
		e.verify()
	}},
	{"replaces what is there", func(e *env) {
		e.put(entries(1, 20, 1)...)
		e.put(entries(5, 9, 2)...)
		e.verify()
		e.put(sized(7, 3, 9000))
		e.put(sized(20, 3, 0))
		e.verify()
		e.put(entries(15, 30, 4)...)
		e.verify()
	}},
	{"takes the same batch again", func(e *env) {
		e.put(entries(1, 10, 1)...)
		e.put(entries(6, 10, 1)...)
		e.put(entries(6, 12, 1)...)
		e.verify()
	}},
	{"keeps the last entry of an index in a batch", func(e *env) {
		e.put(entry(1, 1), entry(2, 1), entry(2, 2), entry(1, 3), entry(2, 4), entry(3, 4))
		e.verify()
	}},
	{"takes a batch in any order", func(e *env) {
		e.put(entry(5, 1), entry(3, 1), entry(4, 1), entry(1, 1), entry(2, 1))
		e.verify()
	}},
	{"takes a gap", func(e *env) {
		e.put(entries(1, 3, 1)...)
		e.put(entry(10, 2))
		e.verify()
		e.put(entry(11, 2), entry(1<<40, 3))
		e.verify()
	}},
	{"takes an index below the first", func(e *env) {
		e.put(entries(100, 110, 2)...)
		e.put(entries(90, 95, 3)...)
		e.verify()
	}},
	{"fills a gap", func(e *env) {
		e.put(entry(1, 1), entry(5, 1))
		e.put(entries(2, 4, 1)...)
		e.verify()
	}},
	{"takes the highest indexes", func(e *env) {
		e.put(entries(math.MaxUint64-3, math.MaxUint64, 1)...)
		e.verify()
		e.deleteRange(math.MaxUint64-1, math.MaxUint64)
		e.verify()
	}},
	{"lets the caller reuse its buffers", func(e *env) {
		logs := entries(1, 12, 1)
		for _, l := range logs {
			l.Data, l.Extensions = bytes.Repeat([]byte("d"), 100), bytes.Repeat([]byte("e"), 50)
		}
		e.put(logs...)
		for _, l := range logs {
			scribble(l.Data)
			scribble(l.Extensions)
			*l = raft.Log{Index: 77, Term: 77}
		}
		e.verify()
	}},
	{"refuses index 0 or returns it", func(e *env) {
		e.put(entry(1, 1))
		batch := []*raft.Log{entry(2, 1), {Index: 0, Term: 1, Data: []byte("zero")}}
		if err := e.store.StoreLogs(batch); err != nil {
			e.verify() // refused, and nothing of the batch is there
			return
		}
		var got raft.Log
		if err := e.store.GetLog(0, &got); err != nil || !bytes.Equal(got.Data, batch[1].Data) {
			e.Fatalf("an entry of index 0 was accepted, and GetLog(0) returns %q, %v", got.Data, err)
		}
	}},
	{"takes entries of all sizes in a batch", func(e *env) {
		var logs []*raft.Log
		for i, n := range []int{0, 1, 511, 512, 513, 4096, 10_000, 65_536, 1 << 20, 0, 3 << 20, 7} {
			logs = append(logs, sized(uint64(i+1), 1, n))
		}
		e.put(logs...)
		e.verify()
	}},
	{"takes 65 entries of 1 MiB at once", func(e *env) {
		var logs []*raft.Log
		for index := uint64(1); index <= 65; index++ {
			logs = append(logs, sized(index, 1, 1<<20))
		}
		e.put(logs...)
		e.verify()
	}},
	{"takes 20,000 small entries at once", func(e *env) {
		e.put(entries(1, 20_000, 1)...)
		e.reopen()
		e.compareBounds("after reopening")
		for index := uint64(1); index <= 20_000; index += 997 {
			var got raft.Log
			if err := e.store.GetLog(index, &got); err != nil {
				e.Fatalf("GetLog(%d): %v", index, err)
			}
			if diff := diffLogs(&got, entry(index, 1)); diff != "" {
				e.Fatalf("GetLog(%d): %s", index, diff)
			}
		}
	}},
	{"takes an entry of 64 MiB", func(e *env) {
		e.put(entry(1, 1))
		big := sized(2, 1, ballast.DefaultMaxEntryBytes-8)
		big.Extensions = payload(2, 2, 8)
		e.put(big)
		e.verify()
	}},
	{"refuses an entry above its limit with its batch", func(e *env) {
		if e.cfg.maxEntryBytes == 0 {
			e.t.Skip("the store has no limit, so there is nothing that it has to refuse")
		}
		e.put(entries(1, 3, 1)...)
		big := &raft.Log{Index: 5, Term: 1, Data: make([]byte, e.cfg.maxEntryBytes), Extensions: []byte{1}}
		err := e.store.StoreLogs([]*raft.Log{entry(4, 1), big, entry(6, 1)})
		var tooLarge *ballast.EntryTooLargeError
		if !errors.As(err, &tooLarge) || tooLarge.Index != 5 {
			e.Fatalf("StoreLogs of an entry above the limit returned %v; want *ballast.EntryTooLargeError of entry 5", err)
		}
		e.verify()
		e.put(entries(4, 6, 1)...)
		e.verify()
	}},
}

// deleteCases are ranges on a log of 10 to 29, and on one with gaps.
var deleteCases = [][2]uint64{
	{10, 14}, {0, 14}, {5, 14}, {25, 29}, {25, 40}, {25, math.MaxUint64}, {10, 29}, {0, math.MaxUint64},
	{1, 9}, {30, 50}, {0, 0}, {20, 15}, {math.MaxUint64, 0}, {15, 20}, {15, 15}, {10, 10}, {29, 29}, {9, 9}, {30, 30},
	{math.MaxUint64, math.MaxUint64}, {11, 28},
}

var deleteRangeTests = []test{
	{"deletes what is there and keeps the rest", func(e *env) {
		for _, r := range deleteCases {
			e.deleteRange(0, math.MaxUint64)
			e.put(entries(10, 29, 1)...)
			e.deleteRange(r[0], r[1])
			e.compare(fmt.Sprintf("after DeleteRange(%d, %d) of 10 to 29", r[0], r[1]))
			e.reopen()
			e.compare(fmt.Sprintf("after DeleteRange(%d, %d) of 10 to 29 and reopening", r[0], r[1]))
		}
	}},
	{"takes a log with gaps", func(e *env) {
		for _, r := range deleteCases {
			e.deleteRange(0, math.MaxUint64)
			for _, index := range []uint64{10, 11, 15, 20, 21, 28, 29} {
				e.put(entry(index, 1))
			}
			e.deleteRange(r[0], r[1])
			e.compare(fmt.Sprintf("after DeleteRange(%d, %d) of a log with gaps", r[0], r[1]))
		}
		e.verify()
	}},
	{"compacts as raft does", func(e *env) {
		for round := range uint64(8) {
			e.put(entries(round*40+1, round*40+40, round+1)...)
			first, last := e.bounds()
			e.deleteRange(first, last-10)
			e.compare("after a compaction")
		}
		e.verify()
	}},
	{"truncates a conflicting suffix as raft does", func(e *env) {
		e.put(entries(1, 40, 1)...)
		for round := range uint64(8) {
			_, last := e.bounds()
			e.deleteRange(last-4, last)
			e.put(entries(last-4, last+3, round+2)...)
			e.compare("after a truncation")
		}
		e.verify()
	}},
	{"can empty the log and start higher", func(e *env) {
		e.put(entries(1, 30, 1)...)
		e.deleteRange(1, 30)
		e.verify()
		e.put(entries(500, 520, 2)...)
		e.verify()
	}},
	{"can empty the log and start lower", func(e *env) {
		e.put(entries(500, 520, 1)...)
		e.deleteRange(0, math.MaxUint64)
		e.verify()
		e.put(entries(3, 9, 2)...)
		e.verify()
	}},
	{"does not bring back what was deleted", func(e *env) {
		e.put(entries(1, 30, 1)...)
		e.deleteRange(11, 30)
		e.reopen()
		e.put(entry(11, 2))
		e.verify()
		e.deleteRange(1, 5)
		e.reopen()
		e.put(entry(12, 2))
		e.verify()
	}},
	{"deletes one entry many times", func(e *env) {
		e.put(entries(1, 10, 1)...)
		for i := range uint64(100) {
			e.deleteRange(10, 10)
			e.put(sized(10, i+2, 200))
		}
		e.verify()
	}},
	{"deletes 30,000 entries at once", func(e *env) {
		for first := uint64(1); first < 30_000; first += 10_000 {
			var logs []*raft.Log
			for index := first; index < first+10_000; index++ {
				logs = append(logs, sized(index, 1, 32))
			}
			if err := e.store.StoreLogs(logs); err != nil {
				e.Fatalf("StoreLogs from %d: %v", first, err)
			}
		}
		if err := e.store.DeleteRange(1, 29_990); err != nil {
			e.Fatalf("DeleteRange(1, 29990): %v", err)
		}
		for index := uint64(29_991); index <= 30_000; index++ {
			e.model.logs[index] = *sized(index, 1, 32)
		}
		e.compare("after a long prefix was deleted")
		e.notFound("after a long prefix was deleted", 15_000)
		e.verify()
	}},
}
