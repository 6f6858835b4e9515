package cli

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"go.etcd.io/bbolt"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/boltstore"
	"github.com/raft-ballast/ballast/wal"
)

// writeStores puts into a folder
//
//	cluster       a wal with what a cluster stores: see clusterEntries
//	cluster.db    the same in bbolt
//	shorter.db other.db hole.db liar.db
//	              entries 3 to 9 of it; all, and from 5 on of other terms; all but 6; all, and 8 with other data
//	foreign.db    a bbolt file of another program
//	shared        a log of the first format, of several segments, with gaps, that raft groups 0 and 7 share
//	wal cut       such logs of group 0 alone, closed and as a power cut left it
//	peer killed   a wal of four segments, closed and not closed: see writePeer
//	raft.db raft-v1.db badger raftwal
//	              the directories that raft-boltdb, raft-badger and raft-wal wrote, see internal/fixture
func writeStores(t testing.TB, dir string) {
	t.Helper()
	writeCluster(t, filepath.Join(dir, "cluster"), filepath.Join(dir, "cluster.db"))
	writeVariants(t, dir)
	writePeer(t, filepath.Join(dir, "peer"), filepath.Join(dir, "killed"))
	for name, from := range map[string]string{"wal": "closed", "cut": "cut"} {
		unpackWal(t, filepath.Join("../../wal/testdata/v1", from), filepath.Join(dir, name))
	}
	must(t, os.CopyFS(filepath.Join(dir, "shared"), os.DirFS(filepath.Join(dir, "wal"))))
	leaveOneGroup(t, filepath.Join(dir, "wal"))
	leaveOneGroup(t, filepath.Join(dir, "cut"))
	for name, from := range map[string]string{"raft.db": "raft-boltdb-v2.db", "raft-v1.db": "raft-boltdb-v1.db"} {
		data, err := os.ReadFile(filepath.Join("../../boltstore/testdata", from))
		must(t, err)
		must(t, os.WriteFile(filepath.Join(dir, name), data, 0o600))
	}
	for name, from := range map[string]string{"badger": "../../badgerstore/testdata/raft-badger-default", "raftwal": "../raftwal/testdata/raft-wal"} {
		must(t, os.CopyFS(filepath.Join(dir, name), os.DirFS(from)))
	}
}

// splitStore splits a name with a prefix.
func splitStore(name string) (engine, path string, ok bool) { return strings.Cut(name, ":") }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// unpackWal unpacks the segments of a log.
func unpackWal(t testing.TB, from, dir string) {
	t.Helper()
	must(t, os.MkdirAll(dir, 0o700))
	paths, err := filepath.Glob(filepath.Join(from, "*.gz"))
	must(t, err)
	for _, path := range paths {
		f, err := os.Open(path)
		must(t, err)
		r, err := gzip.NewReader(f)
		must(t, err)
		data, err := io.ReadAll(r)
		must(t, err)
		must(t, f.Close())
		must(t, os.WriteFile(filepath.Join(dir, strings.TrimSuffix(filepath.Base(path), ".gz")), data, 0o600))
	}
}

// leaveOneGroup drops group 7 of a log. What was not closed is not closed afterwards.
func leaveOneGroup(t testing.TB, dir string) {
	t.Helper()
	log, err := wal.OpenGroups(dir, &wal.Options{SegmentBytes: 1 << 20})
	must(t, err)
	must(t, log.Drop(7))
	if filepath.Base(dir) == "wal" {
		must(t, log.Close())
		return
	}
	left := dir + ".left"
	must(t, os.CopyFS(left, os.DirFS(dir)))
	must(t, log.Close())
	must(t, os.RemoveAll(dir))
	must(t, os.Rename(left, dir))
}

// clusterEntries are entries of every kind, and commands in every form that data is shown in.
func clusterEntries() []*raft.Log {
	at := time.Date(2026, 1, 2, 3, 4, 5, 678_000_009, time.UTC)
	servers := []raft.Server{
		{Suffrage: raft.Voter, ID: "n1", Address: "127.0.0.1:7001"},
		{Suffrage: raft.Voter, ID: "n2", Address: "127.0.0.1:7002"},
		{Suffrage: raft.Nonvoter, ID: "n3", Address: "127.0.0.1:7003"},
	}
	more := append([]raft.Server{}, servers...)
	more[2].Suffrage = raft.Voter
	return []*raft.Log{
		{Index: 1, Term: 1, Type: raft.LogConfiguration, Data: raft.EncodeConfiguration(raft.Configuration{Servers: servers})},
		{Index: 2, Term: 1, Type: raft.LogNoop, AppendedAt: at},
		{Index: 3, Term: 1, Type: raft.LogCommand, AppendedAt: at, Data: []byte("set a=1")},
		{Index: 4, Term: 1, Type: raft.LogCommand, AppendedAt: at, Data: []byte(`{"op": "set", "key": "a", "value": 2}`)},
		{Index: 5, Term: 2, Type: raft.LogNoop, AppendedAt: at},
		{Index: 6, Term: 2, Type: raft.LogCommand, AppendedAt: at, Data: []byte("\x83\xa2Op\xa3set\xa3Key\xa1a\xa5Value\xcd\x01\x2c")},
		{Index: 7, Term: 2, Type: raft.LogCommand, AppendedAt: at, Data: []byte("\x07\x82\xa4Name\xa4node\xa4Tags\x92\xc3\xc0")},
		{Index: 8, Term: 2, Type: raft.LogCommand, AppendedAt: at, Data: []byte("\x00\xff\x10")},
		{Index: 9, Term: 2, Type: raft.LogBarrier, AppendedAt: at},
		{Index: 10, Term: 3, Type: raft.LogConfiguration, AppendedAt: at, Data: raft.EncodeConfiguration(raft.Configuration{Servers: more})},
		{Index: 11, Term: 3, Type: raft.LogCommand, AppendedAt: at, Data: []byte("the last command"), Extensions: []byte("ext")},
	}
}

