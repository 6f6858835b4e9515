package wal

import (
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"flag"
	"fmt"
	"go/ast"
	"go/constant"
	"go/parser"
	"go/token"
	"go/types"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast/internal/oracle"
	"github.com/raft-ballast/ballast/internal/vfs"
)

var (
	update  = flag.Bool("update", false, "write testdata/golden and the example in docs/FORMAT.md anew")
	release = flag.String("release", "", "write the logs that a release leaves for the later ones to this new folder, such as testdata/v2")
)

const (
	formatDoc     = "../docs/FORMAT.md"
	formatExample = "closed" // the golden file that is the example in the document
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

// identities gives each new segment of a log an identity that stands out: 1111111111111111, 2222222222222222 and so on.
type identities struct{ last byte }

func (r *identities) Read(b []byte) (int, error) {
	r.last += 0x11
	for i := range b {
		b[i] = r.last
	}
	return len(b), nil
}

// withIdentities makes what a test writes the same each time. Such a test cannot be parallel.
func withIdentities(t *testing.T) {
	old := rand.Reader
	t.Cleanup(func() { rand.Reader = old })
	rand.Reader = new(identities)
}

// goldenEntry returns an entry of index, with a time of its own.
func goldenEntry(index uint64, typ raft.LogType, data, extensions []byte) *raft.Log {
	return &raft.Log{Index: index, Term: 2, Type: typ, Data: data, Extensions: extensions,
		AppendedAt: time.Date(2026, 1, 2, 3, 4, int(index%60), 5_000_000+int(index), time.UTC)}
}

// text returns n bytes that compress.
func text(index uint64, n int) []byte {
	return bytes.Repeat(fmt.Appendf(nil, "entry %06d ", index), n/13+1)[:n]
}

// put stores entries, with a commit index when it is above 0.
func (l *testLog) put(commit uint64, logs ...*raft.Log) {
	l.t.Helper()
	if commit > 0 {
		must(l.t, l.StageCommitIndex(commit))
	}
	must(l.t, l.StoreLogs(logs))
	l.model.Put(logs, commit)
}

// inGroup returns a store of another group in the same log, and its model.
func (l *testLog) inGroup(id uint64) *testLog {
	return &testLog{Store: &Store{j: l.j, g: l.j.group(id)}, t: l.t, model: oracle.NewModel()}
}

var goldens = []struct {
	name, what string
	make       func(l *testLog) (segments []uint64)
}{
	{"empty", "A new log, and the segment that was prepared to follow.", func(l *testLog) []uint64 { return []uint64{1, 2} }},
	{"entries", "Three batches of entries, the second one with a commit index. No header fits behind it in its sector.", func(l *testLog) []uint64 {
		l.put(0, goldenEntry(1, raft.LogCommand, []byte("set x = 1"), nil))
		l.put(1, goldenEntry(2, raft.LogNoop, nil, nil), goldenEntry(3, raft.LogCommand, []byte{}, []byte("trace 7")),
			&raft.Log{Index: 10, Term: 3, Type: raft.LogConfiguration, Data: make([]byte, 1592)})
		l.put(0, goldenEntry(11, raft.LogCommand, []byte("set x = 2"), nil))
		return []uint64{1}
	}},
	{"stable", "Stable values: a vote, and a value that is empty.", func(l *testLog) []uint64 {
		l.set("CurrentTerm", "\x00\x00\x00\x00\x00\x00\x00\x07")
		l.set("LastVoteCand", "10.0.0.1:8300")
		l.set("empty", "")
		return []uint64{1}
	}},
	{"unset", "A stable value that is deleted, and one that is not.", func(l *testLog) []uint64 {
		l.set("CurrentTerm", "\x00\x00\x00\x00\x00\x00\x00\x07")
		l.set("note", "old")
		l.unset("note")
		return []uint64{1}
	}},
	{"deletion", "The end of the log is deleted, which lowers the commit index, and then its beginning.", func(l *testLog) []uint64 {
		l.put(3, goldenEntry(1, 0, []byte("a"), nil), goldenEntry(2, 0, []byte("b"), nil), goldenEntry(3, 0, []byte("c"), nil))
		l.remove(3, 3)
		l.remove(0, 1)
		return []uint64{1}
	}},
	{"compressed", "Entries with Data that is stored as it is, compressed with s2, and compressed with zstd.", makeCompressed},
	{"closed", "A log that was closed.", func(l *testLog) []uint64 {
		l.set("CurrentTerm", "\x00\x00\x00\x00\x00\x00\x00\x02")
		l.put(1, goldenEntry(1, raft.LogNoop, nil, nil), goldenEntry(2, raft.LogCommand, []byte("set x = 1"), []byte("trace 7")))
		l.close()
		return []uint64{1}
	}},
	{"reopened", "A log that was closed, opened again and written.", func(l *testLog) []uint64 {
		l.put(0, goldenEntry(1, 0, []byte("set x = 1"), nil))
		l.close()
		l.open()
		l.put(0, goldenEntry(2, 0, []byte("set x = 2"), nil))
		return []uint64{1}
	}},
	{"sealed", "A segment in which the log does not end, with its index.", func(l *testLog) []uint64 {
		makeThree(l)
		return []uint64{1}
	}},
	{"checkpoint", "The third segment: its first frame has the state of two groups with entries in two older segments.",
		func(l *testLog) []uint64 {
			makeThree(l)
			return []uint64{3}
		}},
	{"recycled", "A segment that was used before: zeros, and behind them what was there.", func(l *testLog) []uint64 {
		for i := range uint64(6) {
			l.put(0, goldenEntry(i+1, 0, text(i+1, 300<<10), nil))
		}
		l.close()
		l.open()
		l.remove(1, 3)
		l.put(0, goldenEntry(7, 0, text(7, 150<<10), nil))
		return []uint64{3}
	}},
}

// makeThree makes three segments, with entries and values of two groups.
func makeThree(l *testLog) {
	other := l.inGroup(7)
	l.set("CurrentTerm", "\x00\x00\x00\x00\x00\x00\x00\x02")
	other.set("CurrentTerm", "\x00\x00\x00\x00\x00\x00\x00\x05")
	other.set("LastVoteTerm", "\x00\x00\x00\x00\x00\x00\x00\x05")
	other.put(1, goldenEntry(1, 0, []byte("of group 7"), nil))
	for i := range uint64(6) {
		l.put(i, goldenEntry(i+1, 0, text(i+1, 300<<10), nil))
	}
	other.put(2, goldenEntry(2, 0, []byte("of group 7"), nil), goldenEntry(4, 0, []byte("behind a gap"), nil))
	l.remove(2, 2)
	l.put(6, goldenEntry(7, 0, text(7, 200<<10), nil))
	if err := check(other.model, other.Store); err != nil || l.j.tail.number != 3 {
		l.t.Fatalf("segment %d, %v", l.j.tail.number, err)
	}
}

// makeCompressed writes a frame into a log behind the back of its store. What s2 makes of Data depends on the processor,
// and both libraries may become better, so these bytes are kept.
func makeCompressed(l *testLog) []uint64 {
	unhex := func(s string) []byte {
		b, err := hex.DecodeString(s)
		must(l.t, err)
		return b
	}
	data := bytes.Repeat([]byte("set x = 1; "), 16)
	logs := []*raft.Log{goldenEntry(1, 0, data[:11], nil), goldenEntry(2, 0, data, nil), goldenEntry(3, 0, data, []byte("ext"))}
	l.model.Put(logs, 0)
	var records []record
	for i, packed := range []struct {
		flags byte
		bytes []byte
	}{
		{1, data[:11]},
		{1 | 4, unhex("b001287365742078203d20313b20110b150095")},
		{1 | 2 | 8, unhex("28b52ffd00009d0000587365742078203d20313b2001540b032b2207")},
	} {
		log := logs[i]
		records = append(records, record{kind: 1, flags: packed.flags, a: log.Index, b: log.Term, c: uint64(log.AppendedAt.Unix()),
			nanos: uint32(log.AppendedAt.Nanosecond()), first: log.Extensions, second: packed.bytes, raw: uint32(len(log.Data))})
	}
	seg := l.j.tail
	f, err := l.fs.Open(seg.path)
	must(l.t, err)
	block := vfs.AlignedBytes(blockBytes)
	_, err = f.ReadAt(block, framesOffset)
	must(l.t, err)
	copy(block[seg.end-framesOffset:], encodeFrame(records, 2, seg.seed, seg.end))
	must(l.t, f.WriteBlocks([][]byte{block}, framesOffset))
	must(l.t, f.Close())
	return []uint64{1}
}

func TestGolden(t *testing.T) {
	for _, golden := range goldens {
		t.Run(golden.name, func(t *testing.T) {
			withIdentities(t)
			mem := vfs.NewMem()
			l := newTestLog(t, mem, 0)
			var out strings.Builder
			fmt.Fprintf(&out, "%s\n", golden.what)
			for _, number := range golden.make(l) {
				name := fmt.Sprintf("%016x.wal", number)
				fmt.Fprintf(&out, "\n== %s\n", name)
				d := &dump{t: t, out: &out, b: mem.ReadFile(filepath.Join(dataDir, name))}
				d.segment()
				d.checkCodec()
			}
			compareGolden(t, golden.name, out.String())
			l.abandon()
			checkReopened(t, l.model, mem)
		})
	}
}

func compareGolden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", "golden", name+".txt")
	if *update {
		must(t, os.MkdirAll(filepath.Dir(path), 0o777))
		must(t, os.WriteFile(path, []byte(got), 0o666))
	}
	if want := readText(t, path); got != want {
		a, b := strings.Split(got, "\n"), strings.Split(want, "\n")
		i := 0
		for i < min(len(a), len(b))-1 && a[i] == b[i] {
			i++
		}
		t.Errorf("%s differs in line %d, which is\n%s\nand was\n%s\nThe format of a release never changes; -update writes the file anew",
			path, i+1, a[i], b[i])
	}
}

