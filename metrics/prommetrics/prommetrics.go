// Package prommetrics shows what Ballast's stores do to Prometheus.
//
//	sink, err := prommetrics.New(prometheus.DefaultRegisterer, "raft")
//	if err != nil {
//		return err
//	}
//	store, err := wal.Open("/var/lib/service/raft", &wal.Options{Metrics: sink})
//
// The names are those of package metrics after "ballast_", with seconds and bytes as units; docs/OPERATIONS.md has them all. Each
// has the label store, and no other.
package prommetrics

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/raft-ballast/ballast/metrics"
)

const namespace = "ballast"

// The boundaries of the histograms. A durable write takes some 50 µs on a good disk, and half a minute on one that is about to fail.
var buckets = [metrics.Distributions][]float64{
	metrics.AppendSeconds: prometheus.ExponentialBuckets(25e-6, 2, 21),
	metrics.SyncSeconds:   prometheus.ExponentialBuckets(25e-6, 2, 21),
	metrics.BatchEntries:  prometheus.ExponentialBuckets(1, 2, 12),
	metrics.BatchBytes:    prometheus.ExponentialBuckets(64, 4, 12),
}

var (
	_ metrics.Sink         = (*Sink)(nil)
	_ prometheus.Collector = (*Sink)(nil)
)

// Sink is a [metrics.Sink] and a prometheus.Collector. Its methods may be called by any goroutine.
type Sink struct {
	metrics.Sources
	histograms [metrics.Distributions]prometheus.Histogram
	figures    []metrics.Figure
	descs      []*prometheus.Desc // descs[i] is that of figures[i]
}

// New returns a sink that is registered with reg, with store as the value of the label of that name. Several stores may share it, one after another or at
// once; then their figures are added up. It fails when reg has a sink for the same store already.
func New(reg prometheus.Registerer, store string) (*Sink, error) {
	labels := prometheus.Labels{"store": store}
	s := &Sink{figures: metrics.Figures()}
	for d := range metrics.Distributions {
		s.histograms[d] = prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: namespace, Name: d.Name(), Help: d.Help(), ConstLabels: labels, Buckets: buckets[d],
		})
	}
	for _, f := range s.figures {
		s.descs = append(s.descs, prometheus.NewDesc(prometheus.BuildFQName(namespace, "", f.Name), f.Help, nil, labels))
	}
	if err := reg.Register(s); err != nil {
		return nil, fmt.Errorf("prommetrics: registering the metrics of the store %q: %w; give each store another name, or let them share a sink", store, err)
	}
	return s, nil
}

// Observe implements [metrics.Sink].
func (s *Sink) Observe(d metrics.Distribution, value float64) { s.histograms[d].Observe(value) }

// Describe implements prometheus.Collector.
func (s *Sink) Describe(ch chan<- *prometheus.Desc) {
	for _, h := range s.histograms {
		h.Describe(ch)
	}
	for _, d := range s.descs {
		ch <- d
	}
}

// Collect implements prometheus.Collector. It asks the stores, which ask the file system about each of their files.
func (s *Sink) Collect(ch chan<- prometheus.Metric) {
	for _, h := range s.histograms {
		h.Collect(ch)
	}
	stats := s.Stats()
	for i, f := range s.figures {
		kind := prometheus.GaugeValue
		if f.Counter {
			kind = prometheus.CounterValue
		}
		ch <- prometheus.MustNewConstMetric(s.descs[i], kind, f.Value(&stats))
	}
}
