package cli

import (
	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast/internal/move"
)

// halfNote follows on why a store is no whole peer.
const halfNote = "; do not run a peer on it alone, which would have forgotten whom it has voted for: `ballast migrate --stable` makes one store of the two"

// halfText says that a store is no whole peer, for people.
func halfText(why string) string { return "note: " + why + halfNote }

// half returns why a store is no whole peer, as far as its last entry shows it; "" for one that is.
// What cannot be read is told by others.
func half(s raft.LogStore, stable raft.StableStore) string {
	last, err := s.LastIndex()
	if err != nil || last == 0 {
		return ""
	}
	var newest raft.Log
	if err := s.GetLog(last, &newest); err != nil {
		return ""
	}
	term, err := move.CurrentTerm(stable)
	if err != nil {
		return ""
	}
	return move.Half(true, newest.Term, term)
}

// half opens a store for it.
func (p place) half() (string, error) {
	s, err := p.open()
	if err != nil {
		return "", err
	}
	return half(s, s), s.Close()
}

// half is that of entries up to a term with this stable state.
func (s stableJSON) half(highest uint64) string {
	term, _ := s.Stable[currentTermKey].(uint64)
	return move.Half(highest > 0, highest, term)
}
