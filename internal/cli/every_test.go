package cli

import (
	"bytes"
	"context"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/raft"
	"github.com/spf13/cobra"
	"go.etcd.io/bbolt"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/badgerstore"
	"github.com/raft-ballast/ballast/boltstore"
	"github.com/raft-ballast/ballast/internal/export"
	"github.com/raft-ballast/ballast/wal"
)

// This file has a way to run every command, for tests of what holds for all of them.

// hostile has what a terminal, a table, a line or a shell takes for something else, and nothing else; hostileBytes is no UTF-8 either.
const (
	hostile      = "\x1b[31m\nrow\tcell\r\v\f\u202erl\u2067i\u200fm\u061ca\u2028s\u2029\u200dz\u200b\ufeff\u0085\u009b1mc\x7f\U000e0041\x07\x00\"$(x)`y`"
	hostileBytes = hostile + "\xff\xc3"
	hostileName  = "s\x1b[31m\nrow\tx\r\u202e\u2028\u009b\x7f\xff" // of a file
)

// everyRun is a command line. A word in braces is a store of writeHostile, or a path at which there is nothing.
type everyRun struct {
	line    string
	key     string // a last argument
	changes bool   // a store, so that it needs one of its own
	raw     bool   // it prints bytes as they are
	fails   bool   // for another reason than its output
}

