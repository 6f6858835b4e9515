package ballast

import (
	"fmt"
	"time"
)

// Stall is a durable write of a store, one or more calls' worth, that takes longer than the option StallAfter: the disk hangs, or
// is very slow. It is reported twice, while it goes on and when it has ended.
//
// The write is left alone: it is neither given up nor tried again, and it counts when it lands. Its callers wait meanwhile. For raft
// that is its main loop, which leads nobody and follows nobody then, while the goroutines that send its heartbeats go
// on: a leader whose disk hangs keeps its lead and commits nothing. Package stepdown ends that.
type Stall struct {
	Path  string        // of the store
	Began time.Time     // of the write
	For   time.Duration // that it has taken so far, or in all when it has ended
	Ended bool

	// Err is why a write that has ended has failed; nil for one that is durable.
	Err error
}

// String says it in words.
func (s Stall) String() string {
	switch {
	case !s.Ended:
		return fmt.Sprintf("a write to %s has taken %v and goes on", s.Path, s.For)
	case s.Err != nil:
		return fmt.Sprintf("a write to %s took %v and failed: %v", s.Path, s.For, s.Err)
	}
	return fmt.Sprintf("a write to %s took %v and is durable", s.Path, s.For)
}

// DefaultStallAfter is how long a durable write may take before it is called a stall, when nothing else was asked for: ten times
// what a busy disk takes, and as long as raft's own heartbeat timeout is by default.
const DefaultStallAfter = time.Second
