package logcodec_test

import (
	"bytes"
	"encoding/hex"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast/internal/logcodec"
)

// appendCase is a log as a fuzzer can make one up. A length of -1 stands for nil.
type appendCase struct {
	name                string
	index, term         uint64
	kind                byte
	dataLen, extLen     int
	sec                 int64 // since 1970
	nsec, zone          int   // zone: seconds east of UTC
	zeroTime, localTime bool
}

func (c appendCase) log() *raft.Log {
	l := &raft.Log{Index: c.index, Term: c.term, Type: raft.LogType(c.kind)}
	if c.dataLen >= 0 {
		l.Data = bytes.Repeat([]byte{0xda}, c.dataLen)
	}
	if c.extLen >= 0 {
		l.Extensions = bytes.Repeat([]byte{0xc0}, c.extLen)
	}
	switch {
	case c.zeroTime:
	case c.localTime:
		l.AppendedAt = time.Unix(c.sec, int64(c.nsec))
	case c.zone == 0:
		l.AppendedAt = time.Unix(c.sec, int64(c.nsec)).UTC()
	default:
		l.AppendedAt = time.Unix(c.sec, int64(c.nsec)).In(time.FixedZone("somewhere", c.zone))
	}
	return l
}

// The year 0, and the last second whose number of seconds since the year 1 fits.
const (
	yearZero   = -62_167_219_200
	lastSecond = math.MaxInt64 - 62_135_596_800
)

var appendCases = []appendCase{
	{name: "the zero log", dataLen: -1, extLen: -1, zeroTime: true},
	{name: "empty, not nil", dataLen: 0, extLen: 0, zeroTime: true},
	{name: "data only", index: 1, term: 1, dataLen: 5, extLen: -1, sec: 1_700_000_000},
	{name: "extensions only", index: 1, term: 1, dataLen: -1, extLen: 5, sec: 1_700_000_000},

	{name: "integers: 127", index: 127, term: 127, kind: 127, dataLen: -1, extLen: -1},
	{name: "integers: 128", index: 128, term: 128, kind: 128, dataLen: -1, extLen: -1},
	{name: "integers: 255", index: 255, term: 255, kind: 255, dataLen: -1, extLen: -1},
	{name: "integers: 256", index: 256, term: 256, dataLen: -1, extLen: -1},
	{name: "integers: 2^16-1", index: 1<<16 - 1, term: 1<<16 - 1, dataLen: -1, extLen: -1},
	{name: "integers: 2^16", index: 1 << 16, term: 1 << 16, dataLen: -1, extLen: -1},
	{name: "integers: 2^32-1", index: 1<<32 - 1, term: 1<<32 - 1, dataLen: -1, extLen: -1},
	{name: "integers: 2^32", index: 1 << 32, term: 1 << 32, dataLen: -1, extLen: -1},
	{name: "integers: 2^63", index: 1 << 63, term: 1<<63 - 1, dataLen: -1, extLen: -1},
	{name: "integers: 2^64-1", index: math.MaxUint64, term: math.MaxUint64, kind: 255, dataLen: -1, extLen: -1},

	{name: "lengths: 31 and 32", dataLen: 31, extLen: 32},
	{name: "lengths: 32 and 31", dataLen: 32, extLen: 31},
	{name: "lengths: 255 and 256", dataLen: 255, extLen: 256},
	{name: "lengths: 65535 and 65536", dataLen: 65535, extLen: 65536},
	{name: "lengths: 65536 and 65535", dataLen: 65536, extLen: 65535},
	{name: "lengths: 1 MiB", dataLen: 1 << 20, extLen: 3},

	{name: "time: 1970", sec: 0},
	{name: "time: 1970 and a nanosecond", sec: 0, nsec: 1},
	{name: "time: the last nanosecond of a second", sec: 5, nsec: 999_999_999},
	{name: "time: before 1970", sec: -1, nsec: 7},
	{name: "time: the year 0", sec: yearZero},
	{name: "time: a negative year", sec: yearZero - 1_000_000_000_000, nsec: 3},
	{name: "time: one nanosecond after the zero time", sec: -62_135_596_800, nsec: 1},
	{name: "time: 32 bits of seconds are full", sec: 1<<32 - 1},
	{name: "time: 33 bits of seconds", sec: 1 << 32},
	{name: "time: 34 bits of seconds are full", sec: 1<<34 - 1, nsec: 999_999_999},
	{name: "time: 35 bits of seconds", sec: 1 << 34},
	{name: "time: the far future", sec: lastSecond, nsec: 999_999_999},
	{name: "time: the process's own zone", sec: 1_700_000_000, nsec: 5, localTime: true},
	{name: "zone: two hours east", sec: 1_700_000_000, zone: 7200},
	{name: "zone: half an hour west", sec: 1_700_000_000, zone: -1800},
	{name: "zone: of seconds, east", sec: 1_700_000_000, zone: 3601},
	{name: "zone: of seconds, west", sec: 1_700_000_000, zone: -3661},
	{name: "zone: a few seconds west", sec: 1_700_000_000, zone: -30},
	{name: "zone: the widest", sec: 1_700_000_000, zone: 32767 * 60},

	// MarshalBinary refuses these.
	{name: "zone: one minute west", index: 3, sec: 1_700_000_000, zone: -60},
	{name: "zone: 90 seconds west", index: 3, sec: 1_700_000_000, zone: -90},
	{name: "zone: too wide", index: 3, sec: 1_700_000_000, zone: 32768 * 60},
}

