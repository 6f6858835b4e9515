package cli

import (
	"context"
	"path/filepath"
	"strings"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/badgerstore"
	"github.com/raft-ballast/ballast/boltstore"
	"github.com/raft-ballast/ballast/internal/raftwal"
	"github.com/raft-ballast/ballast/wal"
)

// engine is a way to keep a peer's log and stable state.
type engine struct {
	name string
	file string // of the store, in a peer's folder; a folder where the engine needs one

	// open opens the store at a path; nil when no peer can live on the engine.
	open func(path string) (ballast.Store, error)

	// unfit says why, where open is nil.
	unfit string

	// read opens the store at a path for reading, and changes nothing there; nil when the engine has no disk.
	read func(path string) (readStore, error)

	// compact gives space of the store at a path back, which nobody has open; nil where open is.
	compact func(ctx context.Context, path string) error

	// What the version of the engine's format is, which every store that opens has, and whose format that is.
	formatVersion int
	formatOf      string

	// group is which of the raft groups of a wal is meant.
	group groupFlag

	// blind says which damage the engine cannot see; "" for none.
	blind string

	// refused says of which damaged entry the engine opens a store for reading only, as the rest of "when one of them"; "" for none.
	refused string
}

// readStore is what can be looked into.
type readStore interface {
	ballast.Store
	ballast.Inspector
}

const defaultEngine = "wal"

// engines are those that a command line may name, in the order in which they are listed.
var engines = []engine{
	{
		name:          "wal",
		file:          "wal",
		open:          func(path string) (ballast.Store, error) { return opened[ballast.Store](wal.Open(path, nil)) },
		read:          func(path string) (readStore, error) { return readWal(path, groupFlag{}) },
		compact:       func(_ context.Context, path string) error { return wal.Compact(path, nil) },
		formatVersion: wal.FormatVersion,
		formatOf:      "wal",
	},
	{
		name: "bolt",
		file: "raft.db",
		open: func(path string) (ballast.Store, error) { return opened[ballast.Store](boltstore.Open(path, nil)) },
		read: func(path string) (readStore, error) {
			return opened[readStore](boltstore.Open(path, &boltstore.Options{ReadOnly: true}))
		},
		compact:       boltstore.Compact,
		formatVersion: 2,
		formatOf:      "bbolt",
		blind:         "bbolt has no checksums over what it stores, so a flipped bit inside of an entry's data is not seen",
		refused:       "is the first or the last of the log",
	},
	{
		name: "badger",
		file: "badger",
		open: func(path string) (ballast.Store, error) { return opened[ballast.Store](badgerstore.Open(path, nil)) },
		read: func(path string) (readStore, error) {
			return opened[readStore](badgerstore.Open(path, &badgerstore.Options{ReadOnly: true}))
		},
		compact: func(ctx context.Context, path string) error {
			return badgerstore.Compact(ctx, path, nil)
		},
		formatVersion: 8,
		formatOf:      "badger's manifest",
		blind: "the end of badger's own write-ahead log, when it is damaged, reads as the end of what was written; " +
			"a damaged record of what was deleted is not seen, and in the newest file of the value log a peer cannot start with it",
		refused: "is in the newest file of the value log",
	},
	{
		name:          "raftwal",
		unfit:         "Ballast only reads what raft-wal wrote",
		read:          func(path string) (readStore, error) { return opened[readStore](raftwal.Open(path)) },
		formatVersion: 0,
		formatOf:      "raft-wal",
		blind:         "raft-wal keeps no checksum over its stable values and the index that the log begins with",
	},
	{
		name:  "mem",
		unfit: "it keeps everything in memory and does not survive a kill",
	},
}

// opened keeps a nil pointer of an engine's own type from becoming a store that is not nil.
func opened[I, S any](store S, err error) (I, error) {
	if err != nil {
		var none I
		return none, err
	}
	return any(store).(I), nil
}

// durableNames lists the engines with a disk, for people.
func durableNames() string {
	var names []string
	for _, e := range engines {
		if e.open != nil {
			names = append(names, e.name)
		}
	}
	last := len(names) - 1
	return strings.Join(names[:last], ", ") + " or " + names[last]
}

// durableEngine returns the engine of a name; one without a disk it refuses with the reason.
func durableEngine(name string) (engine, error) {
	for _, e := range engines {
		switch {
		case e.name != name:
		case e.open == nil:
			return engine{}, usagef("the engine %s cannot be used here: %s; use %s", name, e.unfit, durableNames())
		default:
			return e, nil
		}
	}
	return engine{}, usagef("there is no engine %q; use %s", name, durableNames())
}

// openIn opens the engine's store in a peer's folder.
func (e engine) openIn(dir string) (ballast.Store, error) {
	return e.open(filepath.Join(dir, e.file))
}
