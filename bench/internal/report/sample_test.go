package report

import (
	"fmt"
	"math"
	"math/rand/v2"
)

// How many times the limit each store takes in the sample, where it writes. wal is close to the limit.
var sampleFactors = map[string]float64{
	Limit: 1, "wal": 1.05, "boltstore": 2.1, "badgerstore": 1.6, "raft-wal": 1.3, "raft-boltdb": 2.52, "raft-badger": 0.25, "memstore": 0.01, "InmemStore": 0.012,
	"wal+cache": 1.1,
}

// sample is a report as a full run makes one, with figures from the same numbers each time.
func sample() *Report {
	r := &Report{
		Machine: Machine{CPUs: 2, CPU: "Some CPU @ 2.60GHz", Kernel: "linux 6.1.0", FileSystem: "ext4 on /dev/vda", Go: "go1.26.0 amd64",
			Date: "2026-01-02 15:04 UTC", Commit: "fdfed11", Seconds: 612.3, Seed: 7},
		Stores: []Store{
			{Name: "wal", Durable: true, Ours: true}, {Name: "boltstore", Durable: true, Ours: true}, {Name: "badgerstore", Durable: true, Ours: true},
			{Name: "wal+cache", Durable: true, Ours: true, Note: "behind logcache"},
			{Name: "raft-wal", Version: "v0.4.2", Durable: true}, {Name: "raft-boltdb", Version: "v2.3.1", Durable: true},
			{Name: "raft-badger", Note: "not durable: badgerstore without synced writes, which is how raft-badger writes"},
			{Name: "memstore", Note: "not durable: in memory", Ours: true},
			{Name: "InmemStore", Version: "v1.7.3", Note: "not durable: in memory"},
		},
	}
	s := sampler{r, rand.New(rand.NewPCG(1, 2))}
	s.writes()
	s.reads()
	s.sizes()
	s.burst()
	s.space()
	s.cluster()
	s.ways()
	r.Goals = []Outcome{
		{Workload: "append 1x128 B", Ratio: "wal/limit", Bound: "<=", Reach: 1.1, Measured: 1.05, OK: true},
		{Workload: "append 1x128 B", Ratio: "raft-boltdb/wal", Bound: ">=", Reach: 2.6, Measured: 2.4, Why: "wal is at the disk's limit"},
	}
	return r
}

type sampler struct {
	*Report
	rng *rand.Rand
}

func (s sampler) noise(share float64) float64 { return 1 + share*(2*s.rng.Float64()-1) }

// result has a tail of which a hundredth is three times the median.
func (s sampler) result(store string, median float64) Result {
	r := Result{Store: store, Median: median, P99: 2.8 * median, P999: 7.5 * median, Low: 0.97 * median, High: 1.06 * median, Samples: 4000}
	for _, p := range []float64{0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9995} {
		r.Quantiles = append(r.Quantiles, Point{p, median * (0.8 + 0.4*p + 0.06*math.Pow(-math.Log10(1-p), 4.2)*s.noise(0.1))})
	}
	return r
}

// add adds a workload with a result for each of the stores, and the ratios.
func (s sampler) add(w Workload, stores []string, figure func(store string) Result) {
	for _, store := range stores {
		w.Results = append(w.Results, figure(store))
	}
	for i := range w.Results {
		res := &w.Results[i]
		if limit := w.Of(Limit); limit != nil {
			res.OverLimit = res.Median / limit.Median
		}
		if wal := w.Of("wal"); wal != nil && wal.Median > 0 {
			res.OverWAL = res.Median / wal.Median
		}
	}
	s.Workloads = append(s.Workloads, w)
}

func (s sampler) names(limit, cache, memory bool) (names []string) {
	if limit {
		names = append(names, Limit)
	}
	for _, store := range s.Stores {
		inMemory := store.Name == "memstore" || store.Name == "InmemStore"
		if (cache || store.Name != "wal+cache") && (memory || !inMemory) {
			names = append(names, store.Name)
		}
	}
	return names
}

func (s sampler) writes() {
	for _, size := range []int{128, 1 << 10, 4 << 10} {
		for _, n := range []int{1, 8, 64} {
			base := 100 + float64(n*size)/800
			w := Workload{Group: "append", Name: fmt.Sprintf("append %dx%s", n, byteCount(size)), Unit: "µs", Better: "lower", Entries: n, Bytes: size,
				About: "StoreLogs of so many entries with so many bytes of Data each, one call after the other."}
			s.add(w, s.names(true, n == 64 && size == 1<<10, true), func(store string) Result {
				return s.result(store, base*sampleFactors[store])
			})
		}
	}
	s.add(Workload{Group: "append", Name: "append 1x128 B, segments of 1 MiB", Unit: "µs", Better: "lower", Entries: 1, Bytes: 128},
		[]string{Limit, "wal", "raft-wal"}, func(store string) Result { return s.result(store, 120*sampleFactors[store]) })
	for _, name := range []string{"stable SetUint64", "stable whole vote"} {
		s.add(Workload{Group: "stable", Name: name, Unit: "µs", Better: "lower", About: "What raft stores beside the log."}, s.names(true, false, true),
			func(store string) Result { return s.result(store, 100*sampleFactors[store]) })
	}
}