func TestAppendWritesWhatMsgpackWrites(t *testing.T) {
	for _, tc := range appendCases {
		for name, format := range timeFormats {
			t.Run(tc.name+"/"+name, func(t *testing.T) { checkAppend(t, tc.log(), format) })
		}
	}
}

// checkAppend compares Append with go-msgpack, and reads what both wrote with both.
func checkAppend(t *testing.T, l *raft.Log, format logcodec.TimeFormat) {
	t.Helper()
	got := logcodec.Append(nil, l, format)
	if size := logcodec.Size(l); len(got) > size {
		t.Errorf("%d bytes, Size told of at most %d", len(got), size)
	}
	var back raft.Log
	if err := logcodec.Decode(got, &back); err != nil {
		t.Fatalf("Decode of what Append wrote: %v\n%s", err, clip(got))
	}
	wantEqual(t, &back, l)

	want, err := msgpackEncode(l, format)
	if _, refused := l.AppendedAt.MarshalBinary(); refused != nil && format == logcodec.ClassicTime {
		// go-msgpack refuses such a log, and raft-boltdb its batch. We write the same instant in UTC.
		if err == nil {
			t.Fatal("go-msgpack has learned to write a time of this zone; so should Append")
		}
		inUTC := *l
		inUTC.AppendedAt = l.AppendedAt.UTC()
		want, err = msgpackEncode(&inUTC, format)
	}
	if err != nil {
		t.Fatalf("go-msgpack does not encode this: %v", err)
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("Append wrote\n%s\ngo-msgpack writes\n%s", clip(got), clip(want))
	}
	var theirs raft.Log
	if err := msgpackDecode(got, &theirs); err != nil {
		t.Fatalf("go-msgpack does not read it: %v", err)
	}
	wantEqual(t, &theirs, l)
}

// clip shortens what a failed test shows.
func clip(b []byte) string { return hex.Dump(b[:min(len(b), 256)]) }

func wantEqual(t *testing.T, got, want *raft.Log) {
	t.Helper()
	if got.Index != want.Index || got.Term != want.Term || got.Type != want.Type {
		t.Fatalf("got index %d, term %d, type %d; want %d, %d, %d",
			got.Index, got.Term, got.Type, want.Index, want.Term, want.Type)
	}
	if !bytes.Equal(got.Data, want.Data) || (got.Data == nil) != (want.Data == nil) {
		t.Fatalf("Data is %.40q (nil %v), want %.40q (nil %v)", got.Data, got.Data == nil, want.Data, want.Data == nil)
	}
	if !bytes.Equal(got.Extensions, want.Extensions) || (got.Extensions == nil) != (want.Extensions == nil) {
		t.Fatalf("Extensions are %.40q (nil %v), want %.40q (nil %v)",
			got.Extensions, got.Extensions == nil, want.Extensions, want.Extensions == nil)
	}
	if !got.AppendedAt.Equal(want.AppendedAt) || got.AppendedAt.IsZero() != want.AppendedAt.IsZero() {
		t.Fatalf("AppendedAt is %v, want %v", got.AppendedAt, want.AppendedAt)
	}
}

