package wal

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast/internal/engine"
	"github.com/raft-ballast/ballast/internal/oracle"
	"github.com/raft-ballast/ballast/internal/vfs"
)

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
	opened := func(when string, open func(string, *Options) (*Groups, error)) (*Groups, *Store) {
		gs, err := open(dir, options)
		must(t, err)
		s, err := gs.Store(0)
		must(t, err)
		compareManifest(t, when, s, manifest)
		return gs, s
	}
	gs, _ := opened("read-only", OpenGroupsReadOnly)
	must(t, gs.Close())
	gs, s := opened("opened", OpenGroups)
	last, err := s.LastIndex()
	must(t, err)
	added := goldenEntry(last+1, raft.LogCommand, text(last+1, 2<<20), nil)
	must(t, s.StoreLog(added))
	must(t, gs.Close())
	gs, err = OpenGroups(dir, options)
	must(t, err)
	s, err = gs.Store(0)
	must(t, err)
	var got raft.Log
	must(t, s.GetLog(last+1, &got))
	if err := oracle.DiffEntry(added, &got); err != nil {
		t.Error(err)
	}
	must(t, s.DeleteRange(last+1, last+1))
	compareManifest(t, "opened again", s, manifest)
	must(t, gs.Close())
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
		if name := filepath.Base(path); name != engine.LockName {
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
