package move

import (
	"errors"
	"fmt"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast"
)

// ErrHalfPeer is matched by the error of a migration of a store that is not all that a peer has
// promised.
var ErrHalfPeer = errors.New("no whole peer")

// Half returns why a store is no whole peer, by the highest term of its entries and what it says
// for CurrentTerm; "" for one that is. raft writes a term before it stores an entry of it.
func Half(entries bool, highest, current uint64) string {
	switch {
	case !entries || current != 0 && highest <= current:
		return ""
	case current == 0:
		return fmt.Sprintf("it has entries, up to term %d, and no CurrentTerm: it is the log alone of a peer that keeps its stable state in another store", highest)
	}
	return fmt.Sprintf("it has entries of term %d, and CurrentTerm is %d: its stable state is older than its log", highest, current)
}

// CurrentTerm returns the term of a store, 0 for none.
func CurrentTerm(s raft.StableStore) (uint64, error) {
	term, err := s.GetUint64([]byte(raftNumbers[0]))
	if err != nil && (errors.Is(err, ballast.ErrKeyNotFound) || err.Error() == ballast.ErrKeyNotFound.Error()) { // as raft tells it
		return 0, nil
	}
	return term, err
}

// checkWhole refuses half a peer, as far as the last entry shows it.
func (j *Job) checkWhole(src Source) error {
	if j.LogOnly {
		return nil
	}
	last, err := src.LastIndex()
	if err != nil || last == 0 {
		return err
	}
	var newest raft.Log
	if err := src.GetLog(last, &newest); err != nil {
		return fmt.Errorf("reading the last entry of the old store: %w", err)
	}
	return j.checkTerm(src, newest.Term)
}

func (j *Job) checkTerm(src Source, highest uint64) error {
	current, err := CurrentTerm(src)
	if err != nil {
		return fmt.Errorf("reading the term of the old store: %w", err)
	}
	why := Half(true, highest, current)
	switch {
	case why == "" || j.LogOnly:
		return nil
	case j.Stable != "":
		return fmt.Errorf("%w: %s with %s: %s; give the stable state that the peer had last", ErrHalfPeer, j.Source, j.Stable, why)
	}
	return fmt.Errorf("%w: %s: %s; a peer on this alone would have forgotten whom it has voted for. %s", ErrHalfPeer, j.Source, why, j.twoText())
}

func (j *Job) twoText() string {
	if j.Two != "" {
		return j.Two
	}
	return "Give the store with the stable state too, or say that the log alone is wanted"
}

// termWatch is a new store that notes the highest term that is stored in it.
type termWatch struct {
	ballast.Store
	ballast.Inspector
	highest uint64
}

// StoreLogs implements raft.LogStore.
func (w *termWatch) StoreLogs(logs []*raft.Log) error {
	for _, log := range logs {
		w.highest = max(w.highest, log.Term)
	}
	return w.Store.StoreLogs(logs)
}
