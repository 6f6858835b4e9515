package cli

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/raft-ballast/ballast"
)

const stableDanger = `This is dangerous. Raft elects one leader in a term because each peer votes once in a term and never
forgets it. A peer whose term or vote goes back may vote a second time, and two leaders may then
acknowledge different writes at the same index. So --force is needed; and --second-vote, which lowers
the term or forgets or changes a vote that is in force, only when every peer of the cluster is
stopped, or when this one will never join its old cluster again.

The store must not be in use: stop the peer first. A bolt or badger store with damage that a write would
hide, or make worse, is refused with exit status 2. A directory of raft-wal is only read here.

With --json it is one object: store, key, and old and new as 'ballast stable get --json' prints them,
null where there is none.`

const stableSetExample = `  ballast stable set --force wal:/var/lib/app/wal CurrentTerm 12
  ballast stable set --force bolt:/var/lib/app/raft.db note 'moved on Monday'
  ballast stable set --force --as base64 /var/lib/app/raft key AAEC`

// stableFlags are the flags of the two commands that change a value.
type stableFlags struct {
	force, secondVote, json bool
	form                    string
	group                   groupFlag
}

func (f *stableFlags) add(cmd *cobra.Command) {
	f.group.add(cmd)
	cmd.Flags().BoolVar(&f.force, "force", false, "change it; without this nothing is done")
	cmd.Flags().BoolVar(&f.secondVote, "second-vote", false, "also where the peer may vote twice in a term afterwards")
	cmd.Flags().BoolVar(&f.json, "json", false, "print one object of JSON")
}

// valueForms are how a value may be given.
var valueForms = []string{"text", "uint64", "hex", "base64"}

func newStableSet(s streams) *cobra.Command {
	var f stableFlags
	cmd := &cobra.Command{
		Use:   "set STORE KEY VALUE",
		Short: "Change one stable value of a store that is not in use",
		Long: `Stores a value durably, and prints the old and the new one. CurrentTerm and LastVoteTerm are numbers,
LastVoteCand is a text; what another value is --as says.

` + stableDanger + "\n\n" + exitHelp,
		Example: stableSetExample,
		Args: func(cmd *cobra.Command, args []string) error {
			return countArgs(cmd, args, 3, "a store, a key and a value")
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			value, err := parseValue(args[1], args[2], f.form)
			if err != nil {
				return err
			}
			return runStableChange(cmd, s, args[0], args[1], value, f)
		},
	}
	f.add(cmd)
	cmd.Flags().StringVar(&f.form, "as", "", "what the value is: "+strings.Join(valueForms, ", ")+" (default text, a number where raft has one)")
	return cmd
}

func newStableDelete(s streams) *cobra.Command {
	var f stableFlags
	cmd := &cobra.Command{
		Use:   "delete STORE KEY",
		Short: "Take one stable value away from a store that is not in use",
		Long: `Deletes a key durably, and prints the value that it had. A key that is not there is an error. To raft a
term or a vote that is not there is 0, or nobody.

` + stableDanger + "\n\n" + exitHelp,
		Example: "  ballast stable delete --force wal:/var/lib/app/wal note\n  ballast stable delete --force --json bolt:/var/lib/app/raft.db note",
		Args:    func(cmd *cobra.Command, args []string) error { return countArgs(cmd, args, 2, "a store and a key") },
		RunE: func(cmd *cobra.Command, args []string) error {
			return runStableChange(cmd, s, args[0], args[1], nil, f)
		},
	}
	f.add(cmd)
	return cmd
}

// parseValue returns the bytes of a value that was given as text.
func parseValue(key, text, form string) (value []byte, err error) {
	number := key == currentTermKey || key == lastVoteTermKey
	switch {
	case form != "" && !slices.Contains(valueForms, form):
		return nil, usagef("--as is %q; give one of %s", form, strings.Join(valueForms, ", "))
	case number && form != "" && form != "uint64", key == lastVoteCandKey && form != "" && form != "text":
		return nil, usagef("raft keeps %s in its own form; leave out --as", key)
	case number:
		form = "uint64"
	}
	switch form {
	case "uint64":
		var n uint64
		n, err = strconv.ParseUint(text, 10, 64)
		value = binary.BigEndian.AppendUint64(nil, n)
	case "hex":
		value, err = hex.DecodeString(strings.TrimPrefix(text, "0x"))
	case "base64":
		value, err = base64.StdEncoding.DecodeString(text)
	default:
		value = []byte(text)
	}
	if number, ok := errors.AsType[*strconv.NumError](err); ok {
		err = number.Err // which does not name a function of Go
	}
	if err != nil {
		return nil, usagef("%q is no %s: %v; give another value", text, form, err)
	}
	return notNil(value), nil
}