// everyCommand has runs of each command there is, by its path: TestEveryCommandIsRun sees to it.
var everyCommand = map[string][]everyRun{
	"ballast": {{line: ""}, {line: "--help"}, {line: "--version"}, {line: "", key: hostileBytes, fails: true}, {line: "--" + hostileName, fails: true}},
	"ballast info": {{line: "info {wal}"}, {line: "info --json {wal}"}, {line: "info {bolt}"}, {line: "info --json {bolt}"}, {line: "info {badger}"},
		{line: "info {raftwal}"}, {line: "info --json {raftwal}"}, {line: "info {shared}"}, {line: "info --json {shared}"},
		{line: "info {damaged}", fails: true}, {line: "info {foreign}", fails: true}, {line: "info {export}", fails: true}, {line: "info {none}", fails: true},
		{line: "info {folder}", fails: true}, {line: "info {all}", fails: true}, {line: "info {wal}/0000000000000001.wal", fails: true},
		{line: "info --group 9 {shared}", fails: true}, {line: "info bolt:{wal}", fails: true}, {line: "info --help"}},
	"ballast segments": {{line: "segments {wal}"}, {line: "segments --json {wal}"}, {line: "segments {shared}"}, {line: "segments {bolt}", fails: true}},
	"ballast dump": {{line: "dump {wal}"}, {line: "dump --json {wal}"}, {line: "dump --limit 1 {wal}"}, {line: "dump --limit 1 --json {wal}"},
		{line: "dump --raw {wal}", raw: true}, {line: "dump --raw --limit 3 {wal}", raw: true}, {line: "dump --width 0 {bolt}"}, {line: "dump --data text {badger}"},
		{line: "dump --data json {wal}"}, {line: "dump --data msgpack {raftwal}"}, {line: "dump --decoder cat {wal}"}, {line: "dump --decoder cat --json {wal}"},
		{line: "dump --decoder", key: "cat >&2; false", fails: true}, {line: "dump --from 900 {wal}"}, {line: "dump {damaged}", fails: true},
		{line: "dump --follow --limit 2 {wal}"}, {line: "dump {shared}", fails: true}, {line: "dump --type " + hostileName + " {wal}", fails: true}},
	"ballast stable":      {{line: "stable"}, {line: "stable --help"}},
	"ballast stable list": {{line: "stable list {wal}"}, {line: "stable list --json {wal}"}, {line: "stable list {bolt}"}, {line: "stable list --json {badger}"}, {line: "stable list {raftwal}"}},
	"ballast stable get": {{line: "stable get {wal}", key: hostileBytes}, {line: "stable get --json {bolt}", key: hostileBytes}, {line: "stable get --raw {wal}", key: hostileBytes, raw: true},
		{line: "stable get {wal}", key: "no" + hostileBytes, fails: true}},
	"ballast stable set": {{line: "stable set --force {wal} a", key: hostileBytes, changes: true}, {line: "stable set --force --json {bolt} a", key: hostileBytes, changes: true},
		{line: "stable set --force {wal} CurrentTerm", key: hostileBytes, fails: true}, {line: "stable set --force {wal} LastVoteCand x", fails: true}},
	"ballast stable delete": {{line: "stable delete --force {wal}", key: hostileBytes, changes: true}, {line: "stable delete --force --json {bolt}", key: hostileBytes, changes: true}},
	"ballast verify": {{line: "verify {wal}"}, {line: "verify --json {bolt}"}, {line: "verify {badger}"}, {line: "verify {raftwal}"}, {line: "verify {shared}"}, {line: "verify --json {shared}"},
		{line: "verify {damaged}", fails: true}, {line: "verify --json {damaged}", fails: true}},
	"ballast diff":    {{line: "diff {wal} {bolt}"}, {line: "diff --json {wal} {bolt}"}, {line: "diff {wal} {raftwal}", fails: true}, {line: "diff --json {wal} {raftwal}", fails: true}, {line: "diff {wal} {damaged}", fails: true}},
	"ballast compact": {{line: "compact {wal}", changes: true}, {line: "compact --json {bolt}", changes: true}, {line: "compact {raftwal}", fails: true}},
	"ballast bench":   {{line: "bench --help"}, {line: "bench {wal}/LOCK", fails: true}, {line: "bench {none}", fails: true}},
	"ballast migrate": {{line: "migrate {bolt} wal:{new}", changes: true}, {line: "migrate --json {bolt} wal:{new}", changes: true}, {line: "migrate --dry-run {raftwal} bolt:{new}"},
		{line: "migrate --dry-run --json {bolt} wal:{new}"}, {line: "migrate --group 1={bolt} --group 2={badger} wal:{new}", changes: true},
		{line: "migrate {damaged} bolt:{new}", fails: true}, {line: "migrate {bolt} wal:{wal}", fails: true}, {line: "migrate {bolt} {new}", fails: true}},
	"ballast drop": {{line: "drop --force --group 7 {shared}", changes: true}, {line: "drop --force --json --group 7 {shared}", changes: true}, {line: "drop --force --group 9 {shared}", fails: true}},
	"ballast repair": {{line: "repair {wal}"}, {line: "repair --json {bolt}"}, {line: "repair {damaged}", fails: true}, {line: "repair --json {damaged}", fails: true},
		{line: "repair --write --accept-loss {damaged}", changes: true}, {line: "repair --write --accept-loss --json {damaged}", changes: true}, {line: "repair --write {damaged}", fails: true}, {line: "repair {raftwal}", fails: true}},
	"ballast backup": {{line: "backup {wal} {new}", changes: true}, {line: "backup --json {wal} {new}", changes: true}, {line: "backup {bolt} {new}", fails: true}, {line: "backup {wal} {wal}", fails: true}},
	"ballast export": {{line: "export {wal} {new}", changes: true}, {line: "export --json {bolt} {new}", changes: true}, {line: "export {wal} -", raw: true}, {line: "export {damaged} {new}", fails: true}, {line: "export {wal} {wal}", fails: true}},
	"ballast import": {{line: "import {export} wal:{new}", changes: true}, {line: "import --json {export} bolt:{new}", changes: true}, {line: "import {foreign} wal:{new}", fails: true}, {line: "import {cut} wal:{new}", fails: true}},
	// What these two print of a run TestReportsOfLongCommands looks at: they take seconds.
	"ballast demo":                  {{line: "demo --help"}, {line: "demo --dir {all}", fails: true}, {line: "demo --engine " + hostileName, fails: true}, {line: "demo --metrics " + hostileName, fails: true}},
	"ballast demo-peer":             {{line: "demo-peer --help"}, {line: "demo-peer --id " + hostileName, fails: true}},
	"ballast version":               {{line: "version"}, {line: "version --json"}, {line: "version " + hostileName, fails: true}},
	"ballast docs":                  {{line: "docs --help"}, {line: "docs {none}/x", fails: true}},
	"ballast help":                  {{line: "help"}, {line: "help dump"}, {line: "help " + hostileName, fails: true}},
	"ballast completion":            {{line: "completion"}, {line: "completion " + hostileName, fails: true}},
	"ballast completion bash":       {{line: "completion bash"}},
	"ballast completion zsh":        {{line: "completion zsh"}},
	"ballast completion fish":       {{line: "completion fish"}},
	"ballast completion powershell": {{line: "completion powershell"}},
	"ballast __complete": {{line: "__complete info {all}/"}, {line: "__complete stable get {keys}", key: ""}, {line: "__complete stable get {wal}", key: ""}, {line: "__complete info --group", key: ""},
		{line: "__complete", key: hostileBytes}, {line: "__complete dump --" + hostileName, key: ""}},
}

// Every command there is has a run, also one that is new.
func TestEveryCommandIsRun(t *testing.T) {
	root := newRoot(newStreams(nil, io.Discard, io.Discard))
	there := []string{"ballast __complete"} // which cobra adds when it is asked for
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		there = append(there, cmd.CommandPath())
		for _, below := range cmd.Commands() {
			walk(below)
		}
	}
	walk(root)
	slices.Sort(there)
	if runs := slices.Sorted(maps.Keys(everyCommand)); !slices.Equal(there, runs) {
		t.Errorf("everyCommand has %q\nthere are %q", runs, there)
	}
	for path, runs := range everyCommand {
		cmd, _, err := root.Find(strings.Fields(path)[1:])
		if err != nil || cmd.Flags().Lookup("json") == nil || path == "ballast demo" || path == "ballast bench" {
			continue
		}
		if !slices.ContainsFunc(runs, func(r everyRun) bool { return strings.Contains(r.line, "--json") }) {
			t.Errorf("%s is not run with --json", path)
		}
	}
}

