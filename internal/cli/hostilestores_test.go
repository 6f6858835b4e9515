package cli

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/raft"
	"go.etcd.io/bbolt"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/badgerstore"
	"github.com/raft-ballast/ballast/boltstore"
	"github.com/raft-ballast/ballast/internal/export"
	"github.com/raft-ballast/ballast/wal"
)

// hostileStores are stores in which every text is hostile, in a folder whose name is.
type hostileStores struct{ dir string }

// args are those of a run, and where it may make something. One that changes a store gets one of
// its own.
func (h hostileStores) args(t *testing.T, r everyRun) (args []string) {
	dir := h.dir
	if r.changes || strings.Contains(r.line, "{new}") || strings.Contains(r.line, "--write") {
		dir = filepath.Join(t.TempDir(), filepath.Base(h.dir))
		must(t, os.Mkdir(dir, 0o700))
	}
	for _, word := range strings.Fields(r.line) {
		switch word {
		case "''":
			word = ""
		case "FALSE":
			word = "cat >&2; false"
		default:
			word = strings.ReplaceAll(word, "NAME", hostileName)
			word = strings.ReplaceAll(word, "KEY", hostileBytes)
		}
		if before, rest, in := strings.Cut(word, "{"); in {
			name, behind, _ := strings.Cut(rest, "}")
			path := filepath.Join(dir, name)
			if name == "all" {
				path = dir
			} else if dir != h.dir && name != "new" {
				copyAll(t, filepath.Join(h.dir, name), path)
			}
			word = before + path + behind
		}
		args = append(args, word)
	}
	return args
}

// copyAll copies a file or a folder.
func copyAll(t *testing.T, from, to string) {
	t.Helper()
	info, err := os.Stat(from)
	must(t, err)
	if info.IsDir() {
		must(t, os.CopyFS(to, os.DirFS(from)))
		return
	}
	data, err := os.ReadFile(from)
	must(t, err)
	must(t, os.WriteFile(to, data, 0o600))
}

// hostileEntries are entries of every kind that is shown in its own way.
func hostileEntries() (logs []*raft.Log) {
	configuration := func(texts ...string) []byte {
		var c raft.Configuration
		for _, text := range texts {
			server := raft.Server{ID: raft.ServerID(text), Address: raft.ServerAddress(text)}
			c.Servers = append(c.Servers, server)
		}
		return raft.EncodeConfiguration(c)
	}
	behind := func(head ...byte) []byte {
		return append(append(head, byte(len(hostile))), hostile...)
	}
	quoted := `{"a":"` + "\u202e\u2028\u009b\x7f\ufeff\U000e0041" + `"}`
	for kind, data := range map[raft.LogType][][]byte{
		raft.LogCommand: {
			[]byte(hostile), []byte(hostileBytes), []byte("text\n\tand more"), []byte(quoted),
			[]byte(quoted + "\xff"), []byte("{\"a\":\"\xff\"}"),
			behind(0x81, 0xa1, 'k', 0xd9), behind(0x07, 0x91, 0xd9), // MessagePack
		},
		raft.LogAddPeerDeprecated:    {behind(0x91, 0xd9)},
		raft.LogRemovePeerDeprecated: {[]byte(hostile)},
		raft.LogType(200):            {[]byte(hostile)},
		raft.LogConfiguration:        {[]byte(hostile)},
	} {
		for _, d := range data {
			logs = append(logs, &raft.Log{Type: kind, Data: d, Extensions: []byte(hostile)})
		}
	}
	good := configuration(hostile, hostileBytes, "", "a b", "n1")
	logs = append(logs, &raft.Log{Type: raft.LogConfiguration, Data: good})
	for i, log := range logs {
		log.Index, log.Term = uint64(i+1), 1
	}
	return logs
}

// fillHostile stores entries and stable values.
func fillHostile(t *testing.T, to ballast.Store) {
	t.Helper()
	must(t, to.StoreLogs(hostileEntries()))
	must(t, to.SetUint64([]byte("CurrentTerm"), 1))
	must(t, to.SetUint64([]byte("LastVoteTerm"), 1))
	must(t, to.Set([]byte("LastVoteCand"), []byte(hostile)))
	for _, key := range []string{hostile, hostileBytes, "a\tb", "a\nb", "two words", "\u00a0"} {
		must(t, to.Set([]byte(key), []byte(hostileBytes)))
	}
	must(t, to.Set([]byte("value"), []byte(hostile)))
	must(t, to.Set([]byte("lines"), []byte("a\nb\tc")))
}

