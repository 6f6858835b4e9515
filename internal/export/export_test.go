package export

import (
	"bytes"
	"errors"
	"flag"
	"io"
	"math"
	"os"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast"
)

var update = flag.Bool("update", false, "write the file of this format version anew; only before it is released")

const goldenFile = "testdata/v1.ballast"

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// sample is a store with gaps, parts that are nil and empty, times of all kinds, and the highest index.
func sample() (store Store, logs []*raft.Log, stable []Item) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 999_999_999, time.UTC)
	logs = []*raft.Log{
		{Index: 3, Term: 1, Type: raft.LogConfiguration, Data: []byte("peers"), AppendedAt: at},
		{Index: 4, Term: 1, Type: raft.LogNoop},
		{Index: 9, Term: 2, Type: raft.LogCommand, Data: []byte{}, Extensions: []byte("ext"), AppendedAt: time.Unix(-1, 1).UTC()},
		{Index: 10, Term: 2, Type: 255, Data: []byte(strings.Repeat("compressed ", 40)), AppendedAt: at},
		{Index: math.MaxUint64, Term: math.MaxUint64, Extensions: []byte{}, AppendedAt: at},
	}
	stable = []Item{{Key: []byte{}, Value: []byte("of no key")}, {Key: []byte("CurrentTerm"), Value: []byte{0, 0, 0, 0, 0, 0, 0, 7}}, {Key: []byte("empty"), Value: []byte{}}}
	return Store{FirstIndex: 3, LastIndex: math.MaxUint64, CommitIndex: 9, Engine: "wal"}, logs, stable
}

func encode(t testing.TB) []byte {
	t.Helper()
	store, logs, stable := sample()
	var b bytes.Buffer
	w, err := NewWriter(&b, store)
	must(t, err)
	for _, log := range logs {
		must(t, w.Entry(log))
	}
	for _, item := range stable {
		must(t, w.Stable(item.Key, item.Value))
	}
	must(t, w.Close())
	return b.Bytes()
}

// read reads a file to its end or its first error.
func read(data []byte) (store Store, items []Item, err error) {
	r, err := NewReader(bytes.NewReader(data), "file")
	if err != nil {
		return store, nil, err
	}
	for {
		item, err := r.Next()
		if err == io.EOF {
			return r.Store, items, nil
		}
		if err != nil {
			return r.Store, items, err
		}
		items = append(items, item)
	}
}

func checkSample(t *testing.T, data []byte) {
	t.Helper()
	store, items, err := read(data)
	must(t, err)
	wantStore, logs, stable := sample()
	want := []Item{}
	for _, log := range logs {
		want = append(want, Item{Log: log})
	}
	want = append(want, stable...)
	if store != wantStore || len(items) != len(want) {
		t.Fatalf("%+v with %d items, want %+v with %d", store, len(items), wantStore, len(want))
	}
	for i := range want {
		if want[i].Log != nil && want[i].Log.AppendedAt.Equal(items[i].Log.AppendedAt) {
			items[i].Log.AppendedAt = want[i].Log.AppendedAt
		}
		if !reflect.DeepEqual(items[i], want[i]) {
			t.Errorf("item %d: %+v, want %+v", i, items[i], want[i])
		}
	}
}

func TestRoundTrip(t *testing.T) { checkSample(t, encode(t)) }

// TestLarge: entries that fill blocks, one that is larger than a block, and one that compresses so well that it is stored as it is.
func TestLarge(t *testing.T) {
	noise := make([]byte, 3*fullBytes/2)
	for i := range noise {
		noise[i] = byte(i * i >> 7)
	}
	var b bytes.Buffer
	w, err := NewWriter(&b, Store{FirstIndex: 1, LastIndex: 40})
	must(t, err)
	data := func(index uint64) []byte {
		switch index {
		case 20:
			return noise
		case 21:
			return make([]byte, 4*fullBytes)
		}
		return noise[index*1000:][:100_000]
	}
	for index := uint64(1); index <= 40; index++ {
		must(t, w.Entry(&raft.Log{Index: index, Data: data(index)}))
	}
	must(t, w.Close())
	_, items, err := read(b.Bytes())
	must(t, err)
	if len(items) != 40 {
		t.Fatalf("%d entries", len(items))
	}
	for _, item := range items {
		if !bytes.Equal(item.Log.Data, data(item.Log.Index)) {
			t.Errorf("entry %d is another one", item.Log.Index)
		}
	}
}

