package logcodec_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast/internal/logcodec"
)

// decodeCase is an encoding by hand. Where wantErr is empty Decode reads it as want.
type decodeCase struct {
	name    string
	in      string
	want    raft.Log
	wantErr string

	// theirs says why go-msgpack differs: that it takes what we refuse, or refuses what we take. Where
	// both take an encoding, they always agree.
	theirs string
}

func be(n int, v uint64) string { return string(binary.BigEndian.AppendUint64(nil, v)[8-n:]) }

var at = time.Unix(1_700_000_000, 5).UTC()

func binaryTime(t time.Time) string {
	b, err := t.MarshalBinary()
	if err != nil {
		panic(err)
	}
	return string(b)
}

// one is a map of one pair.
func one(key, value string) string { return "\x81" + raw(key) + value }

func raw(s string) string { return string([]byte{0xa0 | byte(len(s))}) + s }

func formCases() []decodeCase {
	cases := []decodeCase{
		{name: "an empty map", in: "\x80"},
		{name: "map16", in: "\xde\x00\x01" + raw("Term") + "\x09", want: raft.Log{Term: 9}},
		{name: "map32", in: "\xdf\x00\x00\x00\x01" + raw("Term") + "\x09", want: raft.Log{Term: 9}},
		{
			name: "keys in another order", in: "\x86" + raw("Type") + "\x01" + raw("Extensions") + raw("e") +
				raw("Term") + "\x02" + raw("AppendedAt") + "\xc0" + raw("Index") + "\x03" + raw("Data") + raw("d"),
			want: raft.Log{Index: 3, Term: 2, Type: 1, Data: []byte("d"), Extensions: []byte("e")},
		},
		{name: "a key twice: the last wins", in: "\x82" + raw("Term") + "\x01" + raw("Term") + "\x02", want: raft.Log{Term: 2}},
		{name: "data twice, at last nil", in: "\x82" + raw("Data") + raw("long") + raw("Data") + "\xc0"},
		{name: "data twice, at last shorter", in: "\x82" + raw("Data") + raw("long") + raw("Data") + raw("s"), want: raft.Log{Data: []byte("s")}},
		{name: "a key of another case is another key", in: one("term", "\x05")},
		{name: "a key as str8", in: "\x81\xd9\x04Term\x05", want: raft.Log{Term: 5}},
		{name: "a key as str16", in: "\x81\xda\x00\x04Term\x05", want: raft.Log{Term: 5}},
		{name: "a key as bin8", in: "\x81\xc4\x04Term\x05", want: raft.Log{Term: 5}},
		{name: "an empty key", in: one("", "\x05"), theirs: "panics inside over it"},
		{name: "a nil key", in: "\x81\xc0\x05", theirs: "panics inside over it"},

		{name: "int: fixnum 0", in: one("Index", "\x00")},
		{name: "int: fixnum 127", in: one("Index", "\x7f"), want: raft.Log{Index: 127}},
		{name: "type 255", in: one("Type", "\xcc\xff"), want: raft.Log{Type: 255}},
		{name: "type 255 in 8 bytes", in: one("Type", "\xcf"+be(8, 255)), want: raft.Log{Type: 255}},
		{name: "type 256", in: one("Type", "\xcd\x01\x00"), wantErr: "256 is no log type"},
		{name: "int: a negative fixnum", in: one("Index", "\xff"), wantErr: "unsigned integer"},
		{name: "int: a float", in: one("Index", "\xcb"+be(8, 0)), wantErr: "unsigned integer"},
		{name: "int: a string", in: one("Index", raw("1")), wantErr: "unsigned integer"},
		{name: "int: nil", in: one("Index", "\xc0"), wantErr: "unsigned integer", theirs: "takes nil for 0, which nobody writes"},

		{name: "raw: nil", in: one("Data", "\xc0")},
		{name: "raw: empty", in: one("Data", "\xa0"), want: raft.Log{Data: []byte{}}},
		{name: "raw: str8", in: one("Data", "\xd9\x02ab"), want: raft.Log{Data: []byte("ab")}},
		{name: "raw: str16", in: one("Data", "\xda\x00\x02ab"), want: raft.Log{Data: []byte("ab")}},
		{name: "raw: str32", in: one("Data", "\xdb\x00\x00\x00\x02ab"), want: raft.Log{Data: []byte("ab")}},
		{name: "raw: bin8", in: one("Extensions", "\xc4\x02ab"), want: raft.Log{Extensions: []byte("ab")}},
		{name: "raw: bin16", in: one("Extensions", "\xc5\x00\x02ab"), want: raft.Log{Extensions: []byte("ab")}},
		{name: "raw: bin32", in: one("Extensions", "\xc6\x00\x00\x00\x02ab"), want: raft.Log{Extensions: []byte("ab")}},
		{name: "raw: empty bin8", in: one("Extensions", "\xc4\x00"), want: raft.Log{Extensions: []byte{}}},
		{name: "raw: a number", in: one("Data", "\x05"), wantErr: "raw bytes"},
		{name: "raw: an array of numbers", in: one("Data", "\x92\x01\x02"), wantErr: "raw bytes", theirs: "takes an array for bytes, which nobody writes"},

		{name: "not a map: nil", in: "\xc0", wantErr: "map", theirs: "takes nil for the zero log"},
		{name: "not a map: an array", in: "\x91\xc0", wantErr: "map", theirs: "takes an array for the fields in order"},
		{name: "not a map: a number", in: "\x05", wantErr: "map"},
		{name: "nothing", in: "", wantErr: "ends early"},
		{name: "bytes behind the end", in: "\x80\x00", wantErr: "behind its end", theirs: "does not look there"},
		{name: "a second log behind the end", in: "\x80\x80", wantErr: "behind its end", theirs: "does not look there"},
		{name: "the byte that means nothing", in: one("Data", "\xc1"), wantErr: "0xc1"},
	}
	for bits, code := range map[int]byte{8: 0xcc, 16: 0xcd, 32: 0xce, 64: 0xcf} {
		n, most := bits/8, uint64(1)<<(bits-1)<<1-1
		uintOf := func(v uint64) string { return string([]byte{code}) + be(n, v) }
		intOf := func(v uint64) string { return string([]byte{code + 4}) + be(n, v) }
		cases = append(cases,
			decodeCase{name: fmt.Sprintf("int: uint%d, longer than needed", bits), in: one("Index", uintOf(1)), want: raft.Log{Index: 1}},
			decodeCase{name: fmt.Sprintf("int: the largest uint%d", bits), in: one("Term", uintOf(most)), want: raft.Log{Term: most}},
			decodeCase{name: fmt.Sprintf("int: the largest int%d", bits), in: one("Index", intOf(most/2)), want: raft.Log{Index: most / 2}},
			decodeCase{name: fmt.Sprintf("int: -1 as int%d", bits), in: one("Index", intOf(most)), wantErr: "negative"},
			decodeCase{name: fmt.Sprintf("int: the smallest int%d", bits), in: one("Index", intOf(most/2+1)), wantErr: "negative"},
		)
	}
	return cases
}

