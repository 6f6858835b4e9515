// Package wal is Ballast's own engine: a write-ahead log that holds everything a raft peer stores, at one sync for each
// durable call.
//
// # Usage
//
//	store, err := wal.Open("/var/lib/service/raft", nil)
//	if err != nil {
//		return err
//	}
//	defer store.Close()
//	r, err := raft.NewRaft(config, fsm, store, store, snapshots, transport)
//
// Many raft groups can share one log and its syncs: [OpenGroups] gives a store for each.
//
// # What it promises
//
// It is a [ballast.Store]. Beyond that:
//
//   - What was acknowledged is on the disk, not in its cache: written with O_DIRECT and O_DSYNC where the file system
//     takes that, otherwise written and synced.
//
//   - Each entry has a checksum that is verified on every read. Damage is a [ballast.CorruptionError]: of Open when it
//     concerns what opening needs, otherwise of GetLog of the damaged entries. A write that a crash cut off was never
//     acknowledged and is no damage; the two are told apart.
//
//   - A full disk, of a file system that writes in place as ext4 and xfs do, refuses entries with [ballast.ErrNoSpace]; votes, deletions, reading and opening still work, and
//     entries are taken again when there is space, without opening anew.
//
//   - After a failed write or sync the log takes no more writes and returns the first cause, until it is opened again.
//     Reads go on.
//
//   - The folder is that of the moment of opening, held by its handle. A path that is relative, or
//     leads through a link, is resolved then: a later chdir or a switched link changes nothing. When
//     the folder is renamed, removed or mounted over, nothing gets into what has its name afterwards.
//     The log goes on where it is up to its next rotation, which finds that out: that write and all
//     later ones return a [ballast.DisplacedError], and nothing of them is written. Close ends the
//     log where it is.
//
// A handle of a folder is to be had on Linux, macOS and the BSDs. Elsewhere, which is Windows above
// all, the log looks before each name that it creates, renames or removes whether its path still
// leads to its folder. What is left open there is the moment between that look and the call; and
// that a file which is opened for reading only, or listed, may be another folder's. Windows itself
// does not rename or remove a folder in which a file is open.
//
// # How it works
//
// The log is a row of segments, files of a fixed size. Entries, stable values, deletions and the commit index are records;
// the records of one call, or of several that wait at once, are one frame, which is there wholly or not at all. Each
// segment begins with a checkpoint of all state, so older ones are needed for their entries only, and one in which nothing is
// live is used again or removed.
//
// A write into blocks that were written before costs the disk about half of one that makes a file grow. So a goroutine,
// the keeper, writes zeros ahead of the log, prepares the next segment, indexes the last one and removes old ones; no append
// pays for any of that. docs/FORMAT.md describes every byte.
//
// # Layout
//
//	options.go store.go stats.go  what users see
//	journal.go names.go           opening and closing a log, and when names are durable
//	lock.go lockmark.go links.go  who writes a log; one whose segments are gone; and files that a copy has too
//	format.go compress.go         the codec
//	write.go rotate.go            the path of a write: queue, frame, next segment, checkpoint
//	keeper.go next.go clean.go    the background: zeros ahead, the next segment, the ones before
//	groups*.go                    many raft groups in one log
//	reclaim.go moved.go adopt.go  what keeps old segments for few entries, where these go, and when the log refers to that
//	index.go segment.go           where entries are
//	weight.go weigh.go            what those that are live take
//	read.go cache.go              the path of a read
//	recover.go scan.go load.go    what a directory holds
//	readonly.go live.go           reading a log that somebody else writes
//	compact.go                    giving back what is reserved for writes to come
//	inspect.go backup.go          what tools ask about the files, and a copy of them
//	salvage*.go                   what can be read of a damaged directory
//	observe.go                    what metrics and the watch over stalls are told
package wal