// stableChange is what `ballast stable set --json` and `ballast stable delete --json` print.
type stableChange struct {
	Store outside `json:"store"`
	Group *uint64 `json:"group,omitempty"`
	Key   string  `json:"key"`
	Old   any     `json:"old"` // as `ballast stable get --json` prints it; null where there is none
	New   any     `json:"new"`
}

// runStableChange stores a value, or deletes the key where the value is nil.
func runStableChange(cmd *cobra.Command, s streams, name, key string, value []byte, f stableFlags) (err error) {
	if !f.force {
		return usagef("this changes what a peer must never forget; read `%s --help`, and give --force", cmd.CommandPath())
	}
	at, err := findGroup(name, f.group)
	if err != nil {
		return err
	}
	src, err := at.openForWriting()
	if err != nil {
		return err
	}
	before, after, err := src.change(key, value, f.secondVote)
	if e := errors.Join(src.Close(), keepOwner(src.path)); err == nil {
		err = e // what was written is durable only now
	}
	if err != nil {
		return err
	}
	s.done()
	if f.json {
		return writeJSON(s.out, stableChange{src.exactName(), f.group.json(), jsonKey(key), before.jsonOrNull(), after.jsonOrNull()})
	}
	return writeChange(s.out, src, key, before, after)
}

// change stores a value, or deletes the key where the value is nil, and returns what there was and what there is; nil for none.
func (s *source) change(key string, value []byte, secondVote bool) (before, after *stableValue, err error) {
	if before, err = s.valueOrNone(key); err != nil {
		return nil, nil, err
	}
	if before == nil && value == nil {
		return nil, nil, fmt.Errorf("%s has no stable value %q; `ballast stable list %s` shows those that there are", s, key, s)
	}
	if err := s.checkVote(key, value); err != nil && !secondVote {
		return nil, nil, err
	}
	switch {
	case value == nil:
		err = s.readStore.(ballast.KeyDeleter).DeleteKey([]byte(key))
	case key == currentTermKey || key == lastVoteTermKey:
		err = s.SetUint64([]byte(key), binary.BigEndian.Uint64(value)) // parseValue made it of a number
	default:
		err = s.Set([]byte(key), value)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("changing the stable value %q: %w", key, err)
	}
	after, err = s.valueOrNone(key)
	return before, after, err
}

// valueOrNone returns nil for a key that is not there.
func (s *source) valueOrNone(key string) (*stableValue, error) {
	v, err := readValue(s, []byte(key))
	if errors.Is(err, ballast.ErrKeyNotFound) {
		return nil, nil
	}
	return &v, err
}

// checkVote refuses a change after which the peer may vote twice in a term; value is nil for a deletion.
func (s *source) checkVote(key string, value []byte) error {
	term, err := s.number(currentTermKey)
	if err != nil {
		return err
	}
	voted, err := s.number(lastVoteTermKey)
	if err != nil {
		return err
	}
	n := uint64(0)
	if key != lastVoteCandKey && len(value) == 8 {
		n = binary.BigEndian.Uint64(value)
	}
	inForce := voted > 0 && voted >= term
	switch {
	case key == currentTermKey && n < term:
		return fmt.Errorf("%s is in term %d, and a lower one lets the peer vote again in a term in which it has voted; --second-vote does it all the same", s, term)
	case key == lastVoteTermKey && n < voted && inForce:
		return fmt.Errorf("%s has voted in term %d, and this forgets it, so that the peer may vote twice; --second-vote does it all the same", s, voted)
	case key == lastVoteCandKey && inForce:
		vote, err := s.valueOrNone(key)
		if err != nil {
			return err
		}
		if vote != nil && (value == nil || string(vote.bytes) != string(value)) {
			return fmt.Errorf("%s has voted for %s in term %d, and this changes that vote; --second-vote does it all the same", s, vote.text(), voted)
		}
	}
	return nil
}

// number returns one of raft's own numbers, 0 where it is not there.
func (s *source) number(key string) (uint64, error) {
	n, err := s.GetUint64([]byte(key))
	if errors.Is(err, ballast.ErrKeyNotFound) {
		return 0, nil
	}
	if err != nil && !errors.Is(err, ballast.ErrNotUint64) { // what is no number can only be put right
		return 0, fmt.Errorf("reading the stable value %q: %w", key, err)
	}
	return n, nil
}

func (v *stableValue) jsonOrNull() any {
	if v == nil {
		return nil
	}
	return v.json()
}

func writeChange(w io.Writer, src *source, key string, before, after *stableValue) error {
	text := func(v *stableValue) string {
		if v == nil {
			return "(none)"
		}
		return v.text()
	}
	t := newTable(w)
	t.row("store", src.String())
	t.row("key", stableValue{key: key}.label())
	t.row("old", text(before))
	t.row("new", text(after))
	return t.end()
}
