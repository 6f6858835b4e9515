package move

import (
	"errors"
	"fmt"
	"maps"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast"
)

// mark is what a peer changes when it runs on a store: who has the mark that he had was not written
// to.
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