func timeCases() []decodeCase {
	logAt := func(t time.Time) raft.Log { return raft.Log{AppendedAt: t} }
	packed := be(8, 5<<34|1_700_000_000)
	east := at.In(time.FixedZone("", 3601)) // 16 bytes
	badVersion := "\x09" + binaryTime(at)[1:]
	badNanos := binaryTime(at)[:9] + be(4, 1e9) + binaryTime(at)[13:]
	wildNanos := binaryTime(at)[:9] + be(4, 0xffffffff) + binaryTime(at)[13:]
	return []decodeCase{
		{name: "time: nil", in: one("AppendedAt", "\xc0")},
		{name: "time: binary", in: one("AppendedAt", raw(binaryTime(at))), want: logAt(at)},
		{name: "time: binary with seconds in its zone", in: one("AppendedAt", raw(binaryTime(east))), want: logAt(at)},
		{name: "time: the zero time in binary", in: one("AppendedAt", raw(binaryTime(time.Time{})))},
		{name: "time: binary as str8", in: one("AppendedAt", "\xd9\x0f"+binaryTime(at)), want: logAt(at), theirs: "takes it in the short form only"},
		{name: "time: binary as bin8", in: one("AppendedAt", "\xc4\x0f"+binaryTime(at)), want: logAt(at), theirs: "takes it in the short form only"},
		{name: "time: 4 bytes", in: one("AppendedAt", raw(be(4, 1_700_000_000))), want: logAt(time.Unix(1_700_000_000, 0))},
		{name: "time: 8 bytes", in: one("AppendedAt", raw(packed)), want: logAt(at)},
		{name: "time: 12 bytes", in: one("AppendedAt", raw(be(4, 5)+be(8, 1_700_000_000))), want: logAt(at)},
		{name: "time: 12 bytes, before 1970", in: one("AppendedAt", raw(be(4, 5)+be(8, 1<<64-9))), want: logAt(time.Unix(-9, 5))},
		{name: "time: 8 bytes as str8", in: one("AppendedAt", "\xd9\x08"+packed), want: logAt(at)},
		{name: "time: 8 bytes as bin8", in: one("AppendedAt", "\xc4\x08"+packed), want: logAt(at)},
		{name: "time: ext of 4 bytes", in: one("AppendedAt", "\xd6\xff"+be(4, 1_700_000_000)), want: logAt(time.Unix(1_700_000_000, 0))},
		{name: "time: ext of 8 bytes", in: one("AppendedAt", "\xd7\xff"+packed), want: logAt(at)},
		{name: "time: ext of 12 bytes", in: one("AppendedAt", "\xc7\x0c\xff"+be(4, 5)+be(8, 1_700_000_000)), want: logAt(at)},

		{name: "time: ext of another type", in: one("AppendedAt", "\xd7\x01"+packed), wantErr: "no time"},
		{name: "time: ext of 2 bytes", in: one("AppendedAt", "\xd5\xff\x00\x00"), wantErr: "does not begin a time"},
		{name: "time: 5 bytes", in: one("AppendedAt", raw("12345")), wantErr: "time of 5 bytes"},
		{name: "time: no bytes", in: one("AppendedAt", raw("")), wantErr: "time of 0 bytes"},
		{name: "time: binary of a later version", in: one("AppendedAt", raw(badVersion)), wantErr: "time of 15 bytes"},
		{name: "time: a number", in: one("AppendedAt", "\x05"), wantErr: "does not begin a time"},
		{name: "time: binary, 10^9 nanoseconds", in: one("AppendedAt", raw(badNanos)), wantErr: "1000000000 nanoseconds", theirs: "takes it for another time"},
		{name: "time: binary, 2^32-1 nanoseconds", in: one("AppendedAt", raw(wildNanos)), wantErr: "4294967295 nanoseconds", theirs: "takes it for another time"},
		{name: "time: 8 bytes, 10^9 nanoseconds", in: one("AppendedAt", raw(be(8, 1e9<<34))), wantErr: "1000000000 nanoseconds", theirs: "takes it for another time"},
		{name: "time: 12 bytes, 10^9 nanoseconds", in: one("AppendedAt", raw(be(4, 1e9)+be(8, 0))), wantErr: "1000000000 nanoseconds", theirs: "takes it for another time"},
	}
}

