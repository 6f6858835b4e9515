// Package move builds a copy of a store beside the place where it is to be, and puts it there when it is complete, verified and on the disk.
// Package migrate and `ballast migrate` are made of it.
//
// # Usage
//
//	job := move.Job{Source: old, Destination: new, Open: …, Create: …, Read: …}
//	result, err := job.Copy(ctx)      // the source stays as it is
//	result, err := job.Replace(ctx)   // the source gets another name
//
// # Guarantees
//
// At every moment, whether the process is killed or the power is cut, there is at the destination either what was there before or the whole
// copy. What is not complete has a name that no engine opens, see [engine.CheckFinished].
//
// # Layout
//
// For a destination D and a source S, which may be the same path:
//
//	D.migrating        the copy, while it is made
//	D.ready            the copy, complete, while S gets its other name; only in Replace
//	S.migrated         what was S; S.migrated-2 and so on when there is one already
//	D.migrating.lock   keeps a second migration out, and is removed at the end
//	S                  then: a file, or a folder of files, that says where the store is now. raft-boltdb, raft-wal and raft-badger,
//	                   which would make an empty store where nothing is, stop at it
//	S.migrated-note    that, before S has its other name
//
// Where a folder is at D already, and empty but for lost+found, the store is built in it, since it
// may be a mount point, which cannot be replaced: see [place.Inside]. Its own files take the places
// of the two names:
//
//	D/ballast.migrating       for D.migrating
//	D/ballast.ready           for D.ready
//	D/ballast.migrating.lock  for D.migrating.lock
//
// Copy does so only in a folder that cannot get another name, which it tries before. For an old
// store of two, the log S and the stable state T, all that is said of S is done to S, and then to
// T.
//
// Before all of that Replace finds out whether S can get another name at all, and changes nothing
// where it cannot.
//
// Each step is durable before the next one begins, and none replaces what somebody else has made:
//
//	1  D.migrating is written, closed, read again from the disk and compared with S, and synced
//	2  Copy: D.migrating becomes D, and that is all
//	2  Replace: D.migrating becomes D.ready
//	3  S becomes S.migrated, and S.migrated-note S
//	4  S.migrated is looked at again: nobody has it open, and it is what was copied; otherwise it becomes S again, and D.ready goes
//	5  D.ready becomes D
//
// Step 4 is for a process that has opened S before and waits for its lock, as raft-boltdb does for ever: it does not see the new name, and what it
// wrote would be lost.
//
// What Replace finds after a crash, and what it does then:
//
//	S                     begins anew; D.ready may be older than S by now, so that goes too
//	S.migrated, D.ready   the crash came behind step 3: step 4, with a comparison of all entries, and step 5
//	another S.migrated    a peer has run on it, or it is older and S is not mounted: an error
//	no S at all, D.ready  S was taken away by somebody else, or its disk is not mounted: an error
//	S.migrated, T         the crash came in the middle of step 3: T becomes T.migrated, and then as behind it
//	D.ready, and D cannot be replaced   S.migrated becomes S again, and it begins anew inside D
//	no S, D               it is done
//	no S, S.migrated, and nothing else  D is gone, or its disk is not mounted: an error
//	no S, D.ready, D      somebody has begun with D between step 3 and step 5: an error
//	no S, D.migrating     S was taken away by somebody else: an error
//	S and D               somebody has brought S back: an error
//
// Files: job.go is Copy and what both share, replace.go Replace, aside.go the old store's other
// name and the second look at it, grave.go what is left at its own, mark.go what tells whether a
// peer has run on it, pair.go two old stores, whole.go half a peer, inside.go a folder that is
// there, group.go a raft group that is added to a log, names.go the names, adopt_*.go owner and
// mode.
package move
