package ballast

import "time"

// Trouble is a step of a store's work in the background that has failed, and is tried again until
// it succeeds. What was stored is not touched by it, and calls go on; space may come back later
// than it would.
type Trouble struct {
	Step  string    // that fails, such as "removing segments"
	Since time.Time // when it failed first
	Tries uint64    // that failed since then
	Err   error     // of the last one
}
