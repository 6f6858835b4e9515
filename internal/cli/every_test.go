package cli

import (
	"cmp"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
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
! info {wal}/NAME
  info {oddwal}
! info badger:{oddbadger}
! info badger:{oddfolder}
! info {link}
! info --group 9 {shared}
! info bolt:{wal}
  info --help
  segments {wal}
  segments --json {wal}
  segments {shared}
  segments {oddwal}
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
! migrate badger:{oddbadger} wal:{none}
! migrate --group NAME {bolt} wal:{new}
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
  repair {oddwal}
! repair badger:{oddbadger}
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