// skipCases have a field of a later raft, of each kind there is, between two that are known.
func skipCases() (cases []decodeCase) {
	for name, value := range map[string]string{
		"nil": "\xc0", "false": "\xc2", "true": "\xc3",
		"fixnum": "\x05", "negative fixnum": "\xfe",
		"uint8": "\xcc\x01", "uint16": "\xcd" + be(2, 1), "uint32": "\xce" + be(4, 1), "uint64": "\xcf" + be(8, 1),
		"int8": "\xd0\xff", "int16": "\xd1" + be(2, 1), "int32": "\xd2" + be(4, 1), "int64": "\xd3" + be(8, 1),
		"float32": "\xca" + be(4, 1), "float64": "\xcb" + be(8, 1),
		"fixstr": raw("abc"), "str8": "\xd9\x03abc", "str16": "\xda\x00\x03abc", "str32": "\xdb\x00\x00\x00\x03abc",
		"bin8": "\xc4\x03abc", "bin16": "\xc5\x00\x03abc", "bin32": "\xc6\x00\x00\x00\x03abc",
		"fixext1": "\xd4\x07a", "fixext2": "\xd5\x07ab", "fixext4": "\xd6\x07abcd", "fixext8": "\xd7\x07abcdefgh",
		"fixext16": "\xd8\x07abcdefghijklmnop",
		"ext8":     "\xc7\x03\x07abc", "ext16": "\xc8\x00\x03\x07abc", "ext32": "\xc9\x00\x00\x00\x03\x07abc",
		"empty ext8":  "\xc7\x00\x07",
		"empty array": "\x90", "fixarray": "\x92\x01" + raw("x"), "array16": "\xdc\x00\x02\x01\x02", "array32": "\xdd\x00\x00\x00\x01\xc0",
		"empty map": "\x80", "fixmap": "\x81" + raw("Term") + "\x63", "map16": "\xde\x00\x01\x01\x02", "map32": "\xdf\x00\x00\x00\x01\x01\x02",
		"maps in arrays in maps": "\x81" + raw("a") + "\x92\x81\x01\x91\xc0\x05",
		"nested 32 deep":         strings.Repeat("\x91", 32) + "\xc0",
	} {
		cases = append(cases, decodeCase{
			name: "skip: " + name, in: "\x83" + raw("Index") + "\x01" + raw("Later") + value + raw("Term") + "\x02",
			want: raft.Log{Index: 1, Term: 2},
		})
	}
	return append(cases,
		decodeCase{name: "skip: nested 33 deep", in: one("Later", strings.Repeat("\x91", 33)+"\xc0"), wantErr: "nested too deeply", theirs: "nests up to 100 deep"},
		decodeCase{name: "skip: nested without end", in: one("Later", strings.Repeat("\x91", 1_000_000)), wantErr: "nested too deeply"},
		decodeCase{name: "skip: the byte that means nothing", in: one("Later", "\xc1"), wantErr: "begins no value"},
	)
}

