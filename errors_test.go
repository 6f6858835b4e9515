package ballast_test

import (
	"errors"
	"fmt"
	"io/fs"
	"testing"

	"github.com/raft-ballast/ballast"
)

var errCause = errors.New("the cause")

func TestErrors(t *testing.T) {
	for _, tc := range []struct {
		name  string
		err   error
		text  string
		is    []error
		isNot []error
	}{
		{
			"corruption, all that may be known",
			&ballast.CorruptionError{Path: "raft/1.log", Offset: 4096, Index: 7, Err: errCause},
			"ballast: damaged entry 7 in raft/1.log at offset 4096: the cause",
			[]error{ballast.ErrCorrupt, errCause}, []error{ballast.ErrLocked, ballast.ErrEntryTooLarge},
		},
		{
			"corruption at the very start of a file",
			&ballast.CorruptionError{Path: "f", Offset: 0, Err: errCause},
			"ballast: damaged in f at offset 0: the cause",
			[]error{ballast.ErrCorrupt}, nil,
		},
		{
			"corruption somewhere",
			&ballast.CorruptionError{Path: "f", Offset: -1, Err: fmt.Errorf("reading: %w", fs.ErrNotExist)},
			"ballast: damaged in f: reading: file does not exist",
			[]error{ballast.ErrCorrupt, fs.ErrNotExist}, []error{errCause},
		},
		{
			"entry too large",
			&ballast.EntryTooLargeError{Index: 7, Bytes: 101, Limit: 100},
			"ballast: entry 7 has 101 bytes, the limit is 100; split it or raise MaxEntryBytes",
			[]error{ballast.ErrEntryTooLarge}, []error{ballast.ErrCorrupt},
		},
		{
			"displaced",
			&ballast.DisplacedError{Path: "/data/raft", Now: "/data/old"},
			"ballast: /data/raft was renamed, removed or mounted over while this store was open, " +
				"and leads to something else now, or to nothing; what it has acknowledged is " +
				"in /data/old: end this process, put the store back under its name, and open it again",
			[]error{ballast.ErrDisplaced}, []error{ballast.ErrCorrupt, ballast.ErrLocked},
		},
		{
			"removed",
			&ballast.DisplacedError{Path: "/data/raft"},
			"ballast: /data/raft was renamed, removed or mounted over while this store was open, " +
				"and leads to something else now, or to nothing; what it has acknowledged is " +
				"not there: end this process, put the store back under its name, and open it again; " +
				"where it was removed let the peer join again as a new server",
			[]error{ballast.ErrDisplaced}, nil,
		},
		{
			"locked",
			&ballast.LockedError{Path: "raft/lock", Err: errCause},
			"ballast: raft/lock is locked: another store has it open; stop that process, or close that store, first (the cause)",
			[]error{ballast.ErrLocked, errCause}, []error{ballast.ErrCorrupt},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := tc.err.Error(); got != tc.text {
				t.Errorf("the text is\n%s\nwant\n%s", got, tc.text)
			}
			wrapped := fmt.Errorf("opening: %w", tc.err)
			for _, target := range append(tc.is, tc.err) {
				if !errors.Is(wrapped, target) {
					t.Errorf("is not %v", target)
				}
			}
			for _, target := range tc.isNot {
				if errors.Is(wrapped, target) {
					t.Errorf("is %v", target)
				}
			}
		})
	}
}

func TestErrorsAs(t *testing.T) {
	wrap := func(err error) error { return fmt.Errorf("outer: %w", fmt.Errorf("inner: %w", err)) }
	if e, ok := errors.AsType[*ballast.CorruptionError](wrap(&ballast.CorruptionError{Index: 7, Err: errCause})); !ok || e.Index != 7 {
		t.Errorf("got %+v, %v", e, ok)
	}
	if e, ok := errors.AsType[*ballast.EntryTooLargeError](wrap(&ballast.EntryTooLargeError{Limit: 9})); !ok || e.Limit != 9 {
		t.Errorf("got %+v, %v", e, ok)
	}
	if e, ok := errors.AsType[*ballast.LockedError](wrap(&ballast.LockedError{Path: "p", Err: errCause})); !ok || e.Path != "p" {
		t.Errorf("got %+v, %v", e, ok)
	}
}

// Each sentinel is one of its own, and raft compares the text of one of them.
func TestSentinels(t *testing.T) {
	sentinels := []error{
		ballast.ErrClosed, ballast.ErrReadOnly, ballast.ErrKeyNotFound, ballast.ErrNotUint64, ballast.ErrZeroIndex,
		ballast.ErrEntryTooLarge, ballast.ErrNoSpace, ballast.ErrLocked, ballast.ErrCorrupt, ballast.ErrForeign,
		ballast.ErrUnknownVersion, ballast.ErrNotEmpty,
	}
	texts := map[string]bool{}
	for i, a := range sentinels {
		texts[a.Error()] = true
		for j, b := range sentinels {
			if errors.Is(a, b) != (i == j) {
				t.Errorf("%v is %v: %v", a, b, i != j)
			}
		}
	}
	if len(texts) != len(sentinels) {
		t.Errorf("%d sentinels have %d texts", len(sentinels), len(texts))
	}
	if got := ballast.ErrKeyNotFound.Error(); got != "not found" {
		t.Errorf("raft looks for %q, the text is %q", "not found", got)
	}
}