// The bytes by hand, so that the comparison with go-msgpack is not the only witness.
func TestAppendGolden(t *testing.T) {
	l := &raft.Log{
		Index: 300, Term: 2, Type: raft.LogConfiguration, Data: []byte("hi"),
		AppendedAt: time.Unix(1, 2).UTC(),
	}
	for name, tc := range map[string]struct {
		format logcodec.TimeFormat
		time   string
	}{
		// Version 1, 8 bytes of seconds since the year 1, 4 of nanoseconds, 2 of the zone: ffff is UTC.
		"classic": {logcodec.ClassicTime, "\xaf\x01\x00\x00\x00\x0e\x77\x91\xf7\x01\x00\x00\x00\x02\xff\xff"},
		// 2 << 34 | 1
		"new": {logcodec.NewTime, "\xa8\x00\x00\x00\x08\x00\x00\x00\x01"},
	} {
		t.Run(name, func(t *testing.T) {
			want := "\x86" + "\xaaAppendedAt" + tc.time + "\xa4Data\xa2hi" + "\xaaExtensions\xc0" +
				"\xa5Index\xcd\x01\x2c" + "\xa4Term\x02" + "\xa4Type\x05"
			if got := logcodec.Append([]byte("before"), l, tc.format); string(got) != "before"+want {
				t.Errorf("got\n%swant\n%s", hex.Dump(got[6:]), hex.Dump([]byte(want)))
			}
		})
	}
}

func TestAppendAllocates(t *testing.T) {
	for _, tc := range appendCases {
		l := tc.log()
		if _, err := l.AppendedAt.MarshalBinary(); err != nil {
			continue // makes an error first
		}
		dst := make([]byte, 0, logcodec.Size(l))
		for name, format := range timeFormats {
			if n := testing.AllocsPerRun(10, func() { dst = logcodec.Append(dst[:0], l, format) }); n != 0 {
				t.Errorf("%s, %s time: %v allocations", tc.name, name, n)
			}
		}
	}
}

func TestAppendAgainstMsgpackAtRandom(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	integer := func() uint64 { return rng.Uint64() >> rng.IntN(64) }
	length := func() int { return int(rng.Uint32()>>(14+rng.IntN(18))) - 1 }
	for i := range 1500 {
		tc := appendCase{
			index: integer(), term: integer(), kind: byte(integer()),
			dataLen: length(), extLen: length(),
			sec: int64(rng.Uint64()) >> (1 + rng.IntN(63)), nsec: rng.IntN(1e9),
			zone:     rng.IntN(100_000) - 50_000,
			zeroTime: rng.IntN(10) == 0, localTime: rng.IntN(10) == 0,
		}
		for name, format := range timeFormats {
			checkAppend(t, tc.log(), format)
			if t.Failed() {
				t.Fatalf("log %d with the %s time: %+v", i, name, tc)
			}
		}
	}
}

func FuzzAppend(f *testing.F) {
	for _, tc := range appendCases {
		if tc.dataLen > 1000 || tc.extLen > 1000 {
			continue // slows a fuzzer down; the table has them
		}
		l := tc.log()
		f.Add(tc.index, tc.term, tc.kind, l.Data, l.Extensions, tc.dataLen < 0, tc.extLen < 0, tc.sec, int64(tc.nsec), tc.zone, tc.zeroTime)
	}
	f.Fuzz(func(t *testing.T, index, term uint64, kind byte, data, ext []byte, nilData, nilExt bool, sec, nsec int64, zone int, zero bool) {
		tc := appendCase{
			index: index, term: term, kind: kind,
			sec: sec, nsec: int(uint64(nsec) % 1e9), zone: zone, zeroTime: zero,
		}
		l := tc.log()
		if l.Data = data; nilData {
			l.Data = nil
		}
		if l.Extensions = ext; nilExt {
			l.Extensions = nil
		}
		for _, format := range timeFormats {
			checkAppend(t, l, format)
		}
	})
}