// hostileCases promise far more than they hold.
func hostileCases() []decodeCase {
	return []decodeCase{
		{name: "hostile: 4 GiB of data", in: one("Data", "\xdb\xff\xff\xff\xff"), wantErr: "ends early"},
		{name: "hostile: 4 GiB of extensions", in: one("Extensions", "\xc6\xff\xff\xff\xffabc"), wantErr: "ends early"},
		{name: "hostile: a key of 4 GiB", in: "\x81\xdb\xff\xff\xff\xff", wantErr: "ends early"},
		{name: "hostile: 2^32 pairs", in: "\xdf\xff\xff\xff\xff", wantErr: "ends early"},
		{name: "hostile: an array of 2^32", in: one("Later", "\xdd\xff\xff\xff\xff"), wantErr: "ends early"},
		{name: "hostile: a map of 2^32", in: one("Later", "\xdf\xff\xff\xff\xff"), wantErr: "ends early"},
		{name: "hostile: an ext of 4 GiB", in: one("Later", "\xc9\xff\xff\xff\xff\x01"), wantErr: "ends early"},
		{name: "hostile: a time of 4 GiB", in: one("AppendedAt", "\xdb\xff\xff\xff\xff"), wantErr: "ends early"},
		{name: "hostile: a time of 1 MiB", in: one("AppendedAt", "\xdb\x00\x10\x00\x00"+strings.Repeat("x", 1<<20)), wantErr: "time of 1048576 bytes"},
		{name: "hostile: an unknown key of 1 MiB", in: "\x81\xdb\x00\x10\x00\x00" + strings.Repeat("x", 1<<20) + "\xc1", wantErr: "begins no value"},
	}
}

func decodeCases() (cases []decodeCase) {
	for _, more := range [][]decodeCase{formCases(), timeCases(), skipCases(), hostileCases()} {
		cases = append(cases, more...)
	}
	return cases
}

func TestDecodeForms(t *testing.T) {
	for _, tc := range decodeCases() {
		t.Run(tc.name, func(t *testing.T) {
			before := raft.Log{Index: 77, Data: []byte("before")}
			got := before
			err := logcodec.Decode([]byte(tc.in), &got)
			var theirs raft.Log
			theirErr := err
			if !strings.HasPrefix(tc.name, "hostile") { // which would keep go-msgpack busy for seconds
				theirErr = msgpackDecode([]byte(tc.in), &theirs)
			}
			if differs := (err == nil) != (theirErr == nil); differs != (tc.theirs != "") {
				t.Errorf("Decode: %v; go-msgpack, of which we say %q: %v", err, tc.theirs, theirErr)
			}
			if tc.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), tc.wantErr) {
					t.Fatalf("got %+v, %v; want an error that says %q", got, err, tc.wantErr)
				}
				if len(err.Error()) > 200 {
					t.Errorf("an error of %d bytes", len(err.Error()))
				}
				wantEqual(t, &got, &before)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			wantEqual(t, &got, &tc.want)
			if theirErr == nil {
				wantEqual(t, &theirs, &got)
			}
		})
	}
}

// No part of an encoding is taken for the whole, and nothing of it gets into the log.
func TestDecodeTruncated(t *testing.T) {
	for _, tc := range appendCases {
		l := tc.log()
		for name, format := range timeFormats {
			whole := logcodec.Append(nil, l, format)
			step := max(1, len(whole)/500)
			for n := 0; n < len(whole); n += step {
				var got raft.Log
				if err := logcodec.Decode(whole[:n], &got); err == nil {
					t.Fatalf("%s, %s time: %d of %d bytes were taken for a log", tc.name, name, n, len(whole))
				}
				wantEqual(t, &got, &raft.Log{})
			}
			if err := logcodec.Decode(append(whole, 0), new(raft.Log)); err == nil {
				t.Errorf("%s, %s time: a byte behind the end was taken", tc.name, name)
			}
		}
	}
}