func (s sampler) reads() {
	for i, name := range []string{"read in order", "read at random", "read first time", "read tail, appending"} {
		s.add(Workload{Group: "read", Name: name, Unit: "µs", Better: "lower", About: "GetLog of entries with 256 B of Data.", Entries: 1, Bytes: 256},
			s.names(false, true, true), func(store string) Result {
				if store == "raft-badger" && i == 3 {
					return Result{Store: store, Failed: "entry 17:\nnot found"}
				}
				return s.result(store, (0.2+float64(i))*math.Pow(6*sampleFactors[store]+0.3, 0.6))
			})
	}
}

func (s sampler) sizes() {
	for _, n := range []int{10_000, 100_000, 1_000_000} {
		for _, group := range []string{"open", "grown", "replay"} {
			w := Workload{Group: group, Name: group + " " + thousands(fmt.Sprint(n)), Unit: "ms", Better: "lower", X: float64(n), XUnit: "entries",
				About: "A log of so many entries with 64 B of Data."}
			s.add(w, s.names(false, false, false), func(store string) Result {
				return s.single(store, math.Pow(float64(n), 0.5)/30*sampleFactors[store]*sampleFactors[store]*s.noise(0.2))
			})
		}
	}
	for _, n := range []int{100, 10_000} {
		for _, end := range []string{"prefix", "suffix"} {
			w := Workload{Group: "delete", Name: "delete " + end + " of " + thousands(fmt.Sprint(n)), Unit: "ms", Better: "lower", X: float64(n), XUnit: "entries"}
			s.add(w, s.names(false, false, false), func(store string) Result { return s.single(store, float64(n)/1000*sampleFactors[store]) })
		}
	}
}

func (s sampler) single(store string, v float64) Result {
	return Result{Store: store, Median: v, Low: 0.9 * v, High: 1.1 * v, Samples: 5}
}

func (s sampler) burst() {
	for _, name := range []string{"burst before", "burst during", "burst after"} {
		w := Workload{Group: "burst", Name: name, Unit: "µs", Better: "lower", Entries: 16, Bytes: 512, About: "Before a burst, during it, and after it."}
		s.add(w, s.names(false, false, false), func(store string) Result {
			r := s.result(store, 120*sampleFactors[store])
			r.Quantiles = nil
			for i := range 900 {
				if name != "burst during" {
					break
				}
				r.SeriesX, r.SeriesY = "call", "µs, median of 100 calls"
				r.Series = append(r.Series, Point{float64(100 * i), r.Median * s.noise(0.06) * (1 + float64(i)/900*(sampleFactors[store]-1))})
			}
			return r
		})
	}
}

func (s sampler) space() {
	s.add(Workload{Group: "churn", Name: "disk with 32 MiB live", Unit: "MiB", Better: "lower", About: "Disk used under constant appends and compaction."},
		s.names(false, false, false), func(store string) Result {
			r := s.single(store, 40*sampleFactors[store])
			r.SeriesX, r.SeriesY = "MiB appended", "MiB on the disk"
			for i := range 64 {
				r.Series = append(r.Series, Point{float64(4 * i), math.Min(float64(4*i), r.Median) + float64(i%16)})
			}
			return r
		})
	for _, name := range []string{"device 64x4 KiB", "device 1x128 B"} {
		s.add(Workload{Group: "device", Name: name, Unit: "bytes a byte", Better: "lower"}, s.names(false, false, false),
			func(store string) Result { return s.single(store, 2*sampleFactors[store]) })
	}
	for _, name := range []string{"allocs StoreLogs 1x128 B", "allocs GetLog"} {
		s.add(Workload{Group: "allocs", Name: name, Unit: "a call", Better: "lower"}, s.names(false, false, true),
			func(store string) Result { return s.single(store, math.Floor(30*sampleFactors[store])) })
	}
	s.add(Workload{Group: "heap", Name: "heap with 50,000 entries", Unit: "MiB", Better: "lower"}, s.names(false, false, true),
		func(store string) Result { return s.single(store, 12/(sampleFactors[store]+0.2)) })
}

func (s sampler) cluster() {
	for _, n := range []int{1, 8, 64, 512} {
		w := Workload{Group: "cluster", Name: fmt.Sprintf("cluster %d writers", n), Unit: "writes/s", Better: "higher", X: float64(n), XUnit: "writers",
			About: "Writes of 256 B a second that a cluster of three peers acknowledges."}
		s.add(w, []string{"wal", "boltstore", "badgerstore", "raft-wal", "raft-boltdb", "InmemStore"},
			func(store string) Result {
				return s.single(store, 900*math.Pow(float64(n), 0.7)/(sampleFactors[store]+0.4))
			})
	}
}

func (s sampler) ways() {
	for i, bytes := range []int{128, 8 << 10, 256 << 10, 4 << 20} {
		for j, extents := range []string{"growing", "preallocated", "written"} {
			for k, sync := range []string{"fdatasync", "O_DSYNC", "O_DIRECT|O_DSYNC"} {
				v := (100 + float64(bytes)/800) * (2.4 - 0.5*float64(j) - 0.2*float64(k))
				s.Ways = append(s.Ways, Way{Bytes: bytes, Extents: extents, Sync: sync, Median: v, P99: 2 * v, P999: 5 * v, Low: v, High: v, Samples: 300,
					Fastest: j == 2 && k == 2 && i < 3 || i == 3 && j == 2 && k == 2})
			}
		}
	}
}
