package wal

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"slices"
	"strings"
	"testing"
	"time"
)

// dump prints a segment as docs/FORMAT.md describes it and fails the test where it is otherwise. Nothing here that reads is the
// package's own, so that the two check one another.
type dump struct {
	t        *testing.T
	out      *strings.Builder
	b        []byte
	at       int
	identity []byte
	header   header
	marker   marker
	frames   []dumpedFrame
}

type dumpedFrame struct {
	offset   int
	bytes    []byte
	sequence uint64
	records  []record
}

func (d *dump) printf(format string, args ...any) { fmt.Fprintf(d.out, format, args...) }

// row prints n bytes, eight in a line, with what they mean beside the first ones, and returns them.
func (d *dump) row(n int, format string, args ...any) []byte {
	if n > len(d.b)-d.at {
		d.t.Fatalf("%s\nthere are no %d bytes at %06x", d.out, n, d.at)
	}
	all := d.b[d.at:][:n]
	text := "  " + fmt.Sprintf(format, args...)
	for b := all; len(b) > 0; text = "" {
		line := b[:min(8, len(b))]
		d.printf("%s\n", strings.TrimRight(fmt.Sprintf("%06x  %-23s%s", d.at, fmt.Sprintf("% x", line), text), " "))
		d.at, b = d.at+len(line), b[len(line):]
	}
	return all
}

// u8, u32 and u64 print an integer by a format that has one verb.
func (d *dump) u8(format string) byte { return uint8(d.integer(1, format, uint64(d.b[d.at]))) }

func (d *dump) u32(format string) uint32 {
	return uint32(d.integer(4, format, uint64(binary.LittleEndian.Uint32(d.b[d.at:]))))
}

func (d *dump) u64(format string) uint64 {
	return d.integer(8, format, binary.LittleEndian.Uint64(d.b[d.at:]))
}

func (d *dump) integer(n int, format string, v uint64) uint64 {
	d.row(n, format, v)
	return v
}

// zero prints n bytes that have no meaning.
func (d *dump) zero(n int) {
	if strings.Trim(string(d.row(n, "zero")), "\x00") != "" {
		d.t.Errorf("%s\nthe %d bytes before %06x should be zero", d.out, n, d.at)
	}
}

// zeros prints that everything up to an offset is zero, and where not, from where on.
func (d *dump) zeros(to int) {
	rest := d.b[d.at:to]
	n := len(rest) - len(bytes.TrimLeft(rest, "\x00"))
	if n > 0 {
		d.printf("%06x  zeros up to %06x\n", d.at, d.at+n)
	}
	if d.at += n; d.at < to {
		from := d.at
		d.row(8, "left by an earlier use of the file, up to %06x", from+len(bytes.TrimRight(d.b[from:to], "\x00")))
	}
	d.at = to
}

// checksum prints a CRC-32C and fails the test when it is not that of the n bytes from an offset on. With a place of at least 0
// they follow the identity, and the place is mixed in.
func (d *dump) checksum(name string, from, n, place int) {
	table := crc32.MakeTable(crc32.Castagnoli)
	want := crc32.Checksum(d.b[from:from+n], table)
	if place >= 0 {
		want = crc32.Checksum(slices.Concat(d.identity, d.b[from:from+n]), table) ^ uint32(place/8)*0x9E3779B1
	}
	if got := binary.LittleEndian.Uint32(d.b[d.at:]); got != want {
		d.t.Errorf("%s\nthe %s at %06x should be %08x", d.out, name, d.at, want)
	}
	d.row(4, "%s %08x", name, want)
}

// bytes prints a part of a record, only the beginning of a long one.
func (d *dump) bytes(n int, name string) (all []byte) {
	all = d.b[d.at:][:n]
	switch {
	case n > 48:
		end := d.at + n
		d.row(8, "%s, %d bytes; not all are shown", name, n)
		d.printf("%06x  up to %06x, CRC-32C of all of it %08x\n", d.at, end, crc32.Checksum(all, crc32.MakeTable(crc32.Castagnoli)))
		d.at = end
	case n > 0:
		d.row(n, "%s %q", name, all)
	}
	return all
}