// readText reads a file as it is on every platform.
func readText(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	must(t, err)
	return strings.ReplaceAll(string(b), "\r\n", "\n")
}

// TestFormatExample finds the example in the document to be one of the golden files.
func TestFormatExample(t *testing.T) {
	doc := readText(t, formatDoc)
	golden := readText(t, filepath.Join("testdata", "golden", formatExample+".txt"))
	before, rest, ok := strings.Cut(doc, fmt.Sprintf("<!-- wal/testdata/golden/%s.txt -->\n```text\n", formatExample))
	example, _, found := strings.Cut(rest, "```\n")
	if !ok || !found {
		t.Fatalf("%s has lost the place of its example", formatDoc)
	}
	if *update && example != golden {
		doc = doc[:len(before)] + strings.Replace(doc[len(before):], example, golden, 1)
		must(t, os.WriteFile(formatDoc, []byte(doc), 0o666))
		example = golden
	}
	if example != golden {
		t.Errorf("the example in %s is not testdata/golden/%s.txt; -update makes it so", formatDoc, formatExample)
	}
}

// TestFormatNames finds every number on the disk in the document, by its name in format.go, and no other.
func TestFormatNames(t *testing.T) {
	const mark = "On the disk, never to be renumbered"
	file, err := parser.ParseFile(token.NewFileSet(), "format.go", nil, parser.ParseComments)
	must(t, err)
	var rows []string
	for _, decl := range file.Decls {
		group, ok := decl.(*ast.GenDecl)
		if !ok || group.Tok != token.CONST || !strings.Contains(group.Doc.Text(), mark) {
			continue
		}
		for _, spec := range group.Specs {
			names := spec.(*ast.ValueSpec)
			for i, name := range names.Names {
				v, err := types.Eval(token.NewFileSet(), nil, token.NoPos, types.ExprString(names.Values[i]))
				must(t, err)
				n, _ := constant.Int64Val(v.Value)
				rows = append(rows, fmt.Sprintf("| %d | `%s` |", n, name.Name))
			}
		}
	}
	if len(rows) < 17 {
		t.Fatalf("format.go has only %d numbers below %q", len(rows), mark)
	}
	doc := readText(t, formatDoc)
	for _, row := range rows {
		if n := strings.Count(doc, "\n"+row); n != 1 {
			t.Errorf("%s has %d rows that begin with %s", formatDoc, n, row)
		}
	}
	for _, row := range regexp.MustCompile("(?m)^\\| \\d+ \\| `\\w+` \\|").FindAllString(doc, -1) {
		if !slices.Contains(rows, row) {
			t.Errorf("%s has a row %s, format.go has no such constant", formatDoc, row)
		}
	}
}

