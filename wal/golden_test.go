package wal

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"flag"
	"fmt"
	"go/ast"
	"go/constant"
	"go/parser"
	"go/token"
	"go/types"
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
	l.shared = true
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
	{"moved", "Two entries that were moved out of segment 1, with their index, and the segment whose checkpoint says so.", func(l *testLog) []uint64 {
		l.put(0, goldenEntry(1, 0, []byte("stays"), nil), goldenEntry(2, 0, []byte("stays, too"), []byte("trace 8")))
		l.put(0, goldenEntry(3, 0, text(3, 900<<10), nil))
		l.put(0, goldenEntry(4, 0, text(4, 900<<10), nil))
		l.remove(3, 3)
		rc := &l.j.reclaimer
		must(l.t, rc.take(l.j.segments[0]))
		must(l.t, rc.moveSome())
		rc.mover.full()
		l.put(0, goldenEntry(5, 0, text(5, 900<<10), nil))
		return []uint64{maxSegment + 1, 3}
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
			l.open()
			l.check()
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
