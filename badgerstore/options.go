package badgerstore

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/metrics"
)

// Compression is how badger compresses the blocks of its tables. It concerns what is written from now
// on: a directory may hold tables of every kind.
type Compression int

// The kinds of compression. Values of at least 32 KiB are never compressed: badger keeps them in its
// value log.
const (
	// Snappy is the default, as it is raft-badger's and badger's own.
	Snappy Compression = iota
	// None spends no time on compressing; right for entries that are compressed or encrypted already.
	None
	// ZSTD is smaller and slower than Snappy.
	ZSTD
)

// Options are the options of [Open]; nil stands for the zero value. Open copies them.
type Options struct {
	// Compression of new tables. The zero value is Snappy.
	Compression Compression

	// Logger gets badger's messages, each with the attribute "component"="badger". nil is silence.
	Logger *slog.Logger

	// ReadOnly opens without writing anything. The directory has to exist and to have been closed
	// cleanly. Stable writes go to memory and end with Close; all others return ballast.ErrReadOnly.
	// It takes a shared lock: many readers, but none beside a writer. Not on Windows.
	ReadOnly bool

	// NoSync leaves out the sync of every write, as raft-badger does, so that a power cut may lose what was acknowledged, votes
	// too. For a directory that can be filled again, and to compare.
	NoSync bool

	// MaxEntryBytes limits Data and Extensions of an entry together, in bytes. 0 stands for
	// ballast.DefaultMaxEntryBytes; at most 512 MiB.
	MaxEntryBytes int

	// GCInterval is how often the value log's garbage is looked for in the background. 0 stands for one
	// minute, a negative one for never; Close looks for it in any case.
	GCInterval time.Duration

	// GCDiscardRatio is the share of a value log file that has to be garbage before the rest is moved and
	// the file removed, between 0 and 1. 0 stands for 0.5.
	GCDiscardRatio float64

	// ReserveBytes is the free space below which StoreLogs returns ballast.ErrNoSpace. A quarter of it
	// is kept back for DeleteRange and for stable writes, which are what helps a peer on a full disk. 0
	// stands for 8 times badger's MemTableSize, 128 MiB; a negative one looks at no free space at all.
	ReserveBytes int64

	// Metrics is told what the store does; nil is nobody. docs/OPERATIONS.md says what each figure is with this engine.
	Metrics metrics.Sink

	// StallAfter is how long a write of badger may take before it is reported as a stall, to OnStall, Metrics and Logger. 0 is one
	// second, where one of them is there; without them nobody looks. A negative one is never.
	StallAfter time.Duration

	// OnStall is called while a write stalls, and again when it has ended, with Ended set. It is called from a goroutine of the store's
	// own, one call at a time, so it may wait; nothing is reported meanwhile. It may close the store, which does not wait for it. nil is nobody.
	OnStall func(ballast.Stall)

	// Badger, when not nil, may change badger's own options after Ballast has set its own. Open
	// returns an error when Dir, ValueDir, InMemory, ReadOnly, SyncWrites, NumVersionsToKeep,
	// NamespaceOffset, VLogPercentile, BypassLockGuard or Logger come back changed, or a
	// ValueThreshold below 1 KiB: the guarantees of this package rest on them.
	Badger func(*badger.Options)
}

const (
	defaultGCInterval   = time.Minute
	defaultGCRatio      = 0.5
	defaultMemTable     = 16 << 20
	defaultBlockCache   = 16 << 20
	defaultValueLogFile = 128 << 20

	// defaultThreshold sends longer entries to the value log. 65 entries of this size fit a transaction, so that no
	// batch of raft's, which has 65 by default, is written twice.
	defaultThreshold = 32 << 10

	maxEntryLimit = 512 << 20
	reserveTables = 8       // of ReserveBytes' default, in memtables
	minThreshold  = 1 << 10 // of badger's ValueThreshold, below which its compactions find no garbage
	valueLogSlack = 1 << 20 // an entry's key and encoding beyond its Data and Extensions
	maxStableKey  = 64_000  // badger takes 65000, prefixes included
)

