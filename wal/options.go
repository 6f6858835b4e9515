package wal

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/internal/engine"
	"github.com/raft-ballast/ballast/internal/vfs"
	"github.com/raft-ballast/ballast/metrics"
)

// Compression is how the Data of new entries is stored. It may change from one opening to the next; what
// is stored already is read whatever it was.
type Compression uint8

const (
	// None stores Data as it is. The zero value.
	None Compression = iota

	// S2 is fast: about as fast as the disk for data that compresses.
	S2

	// Zstd saves the most space, and costs the most time.
	Zstd
)

// String returns the name of a compression.
func (c Compression) String() string {
	switch c {
	case None:
		return "none"
	case S2:
		return "s2"
	case Zstd:
		return "zstd"
	}
	return fmt.Sprintf("Compression(%d)", uint8(c))
}

// Options are the settings of a store. The zero value of each field is a good choice.
type Options struct {
	// SegmentBytes is the size of a new segment's file in bytes; 0 is 64 MiB. It is rounded up to
	// 4 KiB, and at least 1 MiB. The file takes space as it is filled. On a small disk smaller segments
	// give space back sooner: a segment goes when the last of its entries is deleted. A log takes up to two segments more than those in
	// which something is live.
	SegmentBytes int64

	// MaxEntryBytes is the largest Data and Extensions of an entry, and the largest key and value, together in
	// bytes; 0 is 64 MiB. At most 1 GiB.
	MaxEntryBytes int

	// CacheBytes bounds the memory for what was just written and for what is read in order, in bytes; 0 is 32
	// MiB. It is at least 1 MiB. A larger batch takes more while it is written.
	CacheBytes int64

	// Compression of the Data of new entries; the zero value is None. Data that does not become smaller is stored as it is.
	Compression Compression

	// MaxOpenFiles bounds the segments that are open for reading, besides the one that is written; 0 is 64.
	MaxOpenFiles int

	// Logger is told what an operator may want to know: what an opening recovered, and work in
	// the background that failed and will be tried again, and stalls. nil is silence.
	Logger *slog.Logger

	// Metrics is told what the store does; nil is nobody. Sinks are in packages below metrics.
	Metrics metrics.Sink

	// StallAfter is how long a durable write may take before it is reported as a stall, to OnStall, Metrics and Logger and in
	// Stats. 0 is one second, where one of the three is there; without them nobody looks. A negative one is never.
	StallAfter time.Duration

	// OnStall is called while a write stalls, and again when it has ended, with Ended set. It is called from a goroutine of the store's
	// own, one call at a time, so it may wait; nothing is reported meanwhile. It may close the store, which does not wait for it. nil is nobody.
	OnStall func(ballast.Stall)

	// fs is the file system; nil is the real one.
	fs vfs.FS

	// settle waits for as long as what a reader finds may be a write in progress; nil where a write
	// is seen in one moment.
	settle func()

	// inline does the work of the background after each write, in the same goroutine, so that a
	// test repeats. busy has it never find the log idle.
	inline, busy bool

	// asleep reports whether the background has not come to its work yet, where it is done inline;
	// nil is never.
	asleep func() bool

	// garbage is how many bytes of dead entries are left alone; 0 is idleGarbage segments.
	garbage int64

	// still leaves out the background: nothing is prepared, zeroed or cleaned up.
	still bool
}

const (
	defaultSegmentBytes = 64 << 20
	minSegmentBytes     = 1 << 20
	maxSegmentBytes     = 32 << 30 // offsets are stored in 4 bytes, in units of 8
	defaultCacheBytes   = 32 << 20
	minCacheBytes       = 1 << 20
	defaultOpenFiles    = 64
	maxMaxEntryBytes    = 1 << 30
)

// withDefaults returns a copy that has every field.
func (o *Options) withDefaults() (Options, error) {
	var out Options
	if o != nil {
		out = *o
	}
	for _, option := range []struct {
		name  string
		value int64
	}{
		{"SegmentBytes", out.SegmentBytes}, {"MaxEntryBytes", int64(out.MaxEntryBytes)},
		{"CacheBytes", out.CacheBytes}, {"MaxOpenFiles", int64(out.MaxOpenFiles)},
	} {
		if option.value < 0 {
			return out, fmt.Errorf("wal: the option %s is %d; use 0 for the default", option.name, option.value)
		}
	}
	if out.SegmentBytes == 0 {
		out.SegmentBytes = defaultSegmentBytes
	}
	if out.SegmentBytes > maxSegmentBytes/2 {
		return out, fmt.Errorf("wal: SegmentBytes is %d, the most is %d",
			out.SegmentBytes, int64(maxSegmentBytes/2))
	}
	out.SegmentBytes = max(roundUp(out.SegmentBytes, blockBytes), minSegmentBytes)
	if out.MaxEntryBytes == 0 {
		out.MaxEntryBytes = ballast.DefaultMaxEntryBytes
	}
	if out.MaxEntryBytes > maxMaxEntryBytes {
		return out, fmt.Errorf("wal: MaxEntryBytes is %d, the most is %d", out.MaxEntryBytes, maxMaxEntryBytes)
	}
	if out.CacheBytes == 0 {
		out.CacheBytes = defaultCacheBytes
	}
	out.CacheBytes = max(out.CacheBytes, minCacheBytes)
	if out.MaxOpenFiles == 0 {
		out.MaxOpenFiles = defaultOpenFiles
	}
	if out.Compression > Zstd {
		return out, fmt.Errorf("wal: there is no compression %d; use None, S2 or Zstd", out.Compression)
	}
	out.StallAfter = engine.StallAfter(out.StallAfter, out.OnStall != nil || out.Metrics != nil || out.Logger != nil)
	if out.Logger == nil {
		out.Logger = slog.New(slog.DiscardHandler)
	}
	if out.fs == nil {
		out.fs, out.settle = vfs.OS, settle
	}
	return out, nil
}

func roundUp(n, to int64) int64   { return (n + to - 1) / to * to }
func roundDown(n, to int64) int64 { return n / to * to }
