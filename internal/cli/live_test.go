package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast/badgerstore"
	"github.com/raft-ballast/ballast/boltstore"
	"github.com/raft-ballast/ballast/internal/oracle"
	"github.com/raft-ballast/ballast/wal"
)

// A wal that a peer writes can be looked into; the other engines say who has to stop first.
func TestInUse(t *testing.T) {
	dir := t.TempDir()
	log := openLog(t, filepath.Join(dir, "wal"))
	must(t, log.StoreLogs(clusterEntries()))
	for _, args := range [][]string{{"info"}, {"segments"}, {"dump"}, {"stable", "list"}, {"verify"}} {
		if status, stdout, stderr := runBallast(append(args, dir)...); status != 0 || stderr != "" {
			t.Errorf("%v of a wal in use: status %d, %s%s", args, status, stdout, stderr)
		}
	}
	file := filepath.Join(dir, "raft.db")
	db, err := boltstore.Open(file, nil)
	must(t, err)
	defer db.Close()
	status, _, stderr := runBallast("info", file)
	if want := "ballast: " + file + " is locked: another store has it open; "; status != ExitFailure || !strings.HasPrefix(stderr, want) {
		t.Errorf("info of a bbolt file in use: status %d, %s", status, stderr)
	}
}

// What changes a store refuses one that is in use, and says who has it where the system tells.
func TestChangeInUse(t *testing.T) {
	dir := t.TempDir()
	openLog(t, filepath.Join(dir, "wal"))
	file := filepath.Join(dir, "raft.db")
	db, err := boltstore.Open(file, nil)
	must(t, err)
	defer db.Close()
	folder := filepath.Join(dir, "badger")
	keys, err := badgerstore.Open(folder, nil)
	must(t, err)
	defer keys.Close()
	for _, store := range []string{"wal:" + filepath.Join(dir, "wal"), "bolt:" + file, "badger:" + folder} {
		for _, args := range [][]string{{"stable", "set", "--force", store, "CurrentTerm", "9"}, {"stable", "delete", "--force", store, "CurrentTerm"}, {"compact", store}} {
			status, _, stderr := runBallast(args...)
			if want := " is locked: another store has it open; "; status != ExitFailure || !strings.Contains(stderr, want) {
				t.Errorf("%v: status %d, %s", args, status, stderr)
			}
			if who := fmt.Sprintf("; process %d (", os.Getpid()); runtime.GOOS == "linux" && !strings.Contains(stderr, who) {
				t.Errorf("%v does not say who has it: %s", args, stderr)
			}
		}
	}
}

func openLog(t *testing.T, dir string) *wal.Store {
	t.Helper()
	log, err := wal.Open(dir, &wal.Options{SegmentBytes: 1 << 20})
	must(t, err)
	t.Cleanup(func() { must(t, log.Close()) })
	return log
}

// output is written by a command and read by the test meanwhile.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// await waits for a text.
func (o *output) await(t *testing.T, text string) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !strings.Contains(o.String(), text); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%q does not come; there is\n%s", text, o.String())
		}
	}
}

// command returns an entry of a term.
func command(index, term uint64) *raft.Log {
	return &raft.Log{Index: index, Term: term, Data: fmt.Appendf(nil, "command %d of term %d", index, term)}
}

// Who follows a log sees what is added, what raft replaces, and that entries went into a snapshot.
func TestFollow(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	log := openLog(t, dir)
	must(t, log.StoreLogs([]*raft.Log{command(1, 1), command(2, 1)}))

	var out, complaints output
	d, err := newDumper(newStreams(nil, &out, &complaints), dumpFlags{follow: true, data: "auto"}, func(string) bool { return false })
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- d.run(ctx, "wal:"+dir) }()

	out.await(t, "command 2 of term 1")
	must(t, log.StoreLog(command(3, 1)))
	must(t, log.StoreLog(command(4, 1)))
	out.await(t, "command 4 of term 1")

	must(t, log.StoreLogs([]*raft.Log{command(4, 2), command(5, 2)})) // 4 was not committed
	out.await(t, "command 5 of term 2")
	if got := out.String(); !strings.Contains(got, "command 4 of term 2") || strings.Count(got, "command 3 of") != 1 {
		t.Errorf("after entry 4 was replaced:\n%s", got)
	}
	if want := "ballast: from entry 4 on the log is another one than was shown\n"; complaints.String() != want {
		t.Errorf("standard error is %q, want %q", complaints.String(), want)
	}

	must(t, log.DeleteRange(1, 5)) // a snapshot came from the leader
	must(t, log.StoreLog(command(9, 3)))
	out.await(t, "command 9 of term 3")
	if want := "ballast: entries 6 to 8 were not seen: they are behind a snapshot by now\n"; !strings.HasSuffix(complaints.String(), want) {
		t.Errorf("standard error is %q, its end should be %q", complaints.String(), want)
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("it ended with %v", err)
	}
}

