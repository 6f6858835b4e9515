// Package badgerstore keeps a raft peer's log and stable state in a badger directory, interchangeable with
// raft-badger v0.6.
//
// # Usage
//
//	store, err := badgerstore.Open("/var/lib/app/raft", nil)
//	if err != nil {
//		return err
//	}
//	defer store.Close()
//	r, err := raft.NewRaft(config, fsm, store, store, snapshots, transport)
//
// # Guarantees
//
// [Store] keeps every promise of [ballast.Store]. Writes are synced, unless Options.NoSync is set; what
// badger v4.9 leaves out is added: the names of new files are synced before a write is acknowledged, and
// a failed sync of the value log, which badger only logs, fails the store.
//
// A batch that fits a transaction of badger is one transaction: 2.4 MiB with the default options, of
// which an entry of 32 KiB or more takes 45 bytes, so that the largest batch that raft makes by
// default, 65 entries, always fits. A larger one is written as a whole under keys of Ballast's own
// first; a marker, one transaction, then stores it; its entries are put at their indexes and the copy
// is removed. A crash before the marker leaves nothing of it, and after a crash behind the marker Open
// finishes it. It costs the double amount of writing and a few more syncs. raft-badger, if it opened
// the directory in the middle, would find a part of the entries.
//
// DeleteRange of any number of entries is decided by its first transaction as well, which lowers the
// commit index and notes the range and the version up to which what is in it is deleted; the keys are
// removed in transactions of 8192. After a crash Open removes the rest.
//
// Reads never wait for a write: they read at the version that was published last. Checksums of tables
// are verified when the directory is opened and when a block is read, those of the value log on each
// read. Damage at the end of a write-ahead log reads as its end, because badger cannot tell it from a
// write that a crash has torn.
//
// Entries of 32 KiB or more lie in badger's value log. Its files are 128 MiB, and the space of a deleted
// entry comes back when most of its file is garbage: in the background, and after Close and Open.
//
// A damaged record of the value log is never taken for its end in a directory that was closed cleanly. Badger would drop what is behind it, so
// Open for writing returns a CorruptionError when it is in the newest file. With one in an older file, once badger would collect that, no garbage is
// collected any more, and Options.Logger is told. After a crash damage in the newest file cannot be told from a write that was torn.
//
// Part of a directory is refused and left as it is: without its manifest, or with one that was cut,
// without a table, or a value log that a key refers to. A write-ahead log that is missing, of a
// process that was killed, is not noticed: badger removes one when its entries are in tables.
//
// Opening reads every table and the newest value log file once. A read-only store needs a directory that was closed cleanly.
//
// # The folder
//
// The folder is that of the moment of opening. A path that is relative, or leads through a link, is
// resolved then, and a later chdir or a switched link changes nothing. Badger opens its files by
// their paths as long as it runs; on Linux it gets one that leads to the folder whatever its name
// is, /proc/self/fd/N of the open folder, which errors and messages do not show. Nothing of it is
// stored. The store looks before each write whether its path still leads to the folder, about a
// microsecond. When that was renamed, removed or mounted over, the write and all later ones return
// a [ballast.DisplacedError], and nothing of them is written. Close ends the store where it is, but
// for a folder that was removed, in which badger can make no file.
//
// Where there is no /proc, and on other systems, badger has the folder's own path, and that look,
// also before garbage is collected and before Close, is all there is: what badger itself does in
// the background between a rename and that look, writing its memory to a table or compacting
// tables, is done under the old name. Close returns the error then and leaves badger as it is; what
// was acknowledged is in its write-ahead log. End the process.
//
// # Full disks
//
// Badger writes through memory maps of files with holes. When the disk fills up under such a write the
// operating system ends the process with SIGBUS; there is no error to return. So StoreLogs returns
// ballast.ErrNoSpace while the file system has less than Options.ReserveBytes free, deletions and
// stable writes are refused below a quarter of that, and Open below an eighth. What this cannot see is
// another process that takes the whole reserve in the time of one write, and a quota that statfs does
// not show. Keep a peer's directory on a file system that others do not fill up.
//
// # Layout
//
// Keys, all in one badger database:
//
//	logs-<index>          raft-badger's: 8 bytes big-endian -> the entry, see internal/logcodec
//	meta-<key>            raft-badger's: what Set wrote
//	meta-meta-<key>       raft-badger's: what SetUint64 wrote, 8 bytes big-endian
//	ballast-stable-<key>  what Set wrote for a key that itself begins with "meta-"
//	ballast-commit        the commit index, 8 bytes big-endian
//	ballast-deleted       which ranges were deleted, up to which version
//	ballast-batch, ballast-batch-<n>  a large batch in the making
//	ballast-pad           zeros that push a memtable out
//
// A stable key is at one place: Set removes what SetUint64 wrote, and the reverse, in one transaction.
// Where raft-badger has left both, the newer one counts. A key that raft-badger's Set wrote and that
// begins with "meta-" cannot be told from one of its SetUint64, and is taken for that.
//
// Index 0 under logs- is no entry; raft does not write it.
//
// Source files: options.go, open.go, preflight.go and parts.go open a directory; store.go reads;
// write.go, redo.go and delete.go write; held.go is the folder; graves.go is the record of
// deletions; gc.go and compact.go return space; valuelog.go finds damage before badger drops what
// is behind it; logger.go listens to badger.
package badgerstore