// The folders testdata/v1, v2 and so on hold logs as releases with that format version left them, and what is in them. They
// stay as they are for ever: every later release opens them.
func TestReleases(t *testing.T) {
	if *release != "" {
		for _, name := range []string{"closed", "cut"} {
			withIdentities(t)
			writeRelease(t, filepath.Join(*release, name), name == "cut")
		}
	}
	manifests, err := filepath.Glob("testdata/v*/*/manifest.txt")
	must(t, err)
	if len(manifests) < 2 {
		t.Fatalf("there are only %d logs of releases", len(manifests))
	}
	for _, path := range manifests {
		t.Run(filepath.Base(filepath.Dir(filepath.Dir(path)))+" "+filepath.Base(filepath.Dir(path)), func(t *testing.T) {
			checkRelease(t, filepath.Dir(path), readText(t, path))
		})
	}
}

func checkRelease(t *testing.T, from, manifest string) {
	dir := t.TempDir()
	unpack(t, from, dir)
	options := &Options{SegmentBytes: minSegmentBytes, inline: true}
	s, err := OpenReadOnly(dir, options)
	must(t, err)
	compareManifest(t, "read-only", s, manifest)
	must(t, s.Close())
	s, err = Open(dir, options)
	must(t, err)
	compareManifest(t, "opened", s, manifest)
	last, err := s.LastIndex()
	must(t, err)
	added := goldenEntry(last+1, raft.LogCommand, text(last+1, 2<<20), nil)
	must(t, s.StoreLog(added))
	must(t, s.Close())
	s, err = Open(dir, options)
	must(t, err)
	var got raft.Log
	must(t, s.GetLog(last+1, &got))
	if err := oracle.DiffEntry(added, &got); err != nil {
		t.Error(err)
	}
	must(t, s.DeleteRange(last+1, last+1))
	compareManifest(t, "opened again", s, manifest)
	must(t, s.Close())
}

