package boltstore_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/hashicorp/raft"
	"go.etcd.io/bbolt"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/boltstore"
	"github.com/raft-ballast/ballast/memstore"
)

var everyPage = flag.Bool("everypage", false, "damage every byte of every page's head, in a larger file: minutes")

const (
	smallPage   = 1024 // so that few entries make a tree of three levels
	pagesChild  = "BALLAST_TEST_DAMAGED_PAGES"
	maxCaseHeap = 48 << 20
)

// small are the options for such a file.
func small(readOnly bool) *boltstore.Options {
	return &boltstore.Options{ReadOnly: readOnly, NoSync: true, Bolt: &bbolt.Options{
		PageSize: smallPage, NoFreelistSync: true, FreelistType: bbolt.FreelistMapType,
	}}
}

// sameNumber is of a page that was copied with the number of the other one: an older state of that
// looks right.
const sameNumber = " and the number of what was there"

// longEntry is the one that takes several pages.
const longEntry = 7

func smallEntry(index uint64) []byte {
	if index == longEntry {
		return bytes.Repeat([]byte{'l'}, 3*smallPage)
	}
	return fmt.Appendf(nil, "entry %d %s", index, strings.Repeat("x", 100))
}

// smallFile returns a file of n entries as a process that was killed leaves it, or as one that has
// closed it.
func smallFile(t *testing.T, n uint64, killed bool) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "raft.db")
	opts := small(false)
	if !killed {
		opts.Bolt = nil // as it is by default: the list of free pages is written when it is closed
	}
	made, err := boltstore.Open(path, small(false)) // the size of pages
	must(t, errors.Join(err, made.Close()))
	s, err := boltstore.Open(path, opts)
	must(t, err)
	for first := uint64(1); first <= n; first += 20 {
		var logs []*raft.Log
		for index := first; index < min(first+20, n+1); index++ {
			logs = append(logs, &raft.Log{Index: index, Term: 2, Data: smallEntry(index)})
		}
		must(t, s.StageCommitIndex(first))
		must(t, s.StoreLogs(logs))
	}
	must(t, s.Set([]byte("note"), bytes.Repeat([]byte{'n'}, smallPage))) // so that the bucket has a page of its own
	must(t, s.SetUint64([]byte("CurrentTerm"), 2))
	must(t, s.DeleteRange(1, 3))
	content, err := os.ReadFile(path)
	must(t, err)
	must(t, s.Close())
	if !killed {
		content, err = os.ReadFile(path)
		must(t, err)
	}
	return content
}

// damages calls f with each damage of page i. exact says that it cannot be one of an entry's data,
// which bbolt has no checksum of.
func damages(whole []byte, i int, every bool, f func(name string, content []byte, exact bool)) {
	at := i * smallPage
	change := func(name string, to func(page []byte)) {
		content := bytes.Clone(whole)
		to(content[at : at+smallPage])
		kind := binary.NativeEndian.Uint16(whole[at+8:])
		number := binary.NativeEndian.Uint64(whole[at:])
		f(fmt.Sprintf("page %d %s", i, name), content, number == uint64(i) && kind < 0x20 && !strings.HasPrefix(name, "bit") && !strings.HasSuffix(name, sameNumber))
	}
	special := every || whole[at+8] != 2 || i < 6 || i%8 == 0 // not one of many leaves
	change("zeroed", func(p []byte) { clear(p) })
	change("flipped", func(p []byte) {
		for j := range p {
			p[j] ^= 0xff
		}
	})
	for j := 0; j < len(whole)/smallPage; j++ {
		if j == i || !every && j%7 != (i+3)%7 {
			continue
		}
		from := whole[j*smallPage : (j+1)*smallPage]
		change(fmt.Sprintf("with %d over it", j), func(p []byte) { copy(p, from) })
		change(fmt.Sprintf("with %d over it", j)+sameNumber, func(p []byte) { copy(p[8:], from[8:]) })
	}
	if !special {
		return
	}
	order := binary.NativeEndian
	for _, n := range []uint16{0, 1, 2, 0xffff} {
		change(fmt.Sprintf("of %d elements", n), func(p []byte) { order.PutUint16(p[10:], n) })
	}
	for _, n := range []uint32{1, 5, 1 << 20, 1<<32 - 1} {
		change(fmt.Sprintf("with %d more", n), func(p []byte) { order.PutUint32(p[12:], n) })
	}
	for _, kind := range []uint16{1, 2, 4, 0x10, 3} {
		change(fmt.Sprintf("of the kind %d", kind), func(p []byte) { order.PutUint16(p[8:], kind) })
	}
	for _, id := range []uint64{0, 2, 3, uint64(i), 1 << 40, 1<<64 - 1} {
		change(fmt.Sprintf("refers to %d", id)+sameNumber, func(p []byte) { order.PutUint64(p[24:], id) })
	}
	for field := range 4 {
		change(fmt.Sprintf("with 2 GiB in the field %d", field), func(p []byte) { order.PutUint32(p[16+4*field:], 1<<31-1) })
	}
	step := 37
	if every {
		step = 1
	}
	for b := 0; b < 8*64; b += step { // the head and the first elements
		change(fmt.Sprintf("bit %d", b), func(p []byte) { p[b/8] ^= 1 << (b % 8) })
	}
}

