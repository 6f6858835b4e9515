package cli

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/wal"
)

// groupHelp is what the help of commands with --group says.
const groupHelp = `Of a wal that several raft groups share, --group names the one that is meant.`

// groupFlag is the flag --group. The zero groupFlag was not given.
type groupFlag struct {
	id    uint64
	given bool
}

func (g *groupFlag) add(cmd *cobra.Command) {
	cmd.Flags().Var(g, "group", "the raft group, by its id, of a wal that several share")
}

// Set implements pflag.Value.
func (g *groupFlag) Set(text string) (err error) {
	g.id, err = parseGroup(text)
	g.given = err == nil
	return err
}

// String implements pflag.Value.
func (g *groupFlag) String() string {
	if !g.given {
		return ""
	}
	return strconv.FormatUint(g.id, 10)
}

// Type implements pflag.Value.
func (g *groupFlag) Type() string { return "ID" }

func parseGroup(text string) (uint64, error) {
	id, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is no id of a raft group, which is a number", text)
	}
	return id, nil
}

// json is the id for scripts, nil where none was given.
func (g groupFlag) json() *uint64 {
	if !g.given {
		return nil
	}
	return &g.id
}

// findGroup is findStore with what --group says.
func findGroup(name string, g groupFlag) (place, error) {
	at, err := findStore(name)
	if err != nil || !g.given {
		return at, err
	}
	if at.engine.name != defaultEngine {
		return at, usagef("%s is the store of one raft group; leave out --group, which is for a wal", at)
	}
	return at.group(g), nil
}

// group returns the place of one group of a wal.
func (p place) group(g groupFlag) place {
	p.engine.group = g
	p.engine.read = func(path string) (readStore, error) { return readWal(path, g) }
	return p
}

// openGroup is openSource with what --group says.
func openGroup(name string, g groupFlag) (*source, error) {
	at, err := findGroup(name, g)
	if err != nil {
		return nil, err
	}
	return at.open()
}

// openOneGroup is openGroup for a store of another engine as well, which has one group.
func openOneGroup(name string, g groupFlag) (*source, error) {
	at, err := findStore(name)
	if err != nil {
		return nil, err
	}
	if at.engine.name == defaultEngine && g.given {
		at = at.group(g)
	}
	return at.open()
}

// walStore is one group of a wal, which is open for it alone.
type walStore struct {
	*wal.Store
	groups *wal.Groups
}

// Close closes the wal.
func (s *walStore) Close() error { return errors.Join(s.Store.Close(), s.groups.Close()) }

// readWal opens a group of a wal for reading; without --group the only one there is.
func readWal(path string, g groupFlag) (readStore, error) {
	return groupOf(path, g, func() (*wal.Groups, error) { return wal.OpenGroupsReadOnly(path, nil) })
}

// groupOf opens a group that there is. A log without any has group 0, which is empty.
func groupOf(path string, g groupFlag, open func() (*wal.Groups, error)) (readStore, error) {
	gs, err := open()
	if err != nil {
		return nil, err
	}
	ids := gs.IDs()
	switch shared := isShared(ids); {
	case shared && !g.given:
		err = &severalGroupsError{path, ids}
	case !slices.Contains(ids, g.id) && (shared || g.id != 0):
		err = &noGroupError{path, g.id, ids}
	}
	if err != nil {
		return nil, errors.Join(err, gs.Close())
	}
	store, err := gs.Store(g.id)
	if err != nil {
		return nil, errors.Join(err, gs.Close())
	}
	return &walStore{store, gs}, nil
}

// isShared reports whether a wal is anything else than the log of one peer, which is group 0.
func isShared(ids []uint64) bool { return len(ids) > 1 || len(ids) == 1 && ids[0] != 0 }

// severalGroupsError is the usage error of a command that takes one group.
type severalGroupsError struct {
	path string
	ids  []uint64
}

func (e *severalGroupsError) Error() string {
	return fmt.Sprintf("%s is a log that raft groups share; say which with --group: %s", walName(e.path), groupsText(e.ids))
}

func walName(path string) string { return shown("wal:" + path) }

// noGroupError is for a raft group that is not there.
type noGroupError struct {
	path string
	id   uint64
	ids  []uint64 // that are
}

func (e *noGroupError) Error() string {
	return fmt.Sprintf("%s has no raft group %d; %s", walName(e.path), e.id, groupsText(e.ids))
}

// maxIDs is how many ids are named to people.
const maxIDs = 20

// groupsText names the groups that there are.
func groupsText(ids []uint64) string {
	if len(ids) == 0 {
		return "it has none"
	}
	if len(ids) == 1 {
		return fmt.Sprintf("its only group is %d", ids[0])
	}
	var names []string
	for _, id := range ids[:min(len(ids), maxIDs)] {
		names = append(names, strconv.FormatUint(id, 10))
	}
	if more := len(ids) - maxIDs; more > 0 {
		names = append(names, fmt.Sprintf("and %d more, `ballast info` lists them", more))
	}
	return "its groups are " + strings.Join(names, ", ")
}

// sharedLog is a wal that several groups share, open for reading.
type sharedLog struct {
	place
	groups *wal.Groups
}

// openShared opens a place for reading all groups; nil for a store of one group, or where --group says which.
func (p place) openShared() (*sharedLog, error) {
	if p.engine.name != defaultEngine || p.engine.group.given {
		return nil, nil
	}
	gs, err := wal.OpenGroupsReadOnly(p.path, nil)
	if err != nil {
		return nil, err
	}
	if !isShared(gs.IDs()) {
		return nil, gs.Close()
	}
	return &sharedLog{p, gs}, nil
}

// Close implements io.Closer.
func (l *sharedLog) Close() error { return l.groups.Close() }

// each opens one group after the other. unfinished is called for those that a migration has begun and not finished.
func (l *sharedLog) each(visit func(wal.GroupInfo, *source) error, unfinished func(wal.GroupInfo) error) error {
	for _, info := range l.groups.List() {
		store, err := l.groups.Store(info.ID)
		if errors.Is(err, ballast.ErrUnfinished) {
			err = unfinished(info)
		} else if err == nil {
			at := l.place.group(groupFlag{info.ID, true})
			err = errors.Join(visit(info, &source{at, store}), store.Close())
		}
		if err != nil {
			return err
		}
	}
	return nil
}
