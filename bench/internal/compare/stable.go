package compare

import (
	"errors"
	"fmt"
	"time"

	"github.com/raft-ballast/ballast/bench/internal/report"
	"github.com/raft-ballast/ballast/bench/internal/stores"
)

// The keys that raft uses.
var (
	currentTerm  = []byte("CurrentTerm")
	lastVoteTerm = []byte("LastVoteTerm")
	lastVoteCand = []byte("LastVoteCand")
)

const aboutStable = "What raft stores beside the log: SetUint64 of the term, and a whole vote, which is three calls: the term, the term of the vote, whom it is for."

// setUint64 measures what raft does when it hears of a new term.
func setUint64(total time.Duration) step {
	return stable("stable SetUint64", 1, total, func(s stores.Store, term uint64) error { return s.SetUint64(currentTerm, term) })
}

// vote measures what raft does when it votes: three calls.
func vote(total time.Duration) step {
	return stable("stable whole vote", 3, total, func(s stores.Store, term uint64) error {
		return errors.Join(s.SetUint64(currentTerm, term), s.SetUint64(lastVoteTerm, term),
			s.Set(lastVoteCand, fmt.Appendf(nil, "127.0.0.1:%d", 7000+term%3)))
	})
}

func stable(name string, writes int, total time.Duration, call func(s stores.Store, term uint64) error) step {
	return step{names: []string{name}, takes: total, measure: func(e *env) ([]report.Workload, error) {
		const few = 128 // bytes; what a stable value and all about it take
		rivals := e.withLimit(few, writes, e.rivals(e.kinds(plain), func(_ stores.Kind, s stores.Store) (*rival, error) {
			term := uint64(0)
			return &rival{ready: func() { term++ }, call: func() error { return call(s, term) }}, nil
		}))
		results, err := turns{total: e.span(total), warm: 2, pause: usualTurn / 5}.compare(e, rivals)
		return []report.Workload{{Group: "stable", Name: name, Unit: "µs", Better: "lower", About: aboutStable, Results: results}}, err
	}}
}