// unpack writes the files of a log to dir.
func unpack(t *testing.T, from, dir string) {
	paths, err := filepath.Glob(filepath.Join(from, "*.gz"))
	must(t, err)
	for _, path := range paths {
		b, err := os.ReadFile(path)
		must(t, err)
		r, err := gzip.NewReader(bytes.NewReader(b))
		must(t, err)
		b, err = io.ReadAll(r)
		must(t, err)
		must(t, os.WriteFile(filepath.Join(dir, strings.TrimSuffix(filepath.Base(path), ".gz")), b, 0o600))
	}
}

func compareManifest(t *testing.T, when string, s *Store, manifest string) {
	t.Helper()
	models := make(map[uint64]*model)
	for id, g := range s.j.groups {
		m, err := readAll(&Store{j: s.j, g: g})
		if err != nil {
			t.Fatalf("%s: group %d: %v", when, id, err)
		}
		models[id] = m
	}
	if got := describe(models); got != manifest {
		t.Errorf("%s: there is\n%s\nit should be\n%s", when, got, manifest)
	}
}

// describe returns the manifest of a log: each group with what is in it.
func describe(groups map[uint64]*model) string {
	var b strings.Builder
	part := func(p []byte) string {
		if p == nil {
			return "nil"
		}
		return fmt.Sprintf("%d bytes %.8x", len(p), sha256.Sum256(p))
	}
	for _, id := range sortedKeys(groups) {
		m := groups[id]
		fmt.Fprintf(&b, "group %d: commit index %d\n", id, m.Commit)
		for _, key := range sortedKeys(m.Stable) {
			fmt.Fprintf(&b, "stable value %q: %x\n", key, m.Stable[key])
		}
		for _, index := range m.Indexes() {
			l := m.Logs[index]
			fmt.Fprintf(&b, "entry %d: term %d, type %d, at %s, Data %s, Extensions %s\n", index, l.Term, l.Type,
				l.AppendedAt.Format(time.RFC3339Nano), part(l.Data), part(l.Extensions))
		}
	}
	return b.String()
}