// tried is what a call may end with on a damaged file: it works, or says that it is damaged.
func tried(t *testing.T, what string, err error) bool {
	t.Helper()
	if err != nil && (!errors.Is(err, ballast.ErrCorrupt) || errors.Is(err, ballast.ErrLocked)) {
		t.Errorf("%s: %v", what, err)
	}
	return err == nil
}

// readOnlyCase reads all of a file in each way there is.
func readOnlyCase(t *testing.T, what, path string, n uint64, exact bool) {
	s, err := boltstore.Open(path, small(true))
	if !tried(t, what+": open to read", err) {
		return
	}
	defer s.Close()
	exact = exact && s.Damaged() == nil
	for index := uint64(4); index <= n; index++ {
		var log raft.Log
		err := s.GetLog(index, &log)
		if exact && tried(t, fmt.Sprint(what, ": GetLog ", index), err) && !bytes.Equal(log.Data, smallEntry(index)) {
			t.Errorf("%s: entry %d has other data", what, index)
		}
	}
	_, err = s.StableKeys()
	tried(t, what+": StableKeys", err)
	if term, err := s.GetUint64([]byte("CurrentTerm")); exact && tried(t, what+": CurrentTerm", err) && term != 2 {
		t.Errorf("%s: the term is %d", what, term)
	}
	dst := memstore.New()
	if _, err = ballast.Copy(context.Background(), dst, s, nil); tried(t, what+": Copy", err) {
		first, _ := dst.FirstIndex()
		last, _ := dst.LastIndex()
		if exact && (first != 4 || last != n) {
			t.Errorf("%s: the copy has entries from %d to %d", what, first, last)
		}
	}
}

// writeCase uses a file, and reads it again.
func writeCase(t *testing.T, what, path string, n uint64, exact bool) {
	s, err := boltstore.Open(path, small(false))
	if !tried(t, what+": open to write", err) {
		return
	}
	exact = exact && s.Damaged() == nil
	stored := s.StoreLog(&raft.Log{Index: n + 1, Data: []byte("behind")})
	tried(t, what+": StoreLog", stored)
	tried(t, what+": Set", s.Set([]byte("CurrentTerm"), []byte("12345678")))
	tried(t, what+": DeleteKey", s.DeleteKey([]byte("note")))
	tried(t, what+": DeleteRange", s.DeleteRange(1, n/2))
	tried(t, what+": DeleteRange of the end", s.DeleteRange(n-n/4, n+1))
	tried(t, what+": StoreLog again", s.StoreLog(&raft.Log{Index: n + 1, Data: bytes.Repeat([]byte{'y'}, 2*smallPage)}))
	_ = s.Close() // what failed before comes again
	if s, err = boltstore.Open(path, small(true)); !tried(t, what+": open again", err) {
		return
	}
	defer s.Close()
	if !exact {
		return
	}
	for index := n/2 + 1; index < n-n/4; index++ {
		var log raft.Log
		if tried(t, fmt.Sprint(what, ": GetLog after the writes ", index), s.GetLog(index, &log)) && !bytes.Equal(log.Data, smallEntry(index)) {
			t.Errorf("%s: after the writes entry %d has other data", what, index)
		}
	}
}

// damagedCases tries all of them in this process.
func damagedCases(t *testing.T) {
	n := uint64(80)
	if *everyPage {
		n = 600
	}
	path := filepath.Join(t.TempDir(), "damaged.db")
	for _, killed := range []bool{true, false} {
		whole := smallFile(t, n, killed)
		used := len(bytes.TrimRight(whole, "\x00"))/smallPage + 1
		whole = whole[:used*smallPage]
		for i := range used {
			cases := 0
			damages(whole, i, *everyPage, func(name string, content []byte, exact bool) {
				what := fmt.Sprintf("killed %v, %s", killed, name)
				fmt.Println("case:", what)
				oneCase(t, what, path, content, n, exact, cases%8 == 0 || *everyPage)
				cases++
			})
		}
	}
}

// oneCase tries the calls on a file.
func oneCase(t *testing.T, what, path string, content []byte, n uint64, exact, compact bool) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	put := func() { must(t, os.WriteFile(path, content, 0o600)) }
	put()
	readOnlyCase(t, what, path, n, exact)
	writeCase(t, what, path, n, exact)
	if compact {
		put()
		if tried(t, what+": Compact", boltstore.Compact(context.Background(), path)) {
			readOnlyCase(t, what+", compacted", path, n, exact)
		}
	}
	if runtime.ReadMemStats(&after); after.TotalAlloc-before.TotalAlloc > maxCaseHeap {
		t.Errorf("%s: it took %d MiB", what, (after.TotalAlloc-before.TotalAlloc)>>20)
	}
}

