// Package storetest proves that a store keeps what hashicorp/raft relies on: the contract that is
// written on ballast.Store. It is for anybody's raft.LogStore and raft.StableStore.
//
// # Usage
//
//	func TestConformance(t *testing.T) {
//		storetest.Run(t, func(t *testing.T, dir string) (storetest.Store, error) {
//			return mystore.Open(filepath.Join(dir, "raft.log"))
//		})
//	}
//
// The function opens the store that lives in dir, or opens it again. Run it with -race. What a store
// may legally do in its own way is an [Option]: gaps and ranges in the middle that it refuses, a
// missing key that is no error, nothing that outlives the process. Anything else that differs from
// the contract is a failed subtest, whose name is the promise that was broken.
//
// # What is proved
//
// Each row of the contract has named subtests. Nearly all of them run the same steps on the store and on a
// model, a plain map, and compare the whole of both: live, and again after closing and opening.
//
//   - Empty, GetLog, StoreLogs, DeleteRange, Stable, CommitIndex, Close, Open: the calls, one by one.
//   - Random: random calls with reopening in between, shrunk to the shortest that fails
//     (pgregory.net/rapid; -rapid.checks and -rapid.steps make it longer).
//   - Concurrent: the goroutines that raft has, at once, each pair of calls, and Close in the middle of
//     them and beside itself.
//   - Raft: hashicorp/raft itself on the store, restarted, and recovered.
//
// RunCrash proves what a crash leaves of it: [PowerCuts] on a file system in memory that loses what is not durable, [Kills] in a
// process that is killed with SIGKILL.
//
// The optional interfaces are tested where a store has them: io.Closer, raft.MonotonicLogStore,
// ballast.CommitTracker, ballast.Inspector.
//
// # Layout
//
//	storetest.go   Run, the options and the list of tests
//	env.go         a store beside its model, and how they are compared
//	log.go stable.go commit.go lifecycle.go random.go concurrent.go pairs.go raft.go   the tests
//	crash.go       RunCrash; powercut.go and kill.go are its two ways
package storetest

import (
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast"
)

// Store is what the suite needs: the two interfaces that raft.NewRaft takes.
type Store interface {
	raft.LogStore
	raft.StableStore
}

// OpenFunc opens the store that lives in dir, which exists, creating it when dir is empty. The suite
// closes a store that is an io.Closer, and calls OpenFunc with the same dir again afterwards.
type OpenFunc func(t *testing.T, dir string) (Store, error)

// Option says what a store does in its own way.
type Option func(*config)

type config struct {
	volatile             bool
	refusesGaps          bool
	refusesMiddleDeletes bool
	missingKeyIsNil      bool
	numbersApart         bool
	maxEntryBytes        int
	errClosed            error
	errLocked            error
	hangLimit            time.Duration

	// of RunCrash
	crashes, everyCall int
	crashesSet         bool
	crashEntryBytes    int // 0 is cutEntryBytes
	seed               uint64
	twoWriters         bool
}

// defaultHangLimit is far above what any call takes on a busy machine.
const defaultHangLimit = 20 * time.Second

// Volatile is for a store in memory: nothing is reopened, and nobody else can open it.
func Volatile() Option { return func(c *config) { c.volatile = true } }

// RefusesGaps is for a monotonic store, which may refuse a batch that leaves a gap before or behind what is there. It must then
// leave everything as it was, and say so in IsMonotonic. It may not refuse to replace entries: raft stores the same indexes again
// when it does not know what became of the first time.
func RefusesGaps() Option { return func(c *config) { c.refusesGaps = true } }

// RefusesMiddleDeletes is for a store that may refuse a DeleteRange that leaves entries on both sides.
func RefusesMiddleDeletes() Option { return func(c *config) { c.refusesMiddleDeletes = true } }

// MissingKeyIsNil is for a store that may answer a missing key with nil or 0 and no error, as the
// comments of raft.StableStore have it. Without it the error's text has to be "not found".
func MissingKeyIsNil() Option { return func(c *config) { c.missingKeyIsNil = true } }

// NumbersApart is for a store in which Get and Set on the one hand, GetUint64 and SetUint64 on the other, do not see each other's
// values as 8 bytes, big-endian. Raft uses each of its keys in one way only. The promise of one key space is not kept then; the others
// are told apart from it.
func NumbersApart() Option { return func(c *config) { c.numbersApart = true } }

// MaxEntryBytes is the largest entry, Data and Extensions together, that the store takes. The default is
// ballast.DefaultMaxEntryBytes; 0 stands for no limit, and then nothing has to be refused.
func MaxEntryBytes(n int) Option { return func(c *config) { c.maxEntryBytes = n } }

// ClosedError is what calls return after Close. The default is ballast.ErrClosed.
func ClosedError(err error) Option { return func(c *config) { c.errClosed = err } }

// LockedError is what a second opener gets. The default is ballast.ErrLocked.
func LockedError(err error) Option { return func(c *config) { c.errLocked = err } }

// HangLimit, of Run, is when a call is given up that should have returned at once; the default is 20 seconds. It is no
// measurement: it turns a call that never returns into a failure that names it. A shorter one is for a store
// that is known to hang.
func HangLimit(d time.Duration) Option { return func(c *config) { c.hangLimit = d } }

func newConfig(opts []Option) *config {
	cfg := &config{
		maxEntryBytes: ballast.DefaultMaxEntryBytes,
		errClosed:     ballast.ErrClosed,
		errLocked:     ballast.ErrLocked,
		hangLimit:     defaultHangLimit,
	}
	for _, opt := range opts {
		opt(cfg)
	}
	return cfg
}

// test is one promise. Its function gets a new store.
type test struct {
	name string
	run  func(e *env)
}

// suite is everything, in the order of the contract.
var suite = []struct {
	name  string
	tests []test
}{
	{"Empty", emptyTests},
	{"GetLog", getLogTests},
	{"StoreLogs", storeLogsTests},
	{"DeleteRange", deleteRangeTests},
	{"Stable", stableTests},
	{"CommitIndex", commitTests},
	{"Close", closeTests},
	{"Open", openTests},
	{"Random", randomTests},
	{"Concurrent", concurrentTests},
	{"Raft", raftTests},
}

// Names returns the names of all subtests of Run as `go test -run` takes them below Run's own test:
// "group/promise".
func Names() []string {
	var names []string
	for _, group := range suite {
		for _, test := range group.tests {
			names = append(names, group.name+"/"+test.name)
		}
	}
	return names
}

// Run proves the contract on the store that open opens, in folders of its own below t.TempDir.
func Run(t *testing.T, open OpenFunc, opts ...Option) {
	t.Helper()
	cfg := newConfig(opts)
	for _, group := range suite {
		t.Run(group.name, func(t *testing.T) {
			for _, test := range group.tests {
				t.Run(test.name, func(t *testing.T) {
					defer reportPanic(t)
					test.run(newEnv(t, open, cfg))
				})
			}
		})
	}
}
