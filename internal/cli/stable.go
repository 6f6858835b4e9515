package cli

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"unicode/utf8"

	"github.com/hashicorp/raft"
	"github.com/spf13/cobra"

	"github.com/raft-ballast/ballast"
)

// What raft itself keeps in a stable store.
const (
	currentTermKey  = "CurrentTerm"
	lastVoteTermKey = "LastVoteTerm"
	lastVoteCandKey = "LastVoteCand"
)

const stableLong = `A stable store holds what a peer must never forget: the term that it is in, and for whom it has
voted. An application may keep values of its own there.

'list' and 'get' only read. 'set' and 'delete' are for emergencies, and for a peer that is stopped. Of a
wal that several raft groups share, --group names the one that is meant.

` + exitHelp

const stableExample = `  ballast stable list /var/lib/app/raft
  ballast stable get bolt:/var/lib/app/raft.db CurrentTerm
  ballast stable get --raw wal:/var/lib/app/wal key > value`

func newStable(s streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "stable",
		Short:   "Show and change the stable values: the term, the vote",
		Long:    stableLong,
		Example: stableExample,
	}
	asGroup(cmd)
	cmd.SetFlagErrorFunc(func(of *cobra.Command, err error) error {
		if of == cmd { // and not one of those below
			return usagef("%v; `ballast stable list` shows the values of a store, `ballast stable --help` lists the other commands", err)
		}
		return cmd.Root().FlagErrorFunc()(of, err)
	})
	cmd.AddCommand(newStableList(s), newStableGet(s), newStableSet(s), newStableDelete(s))
	return cmd
}