// writeRelease writes a log of this release to dir, with its manifest: one that was closed, or one as a power cut leaves it.
func writeRelease(t *testing.T, dir string, cut bool) {
	mem := vfs.NewMem()
	l := newTestLog(t, mem, 0)
	other := l.inGroup(7)
	lived(l, other)
	if !cut {
		l.close()
	}
	models := map[uint64]*model{0: l.model.Clone(), 7: other.model.Clone()}
	tail := l.j.tail.number
	if cut {
		l.put(0, goldenEntry(l.model.Last()+1, 0, text(1, 5000), nil))
	}
	must(t, os.MkdirAll(dir, 0o777))
	files := map[string][]byte{}
	for _, path := range mem.Files() {
		if name := filepath.Base(path); name != lockName {
			files[name] = mem.ReadFile(path)
		}
	}
	if cut {
		last := files[fmt.Sprintf("%016x.wal", tail)]
		clear(last[roundUp(l.j.writer.start, 512)+1024:][:1536]) // of the last frame these sectors were not written
		before := files[fmt.Sprintf("%016x.wal", tail-1)]
		clear(before[roundUp(l.j.segments[len(l.j.segments)-2].end, blockBytes):]) // there was no time for its index
		clear(before[markerOffset:framesOffset])
		files[nextName] = text(0, 20_000)
	}
	for name, b := range files {
		var packed bytes.Buffer
		w, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
		must(t, err)
		_, err = w.Write(b)
		must(t, err)
		must(t, w.Close())
		must(t, os.WriteFile(filepath.Join(dir, name+".gz"), packed.Bytes(), 0o666))
	}
	must(t, os.WriteFile(filepath.Join(dir, "manifest.txt"), []byte(describe(models)), 0o666))
}

// lived gives a log a life: entries of all kinds in two groups and several segments, each compression, deletions, gaps,
// overwrites, stable values, a commit index.
func lived(l, other *testLog) {
	reopen := func(c Compression) {
		l.close()
		opts := memOptions(l.fs)
		opts.Compression = c
		s, err := Open(dataDir, opts)
		must(l.t, err)
		l.Store, other.Store = s, &Store{j: s.j, g: s.j.group(7)}
	}
	l.set("CurrentTerm", "\x00\x00\x00\x00\x00\x00\x00\x01")
	other.set("CurrentTerm", "\x00\x00\x00\x00\x00\x00\x00\x09")
	l.set("empty", "")
	for typ := range raft.LogType(8) {
		l.put(1, goldenEntry(1+uint64(typ), typ, text(1, int(typ)), []byte("extensions")[:typ]))
	}
	epoch := goldenEntry(11, 0, []byte{}, []byte{})
	epoch.AppendedAt = time.Date(1677, 9, 21, 0, 12, 43, 145224192, time.UTC)
	l.put(9, &raft.Log{Index: 9, Term: 1}, &raft.Log{Index: 10, Term: 1, Extensions: []byte("only")}, epoch)
	for i := range uint64(9) {
		l.put(11+i, goldenEntry(12+i, 0, text(12+i, 250<<10), nil))
		other.put(0, goldenEntry(1+i, 0, text(i, 100*int(i)), nil))
	}
	l.remove(1, 2)
	l.remove(13, 14)
	for i, c := range []Compression{S2, Zstd, None} {
		reopen(c)
		first := l.model.Last() + 1
		for j := range uint64(6) {
			l.put(first, goldenEntry(first+j, raft.LogType(j), text(j, 50<<(2*j)), nil))
		}
		l.remove(first+5, first+5)
		l.put(0, goldenEntry(first+3, 0, []byte("stored again"), nil), goldenEntry(first+10, 0, make([]byte, 3000), nil))
		l.set("CurrentTerm", "\x00\x00\x00\x00\x00\x00\x00"+string(rune(2+i)))
		other.set("LastVoteCand", "10.0.0.1:8300")
		other.remove(uint64(i), uint64(i)+1)
		other.put(uint64(i)+7, goldenEntry(20+2*uint64(i), 0, text(3, 1000), nil))
	}
	for i := range uint64(5) { // the last segment has entries of a segment before it
		l.put(0, goldenEntry(l.model.Last()+1+i, 0, text(i, 250<<10), nil))
	}
	for i := range 16 { // behind some of these no header fits in the sector
		l.set("note", strings.Repeat("-", 40*i))
	}
}