// segment prints a whole file.
func (d *dump) segment() {
	d.printf("\n-- segment header\n")
	d.row(8, "magic %q", "BALLASTW")
	d.checksum("checksum", 12, 52, -1)
	d.u32("format version %d")
	d.header.number = d.u64("segment number %d")
	d.identity = d.b[d.at:][:8]
	d.header.identity = d.u64("identity %016x")
	d.header.size = int64(d.u64("size %d"))
	d.zero(24)
	d.zeros(4096)
	if d.header.size != int64(len(d.b)) {
		d.t.Errorf("%s\nthe file has %d bytes", d.out, len(d.b))
	}
	d.printf("\n-- marker\n")
	end := 8192
	if strings.Trim(string(d.b[4096:4096+64]), "\x00") != "" {
		d.readMarker()
	}
	d.zeros(8192)
	for d.at = 8192; ; d.at = end {
		if rest := 512 - end%512; rest < 40 {
			d.zero(rest)
		}
		if len(d.b)-d.at < 40 || strings.Trim(string(d.b[d.at:d.at+40]), "\x00") == "" {
			break
		}
		d.frame()
		end = d.at
	}
	d.printf("\n-- the log ends in this segment at %06x\n", end)
	d.at = end
	if index := int(d.marker.indexOffset); index >= end {
		d.zeros(index)
		d.frame()
	}
	d.zeros(len(d.b))
}

func (d *dump) readMarker() {
	d.checksum("checksum", 4096+4, 60, 4096)
	d.marker.state = d.u8("state %d, " + []string{"none", "open", "closed", "sealed"}[d.b[d.at]&3])
	d.zero(3)
	d.marker.sequence = d.u64("last sequence number %d")
	d.marker.end = int64(d.u64("end of the last frame %06x"))
	d.marker.indexOffset = int64(d.u64("offset of the index %06x"))
	d.marker.indexLength = int64(d.u64("length of the index %d"))
	d.marker.zeroed = int64(d.u64("end of the zeros %06x"))
	if d.marker.state == markerSealed {
		d.marker.successor = d.u64("identity of the next segment %016x")
	} else {
		d.marker.stored = int64(d.u64("entries ever put into the segment %d"))
	}
	d.marker.checkpoint = int64(d.u64("offset of the checkpoint %06x"))
}

func (d *dump) frame() {
	start := d.at
	length := int(binary.LittleEndian.Uint64(d.b[start+8:]))
	sequence := binary.LittleEndian.Uint64(d.b[start+16:])
	d.printf("\n-- frame %d\n", sequence)
	if start%8 != 0 || length%8 != 0 || length < 40 || length > len(d.b)-start || start%512 > 512-40 {
		d.t.Fatalf("%s\na frame of %d bytes at %06x", d.out, length, start)
	}
	d.row(4, "magic %q", "BWF1")
	d.checksum("checksum", start+8, 32, start)
	d.u64("length %d")
	d.u64("sequence number %d")
	digest, headers := d.u32("digest of the records' headers %08x"), crc32.New(crc32.MakeTable(crc32.Castagnoli))
	slices := uint32(0)
	for from := start; from < start+length; from += 512 - from%512 {
		if strings.Trim(string(d.b[from:min(from+512-from%512, start+length)]), "\x00") == "" {
			slices++
		}
	}
	if got := d.u32("slices of zeros %d"); got != slices {
		d.t.Errorf("%s\nframe %d has %d slices of zeros", d.out, sequence, slices)
	}
	f := dumpedFrame{offset: start, bytes: d.b[start:][:length], sequence: sequence}
	count := d.u32("number of records %d")
	d.zero(4)
	for range count {
		headers.Write(d.b[d.at:][:56])
		f.records = append(f.records, d.record())
	}
	if d.at != start+length || digest != headers.Sum32() {
		d.t.Errorf("%s\nframe %d should end at %06x, its digest should be %08x", d.out, sequence, start+length, headers.Sum32())
	}
	d.frames = append(d.frames, f)
}