// TestGolden reads the file of the first version, which is kept. Compression may differ from release to release, so it is not compared
// with what is written today.
func TestGolden(t *testing.T) {
	if *update {
		must(t, os.WriteFile(goldenFile, encode(t), 0o644))
	}
	data, err := os.ReadFile(goldenFile)
	must(t, err)
	checkSample(t, data)
}

// TestTruncated: a file that ends anywhere is not complete, and that is told from other damage.
func TestTruncated(t *testing.T) {
	data := encode(t)
	for n := range data {
		if _, _, err := read(data[:n]); !errors.Is(err, ErrTruncated) || !errors.Is(err, ballast.ErrCorrupt) {
			t.Fatalf("the first %d bytes of %d: %v", n, len(data), err)
		}
	}
	_, _, err := read(append(data, 0))
	if !errors.Is(err, ballast.ErrCorrupt) || errors.Is(err, ErrTruncated) {
		t.Errorf("one byte more: %v", err)
	}
}

// TestFlipped: no bit can be flipped without being noticed, and never is a wrong byte returned.
func TestFlipped(t *testing.T) {
	data := encode(t)
	for at := range data {
		for bit := range 8 {
			flipped := bytes.Clone(data)
			flipped[at] ^= 1 << bit
			_, _, err := read(flipped)
			switch {
			case at < len(magic) && errors.Is(err, ErrForeign):
			case at >= len(magic) && errors.Is(err, ballast.ErrCorrupt):
			default:
				t.Fatalf("bit %d of byte %d: %v", bit, at, err)
			}
		}
	}
}

// TestSpliced: blocks that are whole, in another order or from another file.
func TestSpliced(t *testing.T) {
	data := encode(t)
	var empty bytes.Buffer
	w, err := NewWriter(&empty, Store{Engine: "wal"})
	must(t, err)
	must(t, w.Close())
	const first = headerBytes + blockHeaderBytes + storeBytes + len("wal")
	for name, spliced := range map[string][]byte{
		"another beginning": append(bytes.Clone(empty.Bytes()[:first]), data[first:]...),
		"another end":       append(bytes.Clone(data[:first]), empty.Bytes()[first:]...),
		"the same twice":    append(bytes.Clone(data), data[headerBytes:]...),
	} {
		if _, _, err := read(spliced); !errors.Is(err, ballast.ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestUnknownVersion(t *testing.T) {
	data := encode(t)
	copy(data, fileHeader())
	data[12]++
	sum := sealed(data[12:headerBytes])
	copy(data[8:], sum[:])
	if _, _, err := read(data); !errors.Is(err, ballast.ErrUnknownVersion) || errors.Is(err, ballast.ErrCorrupt) {
		t.Errorf("version 2: %v", err)
	}
	data = encode(t)
	data[headerBytes+4] = blockEnd + 1
	sum = sealed(data[headerBytes+4 : headerBytes+blockHeaderBytes])
	copy(data[headerBytes:], sum[:])
	if _, _, err := read(data); !errors.Is(err, ballast.ErrUnknownVersion) {
		t.Errorf("a block of another kind: %v", err)
	}
}

// TestErrorOfReader: what the disk says is not taken for the end.
func TestErrorOfReader(t *testing.T) {
	broken := errors.New("broken")
	data := encode(t)
	r := io.MultiReader(bytes.NewReader(data[:len(data)/2]), readerFunc(func([]byte) (int, error) { return 0, broken }))
	in, err := NewReader(r, "file")
	for err == nil {
		_, err = in.Next()
	}
	if !errors.Is(err, broken) || errors.Is(err, ballast.ErrCorrupt) {
		t.Errorf("%v", err)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

// FuzzReader: whatever a file holds, it is read without a panic and without memory beyond what its size allows.
func FuzzReader(f *testing.F) {
	f.Add(encode(f))
	data := encode(f)
	f.Add(data[:len(data)/2])
	f.Add(fileHeader())
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, fix := range []bool{false, true} {
			if fix {
				data = fixSums(bytes.Clone(data)) // so that what is behind the checksums is reached
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, items, err := read(data)
			runtime.ReadMemStats(&after)
			if err != nil && !errors.Is(err, ballast.ErrCorrupt) && !errors.Is(err, ErrForeign) && !errors.Is(err, ballast.ErrUnknownVersion) {
				t.Errorf("%v", err)
			}
			limit := uint64(64<<20) + 4*believedRatio*uint64(len(data))
			if took := after.TotalAlloc - before.TotalAlloc; took > limit {
				t.Errorf("%d bytes of memory for %d items in %d bytes", took, len(items), len(data))
			}
		}
	})
}