func TestDecodedBytesAreTheCallers(t *testing.T) {
	in := []byte("\x82" + raw("Data") + raw("hello") + raw("Extensions") + raw("world"))
	old := []byte("what the caller's log held before")
	l := raft.Log{Data: old, Extensions: old, AppendedAt: at, Type: 3, Term: 9, Index: 9}
	if err := logcodec.Decode(in, &l); err != nil {
		t.Fatal(err)
	}
	clear(in)
	wantEqual(t, &l, &raft.Log{Data: []byte("hello"), Extensions: []byte("world")})
	if string(old) != "what the caller's log held before" {
		t.Errorf("Decode wrote into the slice it was given: %q", old)
	}
}

func TestDecodeAllocations(t *testing.T) {
	for name, format := range timeFormats {
		for want, l := range []*raft.Log{{AppendedAt: at}, benchLog(256), {Data: []byte("d"), Extensions: []byte("e")}} {
			in := logcodec.Append(nil, l, format)
			var got raft.Log
			n := testing.AllocsPerRun(100, func() {
				if err := logcodec.Decode(in, &got); err != nil {
					t.Fatal(err)
				}
			})
			if n != float64(want) {
				t.Errorf("%s time, %d slices: %v allocations", name, want, n)
			}
		}
	}
}

// What an input makes Decode allocate is bounded by its size, whatever it promises.
func TestDecodeMemory(t *testing.T) {
	for _, tc := range decodeCases() {
		in := []byte(tc.in)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_ = logcodec.Decode(in, new(raft.Log)) // an error or not, TestDecodeForms knows
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > 2*uint64(len(in))+16<<10 {
			t.Errorf("%s: %d bytes of input, %d bytes allocated", tc.name, len(in), n)
		}
	}
}

// checkDecode decodes anything, and compares with go-msgpack where that reads it too.
func checkDecode(t *testing.T, in []byte) {
	t.Helper()
	kept := bytes.Clone(in)
	var l raft.Log
	err := logcodec.Decode(in, &l)
	if !bytes.Equal(in, kept) {
		t.Fatal("Decode changed its input")
	}
	if err != nil {
		wantEqual(t, &l, &raft.Log{})
		return
	}
	if n := len(l.Data) + len(l.Extensions); n > len(in) {
		t.Fatalf("%d bytes were decoded out of %d", n, len(in))
	}
	var theirs raft.Log
	if msgpackDecode(in, &theirs) == nil {
		wantEqual(t, &l, &theirs)
	}
	for _, format := range timeFormats {
		var back raft.Log
		if err := logcodec.Decode(logcodec.Append(nil, &l, format), &back); err != nil {
			t.Fatalf("what was decoded is encoded as something that is not: %v", err)
		}
		wantEqual(t, &back, &l)
	}
}

// Valid encodings with a few bytes changed, cut out or put in.
func TestDecodeOfDamage(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	var seeds [][]byte
	for _, tc := range decodeCases() {
		if len(tc.in) < 1000 {
			seeds = append(seeds, []byte(tc.in))
		}
	}
	for _, format := range timeFormats {
		seeds = append(seeds, logcodec.Append(nil, benchLog(40), format))
	}
	for range 20_000 {
		in := bytes.Clone(seeds[rng.IntN(len(seeds))])
		for range 1 + rng.IntN(3) {
			i := rng.IntN(len(in) + 1)
			switch {
			case i == len(in) || rng.IntN(4) == 0:
				in = append(in[:i], append([]byte{byte(rng.Uint32())}, in[i:]...)...)
			case rng.IntN(4) == 0:
				in = append(in[:i], in[i+1:]...)
			default:
				in[i] = byte(rng.Uint32())
			}
		}
		if checkDecode(t, in); t.Failed() {
			t.Fatalf("input %q", in)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, tc := range decodeCases() {
		if len(tc.in) < 1000 {
			f.Add([]byte(tc.in))
		}
	}
	for _, format := range timeFormats {
		f.Add(logcodec.Append(nil, benchLog(40), format))
	}
	f.Fuzz(checkDecode)
}
