package move

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/place"
)

// mark is what a peer changes when it runs on a store: who has the mark that he had was not written to.
type mark struct {
	first, last, term uint64
	stable            map[string]string
}

// raftNumbers are the numbers that raft keeps, which a store may have elsewhere than its bytes.
var raftNumbers = []string{"CurrentTerm", "LastVoteTerm"}

// mark reads the mark of an old store.
func (j *Job) mark(src Source) (m mark, err error) {
	var errs [2]error
	m.first, errs[0] = src.FirstIndex()
	m.last, errs[1] = src.LastIndex()
	if err := errors.Join(errs[:]...); err != nil {
		return m, err
	}
	if m.last != 0 {
		var newest raft.Log
		if err := src.GetLog(m.last, &newest); err != nil {
			return m, err
		}
		m.term = newest.Term
	}
	keys := append([][]byte{[]byte("LastVoteCand")}, j.StableKeys...)
	if i, ok := src.(ballast.Inspector); ok {
		if keys, err = i.StableKeys(); err != nil {
			return m, err
		}
	}
	m.stable = make(map[string]string)
	for _, key := range keys {
		value, err := src.Get(key) // an error, as for a key that is missing, is the same each time
		m.stable[string(key)] = fmt.Sprintf("%x %v", value, err)
	}
	for _, key := range raftNumbers {
		value, err := src.GetUint64([]byte(key))
		m.stable[key] += fmt.Sprintf(" %d %v", value, err)
	}
	return m, nil
}

// unchanged returns an error when an old store has not the mark any more.
func (j *Job) unchanged(src Source, before mark) error {
	now, err := j.mark(src)
	if err != nil {
		return err
	}
	if now.first != before.first || now.last != before.last || now.term != before.term || !maps.Equal(now.stable, before.stable) {
		return fmt.Errorf("%w: a peer has run on %s since it was copied; start again when that has stopped", ballast.ErrCopyDiffers, j.Source)
	}
	return nil
}

// again looks at an old store that has its other name. Who opened it under its own one, and waits for its lock, still has it, and so may who was
// faster than the new name. What they write would be lost, so there must be nobody, and the store must be the same. From then on nobody finds
// it who does not know the name.
func (j *Job) again(kept string, same func(Source) error) error {
	if j.FS == nil && place.Writers(kept) {
		return &ballast.LockedError{Path: j.Source, Err: errors.New("it was opened by somebody who waits to use it")}
	}
	src, err := j.Open(kept)
	if err != nil {
		return fmt.Errorf("looking at the old store again: %w", err)
	}
	return errors.Join(same(src), src.Close())
}

// giveBack gives an old store its own name again.
func (j *Job) giveBack(kept string) error {
	if err := j.rename(kept, j.Source); err != nil {
		return fmt.Errorf("the old store is at %s; give it the name %s again before a peer runs: %w", kept, j.Source, err)
	}
	return nil
}

var keptName = regexp.MustCompile(`^(-[0-9]+)?$`)

// allKept returns the names under which old stores of this one's name are kept.
func (j *Job) allKept() (paths []string, err error) {
	dir, base := filepath.Split(j.Source)
	_, names, err := j.look(filepath.Clean(dir))
	for _, name := range names {
		if rest, ok := strings.CutPrefix(name, base+keptSuffix); ok && keptName.MatchString(rest) {
			paths = append(paths, filepath.Join(dir, name))
		}
	}
	slices.Sort(paths)
	return paths, err
}

// confirm looks for the old store that a copy is of, among those that are kept, when whoever made the copy has died. Another migration may have left the others,
// and a peer may have run on the right one before it was looked at again.
func (j *Job) confirm(ctx context.Context, kept []string, compare func(Source) error) error {
	var errs []error
	for _, path := range kept {
		err := j.again(path, compare)
		if err == nil || ctx.Err() != nil {
			return err
		}
		errs = append(errs, fmt.Errorf("%s: %w", path, err))
	}
	return errors.Join(errs...)
}
