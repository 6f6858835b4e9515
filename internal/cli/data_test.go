package cli

import (
	"bytes"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
)

func TestDataText(t *testing.T) {
	cases := []struct {
		name, data, form string
		width            int
		want             string
	}{
		{"nothing", "", "auto", 0, ""},
		{"text", "set a=1", "auto", 0, `"set a=1"`},
		{"lines", "a\nb\t\"c\"", "auto", 0, `"a\nb\t\"c\""`},
		{"other alphabets", "größer 大", "auto", 0, `"größer 大"`},
		{"a number is a text", "12", "auto", 0, `"12"`},
		{"JSON", "{\"a\": [1, 2],\n \"b\": null}", "auto", 0, `{"a":[1,2],"b":null}`},
		{"nearly JSON", `{"a": 1`, "auto", 0, `"{\"a\": 1"`},
		{"MessagePack", "\x81\xa1a\x01", "auto", 0, `{"a":1}`},
		{"a list", "\x93\x01\xc0\xc2", "auto", 0, `[1,null,false]`},
		{"a kind before it", "\x05\x81\xa1a\x01", "auto", 0, `5 {"a":1}`},
		{"nearly MessagePack", "\x82\xa1a\x01", "auto", 0, "0x82a16101"},
		{"something behind it", "\x81\xa1a\x01\x00", "auto", 0, "0x81a1610100"},
		{"bytes", "\x00\xff", "auto", 0, "0x00ff"},
		{"text as hex", "ab", "hex", 0, "0x6162"},
		{"bytes as text", "a\x00\xff", "text", 0, `"a\x00\xff"`},
		{"a number as JSON", " 12 ", "json", 0, "12"},
		{"no JSON", "ab", "json", 0, "not JSON: 0x6162"},
		{"a number as MessagePack", "\xcd\x01\x00", "msgpack", 0, "256"},
		{"no MessagePack", "\xc1", "msgpack", 0, "not MessagePack: 0xc1"},
		{"a kind as MessagePack", "\x05\x81\xa1a\x01", "msgpack", 0, `5 {"a":1}`},
		{"cut", "abcdefgh", "auto", 5, `"abc…`},
		{"cut between letters", "ääääää", "auto", 4, `"ää…`},
		{"not cut", "ab", "auto", 4, `"ab"`},
		{"large and cut", strings.Repeat("ab", 1<<20), "text", 4, `"ab…`},
		{"large and cut hex", strings.Repeat("\x00", 1<<20), "hex", 5, "0x00…"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := dataText([]byte(c.data), c.form, c.width); got != c.want {
				t.Errorf("%q as %s: %s, want %s", c.data, c.form, got, c.want)
			}
		})
	}
}

