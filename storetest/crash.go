package storetest

import (
	"testing"
	"time"

	"github.com/raft-ballast/ballast/internal/vfs"
)

// FS is a file system whose power can be cut. Each of its calls says what is durable once it has returned; everything else may be
// lost, in any order and, within a file, by sectors of 512 bytes. A store whose files are opened through an interface of its
// own takes it with a few lines.
type FS = vfs.FS

// File is an open file of an [FS].
type File = vfs.File

// OpenFSFunc opens the store that lives in dir of a file system, creating it when there is none. It may be called by several goroutines,
// each with a file system of its own.
type OpenFSFunc func(fsys FS, dir string) (Store, error)

// Crash is a way to crash: [PowerCuts] or [Kills].
type Crash func(t *testing.T, cfg *config)

// RunCrash proves that what a store has acknowledged outlives a crash. It makes random calls that change the store, as raft makes
// them and worse, crashes in the middle of them, opens the store again without any help, and compares it with a model: every
// call that had returned nil before is there, the one that was in progress is there as a whole or not at all, and what was found
// once is found for ever. Anything else is a failure, an Open that fails too.
//
//	storetest.RunCrash(t, storetest.PowerCuts(openOn))
//	storetest.RunCrash(t, storetest.Kills(open))
//
// The calls, and with PowerCuts also the crashes, depend on nothing but a seed, which a failure prints; the option [Seed] repeats it.
// [Crashes] says how many there are.
func RunCrash(t *testing.T, crash Crash, opts ...Option) {
	t.Helper()
	crash(t, newConfig(opts))
}

// PowerCuts opens the store on a file system in memory that knows what is durable, and cuts the power during its calls, in a
// copy of it. What was not durable then is there, or lost, or there by half, as the seed has it: sectors, sizes and names, those that were
// removed too. During the recovery the power is cut again, and once more when the store has gone on for a while; in
// between, calls of the file system fail.
//
// A store that does nothing in goroutines of its own makes each run of a seed the same.
func PowerCuts(open OpenFSFunc) Crash {
	return func(t *testing.T, cfg *config) {
		t.Helper()
		if cfg.crashes == 0 {
			cfg.crashes = 1000
		}
		powerCuts(t, open, cfg)
	}
}

// Kills runs the calling test once more in a process of its own, which is killed with SIGKILL while it works on the store. The next one
// finds what it has left. A kill leaves the page cache as it is, so this says nothing about syncs.
//
// RunCrash has to be the first thing that the test function does then, and that function may not call t.Parallel.
func Kills(open OpenFunc) Crash {
	return func(t *testing.T, cfg *config) {
		t.Helper()
		if cfg.crashes == 0 {
			cfg.crashes = 10
		}
		if cfg.seed == 0 {
			cfg.seed = uint64(time.Now().UnixNano())
		}
		kills(t, open, cfg)
	}
}

// Crashes says how many power cuts or kills RunCrash goes through. The default is 1,000 power cuts, 10 kills.
func Crashes(n int) Option { return func(c *config) { c.crashes = n } }

// Seed says where RunCrash takes its choices from. The default of PowerCuts is 1; Kills takes the time, because kills are never the same
// twice anyway.
func Seed(seed uint64) Option { return func(c *config) { c.seed = seed } }

// EveryCall says that PowerCuts cuts the power at each n-th call of the file system, not at each. More of the store's life fits into
// as many cuts.
func EveryCall(n int) Option { return func(c *config) { c.everyCall = n } }

// TwoWriters says that PowerCuts now and then makes two calls at the same time, in two goroutines, as raft writes its log and its
// term. A seed does not repeat exactly the same then.
func TwoWriters() Option { return func(c *config) { c.twoWriters = true } }