// writeHostile makes them.
func writeHostile(t *testing.T) hostileStores {
	h := hostileStores{filepath.Join(t.TempDir(), hostileName)}
	if os.Mkdir(h.dir, 0o700) != nil { // not every system has such names
		h.dir = filepath.Join(t.TempDir(), "plain")
		must(t, os.Mkdir(h.dir, 0o700))
	}
	at := func(name string) string { return filepath.Join(h.dir, name) }
	small := &wal.Options{SegmentBytes: 1 << 20}
	log, err := wal.Open(at("wal"), small)
	must(t, err)
	fillHostile(t, log)
	bolt, err := boltstore.Open(at("bolt"), &boltstore.Options{NoSync: true})
	must(t, err)
	_, err = ballast.Copy(context.Background(), bolt, log, nil)
	must(t, err)
	must(t, bolt.Close())
	var made bytes.Buffer
	last := uint64(len(hostileEntries()))
	head := export.Store{FirstIndex: 1, LastIndex: last, Engine: hostileBytes}
	out, err := export.NewWriter(&made, head)
	must(t, err)
	for _, log := range hostileEntries() {
		must(t, out.Entry(log))
	}
	must(t, out.Stable([]byte(hostileBytes), []byte(hostileBytes)))
	must(t, out.Close())
	must(t, os.WriteFile(at("export"), made.Bytes(), 0o600))
	must(t, os.WriteFile(at("cut"), made.Bytes()[:made.Len()-9], 0o600))
	must(t, log.Close())
	quick := &badgerstore.Options{NoSync: true, GCInterval: -1}
	badger, err := badgerstore.Open(at("badger"), quick)
	must(t, err)
	fillHostile(t, badger)
	must(t, badger.Close())
	gs, err := wal.OpenGroups(at("shared"), small)
	must(t, err)
	for _, id := range []uint64{0, 7} {
		s, err := gs.Store(id)
		must(t, err)
		fillHostile(t, s)
	}
	must(t, gs.Close())

	copyAll(t, at("wal"), at("damaged"))
	flip(t, filepath.Join(at("damaged"), "0000000000000001.wal"), "and more")
	writeForeign(t, at("foreign"))
	copyAll(t, "../raftwal/testdata/raft-wal", at("raftwal"))
	metaFile := filepath.Join(at("raftwal"), "wal-meta.db")
	meta, err := bbolt.Open(metaFile, 0o600, &bbolt.Options{NoSync: true})
	must(t, err)
	must(t, meta.Update(func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte("stable")).Put([]byte(hostileBytes), []byte(hostileBytes))
	}))
	must(t, meta.Close())
	must(t, os.Mkdir(at("folder"), 0o700))
	writeOdd(t, h.dir)
	return h
}

// flip flips a bit of the first place where a file has a text.
func flip(t *testing.T, path, text string) {
	t.Helper()
	data, err := os.ReadFile(path)
	must(t, err)
	at := bytes.Index(data, []byte(text))
	if at < 0 {
		t.Fatalf("%q has no %q", path, text)
	}
	data[at] ^= 1
	must(t, os.WriteFile(path, data, 0o600))
}

// writeForeign makes a bbolt file of somebody else, whose buckets have hostile names.
func writeForeign(t *testing.T, path string) {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{NoSync: true})
	must(t, err)
	must(t, db.Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucket([]byte(hostileBytes))
		return err
	}))
	must(t, db.Close())
}

// writeOdd makes stores in which there are files whose names are hostile.
func writeOdd(t *testing.T, dir string) {
	t.Helper()
	at := func(name string) string { return filepath.Join(dir, name) }
	copyAll(t, at("wal"), at("oddwal"))
	copyAll(t, at("badger"), at("oddbadger"))
	must(t, os.Mkdir(at("oddfolder"), 0o700))
	name := filepath.Base(dir)
	for _, odd := range []string{
		"oddwal/NAME", "oddwal/0000000000000001.walNAME", "oddbadger/NAME.vlog", "oddfolder/NAME",
		"folder/NAME.migrating",
	} {
		path := at(strings.ReplaceAll(odd, "NAME", name))
		must(t, os.WriteFile(path, []byte(hostileBytes), 0o600))
	}
	must(t, os.Symlink(name, at("link")))
	must(t, os.Symlink(name, filepath.Join(at("folder"), name)))
}
