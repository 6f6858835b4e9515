// Package metrics is how a store tells what it does, without knowing who listens.
//
// Each durable engine, and logcache, has an option Metrics that takes a [Sink]. Sinks for Prometheus and for
// hashicorp/go-metrics are in packages of their own, so that only who imports one of them builds its libraries:
//
//	sink, err := prommetrics.New(prometheus.DefaultRegisterer, "raft")
//	if err != nil {
//		return err
//	}
//	store, err := wal.Open("/var/lib/service/raft", &wal.Options{Metrics: sink})
//
// What is a distribution, like the latency of an append, is pushed: [Sink.Observe] is called for each value. What is one number,
// like the bytes on the disk, is pulled by whoever wants to know it: a store that opens hands the sink a function that
// returns its [Stats]. docs/OPERATIONS.md says what each means and what to alert on.
package metrics

// Sink takes what stores measure. A sink serves any number of stores, whose figures are added up.
type Sink interface {
	// Observe takes one value, in the unit of the distribution. It is called in the path of a write, by any goroutine: it must
	// neither block nor wait for anything, and it should not allocate.
	Observe(d Distribution, value float64)

	// Attach is called when a store was opened. The function read may be called by any goroutine at any time, also while a write
	// stalls or the store closes; it asks the file system how much space the files take, unless a write stalls. detach is called when the store is closed, once, and may call
	// read a last time. [Sources] is an Attach for a sink to embed.
	Attach(read func() Stats) (detach func())
}

// Distribution is a measure of which each value counts.
type Distribution uint8

// The distributions.
const (
	AppendSeconds Distribution = iota // of StoreLog or StoreLogs, from the call to its return, when it succeeded
	SyncSeconds                       // of one durable write of the engine to the disk
	BatchEntries                      // in one StoreLogs that succeeded
	BatchBytes                        // of Data and Extensions in one StoreLogs that succeeded

	// Distributions is how many there are.
	Distributions
)

var distributions = [Distributions]struct{ name, help string }{
	AppendSeconds: {"append_duration_seconds", "How long appending a batch of entries took, from the call to its return."},
	SyncSeconds:   {"sync_duration_seconds", "How long one durable write to the disk took."},
	BatchEntries:  {"batch_entries", "Entries in an appended batch."},
	BatchBytes:    {"batch_bytes", "Bytes of entries in an appended batch."},
}

// Name returns the name, with the unit as its end, in snake case and without a prefix.
func (d Distribution) Name() string { return distributions[d].name }

// Help returns one sentence on what it is.
func (d Distribution) Help() string { return distributions[d].help }

// Stats are the figures that a store is asked for. Those that count begin at 0 when the store is opened.
type Stats struct {
	// Of the store as it is.
	Entries        uint64
	LiveBytes      int64
	DiskBytes      int64
	Segments       int
	StalledSeconds float64 // how long the durable write in progress has taken, 0 while it is not longer than StallAfter
	Failed         int     // 1 when the store takes no more writes until it is opened again
	Troubles       int     // steps of the background that fail now and are tried again

	// Counters.
	AppendFailures   uint64
	Stalls           uint64
	Corruptions      uint64
	Reads            uint64
	CacheHits        uint64
	SegmentsRecycled uint64
}

// Figure is one number of [Stats].
type Figure struct {
	Name    string // with the unit as its end, in snake case and without a prefix
	Help    string // one sentence
	Counter bool   // it never falls while the store is open; otherwise it is a gauge
	Value   func(*Stats) float64
}

// Figures returns all of them, in the order of Stats. The slice is the caller's.
func Figures() []Figure { return append([]Figure{}, figures...) }

var figures = []Figure{
	{"entries", "Entries in the log.", false, func(s *Stats) float64 { return float64(s.Entries) }},
	{"live_bytes", "Bytes on the disk that hold what is in the log; with some engines an estimate.", false, func(s *Stats) float64 { return float64(s.LiveBytes) }},
	{"disk_bytes", "Bytes on the disk that all files of the store take.", false, func(s *Stats) float64 { return float64(s.DiskBytes) }},
	{"segments", "Files that hold the log.", false, func(s *Stats) float64 { return float64(s.Segments) }},
	{"stalled_seconds", "How long the durable write that stalls now has taken, 0 without one.", false, func(s *Stats) float64 { return s.StalledSeconds }},
	{"failed", "1 when a write has failed and the store takes no more until it is opened again.", false, func(s *Stats) float64 { return float64(s.Failed) }},
	{"troubles", "Steps of the background that fail now and are tried again.", false, func(s *Stats) float64 { return float64(s.Troubles) }},
	{"append_failures_total", "Appends that failed.", true, func(s *Stats) float64 { return float64(s.AppendFailures) }},
	{"stalls_total", "Durable writes that took longer than StallAfter.", true, func(s *Stats) float64 { return float64(s.Stalls) }},
	{"corruptions_total", "Reads that found damage.", true, func(s *Stats) float64 { return float64(s.Corruptions) }},
	{"reads_total", "Entries that were read.", true, func(s *Stats) float64 { return float64(s.Reads) }},
	{"cache_hits_total", "Entries that were read from memory.", true, func(s *Stats) float64 { return float64(s.CacheHits) }},
	{"segments_recycled_total", "Segments that were used again.", true, func(s *Stats) float64 { return float64(s.SegmentsRecycled) }},
}

// add adds another store's figures. The longest stall is that of both.
func (s *Stats) add(o *Stats) {
	s.Entries += o.Entries
	s.LiveBytes += o.LiveBytes
	s.DiskBytes += o.DiskBytes
	s.Segments += o.Segments
	s.StalledSeconds = max(s.StalledSeconds, o.StalledSeconds)
	s.Failed += o.Failed
	s.Troubles += o.Troubles
	s.AppendFailures += o.AppendFailures
	s.Stalls += o.Stalls
	s.Corruptions += o.Corruptions
	s.Reads += o.Reads
	s.CacheHits += o.CacheHits
	s.SegmentsRecycled += o.SegmentsRecycled
}

// counters returns s without what only is while the store is open.
func (s *Stats) counters() Stats {
	out := *s
	out.Entries, out.LiveBytes, out.DiskBytes, out.Segments, out.StalledSeconds, out.Failed, out.Troubles = 0, 0, 0, 0, 0, 0, 0
	return out
}