// writeVariants writes logs that differ from that of the cluster.
func writeVariants(t testing.TB, dir string) {
	t.Helper()
	all := clusterEntries()
	other, liar := clusterEntries(), clusterEntries()
	for _, log := range other[4:] {
		log.Term++
	}
	liar[7].Data = []byte("\x00\xff\x11")
	for name, logs := range map[string][]*raft.Log{
		"shorter.db": all[2:9], "other.db": other, "liar.db": liar, "hole.db": append(clusterEntries()[:5], all[6:]...),
	} {
		db, err := boltstore.Open(filepath.Join(dir, name), &boltstore.Options{NoSync: true})
		must(t, err)
		must(t, db.StoreLogs(logs))
		must(t, db.Close())
	}
	db, err := bbolt.Open(filepath.Join(dir, "foreign.db"), 0o600, &bbolt.Options{NoSync: true})
	must(t, err)
	must(t, db.Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucket([]byte("data"))
		return err
	}))
	must(t, db.Close())
}

// writeCluster writes clusterEntries and the stable state of a peer.
func writeCluster(t testing.TB, dir, file string) {
	t.Helper()
	log, err := wal.Open(dir, &wal.Options{SegmentBytes: 1 << 20})
	must(t, err)
	must(t, log.StageCommitIndex(9))
	must(t, log.StoreLogs(clusterEntries()))
	must(t, log.SetUint64([]byte("CurrentTerm"), 3))
	must(t, log.SetUint64([]byte("LastVoteTerm"), 3))
	must(t, log.Set([]byte("LastVoteCand"), []byte("127.0.0.1:7002")))
	must(t, log.Set([]byte("app"), []byte{0, 1, 2}))
	db, err := boltstore.Open(file, &boltstore.Options{NoSync: true})
	must(t, err)
	_, err = ballast.Copy(context.Background(), db, log, nil)
	must(t, err)
	must(t, db.Close())
	must(t, log.Close())
}

// peerEntry is one of a peer whose log goes over several segments: entry 57 begins with the text "entry 57;".
func peerEntry(index uint64) *raft.Log {
	text := fmt.Sprintf("entry %d;", index)
	return &raft.Log{
		Index: index, Term: peerTerm(index), Type: raft.LogCommand, Data: bytes.Repeat([]byte(text), 24<<10/len(text)),
		AppendedAt: time.Date(2026, 1, 2, 3, 4, 5, int(index), time.UTC),
	}
}

func peerTerm(index uint64) uint64 {
	if index > 126 {
		return 5
	}
	return 1 + index/40
}

// writePeer writes a log of 130 entries, of which the first ten were deleted, in four segments: as it is when it was closed, and as
// a killed process leaves it.
func writePeer(t testing.TB, closed, killed string) {
	t.Helper()
	log, err := wal.Open(closed, &wal.Options{SegmentBytes: 1 << 20})
	must(t, err)
	for index := uint64(1); index <= 130; index += 2 {
		if term := peerTerm(index); index == 1 || term != peerTerm(index-2) {
			must(t, log.SetUint64([]byte("CurrentTerm"), term))
			must(t, log.SetUint64([]byte("LastVoteTerm"), term))
			must(t, log.Set([]byte("LastVoteCand"), fmt.Appendf(nil, "127.0.0.1:700%d", term)))
		}
		must(t, log.StageCommitIndex(index-1))
		must(t, log.StoreLogs([]*raft.Log{peerEntry(index), peerEntry(index + 1)}))
	}
	must(t, log.DeleteRange(1, 10))
	waitSealed(t, closed)
	must(t, os.CopyFS(killed, os.DirFS(closed)))
	must(t, log.Close())
}

// waitSealed waits until the older segments have their index, which is made in the background.
func waitSealed(t testing.TB, dir string) {
	t.Helper()
	const state, sealed = 4096 + 4, 3 // docs/FORMAT.md, marker
	for range 10_000 {
		ready := true
		for number := 1; number <= 3; number++ {
			data, err := os.ReadFile(filepath.Join(dir, fmt.Sprintf("%016x.wal", number)))
			must(t, err)
			ready = ready && data[state] == sealed
		}
		if ready {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatal("the segments are not sealed")
}
