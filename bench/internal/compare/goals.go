package compare

import "github.com/raft-ballast/ballast/bench/internal/report"

// goal is a figure that Ballast has set itself: a ratio of two stores' medians, or one store's median where below is empty.
type goal struct {
	workload     string
	above, below string
	bound        string
	reach        float64
	why          string // it is not reached, where that is known

	of func(r *report.Result) float64 // nil is the median
}

func most(workload, above, below string, reach float64) goal {
	return goal{workload: workload, above: above, below: below, bound: "<=", reach: reach}
}

func least(workload, above, below string, reach float64) goal {
	return goal{workload: workload, above: above, below: below, bound: ">=", reach: reach}
}

func (g goal) because(why string) goal {
	g.why = why
	return g
}

func (g goal) p999() goal {
	g.of = func(r *report.Result) float64 { return r.P999 }
	return g
}

// Why a figure is not reached.
const atTheLimit = "wal is near the disk's limit, and raft-boltdb itself is not that far from it on this disk"

// goals are in the order in which they are printed. A figure of allocations is reached when it rounds to what was asked for: what the
// background allocates is in the decimals.
var goals = []goal{
	most("append 1x128 B", "wal", report.Limit, 1.10),
	least("append 1x128 B", "raft-wal", "wal", 0.97),
	least("append 1x128 B", "raft-boltdb", "wal", 2.6).because(atTheLimit),
	most("append 64x128 B", "wal", report.Limit, 1.20),
	least("append 64x128 B", "raft-wal", "wal", 1.7),
	least("append 64x128 B", "raft-boltdb", "wal", 4.3),
	most("append 64x4 KiB", "wal", report.Limit, 1.30),
	least("append 64x4 KiB", "raft-wal", "wal", 2.0),
	least("append 64x4 KiB", "raft-boltdb", "wal", 6.5).because(atTheLimit),
	most("append 1x128 B, segments of 1 MiB", "wal", report.Limit, 1.5).p999(),
	most("stable SetUint64", "wal", report.Limit, 1.10),
	least("stable SetUint64", "raft-wal", "wal", 2.0),
	most("read in order", "wal", "", 0.30),
	least("read in order", "raft-wal", "wal", 12),
	least("read first time", "raft-wal", "wal", 6),
	least("read at random", "raft-wal", "wal", 4),
	least("open 1,000,000", "raft-wal", "wal", 5),
	least("open 1,000,000", "raft-boltdb", "wal", 3),
	most("device 64x4 KiB", "wal", "", 2.2),
	most("device 64x4 KiB, zeros ahead not counted", "wal", "", 1.05),
	most("allocs StoreLogs 1x128 B", "wal", "", 0.5),
	most("allocs StoreLogs 64x128 B", "wal", "", 0.5),
	most("allocs GetLog", "wal", "", 1.5),
	most("allocs GetLog with Extensions", "wal", "", 2.5),
	least("cluster 64 writers", "wal", "raft-wal", 1.5),
	least("cluster 64 writers", "wal", "raft-boltdb", 3),
	least("append 64x4 KiB", "raft-boltdb", "boltstore", 1.30),
	least("read in order", "raft-boltdb", "boltstore", 3),
	least(groupAppends, "64 groups", "64 raft-wal", 8),
	least(groupAppends, "1,000 groups", "64 groups", 1),
	most(groupAlone, "one of 1,000 groups", "wal", 1.1),
	most(groupStorm, "1,000 groups", "wal", 30),
	most(groupDevice, "64 groups", "", 2.5),
	most(groupOpen, "closed", "", 2),
	most(groupOpen, "killed", "", 2),
}

// Judge says which goals were reached, of those that were measured.
func Judge(r *report.Report) (list []report.Outcome) {
	for _, g := range goals {
		w := r.Find(g.workload)
		if w == nil || w.Of(g.above) == nil {
			continue
		}
		o := report.Outcome{Workload: g.workload, Ratio: g.above, Bound: g.bound, Reach: g.reach, Measured: g.value(w.Of(g.above))}
		if g.below != "" {
			below := w.Of(g.below)
			if below == nil {
				continue
			}
			o.Ratio += "/" + g.below
			o.Measured /= g.value(below)
		}
		if g.of != nil {
			o.Ratio += ", p99.9"
		}
		if o.OK = o.Measured <= o.Reach; g.bound == ">=" {
			o.OK = o.Measured >= o.Reach
		}
		if !o.OK {
			o.Why = g.why
		}
		list = append(list, o)
	}
	return list
}

func (g goal) value(r *report.Result) float64 {
	if g.of == nil {
		return r.Median
	}
	return g.of(r)
}
