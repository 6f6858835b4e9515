package compare

import (
	"errors"
	"math"
	"slices"

	"github.com/raft-ballast/ballast/bench/internal/report"
)

// summarize makes a result of the samples of each round.
func summarize(store string, rounds [][]float64) report.Result {
	var all, medians []float64
	for _, samples := range rounds {
		if len(samples) > 0 {
			all = append(all, samples...)
			medians = append(medians, quantile(slices.Sorted(slices.Values(samples)), 0.5))
		}
	}
	if len(all) == 0 {
		return failed(store, errors.New("nothing was measured"))
	}
	slices.Sort(all)
	slices.Sort(medians)
	return report.Result{
		Store: store, Samples: len(all),
		Median: quantile(all, 0.5), P99: quantile(all, 0.99), P999: quantile(all, 0.999),
		Low: quantile(medians, spread), High: quantile(medians, 1-spread),
		Quantiles: quantiles(all),
	}
}

// spread leaves out a tenth of the rounds at either side.
const spread = 0.1

// single makes a result of figures of which each is one round's.
func single(store string, figures []float64) report.Result {
	sorted := slices.Sorted(slices.Values(figures))
	return report.Result{Store: store, Samples: len(sorted), Median: quantile(sorted, 0.5), Low: sorted[0], High: sorted[len(sorted)-1]}
}

func failed(store string, err error) report.Result {
	return report.Result{Store: store, Failed: err.Error()}
}

// quantile returns what a share of sorted samples is at or below; the median of an even number lies between the two in the middle.
func quantile(sorted []float64, share float64) float64 {
	n := len(sorted)
	if n == 0 {
		return math.NaN()
	}
	if share == 0.5 {
		return (sorted[(n-1)/2] + sorted[n/2]) / 2
	}
	return sorted[min(int(math.Ceil(share*float64(n))), n)-1]
}

// shares are where a distribution is drawn.
var shares = []float64{0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9995, 0.9998, 0.9999}

// quantiles leaves out what too few samples tell nothing about.
func quantiles(sorted []float64) (points []report.Point) {
	for _, share := range shares {
		if outside := min(share, 1-share); outside*float64(len(sorted)) > 0.999 {
			points = append(points, report.Point{X: share, Y: quantile(sorted, share)})
		}
	}
	return points
}

// finish sets the ratios of a workload's results.
func finish(w *report.Workload) {
	limit, wal := w.Of(report.Limit), w.Of("wal")
	for i := range w.Results {
		r := &w.Results[i]
		if limit != nil && limit.Median > 0 {
			r.OverLimit = r.Median / limit.Median
		}
		if wal != nil && wal.Median > 0 {
			r.OverWAL = r.Median / wal.Median
		}
	}
}