// What the fields of each kind of record mean, "" where they are zero.
var recordFields = map[byte]struct{ kind, a, b, c, first, second string }{
	1: {"an entry", "index %d", "term %d", "seconds %d", "Extensions", "Data"},
	2: {"a stable value", "", "", "", "key", "value"},
	3: {"a deletion", "from index %d", "to index %d", "", "", ""},
	4: {"the commit index", "commit index %d", "", "", "", ""},
	5: {"the segment before", "segment number %d", "last sequence number %d", "end of its last frame %06x", "", ""},
	6: {"a segment with live entries", "segment number %d", "last sequence number %d", "end of its last frame %06x", "", ""},
	7: {"the state of a group", "commit index %d", "", "", "", ""},
	8: {"offsets of entries", "from index %d", "", "", "", ""},
	9: {"the segment that the entries behind it were moved from", "segment number %d", "identity %016x", "", "", ""},

	10: {"a stable value is deleted", "", "", "", "key", ""},
}

// field prints one that is only used by some kinds.
func (d *dump) field(format string) uint64 {
	v := binary.LittleEndian.Uint64(d.b[d.at:])
	switch {
	case format == "":
		d.zero(8)
	case strings.HasPrefix(format, "seconds"):
		nanos := binary.LittleEndian.Uint32(d.b[d.at-28:])
		d.row(8, format+", %s", int64(v), time.Unix(int64(v), int64(nanos)).UTC().Format(time.RFC3339Nano))
	default:
		d.u64(format)
	}
	return v
}

func flagNames(flags byte) (names string) {
	for i, name := range []string{"Data", "Extensions", "s2", "zstd"} {
		if flags>>i&1 != 0 {
			names += ", " + name
		}
	}
	return names
}

func (d *dump) record() record {
	start := d.at
	length := int(binary.LittleEndian.Uint32(d.b[start+4:]))
	fields, ok := recordFields[d.b[start+8]]
	if !ok || length < 56 || length > len(d.b)-start {
		d.t.Fatalf("%s\na record of kind %d and %d bytes at %06x", d.out, d.b[start+8], length, start)
	}
	var r record
	d.printf("\n")
	d.checksum("checksum", start+4, length-4, start)
	d.u32("length %d")
	r.kind = d.u8("kind %d, " + fields.kind)
	r.flags = d.u8("flags %d" + flagNames(d.b[d.at]))
	r.logType = d.u8("type of the entry %d")
	d.zero(1)
	r.nanos = d.u32("nanoseconds %d")
	r.group = d.u64("group %d")
	r.a, r.b, r.c = d.field(fields.a), d.field(fields.b), d.field(fields.c)
	first := int(d.u32("length of the first part %d"))
	r.raw = d.u32("length of the second part %d, uncompressed")
	r.first = d.bytes(first, fields.first)
	second := start + length - d.at
	r.second = d.b[d.at:][:second]
	switch r.kind {
	case 5:
		d.u64("identity %016x")
	case 6:
		d.u64("identity %016x")
		d.u64("entries stored %d")
		d.u64("size %d")
	case 7:
		for range second / 24 {
			d.u64("a run: in segment %d,")
			d.u64("  from index %d")
			d.u64("  to index %d")
		}
	case 8:
		for i := range second / 4 {
			d.row(4, "entry %d at %06x", r.a+uint64(i), int64(binary.LittleEndian.Uint32(d.b[d.at:]))*8)
		}
	default:
		name := fields.second
		if r.flags&(4|8) != 0 {
			name += ", compressed,"
		}
		d.bytes(second, name)
	}
	if d.at != start+length {
		d.t.Errorf("%s\nthe record's parts should end at %06x", d.out, start+length)
	}
	if n := -length & 7; n > 0 {
		d.zero(n)
	}
	return r
}

// checkCodec fails the test where the package's own codec makes other bytes of what was read.
func (d *dump) checkCodec() {
	b := make([]byte, headerBytes)
	putHeader(b, d.header)
	if !bytes.Equal(b, d.b[:headerBytes]) {
		d.t.Errorf("putHeader makes % x", b)
	}
	seed := seedOf(d.header.identity)
	if putMarker(b, d.marker, seed); d.marker != (marker{}) && !bytes.Equal(b, d.b[markerOffset:][:markerBytes]) {
		d.t.Errorf("putMarker makes % x", b)
	}
	for _, f := range d.frames {
		if b := encodeFrame(f.records, f.sequence, seed, int64(f.offset)); !bytes.Equal(b, f.bytes) {
			d.t.Errorf("encodeFrame makes of frame %d\n% x", f.sequence, b)
		}
	}
}