// Who follows a log is told when its folder has another name and another log is there, and shows
// nothing of that.
func TestFollowDisplaced(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("windows does not rename a folder in which a file is open")
	}
	dir := filepath.Join(t.TempDir(), "wal")
	must(t, openLog(t, dir).StoreLog(command(1, 1)))
	var out, complaints output
	d, err := newDumper(newStreams(nil, &out, &complaints), dumpFlags{follow: true, data: "auto"},
		func(string) bool { return false })
	must(t, err)
	done := make(chan error, 1)
	go func() { done <- d.run(t.Context(), "wal:"+dir) }()
	out.await(t, "command 1 of term 1")

	must(t, os.Rename(dir, dir+".old"))
	must(t, openLog(t, dir).StoreLogs([]*raft.Log{command(1, 7), command(2, 7)}))
	select {
	case err = <-done:
	case <-time.After(30 * time.Second):
		t.Fatal("it does not end")
	}
	text := dir + " was renamed, removed or mounted over"
	mixed := strings.Contains(out.String(), "term 7")
	if err == nil || !strings.Contains(err.Error(), text) || mixed {
		t.Errorf("it ended with %v, and has shown\n%s", err, out.String())
	}
}

// While a peer writes, cuts off its end and compacts, in one segment after the other, each entry is shown once and in order.
func TestFollowBesideAWriter(t *testing.T) {
	t.Parallel()
	const last, size = 200, 16 << 10
	dir := t.TempDir()
	log, rng := openLog(t, dir), oracle.Random(1)
	must(t, log.StoreLog(command(1, 1)))
	var out, complaints output
	d, err := newDumper(newStreams(nil, &out, &complaints), dumpFlags{follow: true, json: true, data: "auto", to: last}, func(flag string) bool { return flag == "to" })
	must(t, err)
	done := make(chan error, 1)
	go func() { done <- d.run(t.Context(), "wal:"+dir) }()

	terms := map[uint64]uint64{1: 1} // of the entries that there are at the end
	for next, term := uint64(2), uint64(1); next <= last; {
		var logs []*raft.Log
		for range min(1+rng.Uint64N(8), last+1-next) {
			l := command(next, term)
			l.Extensions = oracle.Bytes(rng, size)
			logs, terms[next] = append(logs, l), term
			next++
		}
		must(t, log.StoreLogs(logs))
		shown, await := next-1, func(index uint64) { out.await(t, fmt.Sprintf(`{"index":%d,"term":%d,`, index, terms[index])) }
		switch {
		case rng.IntN(10) == 0 && next > 10 && next < last: // the leader has other ones
			await(shown)
			next -= 1 + rng.Uint64N(5)
			must(t, log.DeleteRange(next, shown))
			term++
		case rng.IntN(8) == 0: // a snapshot was taken
			await(shown)
			must(t, log.DeleteRange(1, shown-5))
		}
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	wantFollowed(t, out.String(), terms)
	if text := complaints.String(); strings.Contains(text, "not seen") || !strings.Contains(text, "the log is another one than was shown") {
		t.Errorf("standard error:\n%s", text)
	}
	if segments, err := log.Segments(); err != nil || segments[len(segments)-1].Number < 3 {
		t.Errorf("the log hardly went on in other segments: %+v, %v", segments, err)
	}
}

// wantFollowed checks what dump --follow --json has printed: each entry at most once, the next index each time or one that is of a higher term
// now, and at the end those of the given terms.
func wantFollowed(t *testing.T, text string, terms map[uint64]uint64) {
	t.Helper()
	seen, final := map[position]bool{}, map[uint64]uint64{}
	var before position
	for line := range strings.Lines(text) {
		var e entryJSON
		must(t, json.Unmarshal([]byte(line), &e))
		p := position{e.Index, e.Term}
		if seen[p] || string(e.Data) != string(command(p.index, p.term).Data) {
			t.Errorf("entry %d of term %d comes twice, or with other data: %q", p.index, p.term, e.Data)
		}
		if p.index != before.index+1 && (p.index > before.index || p.term <= final[p.index]) {
			t.Errorf("entry %d of term %d comes after entry %d of term %d", p.index, p.term, before.index, before.term)
		}
		seen[p], final[p.index], before = true, p.term, p
	}
	if !maps.Equal(final, terms) {
		t.Errorf("%d entries were shown, there were %d, or their terms are others", len(final), len(terms))
	}
}

// --to and --limit end it.
func TestFollowEnds(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]dumpFlags{"to": {follow: true, data: "auto", to: 3}, "limit": {follow: true, data: "auto", limit: 3}} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			log := openLog(t, dir)
			must(t, log.StoreLog(command(1, 1)))
			var out, complaints output
			d, err := newDumper(newStreams(nil, &out, &complaints), f, func(flag string) bool { return flag == name })
			must(t, err)
			done := make(chan error, 1)
			go func() { done <- d.run(t.Context(), "wal:"+dir) }()
			out.await(t, "command 1 of")
			must(t, log.StoreLogs([]*raft.Log{command(2, 1), command(3, 1), command(4, 1)}))
			if err := <-done; err != nil {
				t.Errorf("it ended with %v", err)
			}
			if got := out.String(); !strings.Contains(got, "command 3 of") || strings.Contains(got, "command 4 of") || complaints.String() != "" {
				t.Errorf("it showed\n%s%s", got, complaints.String())
			}
		})
	}
}

