// Package raftwal reads directories that hashicorp/raft-wal v0.4 wrote, without that module.
//
//	log, err := raftwal.Open("/var/lib/app/raft/wal")
//	if err != nil {
//		return err
//	}
//	defer log.Close()
//	_, err = ballast.Copy(ctx, store, log, nil)
//
// # Guarantees
//
// A [Log] is a [ballast.Store] for reading. Every call that writes returns [ballast.ErrReadOnly], and nothing in the directory is
// ever changed. A directory that raft-wal has open is refused at once; while a Log is open raft-wal waits. Several Logs may read one
// directory.
//
// What is visible is what raft-wal shows: entries that it has truncated still lie in its files, and are not found. One write at the
// end that is not complete is left out, as raft-wal leaves it out; [Log.Dropped] tells of it.
//
// raft-wal checks its checksums only at the end of the log, and returns damage as data. Here each entry is checked on every read:
// against the commit frame of its batch, and against the index in it. An entry that fails is a [*ballast.CorruptionError],
// the others of its file are still read. Damage in the middle of the log's last segment makes raft-wal lose what follows; here the damaged
// entries are errors as long as one right batch follows them.
//
// raft-wal v0.4.0 left segments without their index where it had deleted the end of a log, and not even v0.4.2 reads those again
// (raft-wal issue 31). They are read here: the index is not needed.
//
// The memory that is taken is 12 bytes for each entry of the segments that were read, one entry, and wal-meta.db.
//
// # What the format cannot show
//
//   - Damage in the last batch of the log looks like a write that a crash has cut off. It is left out, and [Log.Dropped] is not nil.
//   - A last segment that is gone altogether is an empty one to raft-wal, and here; [Log.Dropped] is not nil. When wal-meta.db shows that it
//     had entries, it is an error.
//   - wal-meta.db has no checksum over its pages. A stable value, or the index that the log begins with, may be another after
//     damage. What else matters in it is compared with the segments.
//   - raft-wal writes its own codec's number also where an application has given it a codec. Entries in one are [ballast.ErrUnknownVersion],
//     if it does not begin them as raft-wal does, with the index.
//   - In the last segment, when the header of a frame is damaged and an entry's data holds a segment of raft-wal, with indexes that follow, what
//     is in the data is taken for the log.
//   - A segment does not say how many batches it has: the last ones of the log's last segment, cut off between two, are not missed.
//
// The stable state does not say which values are numbers. raft-wal writes them with the lowest byte first, Ballast with the highest:
// GetUint64 reads raft-wal's order, Get returns the bytes as they are. [ballast.Copy] knows raft's own numbers. One that an application
// keeps under a key of its own arrives as eight bytes in raft-wal's order.
//
// # Layout
//
//	wal-meta.db                   a bbolt file, which raft-wal locks
//	    bucket stable             key -> value; a uint64 is 8 bytes, little-endian
//	    bucket wal-meta           "m" -> JSON: the segments that make the log
//	00000000000000000001-000000000000002a.wal
//	                              a segment: its first index in decimal, its number in hexadecimal
//
//	log.go       Log, Open and the calls that read
//	readonly.go  the calls that write
//	bolt.go      opening wal-meta.db
//	lock_*.go    bbolt's lock
//	pages.go     bbolt's pages
//	state.go     the JSON, and what has to be true of it
//	segment.go   a segment's file
//	scan.go      finding the batches of a segment and checking them
//	search.go    looking for what is right behind damage
//	format.go    headers and frames
//	entry.go     one entry
package raftwal
