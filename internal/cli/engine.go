package cli

import (
	"path/filepath"
	"strings"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/badgerstore"
	"github.com/raft-ballast/ballast/boltstore"
	"github.com/raft-ballast/ballast/wal"
)

// engine is a way to keep a peer's log and stable state.
type engine struct {
	name string
	file string // of the store, in a peer's folder; a folder where the engine needs one

	// open opens the store at a path; nil when the engine has no disk.
	open func(path string) (ballast.Store, error)

	// volatile says what is lost when, for an engine without a disk.
	volatile string
}

const defaultEngine = "wal"

// engines are those that a command line may name, in the order in which they are listed.
var engines = []engine{
	{
		name: "wal",
		file: "wal",
		open: func(path string) (ballast.Store, error) { return opened(wal.Open(path, nil)) },
	},
	{
		name: "bolt",
		file: "raft.db",
		open: func(path string) (ballast.Store, error) { return opened(boltstore.Open(path, nil)) },
	},
	{
		name: "badger",
		file: "badger",
		open: func(path string) (ballast.Store, error) { return opened(badgerstore.Open(path, nil)) },
	},
	{
		name:     "mem",
		volatile: "it keeps everything in memory and does not survive a kill",
	},
}

// opened keeps a nil pointer of an engine's own type from becoming a Store that is not nil.
func opened[S ballast.Store](store S, err error) (ballast.Store, error) {
	if err != nil {
		return nil, err
	}
	return store, nil
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
			return engine{}, usagef("the engine %s cannot be used here: %s; use %s", name, e.volatile, durableNames())
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