func newStableList(s streams) *cobra.Command {
	var asJSON bool
	var group groupFlag
	cmd := &cobra.Command{
		Use:   "list STORE",
		Short: "Show all stable values",
		Long: `Shows every stable value. Those of raft are decoded. Another one is shown as a text where it is one,
as a number where it has 8 bytes, otherwise as hexadecimal digits.

With --json it is one object: stable with the values of raft, stable_other with those of others in
base64, and damage where what was acknowledged last may be missing. A key that is no UTF-8 is its bytes
there, in hexadecimal digits behind 0x.

` + exitHelp,
		Example: "  ballast stable list /var/lib/app/raft\n  ballast stable list --json badger:/var/lib/app/badger",
		Args:    storeArgs,
		RunE:    func(_ *cobra.Command, args []string) error { return runStableList(s, args[0], group, asJSON) },
	}
	group.add(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one object of JSON")
	return cmd
}

func runStableList(s streams, name string, group groupFlag, asJSON bool) (err error) {
	src, err := openGroup(name, group)
	if err != nil {
		return err
	}
	defer closing(src, &err)
	values, err := readStable(src)
	if err != nil {
		return err
	}
	if asJSON {
		err = writeJSON(s.out, struct {
			stableJSON
			Damage *damageJSON `json:"damage,omitempty"`
		}{values, src.damageJSON()})
	} else {
		t := newTable(s.out)
		for _, v := range values.values {
			t.row(v.label(), v.text())
		}
		err = t.end()
	}
	if err == nil {
		err = src.whole()
	}
	return err
}

func newStableGet(s streams) *cobra.Command {
	var asJSON, raw bool
	var group groupFlag
	cmd := &cobra.Command{
		Use:   "get STORE KEY",
		Short: "Show one stable value",
		Long: `Shows the value of a key as 'ballast stable list' does, or with --raw its bytes as they are. A key
that is not there is an error.

With --json it is one object: key, value in base64, text as it is shown otherwise, and uint64 where it
is a number.

` + exitHelp,
		Example: "  ballast stable get /var/lib/app/raft CurrentTerm\n  ballast stable get --raw wal:/var/lib/app/wal key > value",
		Args:    func(cmd *cobra.Command, args []string) error { return countArgs(cmd, args, 2, "a store and a key") },
		RunE: func(_ *cobra.Command, args []string) error {
			if asJSON && raw {
				return usagef("--json and --raw exclude each other; give one of them")
			}
			return runStableGet(s, args[0], args[1], group, asJSON, raw)
		},
	}
	group.add(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one object of JSON, with the value in base64")
	cmd.Flags().BoolVar(&raw, "raw", false, "print the bytes of the value and nothing else")
	return cmd
}

func runStableGet(s streams, name, key string, group groupFlag, asJSON, raw bool) (err error) {
	src, err := openGroup(name, group)
	if err != nil {
		return err
	}
	defer closing(src, &err)
	v, err := readValue(src, []byte(key))
	switch whole := src.whole(); {
	case errors.Is(err, ballast.ErrKeyNotFound) && whole != nil:
		return fmt.Errorf("%s has no stable value %q, and may have had one: %w", src, key, whole)
	case errors.Is(err, ballast.ErrKeyNotFound):
		return fmt.Errorf("%s has no stable value %q; `ballast stable list %s` shows those that there are", src, key, src)
	case err != nil:
		return err
	case raw:
		_, err = s.out.raw().Write(v.bytes)
	case asJSON:
		err = writeJSON(s.out, v.json())
	default:
		err = writeLines(s.out, v.text())
	}
	if err == nil {
		err = src.whole()
	}
	return err
}

// stableValue is a stable value that was read.
type stableValue struct {
	key    string
	bytes  []byte // as stored
	number uint64 // of raft's own numbers
	known  bool   // raft's own, and as raft writes it
}

// stableJSON is the stable state as scripts see it.
type stableJSON struct {
	Stable map[string]any    `json:"stable"`
	Other  map[string][]byte `json:"stable_other,omitempty"`

	values []stableValue // in the order of their keys
}

// readStable reads the stable state.
func readStable(src *source) (stableJSON, error) {
	out := stableJSON{Stable: map[string]any{}, Other: map[string][]byte{}}
	keys, err := src.StableKeys()
	if err != nil {
		return out, fmt.Errorf("listing the stable values: %w", err)
	}
	for _, key := range keys {
		v, err := readValue(src, key)
		if errors.Is(err, ballast.ErrKeyNotFound) {
			continue // an engine that lists a key and has no value for it
		}
		if err != nil {
			return out, err
		}
		out.values = append(out.values, v)
		switch {
		case !v.known:
			out.Other[jsonKey(v.key)] = v.bytes
		case v.key == lastVoteCandKey:
			out.Stable[v.key] = string(v.bytes)
		default:
			out.Stable[v.key] = v.number
		}
	}
	return out, nil
}

// readValue reads one value. Raft's own numbers are read as such: raft-wal has another order of bytes.
func readValue(s raft.StableStore, key []byte) (stableValue, error) {
	v := stableValue{key: string(key)}
	var err error
	if v.bytes, err = s.Get(key); err != nil {
		return v, fmt.Errorf("reading the stable value %q: %w", key, err)
	}
	v.bytes = notNil(v.bytes)
	switch v.key {
	case currentTermKey, lastVoteTermKey:
		v.number, err = s.GetUint64(key)
		if err != nil && !errors.Is(err, ballast.ErrNotUint64) {
			return v, fmt.Errorf("reading the stable value %q: %w", key, err)
		}
		v.known = err == nil
	case lastVoteCandKey:
		v.known = utf8.Valid(v.bytes)
	}
	return v, nil
}

// label is the key as it is shown.
func (v stableValue) label() string { return word(v.key) }

// text is the value as it is shown.
func (v stableValue) text() string {
	switch {
	case v.known && v.key != lastVoteCandKey:
		return strconv.FormatUint(v.number, 10)
	case len(v.bytes) == 0:
		return "(empty)"
	case isText(v.bytes):
		return shown(string(v.bytes))
	case len(v.bytes) == 8:
		return strconv.FormatUint(binary.BigEndian.Uint64(v.bytes), 10)
	}
	return hexText(v.bytes, 0)
}

// json is the value as scripts see it.
func (v stableValue) json() any {
	out := struct {
		Key   string  `json:"key"`
		Value []byte  `json:"value"` // base64
		Text  string  `json:"text"`
		Uint  *uint64 `json:"uint64,omitempty"`
	}{Key: jsonKey(v.key), Value: v.bytes, Text: v.text()}
	switch {
	case v.known && v.key != lastVoteCandKey:
		out.Uint = &v.number
	case !v.known && len(v.bytes) == 8:
		number := binary.BigEndian.Uint64(v.bytes)
		out.Uint = &number
	}
	return out
}