// interrupting is a wal that is open for reading, where something happens before an entry is read.
type interrupting struct {
	*wal.Store
	before uint64
	do     func()
}

func (i *interrupting) GetLog(index uint64, log *raft.Log) error {
	if index == i.before {
		i.do()
	}
	return i.Store.GetLog(index, log)
}

// While a log is exported the peer replaces all of it, and ends at the same index: what is exported is of one moment, or nothing.
func TestExportReplaced(t *testing.T) {
	t.Parallel()
	const last, size = 200, 32 << 10
	dir := t.TempDir()
	log, rng := openLog(t, dir), oracle.Random(1)
	write := func(term uint64) {
		for index := uint64(1); index <= last; index++ {
			l := command(index, term)
			l.Extensions = oracle.Bytes(rng, size)
			must(t, log.StoreLog(l))
		}
	}
	write(1)
	reader, err := wal.OpenReadOnly(dir, nil)
	must(t, err)
	defer reader.Close()
	store := &interrupting{Store: reader, before: last / 2, do: func() {
		for term := uint64(2); term < 5; term++ {
			must(t, log.DeleteRange(1, last))
			write(term)
		}
	}}
	var out bytes.Buffer
	err = new(carriedJSON).export(t.Context(), newStreams(nil, &out, &out), &source{placeOf("wal", dir), store}, &out)
	if reader.Readings() < 2 {
		t.Fatal("nothing that was still to be read has been replaced") // or this shows nothing
	}
	if err == nil || !strings.Contains(err.Error(), "`ballast backup` makes") {
		t.Errorf("entries of two moments are exported: %v", err)
	}
}

// While a log is verified the peer replaces all of it by entries of lower terms, as a leader with
// another log may. Two entries of different moments say nothing of each other.
func TestVerifyReplaced(t *testing.T) {
	const last, size = 200, 32 << 10
	dir := t.TempDir()
	log, rng := openLog(t, dir), oracle.Random(1)
	write := func(term uint64) {
		var logs []*raft.Log
		for index := uint64(1); index <= last; index++ {
			l := command(index, term)
			l.Extensions = oracle.Bytes(rng, size)
			if logs = append(logs, l); len(logs) == 10 {
				must(t, log.StoreLogs(logs))
				logs = nil
			}
		}
	}
	write(9)
	reader, err := wal.OpenReadOnly(dir, nil)
	must(t, err)
	defer reader.Close()
	store := &interrupting{Store: reader, before: last / 2, do: func() {
		for term := uint64(2); term < 5; term++ {
			must(t, log.DeleteRange(1, last))
			write(term)
		}
	}}
	src := &source{placeOf("wal", dir), store}
	v := newVerdict(src.place)
	must(t, v.examineSource(newStreams(nil, io.Discard, io.Discard), src))
	if reader.Readings() < 2 {
		t.Fatal("nothing that was still to be read has been replaced") // or this shows nothing
	}
	if v.judge(); !v.OK || len(v.Gaps) > 0 {
		t.Errorf("%+v, %+v", v.TermsFall, v.Damaged)
	}
}

// Damage in a log that a peer writes is told as it is: what is half written would look damaged to
// whoever salvages, so nothing is salvaged meanwhile.
func TestRepairBesideAWriter(t *testing.T) {
	dir := t.TempDir()
	log := openLog(t, dir)
	for index := uint64(1); index <= 100; index++ {
		l := command(index, 1)
		l.Extensions = bytes.Repeat([]byte{7}, 20<<10)
		must(t, log.StoreLog(l))
	}
	segments, err := log.Segments()
	must(t, err)
	b, err := os.ReadFile(segments[0].Path)
	must(t, err)
	f, err := os.OpenFile(segments[0].Path, os.O_WRONLY, 0)
	must(t, err)
	_, err = f.WriteAt([]byte{'X'}, int64(bytes.Index(b, []byte("command 3 "))))
	must(t, errors.Join(err, f.Close()))
	for _, name := range []string{"verify", "repair"} {
		status, stdout, stderr := runBallast(name, dir)
		if status != ExitCorrupt || strings.Count(stdout, "damaged: ") != 1 || !strings.Contains(stdout, "entry 3 in ") {
			t.Errorf("%s: status %d, %s%s", name, status, stdout, stderr)
		}
	}
	must(t, log.StoreLog(command(101, 1))) // and the peer was left alone
}