// inChild runs the test that calls it in a process of its own, since a fault may end that, and
// reports whether this is that process. The last line that it begins with "case:" says where.
func inChild(t *testing.T) bool {
	t.Helper()
	if os.Getenv(pagesChild) != "" {
		debug.SetMaxStack(64 << 20)
		return true
	}
	args := []string{"-test.run=^" + t.Name() + "$", "-test.timeout=3h"}
	if *everyPage {
		args = append(args, "-everypage")
	}
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), pagesChild+"=1")
	out, err := cmd.CombinedOutput()
	if err == nil {
		return false
	}
	lines := strings.Split(string(out), "\n")
	var told []string
	for i, line := range lines {
		if !strings.HasPrefix(line, "case:") || i+1 < len(lines) && !strings.HasPrefix(lines[i+1], "case:") {
			told = append(told, line)
		}
	}
	t.Fatalf("%v\n%s", err, strings.Join(told[:min(len(told), 60)], "\n"))
	return false
}

// Whatever page is damaged, in a file that was closed or whose process was killed: each call works
// rightly or returns a CorruptionError.
func TestAnyDamagedPage(t *testing.T) {
	t.Parallel()
	if inChild(t) {
		damagedCases(t)
	}
}

// bbolt reads all pages to take back a commit that has failed. In a file that was closed nobody has
// looked at them before.
func TestFailedCommitAndADamagedPage(t *testing.T) {
	t.Parallel()
	if !inChild(t) {
		return
	}
	content := smallFile(t, 80, false)
	for i := 4; i < len(content)/smallPage; i++ {
		if content[i*smallPage+8] != 2 || content[i*smallPage+10] > 20 { // no leaf
			continue
		}
		fmt.Println("case: page", i)
		path := filepath.Join(t.TempDir(), "raft.db")
		damaged := bytes.Clone(content)
		clear(damaged[i*smallPage : (i+1)*smallPage])
		must(t, os.WriteFile(path, damaged, 0o600))
		opts := small(false)
		opts.Bolt.MaxSize = 256 << 10
		s, err := boltstore.Open(path, opts)
		for index := uint64(81); err == nil; index++ {
			err = s.StoreLog(&raft.Log{Index: index, Data: bytes.Repeat([]byte{'z'}, 8*smallPage)})
		}
		if !errors.Is(err, ballast.ErrCorrupt) && !errors.Is(err, ballast.ErrNoSpace) { // the latter where nothing refers to the page
			t.Errorf("page %d: %v", i, err)
		}
		if s != nil {
			_ = s.Close()
		}
		if s, err := boltstore.Open(path, nil); errors.Is(err, ballast.ErrLocked) {
			t.Errorf("page %d: the lock is still held: %v", i, err)
		} else if err == nil {
			_ = s.Close()
		}
	}
}

var damageSeed = flag.Uint64("damageseed", 1, "of TestRandomDamage")

// Bytes here and there, of small files and of those that raft-boltdb has made, and cuts.
func TestRandomDamage(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(*damageSeed, 0))
	contents := [][]byte{smallFile(t, 160, true), smallFile(t, 160, false)}
	for _, name := range []string{"raft-boltdb-v1.db", "raft-boltdb-v2.db", "raft-boltdb-v2-newtime.db"} {
		content, err := os.ReadFile(filepath.Join("testdata", name))
		must(t, err)
		contents = append(contents, content)
	}
	path := filepath.Join(t.TempDir(), "damaged.db")
	rounds := 60
	if *everyPage {
		rounds = 5000
	}
	for round := range rounds {
		content := bytes.Clone(contents[round%len(contents)])
		for range 1 + r.IntN(8) {
			at, n := r.IntN(len(content)), 1+r.IntN(16)
			for i := at; i < min(at+n, len(content)); i++ {
				content[i] = byte(r.Uint32())
			}
		}
		if round%4 == 3 {
			content = content[:r.IntN(len(content))]
		}
		must(t, os.WriteFile(path, content, 0o600))
		for _, readOnly := range []bool{true, false} {
			s, err := boltstore.Open(path, &boltstore.Options{ReadOnly: readOnly, NoSync: true})
			if err != nil {
				if errors.Is(err, ballast.ErrLocked) {
					t.Fatalf("seed %d, round %d: %v", *damageSeed, round, err)
				}
				continue
			}
			readAll(s, 100)
			_ = s.StoreLog(&raft.Log{Index: 1000, Data: []byte("written on damage")})
			_ = s.Set([]byte("k"), []byte("v"))
			_ = s.DeleteRange(1, 30)
			_, _ = ballast.Copy(context.Background(), memstore.New(), s, nil)
			_ = s.Close()
		}
		must(t, os.WriteFile(path, content, 0o600))
		_ = boltstore.Compact(context.Background(), path)
	}
}