// hostileStores are stores in which every text is hostile, in a folder whose name is.
type hostileStores struct{ dir string }

// args are those of a run, and where it may make something. One that changes a store gets one of its own.
func (h hostileStores) args(t *testing.T, r everyRun) (args []string) {
	dir := h.dir
	if r.changes || strings.Contains(r.line, "{new}") || strings.Contains(r.line, "--write") {
		dir = filepath.Join(t.TempDir(), filepath.Base(h.dir))
		must(t, os.Mkdir(dir, 0o700))
		for _, name := range []string{"wal", "bolt", "badger", "shared", "damaged", "export", "cut", "foreign", "raftwal"} {
			if strings.Contains(r.line, "{"+name+"}") {
				copyAll(t, filepath.Join(h.dir, name), filepath.Join(dir, name))
			}
		}
	}
	for _, word := range strings.Split(r.line, " ") {
		if begin := strings.Index(word, "{"); begin >= 0 {
			end := strings.Index(word, "}")
			word = word[:begin] + filepath.Join(dir, word[begin+1:end]) + word[end+1:]
			word = strings.Replace(word, filepath.Join(dir, "all"), dir, 1)
		}
		if word != "" {
			args = append(args, word)
		}
	}
	if strings.HasPrefix(r.line, "dump --decoder") && r.key != "" {
		return append(args, r.key, filepath.Join(dir, "wal"))
	}
	if r.key != "" || strings.HasPrefix(r.line, "__complete") && len(args) > 2 && !strings.HasSuffix(r.line, "/") {
		args = append(args, r.key)
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
			c.Servers = append(c.Servers, raft.Server{ID: raft.ServerID(text), Address: raft.ServerAddress(text)})
		}
		return raft.EncodeConfiguration(c)
	}
	quoted := `{"a":"` + "\u202e\u2028\u009b\x7f\ufeff\U000e0041" + `"}`
	for kind, data := range map[raft.LogType][][]byte{
		raft.LogCommand: {[]byte(hostile), []byte(hostileBytes), []byte("text\n\tand more"), []byte(quoted), []byte(quoted + "\xff"), []byte("{\"a\":\"\xff\"}"),
			append([]byte("\x81\xa1k\xd9"+string(rune(len(hostile)))), hostile...), append([]byte{0x07, 0x91, 0xd9, byte(len(hostile))}, hostile...)},
		raft.LogAddPeerDeprecated:    {append([]byte{0x91, 0xd9, byte(len(hostile))}, hostile...)},
		raft.LogRemovePeerDeprecated: {[]byte(hostile)},
		raft.LogType(200):            {[]byte(hostile)},
		raft.LogConfiguration:        {[]byte(hostile)},
	} {
		for _, d := range data {
			logs = append(logs, &raft.Log{Type: kind, Data: d, Extensions: []byte(hostile)})
		}
	}
	logs = append(logs, &raft.Log{Type: raft.LogConfiguration, Data: configuration(hostile, hostileBytes, "", "a b", "n1")})
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
	out, err := export.NewWriter(&made, export.Store{FirstIndex: 1, LastIndex: uint64(len(hostileEntries())), Engine: hostileBytes})
	must(t, err)
	for _, log := range hostileEntries() {
		must(t, out.Entry(log))
	}
	must(t, out.Stable([]byte(hostileBytes), []byte(hostileBytes)))
	must(t, out.Close())
	must(t, os.WriteFile(at("export"), made.Bytes(), 0o600))
	must(t, os.WriteFile(at("cut"), made.Bytes()[:made.Len()-9], 0o600))
	must(t, log.Close())
	badger, err := badgerstore.Open(at("badger"), &badgerstore.Options{NoSync: true, GCInterval: -1})
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
	meta, err := bbolt.Open(filepath.Join(at("raftwal"), "wal-meta.db"), 0o600, &bbolt.Options{NoSync: true})
	must(t, err)
	must(t, meta.Update(func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte("stable")).Put([]byte(hostileBytes), []byte(hostileBytes))
	}))
	must(t, meta.Close())
	must(t, os.Mkdir(at("folder"), 0o700))
	if strings.HasSuffix(h.dir, hostileName) {
		must(t, os.WriteFile(filepath.Join(at("folder"), hostileName+".migrating"), nil, 0o600))
		must(t, os.Symlink(hostileName, filepath.Join(at("folder"), hostileName)))
	}
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
