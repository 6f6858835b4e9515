package compare

import (
	"fmt"
	"time"

	"github.com/raft-ballast/ballast/bench/internal/report"
)

// plan is what a run measures, in order. The times are about what each step takes on a machine with two cores; the full plan is
// ten minutes, the quick one a minute.
func (c *Config) plan() []step {
	switch {
	case c.Groups:
		return groupsPlan(c.Hour)
	case c.Quick:
		return quickPlan()
	}
	steps := []step{limits([]int{128, 1 << 10, 4 << 10, 8 << 10, 32 << 10, 64 << 10, 256 << 10, 512 << 10, 4 << 20}, 3*time.Second)}
	for _, size := range []int{128, 1 << 10, 4 << 10, 64 << 10} {
		for _, n := range []int{1, 8, 64} {
			took := 8 * time.Second
			switch { // those with figures to reach take longer
			case n*size == 256<<10:
				took = 20 * time.Second // a turn has few calls of it
			case size == 128 && n != 8:
				took = 10 * time.Second
			}
			steps = append(steps, appends(n, size, took))
		}
	}
	const s = time.Second
	return append(steps, rotations(33*s), sustained(128, 3, 22*s), setUint64(6*s), vote(8*s), getFilled(3*s), getFirst(4*s), getTail(6*s),
		sizes([]int{10_000, 100_000, 1_000_000, 10_000_000}, []int{100, 10_000, 1_000_000}, 195*s),
		burst(5000, 30*s), churn(512, 32, 35*s), allocs(8*s), cluster([]int{1, 8, 64, 512}, 2, 1500*time.Millisecond))
}

func quickPlan() []step {
	const s = time.Second
	return []step{
		limits([]int{128, 8 << 10, 256 << 10}, s),
		appends(1, 128, 4*s), appends(64, 128, 4*s), appends(64, 4<<10, 5*s),
		setUint64(3 * s), vote(3 * s),
		getFilled(s), getFirst(2 * s), getTail(2 * s),
		sizes([]int{10_000, 100_000}, []int{100, 10_000}, 5*s),
		burst(500, 5*s), churn(32, 8, 4*s), allocs(2 * s), cluster([]int{64}, 1, s),
	}
}

// limits finds out how the disk is written to best, for each of these sizes.
func limits(sizes []int, each time.Duration) step {
	return step{names: []string{report.Limit}, takes: time.Duration(len(sizes)) * each, measure: func(e *env) ([]report.Workload, error) {
		for _, bytes := range sizes {
			e.doing(report.Limit + " for " + byteCount(bytes))
			if err := e.ways.measure(e, bytes, each); err != nil {
				return nil, fmt.Errorf("%d bytes: %w", bytes, err)
			}
		}
		return nil, nil
	}}
}
