// Package gometrics hands what Ballast's stores do to hashicorp/go-metrics, beside raft's own metrics.
//
//	store, err := wal.Open("/var/lib/service/raft", &wal.Options{Metrics: gometrics.New(nil, nil)})
//
// The names begin with raft.ballast, and those that raft-boltdb has too are called as there: samples raft.ballast.storeLogs and
// raft.ballast.sync in milliseconds, raft.ballast.logsPerBatch, raft.ballast.logBatchSize in bytes; gauges such as raft.ballast.diskBytes and
// counters such as raft.ballast.reads. docs/OPERATIONS.md has them all.
//
// A sink of go-metrics may allocate, lock and talk to a network. So values go through a queue to a goroutine of their own, which each open store has, and
// where that cannot keep up they are left out and counted in raft.ballast.samplesDropped. Gauges and counters are sent every ten seconds and
// when the store is closed.
//
// raft v1.7.3 writes to armon/go-metrics unless it is built with the tag hashicorpmetrics; raft v1.8.0 always writes to
// hashicorp/go-metrics, as this package does.
package gometrics

import (
	"strings"
	"sync"
	"sync/atomic"
	"time"

	gometrics "github.com/hashicorp/go-metrics"

	"github.com/raft-ballast/ballast/metrics"
)

const (
	interval = 10 * time.Second // go-metrics' own, of its sink in memory
	queued   = 4096             // values; some hundred milliseconds of a very busy store
)

var _ metrics.Sink = (*Sink)(nil)

// samples are the names of the distributions, and what a value is multiplied with: go-metrics measures time in milliseconds.
var samples = [metrics.Distributions]struct {
	name   string
	factor float64
}{
	metrics.AppendSeconds: {"storeLogs", 1000},
	metrics.SyncSeconds:   {"sync", 1000},
	metrics.BatchEntries:  {"logsPerBatch", 1},
	metrics.BatchBytes:    {"logBatchSize", 1},
}

// Sink is a [metrics.Sink]. Its methods may be called by any goroutine.
type Sink struct {
	sources metrics.Sources
	to      *gometrics.Metrics
	labels  []gometrics.Label
	values  chan value
	dropped atomic.Uint64

	mu   sync.Mutex
	last metrics.Stats // that were sent
	lost uint64        // of dropped, that were sent
}

type value struct {
	of metrics.Distribution
	v  float64
}

// New returns a sink that writes to m, nil for the global one, with labels, which are often none. Several stores may share it; then their figures are added up.
func New(m *gometrics.Metrics, labels []gometrics.Label) *Sink {
	return &Sink{to: m, labels: append([]gometrics.Label{}, labels...), values: make(chan value, queued)}
}

// Observe implements [metrics.Sink]. It never waits.
func (s *Sink) Observe(d metrics.Distribution, v float64) {
	select {
	case s.values <- value{d, v}:
	default:
		s.dropped.Add(1)
	}
}

// Attach implements [metrics.Sink]. A goroutine sends until the store is closed.
func (s *Sink) Attach(read func() metrics.Stats) (detach func()) {
	closed := s.sources.Attach(read)
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		s.run(stop)
	}()
	return sync.OnceFunc(func() {
		closed()
		close(stop)
		<-done
	})
}

func (s *Sink) run(stop chan struct{}) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case v := <-s.values:
			s.sample(v)
		case <-ticker.C:
			s.send()
		case <-stop:
			for {
				select {
				case v := <-s.values:
					s.sample(v)
				default:
					s.send()
					return
				}
			}
		}
	}
}

// global is read each time: an application sets it when it likes.
func (s *Sink) metrics() *gometrics.Metrics {
	if s.to != nil {
		return s.to
	}
	return gometrics.Default()
}

func (s *Sink) sample(v value) {
	sample := samples[v.of]
	s.metrics().AddSampleWithLabels(key(sample.name), float32(v.v*sample.factor), s.labels)
}

// send sends the gauges, and by how much the counters have grown.
func (s *Sink) send() {
	s.mu.Lock()
	defer s.mu.Unlock()
	now, m := s.sources.Stats(), s.metrics()
	for _, f := range metrics.Figures() {
		name := key(camel(strings.TrimSuffix(f.Name, "_total")))
		if f.Counter {
			m.IncrCounterWithLabels(name, float32(f.Value(&now)-f.Value(&s.last)), s.labels)
		} else {
			m.SetGaugeWithLabels(name, float32(f.Value(&now)), s.labels)
		}
	}
	s.last = now
	dropped := s.dropped.Load()
	m.IncrCounterWithLabels(key("samplesDropped"), float32(dropped-s.lost), s.labels)
	s.lost = dropped
}

func key(name string) []string { return []string{"raft", "ballast", name} }

// camel writes a name in snake case as raft's are written.
func camel(name string) string {
	words := strings.Split(name, "_")
	for i, w := range words[1:] {
		words[i+1] = strings.ToUpper(w[:1]) + w[1:]
	}
	return strings.Join(words, "")
}
