// Package powercut cuts the power of a real file system with a store in it, again and again, and looks whether the store still
// holds what it acknowledged. It needs Linux, root, FUSE and loop devices; [Missing] tells what is not there.
//
// A file that this process serves over FUSE is the disk: a [Disk] in memory, which knows what was written since the last flush. A loop
// device makes a block device of it, and a real ext4, xfs or btrfs is mounted on that. A child process opens a store there and
// makes one call after the other. The cut takes the disk as it is in the middle of some request, without a random part of what was not
// flushed. The child is killed, and the file system is mounted anew on what is left: its journal recovers, the store opens, and must
// hold what the acknowledged calls made, with the call in progress or without it. Then the same store goes on until the next cut.
//
// The store works in a process of its own because some map their files: a page fault would wait for this process's answer
// while it stops the threads of this process for the garbage collector.
//
//	func main() {
//		powercut.Child(map[string]powercut.Open{"wal": openWAL})
//		result, err := powercut.Run(ctx, powercut.Config{Kind: loopfs.Ext4, Store: "wal", Cuts: 100, Seed: 1})
//
// The seed decides which calls are made, how many requests the disk takes before each cut, and which sectors are lost. When the
// kernel writes what is its own choice, so a seed repeats the kind of a trial rather than each of its bytes.
//
//	disk.go cut.go          the disk and what a cut leaves of it
//	untorn.go               what it never tears, because a file system cannot stand that
//	serve_linux.go          the disk as a file
//	trial_linux.go          Run: round after round
//	round_linux.go          one round: mount, child, cut, unmount
//	child_linux.go          the process with the store
//	shared_linux.go         what the two processes tell each other
package powercut

import (
	"fmt"
	"io"

	"github.com/raft-ballast/ballast/internal/loopfs"
	"github.com/raft-ballast/ballast/internal/oracle"
)

// Store is what is tried.
type Store interface {
	oracle.Store
	io.Closer
}

// Open opens the store in dir, a folder that is there and durable, or creates one there.
type Open func(dir string) (Store, error)

// Config says what to try.
type Config struct {
	Kind     loopfs.Kind
	Store    string // its name in the map that Child is called with
	Bytes    int64  // of the disk, a multiple of 4 KiB; 0 is as small as is good for the file system
	Cuts     int
	Seed     uint64
	Workload oracle.Workload // its Seed is set by the trial

	// Series is how many cuts one store lives through before the next one begins on a new file system; 0 is 25. After a failure it
	// is the next one's turn as well.
	Series int

	// Keep is the folder for the disk that the first failing round began with, as a file that can be mounted; "" for none.
	Keep string

	// Progress, when not nil, is called after each round.
	Progress func(Result)
}

// diskBytes are the sizes of disks: with room for a few segments, and for what btrfs puts aside.
var diskBytes = map[loopfs.Kind]int64{loopfs.Ext4: 64 << 20, loopfs.XFS: 320 << 20, loopfs.Btrfs: 256 << 20}

// Result counts what came of it.
type Result struct {
	Cuts   int // of the power
	InFS   int // of these, while the file system was being mounted, and recovered
	InOpen int // of these, while the store was being opened and read

	Opened int    // how often the store was opened and looked at; the next cut may come before that
	Kept   int    // of these, it held what it should
	Calls  uint64 // that were acknowledged

	// The rest of Opened, one of these each.
	Lost     int // calls that were acknowledged were gone, or entries
	Wrong    int // it held something else than what was stored, or could not be read
	Unopened int // it could not be opened, or ended its process
	Failed   int // a call failed before the cut

	LostCalls   uint64 // all the last ones that were gone, where what was left is the work of all calls before
	LostEntries int    // entries that were gone

	First string // the first failure, with what repeats it
}

// Failures counts the rounds in which the store did not do what it should.
func (r Result) Failures() int { return r.Lost + r.Wrong + r.Unopened + r.Failed }

// String is a line of figures.
func (r Result) String() string {
	return fmt.Sprintf("%d cuts (%d in mounting, %d in opening), %d calls, opened %d: kept %d, lost %d (%d calls, %d entries), "+
		"wrong %d, could not open %d, failed %d", r.Cuts, r.InFS, r.InOpen, r.Calls, r.Opened, r.Kept,
		r.Lost, r.LostCalls, r.LostEntries, r.Wrong, r.Unopened, r.Failed)
}

// outcome is what became of a store.
type outcome string

const (
	found    outcome = "found" // as it should be; the one that is no failure
	lost     outcome = "lost"
	wrong    outcome = "wrong"
	unopened outcome = "could not be opened"
	failed   outcome = "failed"
)

// report is what a child says of its store.
type report struct {
	Outcome outcome
	Text    string
	Calls   uint64 // that are lost
	Entries int    // that are lost
}

// count adds a report.
func (r *Result) count(p report) {
	r.Opened++
	switch p.Outcome {
	case found:
		r.Kept++
	case lost:
		r.Lost++
		r.LostCalls += p.Calls
		r.LostEntries += p.Entries
	case wrong:
		r.Wrong++
	case unopened:
		r.Unopened++
	case failed:
		r.Failed++
	}
}
