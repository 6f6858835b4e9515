package cli

import (
	"bytes"
	"cmp"
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

// hostile has what a terminal, a table, a line or a shell takes for something else, and nothing
// else; hostileBytes is no UTF-8 either.
const (
	hostile = "\x1b[31m\nrow\tcell\r\v\f\u202erl\u2067i\u200fm\u061ca\u2028s\u2029\u200dz" +
		"\u200b\ufeff\u0085\u009b1mc\x7f\U000e0041\x07\x00\"$(x)`y`"
	hostileBytes = hostile + "\xff\xc3"
	hostileName  = "s\x1b[31m\nrow\tx\r\u202e\u2028\u009b\x7f\xff" // of a file
)

// everyRun is a command line.
type everyRun struct {
	line    string
	changes bool // a store, so that it needs one of its own
	raw     bool // it prints bytes as they are
	fails   bool // for another reason than its output
}

// everyLine are runs of each command there is: TestEveryCommandIsRun sees to it. A word in braces
// is a store of writeHostile, or a path at which there is nothing. NAME is hostileName, KEY
// hostileBytes, and FALSE a decoder that fails. In front stands + where a store is changed, = where
// bytes are printed as they are, and ! where it fails. What demo and bench print of a run, which
// takes seconds, TestReportsOfLongCommands looks at.
const everyLine = `
  --help
  --version
! KEY
! --NAME
  info {wal}
  info --json {wal}
  info {bolt}
  info --json {bolt}
  info {badger}
  info {raftwal}
  info --json {raftwal}
  info {shared}
  info --json {shared}
! info {damaged}
! info {foreign}
! info {export}
! info {none}
! info {folder}
! info {all}
! info {wal}/0000000000000001.wal
! info --group 9 {shared}
! info bolt:{wal}
  info --help
  segments {wal}
  segments --json {wal}
  segments {shared}
! segments {bolt}
  dump {wal}
  dump --json {wal}
  dump --limit 1 {wal}
  dump --limit 1 --json {wal}
= dump --raw {wal}
= dump --raw --limit 3 {wal}
  dump --width 0 {bolt}
  dump --data text {badger}
  dump --data json {wal}
  dump --data msgpack {raftwal}
  dump --decoder cat {wal}
  dump --decoder cat --json {wal}
! dump --decoder FALSE {wal}
  dump --from 900 {wal}
! dump {damaged}
  dump --follow --limit 2 {wal}
! dump {shared}
! dump --type NAME {wal}
  stable
  stable --help
  stable list {wal}
  stable list --json {wal}
  stable list {bolt}
  stable list --json {badger}
  stable list {raftwal}
  stable get {wal} KEY
  stable get --json {bolt} KEY
= stable get --raw {wal} KEY
! stable get {wal} noKEY
+ stable set --force {wal} a KEY
+ stable set --force --json {bolt} a KEY
! stable set --force {wal} CurrentTerm KEY
! stable set --force {wal} LastVoteCand x
+ stable delete --force {wal} KEY
+ stable delete --force --json {bolt} KEY
  verify {wal}
  verify --json {bolt}
  verify {badger}
  verify {raftwal}
  verify {shared}
  verify --json {shared}
! verify {damaged}
! verify --json {damaged}
  diff {wal} {bolt}
  diff --json {wal} {bolt}
! diff {wal} {raftwal}
! diff --json {wal} {raftwal}
! diff {wal} {damaged}
+ compact {wal}
+ compact --json {bolt}
! compact {raftwal}
  bench --help
! bench {wal}/LOCK
! bench {none}
+ migrate {bolt} wal:{new}
+ migrate --json {bolt} wal:{new}
  migrate --dry-run {raftwal} bolt:{new}
  migrate --dry-run --json {bolt} wal:{new}
+ migrate --group 1={bolt} --group 2={badger} wal:{new}
! migrate {damaged} bolt:{new}
! migrate {bolt} wal:{wal}
! migrate {bolt} {new}
+ drop --force --group 7 {shared}
+ drop --force --json --group 7 {shared}
! drop --force --group 9 {shared}
  repair {wal}
  repair --json {bolt}
! repair {damaged}
! repair --json {damaged}
+ repair --write --accept-loss {damaged}
+ repair --write --accept-loss --json {damaged}
! repair --write {damaged}
! repair {raftwal}
+ backup {wal} {new}
+ backup --json {wal} {new}
! backup {bolt} {new}
! backup {wal} {wal}
+ export {wal} {new}
+ export --json {bolt} {new}
= export {wal} -
! export {damaged} {new}
! export {wal} {wal}
+ import {export} wal:{new}
+ import --json {export} bolt:{new}
! import {foreign} wal:{new}
! import {cut} wal:{new}
  demo --help
! demo --dir {all}
! demo --engine NAME
! demo --metrics NAME
  demo-peer --help
! demo-peer --id NAME
  version
  version --json
! version NAME
  docs --help
! docs {none}/x
  help
  help dump
! help NAME
  completion
! completion NAME
  completion bash
  completion zsh
  completion fish
  completion powershell
  __complete info {all}/
  __complete stable get {keys} ''
  __complete stable get {wal} ''
  __complete info --group ''
  __complete KEY
  __complete dump --NAME ''
`

// everyCommand are these runs by the paths of the commands.
func everyCommand() map[string][]everyRun {
	root, all := newRoot(newStreams(nil, io.Discard, io.Discard)), map[string][]everyRun{}
	for text := range strings.Lines(everyLine) {
		text = cmp.Or(strings.TrimSuffix(text, "\n"), " ") // the first one has no arguments
		mark, line := text[:1], strings.TrimSpace(text[1:])
		words := strings.Fields(line)
		path := "ballast " + cobra.ShellCompRequestCmd // which cobra adds when it is asked for
		if len(words) == 0 || words[0] != cobra.ShellCompRequestCmd {
			cmd, _, _ := root.Find(words) // the root where there is no such command
			path = cmd.CommandPath()
		}
		run := everyRun{line, mark == "+", mark == "=", mark == "!"}
		all[path] = append(all[path], run)
	}
	return all
}

// Every command there is has a run, also one that is new.
func TestEveryCommandIsRun(t *testing.T) {
	root, all := newRoot(newStreams(nil, io.Discard, io.Discard)), everyCommand()
	there := []string{"ballast " + cobra.ShellCompRequestCmd}
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		there = append(there, cmd.CommandPath())
		long := cmd.Name() == "demo" || cmd.Name() == "bench"
		asJSON := func(r everyRun) bool { return strings.Contains(r.line, "--json") }
		runs := all[cmd.CommandPath()]
		if cmd.Flags().Lookup("json") != nil && !long && !slices.ContainsFunc(runs, asJSON) {
			t.Errorf("%s is not run with --json", cmd.CommandPath())
		}
		for _, below := range cmd.Commands() {
			walk(below)
		}
	}
	walk(root)
	slices.Sort(there)
	if runs := slices.Sorted(maps.Keys(all)); !slices.Equal(there, runs) {
		t.Errorf("everyLine has %q\nthere are %q", runs, there)
	}
}

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
