package storetest

import (
	"testing"
	"time"

	"github.com/raft-ballast/ballast/internal/vfs"
)

// FS is a file system whose power can be cut: MkdirAll, List, Create, Open, OpenRead, Rename,
// Remove, SyncDir, DiskUsage, Hold and Lock. What is
// not durable may be lost, in any order and, within a file, by sectors of 512 bytes. Durable is
//
//   - a folder, when MkdirAll has returned;
//   - a name that was made, changed or removed, when SyncDir of its folder has returned;
//   - what File.WriteBlocks wrote, when it has returned, as with O_DIRECT and O_DSYNC; its offset, its lengths and the addresses in memory are
//     multiples of [BlockBytes], see [AlignedBytes];
//   - a size that Truncate, Allocate or WriteBlocks made larger, when File.Sync has returned.
//
// There is no write that stays in a page cache. A store that writes and syncs later takes it through an adapter that keeps what was written
// until its Sync; otherwise a sync of content that was forgotten is not noticed. The interface itself, with the errors of each call, is in
// the source of internal/vfs.
type FS = vfs.FS

// Dir is a folder of an [FS] that FS.Hold has opened.
type Dir = vfs.Dir

// File is an open file of an [FS]: ReadAt, WriteBlocks, Allocate, Prefetch, Truncate, Sync, Size and Close.
type File = vfs.File

// BlockBytes is what File.WriteBlocks writes in, 4096.
const BlockBytes = vfs.BlockBytes

// AlignedBytes returns n zero bytes at an address that File.WriteBlocks takes.
func AlignedBytes(n int) []byte { return vfs.AlignedBytes(n) }

// ErrLocked is matched by the error of FS.Lock when somebody holds the lock.
var ErrLocked = vfs.ErrLocked

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
// removed too. During the recovery the power is cut again, and once more when the store has gone on for a while. Now and then a call
// to the file system fails; the store is asked for one more call then, and opened again.
//
// A store that does nothing in goroutines of its own makes each run of a seed the same. A call that hangs ends with the test's own timeout.
func PowerCuts(open OpenFSFunc) Crash {
	return func(t *testing.T, cfg *config) {
		t.Helper()
		cfg.crashes = crashes(t, cfg, 1000)
		powerCuts(t, open, cfg)
	}
}

// Kills runs the calling test once more in a process of its own, which is killed with SIGKILL while it works on the store. The next one
// finds what it has left. A kill leaves the page cache as it is, so this says nothing about syncs.
//
// RunCrash has to be the first thing that the test function does then, because what comes before it runs in each of these processes; and that
// function may not call t.Parallel, because they are told to run it alone. They get -test.run and -test.v and no other flags, and talk
// through their standard output: a store that prints there has to end its lines.
func Kills(open OpenFunc) Crash {
	return func(t *testing.T, cfg *config) {
		t.Helper()
		cfg.crashes = crashes(t, cfg, 10)
		if cfg.seed == 0 {
			cfg.seed = uint64(time.Now().UnixNano())
		}
		kills(t, open, cfg)
	}
}

// Crashes says how many power cuts or kills RunCrash goes through at least. The default is 1,000 power cuts, 10 kills. PowerCuts counts each
// outcome that it looks at, and finishes what it has begun: a life of 60 calls in which every call to the file system is looked at
// takes 500 to 1,500, and there is one for each processor at the same time.
func Crashes(n int) Option { return func(c *config) { c.crashes, c.crashesSet = n, true } }

func crashes(t *testing.T, cfg *config, byDefault int) int {
	t.Helper()
	if !cfg.crashesSet {
		return byDefault
	}
	if cfg.crashes < 1 {
		t.Fatalf("Crashes(%d): there has to be one", cfg.crashes)
	}
	return cfg.crashes
}

// Seed says where RunCrash takes its choices from. The default of PowerCuts is 1; Kills takes the time, because kills are never the same
// twice anyway.
func Seed(seed uint64) Option { return func(c *config) { c.seed = seed } }

// EveryCall says that PowerCuts cuts the power at each n-th call of the file system, not at each. More of the store's life fits into
// as many cuts.
func EveryCall(n int) Option { return func(c *config) { c.everyCall = n } }

// TwoWriters says that PowerCuts now and then makes two calls at the same time, in two goroutines, as raft writes its log and its
// term. A seed does not repeat exactly the same then.
func TwoWriters() Option { return func(c *config) { c.twoWriters = true } }