func TestMsgpack(t *testing.T) {
	cases := []struct{ name, data, want string }{
		{"small numbers", "\x93\x00\x7f\xff", "[0,127,-1]"},
		{"unsigned", "\x94\xcc\xff\xcd\xff\xff\xce\xff\xff\xff\xff\xcf\xff\xff\xff\xff\xff\xff\xff\xff", "[255,65535,4294967295,18446744073709551615]"},
		{"signed", "\x94\xd0\x80\xd1\x80\x00\xd2\x80\x00\x00\x00\xd3\x80\x00\x00\x00\x00\x00\x00\x00",
			"[-128,-32768,-2147483648,-9223372036854775808]"},
		{"floats", "\x92\xca\x3f\xc0\x00\x00\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00", "[1.5,1.5]"},
		{"constants", "\x93\xc0\xc2\xc3", "[null,false,true]"},
		{"strings", "\x94\xa1a\xd9\x01b\xda\x00\x01c\xdb\x00\x00\x00\x01d", `["a","b","c","d"]`},
		{"bytes", "\x93\xc4\x01\xff\xc5\x00\x01a\xc6\x00\x00\x00\x01\x00", `[0xff,"a",0x00]`},
		{"bytes in the old form", "\xa2\x00\xff", "0x00ff"},
		{"lists", "\x92\xdc\x00\x01\x01\xdd\x00\x00\x00\x01\x02", "[[1],[2]]"},
		{"maps", "\x92\xde\x00\x01\x01\x02\xdf\x00\x00\x00\x01\xc0\x90", "[{1:2},{null:[]}]"},
		{"extensions", "\x92\xd4\x05\xff\xc7\x02\x06\x01\x02", "[ext(5,0xff),ext(6,0x0102)]"},
		{"short time", "\xd6\xff\x00\x00\x00\x01", `"1970-01-01T00:00:01Z"`},
		{"time", "\xd7\xff\x00\x00\x00\x04\x00\x00\x00\x01", `"1970-01-01T00:00:01.000000001Z"`},
		{"long time", "\xc7\x0c\xff\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00\x01", `"1970-01-01T00:00:01.000000002Z"`},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got, err := msgpackText([]byte(c.data))
			if err != nil || got != c.want {
				t.Errorf("%s, %v; want %s", got, err, c.want)
			}
			for n := range len(c.data) {
				if got, err := msgpackText([]byte(c.data[:n])); err == nil {
					t.Errorf("the first %d of %d bytes are %s", n, len(c.data), got)
				}
			}
		})
	}
	for name, data := range map[string]string{
		"no value begins so":           "\xc1",
		"a list of very many elements": "\xdd\xff\xff\xff\xff\x01",
		"a very long string":           "\xdb\xff\xff\xff\xffa",
		"very deep":                    strings.Repeat("\x91", 1<<20),
		"a time of five bytes":         "\xc7\x05\xff\x00\x00\x00\x00\x00",
		"something behind it":          "\x01\x01",
	} {
		if got, err := msgpackText([]byte(data)); err == nil {
			t.Errorf("%s: %s", name, got)
		}
	}
}

// Whatever the data are, they are shown.
func TestDataTextTakesAnything(t *testing.T) {
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 0))
	for range 20_000 {
		data := make([]byte, rng.IntN(40))
		for i := range data {
			data[i] = byte(rng.Uint32())
		}
		for _, form := range dataForms {
			if text := dataText(data, form, 0); text == "" && len(data) > 0 || strings.ContainsAny(text, "\r\n") {
				t.Fatalf("%q as %s, seed %d: %q", data, form, seed, text)
			}
		}
	}
}

func TestReadingProgress(t *testing.T) {
	var out bytes.Buffer
	r := newReading(newStreams(nil, io.Discard, &out), 1, 1001)
	for index := range uint64(1000) {
		r.at(index + 2)
	}
	r.finish()
	if out.Len() > 0 {
		t.Errorf("where there is no terminal: %q", out.String())
	}
	r.w, r.steps = &out, 0
	for range lookEvery {
		r.at(501)
	}
	if out.Len() > 0 {
		t.Errorf("at once: %q", out.String())
	}
	r.begun = r.begun.Add(-quietFor)
	for range 2 * lookEvery {
		r.at(501)
	}
	const line = "reading: entry 501 of 1,001, 50 %"
	if want := "\r\r" + line; out.String() != want {
		t.Errorf("later: %q, want %q", out.String(), want)
	}
	out.Reset()
	r.finish()
	if want := "\r" + strings.Repeat(" ", len(line)) + "\r"; out.String() != want {
		t.Errorf("at the end: %q, want %q", out.String(), want)
	}
}

func TestText(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 1536: "1.5 KiB", 64 << 20: "64.0 MiB", 5 << 40: "5.0 TiB"} {
		if got := sizeText(n); got != want {
			t.Errorf("%d bytes: %s, want %s", n, got, want)
		}
	}
	var ranges []indexRange
	for _, index := range []uint64{1, 2, 3, 5, 7, 8} {
		ranges = addIndex(ranges, index)
	}
	if got := rangesText(ranges); got != "1 to 3, 5, 7 to 8" {
		t.Errorf("ranges: %s", got)
	}
	for index := uint64(10); index < 100; index += 2 {
		ranges = addIndex(ranges, index)
	}
	if got := rangesText(ranges); !strings.HasSuffix(got, ", 42, and 28 more") {
		t.Errorf("many ranges: %s", got)
	}
}