// withDefaults returns a copy of o in which every field has its meaning, or what is wrong with o.
func (o *Options) withDefaults() (Options, error) {
	out := Options{}
	if o != nil {
		out = *o
	}
	if out.Compression < Snappy || out.Compression > ZSTD {
		return out, fmt.Errorf("badgerstore: unknown Compression %d; take Snappy, None or ZSTD", out.Compression)
	}
	if out.MaxEntryBytes < 0 || out.MaxEntryBytes > maxEntryLimit {
		return out, fmt.Errorf("badgerstore: MaxEntryBytes is %d; take 0 for the default or up to %d",
			out.MaxEntryBytes, maxEntryLimit)
	}
	if !(out.GCDiscardRatio >= 0 && out.GCDiscardRatio < 1) {
		return out, fmt.Errorf("badgerstore: GCDiscardRatio is %v; take 0 for the default or a ratio below 1",
			out.GCDiscardRatio)
	}
	if out.MaxEntryBytes == 0 {
		out.MaxEntryBytes = ballast.DefaultMaxEntryBytes
	}
	if out.GCInterval == 0 {
		out.GCInterval = defaultGCInterval
	}
	if out.GCDiscardRatio == 0 {
		out.GCDiscardRatio = defaultGCRatio
	}
	return out, nil
}

// badgerOptions returns badger's options for dir.
func (o *Options) badgerOptions(dir string, log badger.Logger) (badger.Options, error) {
	b := badger.DefaultOptions(dir)
	b.SyncWrites = !o.NoSync
	b.ReadOnly = o.ReadOnly
	b.Logger = log
	b.Compression = map[Compression]options.CompressionType{
		Snappy: options.Snappy, None: options.None, ZSTD: options.ZSTD}[o.Compression]
	b.BypassLockGuard = ownLock
	b.DetectConflicts = false // one writer at a time
	b.MetricsEnabled = false
	b.VerifyValueChecksum = true
	b.ChecksumVerificationMode = options.OnBlockRead
	b.MemTableSize = defaultMemTable
	b.ValueThreshold = defaultThreshold
	b.BlockCacheSize = defaultBlockCache
	b.ValueLogFileSize = max(defaultValueLogFile, 2*int64(o.MaxEntryBytes))
	b.NumMemtables = 3
	b.NumCompactors = 2
	b.NumLevelZeroTables = 2
	b.NumLevelZeroTablesStall = 8
	b.CompactL0OnClose = true // so that what was deleted is known to be garbage at the next Open
	if o.Badger != nil {
		kept := b
		o.Badger(&b)
		if err := checkKept(&kept, &b); err != nil {
			return b, err
		}
	}
	if need := int64(o.MaxEntryBytes) + valueLogSlack; b.ValueLogFileSize < need {
		b.ValueLogFileSize = need
	}
	return b, nil
}

// checkKept refuses a change of an option that a guarantee rests on.
func checkKept(want, got *badger.Options) error {
	var name string
	switch {
	case got.SyncWrites != want.SyncWrites:
		name = "SyncWrites"
	case got.Dir != want.Dir:
		name = "Dir"
	case got.ValueDir != want.ValueDir:
		name = "ValueDir"
	case got.InMemory:
		name = "InMemory"
	case got.ReadOnly != want.ReadOnly:
		name = "ReadOnly"
	case got.NumVersionsToKeep != want.NumVersionsToKeep:
		name = "NumVersionsToKeep"
	case got.NamespaceOffset != want.NamespaceOffset:
		name = "NamespaceOffset"
	case got.BypassLockGuard != want.BypassLockGuard:
		name = "BypassLockGuard"
	case got.Logger != want.Logger:
		name = "Logger"
	case got.ValueThreshold < minThreshold:
		return fmt.Errorf("badgerstore: Options.Badger set badger's ValueThreshold to %d; take at least %d", got.ValueThreshold, minThreshold)
	case 15*got.MemTableSize/100 < got.ValueThreshold+4096:
		return fmt.Errorf("badgerstore: Options.Badger set MemTableSize to %d and ValueThreshold to %d; 15 percent of the one have to take the other and 4 KiB",
			got.MemTableSize, got.ValueThreshold)
	case got.BlockCacheSize <= 0:
		return fmt.Errorf("badgerstore: Options.Badger set badger's BlockCacheSize to %d; compressed tables need one", got.BlockCacheSize)
	case got.NumLevelZeroTablesStall <= got.NumLevelZeroTables:
		return fmt.Errorf("badgerstore: Options.Badger set NumLevelZeroTablesStall to %d; it has to be above NumLevelZeroTables, %d",
			got.NumLevelZeroTablesStall, got.NumLevelZeroTables)
	case got.VLogPercentile != 0:
		name = "VLogPercentile"
	default:
		return nil
	}
	return fmt.Errorf("badgerstore: Options.Badger changed badger's %s, which the store's guarantees rest on; leave it as it is", name)
}
